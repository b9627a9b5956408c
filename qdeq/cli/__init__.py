"""The command line: parses, calls, prints.

Each command imports what it calls, so that help is quick.
"""

from qdeq.cli.app import app, main  # isort: skip
from qdeq.cli import check, compare, estimate, ledger, solve_study, stability  # noqa: F401  (they add their commands to the app)

__all__ = ["app", "main"]
