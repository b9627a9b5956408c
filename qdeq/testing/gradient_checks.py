"""Checks of derivatives, against finite differences of an independent simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from qdeq.backends.adapter import CircuitBackend
from qdeq.backends.analysis import analyse
from qdeq.backends.base import Backend
from qdeq.backends.function import FrozenFunction
from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.gates import GATES
from qdeq.injection import upsample, upsample_transposed
from qdeq.testing import reference
from qdeq.testing.cases import Case, amplitude_cases, filled, parametrised, references
from qdeq.testing.comparison import Mismatch
from qdeq.testing.harness import check
from qdeq.testing.subject import Subject

SCALE = 0.75
"""Scale of the state that is injected."""
LEAST_NORM = 0.5
"""Smallest norm of an encoded vector; derivatives grow with its inverse, and so do finite differences' errors."""


def _rotating(subject: Subject, kinds: tuple[type[Input] | type[Weight], ...], size: int) -> SearchStrategy[Circuit]:
    gates = parametrised(size, subject.gates_with_angles, kinds)
    return st.lists(gates, min_size=1, max_size=4).map(lambda drawn: Circuit(size, tuple(drawn)))


def _gradient_cases(subject: Subject) -> Mapping[str, SearchStrategy[Case]]:
    if not any(GATES[name].num_qubits == 1 for name in subject.gates_with_angles):
        return {}
    encoded = amplitude_cases(subject.gates_with_angles) | amplitude_cases(subject.gates_with_angles, zero=True)
    sizes = st.integers(1, 3)
    return {
        "weights": filled(sizes.flatmap(lambda size: _rotating(subject, (Weight,), size))),
        "inputs": filled(sizes.flatmap(lambda size: _rotating(subject, (Input,), size))),
        "both": filled(sizes.flatmap(lambda size: _rotating(subject, (Input, Weight), size)), surplus=0),
        "amplitude encoding": encoded.filter(well_conditioned),
    }


def well_conditioned(case: Case) -> bool:
    """Whether every encoded vector is zero, or long enough for finite differences."""
    norms = np.linalg.norm(np.array(case.inputs), axis=1)
    return bool(np.all((norms >= LEAST_NORM) | (norms == 0)))


@check("gradients", _gradient_cases, share=0.5)
def gradients(subject: Subject, case: Case) -> None:
    """Derivatives in weights and inputs, the Jacobian and the injected function's equal finite differences."""
    inputs, weights = case.tensors()
    given = (case.circuit, inputs.numpy(), weights.numpy(), case.observables)
    by_weights, by_inputs = reference.weight_jacobian(*given), reference.input_jacobian(*given)
    cotangent = _cotangent(len(inputs), len(case.observables))
    to_inputs, to_weights = _pulled_back(subject.backend, case, cotangent)
    rows = np.einsum("bo,bop->bp", cotangent, by_weights)
    sums = np.einsum("bo,boi->bi", cotangent, by_inputs)
    subject.compare("the gradients in the weights", rows.sum(0), to_weights, _allowed(subject, case, rows))
    subject.compare("the gradients in the inputs", sums, to_inputs, _allowed(subject, case, by_inputs))
    jacobian = subject.backend.at(case.circuit, weights, case.observables).jacobian(inputs)
    subject.compare("the entries of the Jacobian", by_inputs, jacobian, _allowed(subject, case, by_inputs))
    if case.circuit.num_inputs and not any(_is_zero(case, row) for row in case.inputs):
        _check_injection(subject, case)


def _check_injection(subject: Subject, case: Case) -> None:
    """Compare ``f(y) = q(x + s W y)`` and its derivative in y."""
    inputs, weights = case.tensors()
    width = inputs.shape[1]
    size = next(k for k in range(width - 1 or 1, 0, -1) if width % k == 0)
    y = torch.linspace(-0.5, 0.75, size, dtype=torch.float64).repeat(len(inputs), 1)
    moved = inputs + SCALE * upsample(y, width)
    if case.circuit.encoding is not None and not well_conditioned(replace(case, inputs=tuple(moved.tolist()))):
        return
    given = (case.circuit, moved.numpy(), weights.numpy(), case.observables)
    jacobian = SCALE * upsample_transposed(torch.from_numpy(reference.input_jacobian(*given)), size).numpy()
    f, rows = subject.backend.at(case.circuit, weights, case.observables).inject(inputs, SCALE, size)
    leaf = y.clone().requires_grad_()
    value = f(leaf, *rows)
    subject.compare("the injected function's values", reference.expectations(*given), value, subject.allowed(case))
    cotangent = _cotangent(len(inputs), len(case.observables))
    (gradient,) = _gradients(value, cotangent, (leaf,))
    allowed = _allowed(subject, case, jacobian)
    subject.compare(
        "the injected function's gradients", np.einsum("bo,boi->bi", cotangent, jacobian), gradient, allowed
    )
    subject.compare("the injected function's Jacobian entries", jacobian, f.jacobian(y, *rows), allowed)


