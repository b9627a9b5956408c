"""What the authors of plug-ins test with; of the package, only the command line imports it.

:func:`check_backend` proves a backend right, :func:`check_solver` a solver, and :func:`check_dataset` a data set;
:mod:`qdeq.testing.strategies` draws random circuits. The first and the last need hypothesis
(``pip install hypothesis``), which is imported when one of them is asked for.

Example:
    >>> from qdeq.testing import check_backend, check_dataset, check_solver
    >>> check_backend("torch", examples=5, checks=["qubit-order"]).raise_if_failed()
    >>> check_solver("broyden", checks=["budget"]).raise_if_failed()
    >>> check_dataset("digits", checks=["contents"]).raise_if_failed()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdeq.testing.backends import check_backend
    from qdeq.testing.datasets import check_dataset
    from qdeq.testing.report import BackendReport, CheckResult, DatasetReport, ProblemVerdict, SolverReport
    from qdeq.testing.solvers import check_solver

_HOMES = {"check_backend": "backends", "check_dataset": "datasets", "check_solver": "solvers"}

__all__ = [
    "BackendReport",
    "CheckResult",
    "DatasetReport",
    "ProblemVerdict",
    "SolverReport",
    "check_backend",
    "check_dataset",
    "check_solver",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"qdeq.testing.{_HOMES.get(name, 'report')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
