"""The command line: parses, calls, prints.

Each command imports what it calls, so that help is quick.
"""

from qdeq.cli.app import app, main  # isort: skip
from qdeq.cli import train, sweep, check, compare, estimate, ledger, solve_study, stability  # isort: skip  # noqa: F401  (they add their commands to the app, in the order of help)

__all__ = ["app", "main"]