def _compiled_cases(subject: Subject) -> Mapping[str, SearchStrategy[Case]]:
    axes = [name for name in ("RX", "RY", "RZ") if name in subject.gates]
    ansatz_gates = [name for name in subject.gates_with_angles if GATES[name].num_qubits <= 2]

    @st.composite
    def product(draw: st.DrawFn) -> Circuit:
        size = draw(st.integers(2, 3))
        encoders = [
            Gate(draw(st.sampled_from(axes)), qubit, draw(references((Input,))))
            for qubit in draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4))
        ]
        after = draw(st.lists(parametrised(size, ansatz_gates, (Weight,), numbers=False), max_size=3))
        return Circuit(size, (*encoders, *after))

    chosen: dict[str, SearchStrategy[Case]] = {}
    if ansatz_gates:
        chosen["amplitude encoding"] = amplitude_cases(ansatz_gates).filter(well_conditioned)
        if axes:
            chosen["rotations"] = filled(product(), surplus=0)
        if isinstance(subject.backend, CircuitBackend) and subject.backend.gives == "amplitudes":
            chosen["global phase"] = filled(_rotating(subject, (Weight,), 3), surplus=0, rows=(1, 1))
    return chosen


@check("compiled-equals-circuits", _compiled_cases, share=0.5)
def compiled_equals_circuits(subject: Subject, case: Case) -> None:
    """Compiled functions and circuits give the same values and gradients.

    Amplitudes of different runs are combined in compiled functions, so that the global phase of ``run`` counts.
    """
    backend = subject.backend
    inputs, weights = case.tensors()
    if isinstance(backend, CircuitBackend) and backend.gives == "amplitudes" and case.circuit.num_inputs == 0:
        bound = case.circuit.bind(weights=case.weights[: case.circuit.num_weights])
        expected = reference.final_states(bound, np.zeros((1, 0)), np.zeros(0))
        tolerance = subject.tolerances.values * max(1.0, len(bound.gates) / 10)
        subject.compare("the amplitudes (global phase included)", expected, backend.execute([bound]), tolerance)
        return
    if analyse(case.circuit) is None:
        return
    compiled, circuits = (replace(backend, execution=execution) for execution in ("compiled", "circuits"))
    cotangent = _cotangent(len(inputs), len(case.observables))
    expected_gradients = _pulled_back(circuits, case, cotangent)
    gradients = _pulled_back(compiled, case, cotangent)
    values = circuits.at(case.circuit, weights, case.observables)(inputs)
    found = compiled.at(case.circuit, weights, case.observables)(inputs)
    subject.compare("the compiled values", values, found, 2 * subject.allowed(case))
    for what, right, got in zip(("inputs", "weights"), expected_gradients, gradients, strict=True):
        allowed = 2 * _allowed(subject, case, right.numpy())
        subject.compare(f"the compiled gradients in the {what}", right, got, allowed)


def _pulled_back(backend: Backend, case: Case, cotangent: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the gradients in inputs ``[B, I]`` and weights ``[P]``."""
    inputs, weights = (tensor.requires_grad_() for tensor in case.tensors())
    function: FrozenFunction = backend.at(case.circuit, weights, case.observables)
    to_inputs, to_weights = _gradients(function(inputs), cotangent, (inputs, weights))
    return to_inputs, to_weights


def _gradients(value: Tensor, cotangent: np.ndarray, leaves: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    if value.shape != cotangent.shape:
        raise Mismatch("a frozen function's values have the wrong shape", list(cotangent.shape), list(value.shape))
    if not value.requires_grad:  # it depends on none of them
        return tuple(torch.zeros_like(leaf) for leaf in leaves)
    total = (value * torch.from_numpy(cotangent)).sum()
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    return tuple(
        torch.zeros_like(leaf) if gradient is None else gradient for leaf, gradient in zip(leaves, found, strict=True)
    )


def _cotangent(rows: int, columns: int) -> np.ndarray:
    """Return weights ``[B, O]`` of order one that no symmetry cancels."""
    return 1.0 - 0.3 * np.arange(rows)[:, None] - 0.45 * np.arange(columns)


def _allowed(subject: Subject, case: Case, right: np.ndarray) -> float:
    size = float(np.abs(right).max(initial=0.0))
    return subject.tolerances.gradients * max(1.0, size) * float(case.norms.sum())


def _is_zero(case: Case, row: tuple[float, ...]) -> bool:
    return case.circuit.encoding is not None and not any(row)
