"""Programs that ask. Each runs on the load's core and says what it met as JSON."""
