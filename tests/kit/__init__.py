"""What the tests stand on: a clock that is moved by hand, a real Redis, real tokend processes."""
