"""What the authors of plug-ins test with; of the package, only the command line imports it.

:func:`check_backend` proves a backend right, and :mod:`qdeq.testing.strategies` draws random circuits. Both need
hypothesis (``pip install hypothesis``), which is imported when one of them is asked for.

Example:
    >>> from qdeq.testing import check_backend
    >>> check_backend("torch", examples=5, checks=["qubit-order"]).raise_if_failed()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdeq.testing.backends import check_backend
    from qdeq.testing.report import BackendReport, CheckResult

__all__ = ["BackendReport", "CheckResult", "check_backend"]


def __getattr__(name: str) -> Any:
    if name == "check_backend":
        from qdeq.testing.backends import check_backend

        return check_backend
    if name in __all__:
        from qdeq.testing import report

        return getattr(report, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
