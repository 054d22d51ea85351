"""The documentation: its links are checked, its table of commands is written, and its site is built."""
