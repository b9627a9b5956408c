"""The command line: parses, calls, prints.

Each command imports what it calls, so that help is quick.
"""

from qdeq.cli.app import app, main  # isort: skip
from qdeq.cli import compare  # noqa: F401  (it adds its command to the app)

__all__ = ["app", "main"]
