"""Checks of what comes out of ``run``, and of its precision: what is wrong there is wrong in every other check.

So both are roots: a case on which another check fails is put to them first, and their answer is what is reported.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis.strategies import SearchStrategy

from qdeq.backends.adapter import CircuitBackend, lowered
from qdeq.backends.executions import ExecutionPlan, bind_rows
from qdeq.testing.cases import Case, amplitude_cases, filled
from qdeq.testing.comparison import Mismatch
from qdeq.testing.harness import check, exact
from qdeq.testing.strategies import circuits
from qdeq.testing.subject import Subject
from qdeq.testing.tolerances import DOUBLE, SINGLE


def _drawn(subject: Subject) -> Mapping[str, SearchStrategy[Case]]:
    largest = min(3, subject.backend.capabilities.max_qubits)
    found = {"gates": filled(circuits(names=subject.gates, max_qubits=largest))} if subject.gates else {}
    return {**found, "amplitude encoding": amplitude_cases(subject.gates_with_angles)}


def _runs_circuits(subject: Subject) -> str:
    return "" if isinstance(subject.backend, CircuitBackend) else "the backend has no method run"


def _run_of(subject: Subject, case: Case) -> None:
    """Look at what ``run`` returns for the case's circuits, where it is called for them."""
    backend, circuit = subject.backend, case.circuit
    if not isinstance(backend, CircuitBackend) or (circuit.channels and backend.capabilities.noise_needs_shots):
        return
    bound = ExecutionPlan.of([lowered(each, backend.lacks) for each in bind_rows((circuit,), *case.tensors())]).circuits
    found = backend.run(bound)
    wanted = (len(bound), 2**circuit.num_qubits)
    if not isinstance(found, np.ndarray) or found.shape != wanted:
        what = f"an array {list(found.shape)}" if isinstance(found, np.ndarray) else type(found).__name__
        raise Mismatch(f"run returned {what}, not {list(wanted)}: [N, 2^n] for N circuits", list(wanted), what)
    if not np.isfinite(found).all():
        raise Mismatch("run returned numbers that are not finite", "finite numbers", found)
    allowed = SINGLE.values * max(1.0, len(circuit.body) / 10)
    (_amplitudes if backend.gives == "amplitudes" else _probabilities)(found, allowed)


def _amplitudes(found: np.ndarray, allowed: float) -> None:
    norms = (np.abs(found) ** 2).sum(1)
    if np.abs(norms - 1).max() > allowed:
        looks = _normalised(found, allowed)
        hint = "; they are probabilities, so say gives = 'probabilities'" if looks else ""
        raise Mismatch(
            f"run gives amplitudes that are not normalised{hint}", "1", norms, np.abs(norms - 1).max(), allowed
        )


def _probabilities(found: np.ndarray, allowed: float) -> None:
    if np.iscomplexobj(found) or not _normalised(found, allowed):
        looks = np.abs((np.abs(found) ** 2).sum(1) - 1).max() <= allowed
        hint = "; they are amplitudes, so say gives = 'amplitudes'" if looks else ""
        raise Mismatch(f"run gives numbers that are no probabilities{hint}", "numbers from 0 on with the sum 1", found)


def _normalised(found: np.ndarray, allowed: float) -> bool:
    real = np.real(found)
    return bool(np.abs(np.imag(found)).max() <= allowed <= 1 and real.min() >= -allowed) and bool(
        np.abs(real.sum(1) - 1).max() <= allowed
    )


@check("run", _drawn, needs=_runs_circuits, share=0.2, root=_run_of)
def run(subject: Subject, case: Case) -> None:
    """What run returns has a row of 2^n finite numbers a circuit: amplitudes of norm 1, or probabilities of sum 1."""
    _run_of(subject, case)


def _declared(subject: Subject) -> str:
    single = subject.backend.capabilities.precision == "float32"
    return "the backend declares float32" if single else exact(subject)


def _precision_of(subject: Subject, case: Case) -> None:
    """Tell values that are right in float32 and wrong in float64; told once, float32 is what all are held to."""
    can = subject.backend.capabilities
    if subject.tolerances != DOUBLE or not can.exact or (case.circuit.channels and can.noise_needs_shots):
        return
    found = subject.backend.expectation(case.circuit, *case.tensors(), case.observables).value.double().numpy()
    expected, allowed = subject.expected(case), subject.allowed(case)
    difference = np.abs(found - expected)
    if (difference > allowed).any() and (difference <= allowed * (SINGLE.values / DOUBLE.values)).all():
        raise Mismatch(
            f"the values are right to {difference.max():.1g} only, as in float32; declared is {can.precision!r}",
            "complex128 and float64 throughout, or precision='float32' in the capabilities",
            f"a difference of {difference.max():.1g}",
            float(difference.max()),
            float(allowed.max()),
        )


@check("precision", _drawn, needs=_declared, share=0.2, root=_precision_of, covers=False)
def precision(subject: Subject, case: Case) -> None:
    """Where float64 is declared, or the type of the inputs, nothing is computed or handed on in float32."""
    _precision_of(subject, case)
