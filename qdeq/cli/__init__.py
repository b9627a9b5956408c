"""The command line: parses, calls, prints.

Each command imports what it calls, so that help is quick.
"""

from qdeq.cli.app import app, main  # isort: skip
from qdeq.cli import train, init, sweep, check, compare, estimate, ledger, predict, report, solve_study, stability, doctor  # isort: skip  # noqa: F401  (they add their commands to the app)

__all__ = ["app", "main"]
