"""From a name or a mapping, as an experiment file holds it, to a solver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdeq.errors import SolverError
from qdeq.plugins import SOLVERS
from qdeq.solvers.base import Solver


def get_solver(choice: str | Mapping[str, Any] | Solver) -> Solver:
    """Return the solver that ``choice`` describes.

    Args:
        choice: A registered name (``"broyden"``), a mapping with ``name`` and options
            (``{"name": "broyden", "memory": 5}``), or a solver, which is returned as it is.

    Raises:
        PluginError: No such solver is installed, or it could not be loaded.
        SolverError: ``choice`` names no solver, or an option is unknown or out of range.
    """
    solver: Solver = SOLVERS.build(choice, Solver, SolverError)
    return solver
