"""The command line: parses, calls, prints.

Each command imports what it calls, so that help is quick.
"""

from qdeq.cli.app import app, main

__all__ = ["app", "main"]
