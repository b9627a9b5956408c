"""All commands. Each imports what it calls, so that help is quick."""

from qdeq.cli import (  # noqa: F401  (they add their commands to the app)
    check,
    compare,
    doctor,
    estimate,
    init,
    ledger,
    plugins,
    predict,
    report,
    reproduce,
    show,
    solve_study,
    stability,
    sweep,
    train,
)
from qdeq.cli.app import app, run

__all__ = ["app", "run"]
