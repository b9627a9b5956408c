"""A Braket-compatible service on loopback; see README.md beside this file."""
