"""Checks of the contract around the numbers: batches, refusals, honest capabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from qdeq.backends import ShotKey
from qdeq.backends.base import Capabilities
from qdeq.backends.executions import count_executions
from qdeq.circuit import MAX_QUBITS, Channel, Circuit, Gate, Input, ReadoutError, Weight
from qdeq.errors import QdeqError
from qdeq.observables import X, Z
from qdeq.testing.cases import Case, filled, parametrised, single_paulis
from qdeq.testing.comparison import Mismatch
from qdeq.testing.harness import always, check
from qdeq.testing.subject import Subject

SIMPLE = Case(
    Circuit(2, (Gate("RY", 0, Input(0)), Gate("RX", 1, Weight(0)), Gate("CNOT", (0, 1)))),
    (Z(0), X(1), Z(0) @ Z(1)),
    ((0.5,), (1.25,)),
    (0.75,),
)


def moving(subject: Subject) -> Mapping[str, SearchStrategy[Case]]:
    """Draw circuits that move every qubit by an input first, so that samples differ."""

    @st.composite
    def circuit(draw: st.DrawFn) -> Circuit:
        size = draw(st.integers(1, 3))
        turns = [Gate("RY", qubit, Input(qubit)) for qubit in range(size)]
        more = draw(st.lists(parametrised(size, subject.gates_with_angles), max_size=3))
        return Circuit(size, (*turns, *more))

    def measured(case: Case) -> Case:
        return replace(case, observables=(*single_paulis(case.circuit.num_qubits, "ZX"), *case.observables))

    return {"any": filled(circuit(), rows=(2, 4)).map(measured)} if "RY" in subject.gates else {}


@check("batch", moving, share=0.5)
def batch(subject: Subject, case: Case) -> None:
    """A batch is its samples one by one, in any order; a batch of none gives no rows, or an error of qdeq's."""
    inputs, weights = case.tensors()

    def once(values: torch.Tensor) -> torch.Tensor:
        return subject.backend.expectation(case.circuit, values, weights, case.observables).value

    function = subject.backend.at(case.circuit, weights, case.observables)
    for what, f in (("expectations", once), ("the frozen function's values", function)):
        whole, allowed = f(inputs), 2 * subject.allowed(case)
        alone = torch.cat([f(inputs[row : row + 1]) for row in range(len(inputs))])
        subject.compare(f"{what} of the whole batch, against those of its samples one by one,", alone, whole, allowed)
        back = f(inputs.flip(0)).flip(0)
        subject.compare(f"{what} of the batch in reverse order", whole, back, allowed)
        try:
            none = f(inputs[:0])
        except QdeqError:
            continue
        subject.compare(f"{what} of a batch of none", np.zeros((0, len(case.observables))), none, 1.0)


def _with_noise(circuit: Circuit) -> Circuit:
    return Circuit(circuit.num_qubits, (*circuit.operations, Channel("BitFlip", 0, 0.25)))


def _misread(circuit: Circuit) -> Circuit:
    return replace(circuit, readout=(ReadoutError(0, 0.125, 0.25),))


def _sound_noise(can: Capabilities) -> bool:
    return not can.noise_needs_shots or (can.noise and can.shots)


def _simple(subject: Subject) -> Mapping[str, SearchStrategy[Case]]:
    return {"one": st.just(SIMPLE)}


@check("unsupported", _simple, needs=always)
def unsupported(subject: Subject, case: Case) -> None:
    """What cannot be done is refused by an error of qdeq.errors before anything runs."""
    backend, can = subject.backend, subject.backend.capabilities
    inputs, weights = case.tensors()
    good: dict[str, Any] = {"observables": case.observables, "shots": None if can.exact else 10}
    wrong: dict[str, dict[str, Any]] = {
        "shots = 0": {"shots": 0},
        "shots = -1": {"shots": -1},
        "an observable outside the register": {"observables": (Z(2),)},
        "no observables": {"observables": ()},
        "too few weights": {"weights": weights[:0]},
        "weights [1, P]": {"weights": weights[None]},
        "whole numbers as weights": {"weights": weights.long()},
        "inputs [I]": {"inputs": inputs[0]},
        "inputs [B, 0]": {"inputs": inputs[:, :0]},
        "whole numbers as inputs": {"inputs": inputs.long()},
    }
    if can.max_qubits < MAX_QUBITS:
        wrong[f"{can.max_qubits + 1} qubits"] = {"circuit": Circuit(can.max_qubits + 1, case.circuit.operations)}
    noisy, misread = _with_noise(case.circuit), _misread(case.circuit)
    if not can.noise:
        wrong["noise on gates"] = {"circuit": noisy}
    elif can.noise_needs_shots:
        wrong["noise on gates without shots"] = {"circuit": noisy, "shots": None}
    if not (can.noise or can.readout):
        wrong["a readout error"] = {"circuit": misread}
    if can.noise and can.max_noisy_qubits is not None:
        wrong[f"{can.max_noisy_qubits + 1} qubits with noise"] = {
            "circuit": Circuit(can.max_noisy_qubits + 1, noisy.operations)
        }
    if not can.shots:
        wrong["shots"] = {"shots": 10}
    if not can.exact:
        wrong["exact expectations"] = {"shots": None}
    for what, change in wrong.items():
        given = {"circuit": case.circuit, "inputs": inputs, "weights": weights, **good, **change}
        _refused(f"{what} in expectation(...)", partial(backend.expectation, **given))
        values = given.pop("inputs")
        if "inputs" not in change:
            _refused(f"{what} in at(...)", partial(backend.at, **given))
        else:  # it may compile itself first: that work is not for nothing
            _refused(f"{what} in at(...)(inputs)", partial(backend.at(**given), values), working=True)


