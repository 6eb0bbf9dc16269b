"""Programs that answer in tokend's place: each at a port, with the bytes of a file."""
