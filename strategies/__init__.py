"""One idea a file. `engine strategy list` shows them, `engine strategy new` writes one."""