def _refused(what: str, call: Callable[[], Any], *, working: bool = False) -> None:
    with count_executions() as count:
        try:
            got = call()
        except QdeqError:
            if count.executed and not working:
                raise Mismatch(f"{what} was refused too late", "no circuit run", f"{count.executed} circuits") from None
            return
        except Exception as error:  # a plug-in may fail in any way
            raise Mismatch(
                f"{what}: not an error of qdeq.errors", "a QdeqError", f"{type(error).__name__}: {error}"
            ) from error
    raise Mismatch(f"{what} was not refused", "a QdeqError", type(got).__name__)


@check("capabilities", _simple, needs=always)
def capabilities(subject: Subject, case: Case) -> None:
    """The backend does what its capabilities say, and an expectation says how it was had."""
    backend, can = subject.backend, subject.backend.capabilities
    if not isinstance(can, Capabilities):
        raise Mismatch("capabilities is no Capabilities", "Capabilities", type(can).__name__)
    _holds("name and version are text", bool(backend.name and backend.version), (backend.name, backend.version))
    _holds("precision is inputs, float32 or float64", can.precision in ("inputs", "float32", "float64"), can.precision)
    _holds("max_qubits is at least 1", isinstance(can.max_qubits, int) and can.max_qubits >= 1, can.max_qubits)
    _holds("gradients is a frozenset of names", isinstance(can.gradients, frozenset), can.gradients)
    _holds("it is exact, or has shots, or both", can.exact or can.shots, can)
    _holds("a backend without shots has none to seed", can.shots or not can.seedable, can)
    for number in [None] * can.exact + [10] * can.shots:
        for dtype in (torch.float32, torch.float64):
            _check_expectation(subject, case, number, dtype)
        if can.noise and not (can.noise_needs_shots and number is None):
            _check_expectation(subject, replace(case, circuit=_with_noise(case.circuit)), number, torch.float64)
        if can.noise or can.readout:
            _check_expectation(subject, replace(case, circuit=_misread(case.circuit)), number, torch.float64)
    _holds("noise that needs shots is noise, and has shots", _sound_noise(can), can)
    if can.gradients and can.exact:
        inputs, weights = (tensor.requires_grad_() for tensor in case.tensors())
        try:
            native = replace(backend, gradient="native")
            native.at(case.circuit, weights, case.observables)(inputs).sum().backward()
        except QdeqError as error:
            raise Mismatch(f"it has native gradients {sorted(can.gradients)}, but refuses them", "", error) from error


def _check_expectation(subject: Subject, case: Case, shots: int | None, dtype: torch.dtype) -> None:
    inputs, weights = case.tensors(dtype)
    key = None if shots is None else ShotKey(seed=1)
    try:
        found = subject.backend.expectation(case.circuit, inputs, weights, case.observables, shots=shots, key=key)
    except QdeqError as error:
        raise Mismatch(
            f"shots = {shots} in {dtype}{' with noise' * case.circuit.noisy} is among its capabilities, but refused",
            "a value",
            error,
        ) from error
    rows, columns = len(case.inputs), len(case.observables)
    _holds(f"values have shape {[rows, columns]}", found.value.shape == (rows, columns), list(found.value.shape))
    _holds(f"values have the inputs' type {dtype}", found.value.dtype == dtype, found.value.dtype)
    _holds("the observables are those asked for", found.observables == case.observables, found.observables)
    _holds("shots and key are those given", (found.shots, found.key) == (shots, key), (found.shots, found.key))
    names = subject.backend.name, subject.backend.version
    _holds(
        "name and version are the backend's", (found.backend, found.version) == names, (found.backend, found.version)
    )
    _holds(
        "there is a standard error under shots, and none otherwise",
        (found.standard_error is None) == (shots is None),
        found.standard_error,
    )


def _holds(what: str, so: bool, got: object) -> None:
    if not so:
        raise Mismatch(f"not so: {what}", what, got)
