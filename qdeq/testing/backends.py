"""The conformance kit: proves a backend right, or shows the smallest circuit where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from qdeq.backends import Backend, ShotKey, get_backend
from qdeq.circuit import Circuit, Gate, Input
from qdeq.errors import QdeqError, UnsupportedError
from qdeq.gates import GATES
from qdeq.observables import Z
from qdeq.testing import (
    contract_checks,
    gradient_checks,
    noise_checks,
    purity_checks,
    run_checks,
    shot_checks,
    value_checks,
)
from qdeq.testing.harness import CHECKS, failed, run_check
from qdeq.testing.report import BackendReport, CheckResult, chosen
from qdeq.testing.subject import Subject
from qdeq.testing.surroundings import surroundings_kept

_ORDER = (
    run_checks,
    purity_checks,
    value_checks,
    gradient_checks,
    shot_checks,
    noise_checks,
    contract_checks,
)

CHECK_NAMES = tuple(
    name for module in _ORDER for name, check in CHECKS.items() if check.test.__module__ == module.__name__
)
"""The checks, in the order in which they run."""


def check_backend(
    backend: str | Mapping[str, Any] | Backend,
    *,
    examples: int = 50,
    seed: int = 0,
    checks: Iterable[str] | None = None,
    paid: bool = False,
) -> BackendReport:
    """Check a backend against the gate table, an independent simulator and the contract of backends.

    Args:
        backend: A name, a mapping with options, or a backend.
        examples: Cases per check; checks that cost more take fewer, and a check with variants at least a few of each.
        seed: Seed of all draws: the same seed draws the same cases.
        checks: Names of the checks to run; all of them by default. See :data:`CHECK_NAMES`.
        paid: Run even if each execution is billed: the kit runs thousands of circuits.

    Returns:
        The report. ``report.raise_if_failed()`` makes it a test. Where checks fail because of what another one is named
        for (``run``, ``precision``, ``purity``), that one is reported as failed, asked for or not.

    Raises:
        QdeqError: There is no such backend, or check, or it costs money and ``paid`` is not set.

    Example:
        >>> check_backend("torch", examples=5, checks=["qubit-order", "batch"]).ok
        True
    """
    backend = get_backend(backend)
    names = chosen(checks, CHECK_NAMES)
    if examples < 1:
        raise QdeqError(f"examples must be at least 1, not {examples}")
    can = backend.capabilities
    if can.costs_money and not paid:
        raise UnsupportedError(
            f"each run on backend {backend.name!r} is billed, and the checks run thousands of circuits; "
            "check its local twin (`qdeq check-backend braket-local`), or, in Python, check_backend(..., paid=True)"
        )
    refused = tuple(name for name in GATES if _refuses(backend, name))
    taken = tuple(name for name in GATES if name not in refused)
    subject = Subject(backend, taken, examples, seed)
    with surroundings_kept():
        results = _with_roots(tuple(run_check(CHECKS[name], subject) for name in names), subject)
    return BackendReport(
        backend=backend.name,
        version=backend.version,
        precision=can.precision,
        seed=seed,
        examples=examples,
        refused=refused,
        results=results,
    )


def _with_roots(results: tuple[CheckResult, ...], subject: Subject) -> tuple[CheckResult, ...]:
    """Return the results with those checks failed, asked for or not, that others failed because of."""
    found = {result.name: result for result in results}
    for name, root in subject.roots.items():
        known = found.get(name, CheckResult(name, CHECKS[name].proves, "passed"))
        if known.status != "failed":
            found[name] = failed(known, *root, reason="seen in other checks")
    return tuple(found[name] for name in CHECK_NAMES if name in found)


def _refuses(backend: Backend, name: str) -> bool:
    """Whether the backend refuses a gate by the error made for it; other failures are for the check `gates` to show."""
    row = GATES[name]
    circuit = Circuit(row.num_qubits, (Gate(name, range(row.num_qubits), [Input(0)] * len(row.parameters)),))
    shots = None if backend.capabilities.exact else 10
    try:
        backend.expectation(circuit, torch.ones(1, 1), torch.zeros(0), (Z(0),), shots=shots, key=ShotKey(seed=0))
    except UnsupportedError:
        return True
    except Exception:  # a plug-in may fail in any way
        return False
    return False
