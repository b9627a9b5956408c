"""Checks that a backend keeps nothing from call to call, and changes nothing outside itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from qdeq.backends import ShotKey
from qdeq.circuit import Circuit, Gate
from qdeq.observables import Observable
from qdeq.testing import reference
from qdeq.testing.cases import Case
from qdeq.testing.comparison import Mismatch
from qdeq.testing.contract_checks import moving
from qdeq.testing.harness import check
from qdeq.testing.subject import Subject
from qdeq.testing.surroundings import changed_since, surroundings, unusual_generators


def _memory_of(subject: Subject, case: Case) -> None:
    """Tell values at some weights, or inputs, that are those of the call before at others."""
    if "X" not in subject.gates or not subject.backend.capabilities.exact or case.circuit.channels:
        return
    inputs, weights = case.tensors()
    circuit = case.circuit
    for what, others in {"weights": (inputs, weights + 0.5), "inputs": (inputs + 0.5, weights)}.items():
        for frozen in (False, True):
            # gates that cancel make a circuit that no call has seen before
            circuit = replace(circuit, operations=(*circuit.operations, Gate("X", 0), Gate("X", 0)))
            calls = [others, (inputs, weights)]
            first, second = (_values(subject, circuit, *given, case.observables, frozen) for given in calls)
            then, now = (
                reference.expectations(circuit, x.numpy(), theta.numpy(), case.observables) for x, theta in calls
            )
            allowed = subject.allowed(replace(case, circuit=circuit))
            right_at_first, as_before = (np.abs(pair) <= allowed for pair in (first - then, second - first))
            differ = np.abs(now - then) > 4 * allowed
            if right_at_first.all() and as_before.all() and differ.any():
                raise Mismatch(f"the values are those of the call before, at other {what}", now, second)


def _values(
    subject: Subject,
    circuit: Circuit,
    inputs: Tensor,
    weights: Tensor,
    observables: Sequence[Observable],
    frozen: bool,
) -> np.ndarray:
    if frozen:
        found = subject.backend.at(circuit, weights, observables)(inputs)
    else:
        found = subject.backend.expectation(circuit, inputs, weights, observables).value
    values: np.ndarray = found.detach().double().numpy()
    return values


def _shared(subject: Subject, case: Case) -> None:
    """Look for what a call changes of what the whole process shares."""
    inputs, weights = (tensor.requires_grad_() for tensor in case.tensors())
    for shots in [None] + [10] * subject.backend.capabilities.shots:
        key = None if shots is None else ShotKey(seed=1)
        with unusual_generators():
            before = surroundings()
            subject.backend.expectation(case.circuit, inputs, weights, case.observables, shots=shots, key=key)
            function = subject.backend.at(case.circuit, weights, case.observables, shots=shots, key=key)
            torch.autograd.grad(function(inputs).sum(), (inputs, weights), retain_graph=True, allow_unused=True)
            changed = changed_since(before)
        if changed:
            raise Mismatch(
                f"the backend changes {changed[0]}, for everybody",
                "generators of its own, seeded by the shot key; a context manager that puts a setting back",
                f"changed: {', '.join(changed)}",
            )


@check("purity", moving, share=0.4, root=_memory_of)
def purity(subject: Subject, case: Case) -> None:
    """Two calls give the same, whatever ran in between, and leave arguments, generators and settings alone."""
    inputs, weights = case.tensors()
    copies = inputs.clone(), weights.clone()
    flips = tuple(Gate("X", qubit) for qubit in range(case.circuit.num_qubits))
    other = Circuit(case.circuit.num_qubits, case.circuit.operations + flips)

    def once(circuit: Circuit) -> Tensor:
        return subject.backend.expectation(circuit, inputs, weights, case.observables).value.clone()

    first = once(case.circuit)
    allowed = 2 * subject.allowed(case)
    subject.compare("the values of a second call", first, once(case.circuit), allowed)
    between = once(other)
    subject.compare("the values after another circuit ran", first, once(case.circuit), allowed)
    subject.compare("the other circuit's values, run again,", between, once(other), allowed)
    f, g = (subject.backend.at(circuit, weights, case.observables) for circuit in (case.circuit, other))
    before, _ = f(inputs).clone(), g(inputs)
    subject.compare("a frozen function's values after another's", before, f(inputs), allowed)
    subject.compare("a frozen function's values, against the expectations,", first, before, allowed)
    if not (torch.equal(copies[0], inputs) and torch.equal(copies[1], weights)):
        raise Mismatch("the backend changed its arguments", copies[0], inputs)
    _memory_of(subject, case)
    _shared(subject, case)
