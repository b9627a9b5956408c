"""Checks of exact expectations: order, idle qubits, phases, gates, encodings, observables."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from qdeq.circuit import AmplitudeEncoding, Circuit, Gate
from qdeq.gates import GATES
from qdeq.observables import PauliString, X, Y, Z
from qdeq.testing import cases
from qdeq.testing.cases import NUMBERS, Case, filled, parametrised, single_paulis
from qdeq.testing.harness import check
from qdeq.testing.strategies import circuits, gates
from qdeq.testing.subject import Subject
from qdeq.testing.tolerances import SINGLE

Strategies = Mapping[str, SearchStrategy[Case]]

PHASES = ("CRX", "CRY", "CRZ", "PhaseShift", "S", "Sdg", "T", "Tdg", "SX", "CY", "CZ")
"""Gates whose phase is easily lost in translation."""
PREPARATIONS = ((), ("H",), ("H", "S"), ("X",), ("H", "T", "H", "T"), ("X", "H", "T", "H", "T"), ("H", "T", "H", "S"))
"""Single-qubit states from fixed gates: Pauli eigenstates, and some that no Pauli leaves alone."""


def _angles(count: int) -> SearchStrategy[list[float]]:
    """Draw different angles in (0, 3]: cos and sin tell them apart."""
    return st.lists(st.integers(1, 48).map(lambda k: k / 16), min_size=count, max_size=count, unique=True)


def _orders(subject: Subject) -> Strategies:
    def rotations(angles: list[float]) -> Case:
        size = len(angles)
        return Case(Circuit(size, tuple(Gate("RY", q, a) for q, a in enumerate(angles))), single_paulis(size, "ZX"))

    def basis_state(size: int, number: int) -> Case:
        vector = tuple(float(k == number) for k in range(number + 1))
        return Case(Circuit(size, (AmplitudeEncoding(number + 1),)), single_paulis(size, "Z"), (vector,))

    encoded = st.integers(2, 4).flatmap(lambda size: st.integers(0, 2**size - 1).map(lambda k: basis_state(size, k)))
    return {"gates": st.integers(2, 4).flatmap(_angles).map(rotations), "amplitude encoding": encoded}


@check("qubit-order", _orders)
def qubit_order(subject: Subject, case: Case) -> None:
    """Qubit 0 is the most significant bit: states that differ on every qubit, measured qubit by qubit."""
    subject.agrees(case)


@st.composite
def _with_idle(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    size = draw(st.integers(2, 5))
    used = sorted(draw(st.sets(st.integers(0, size - 1), max_size=min(3, size - 1))))
    operations = []
    if used:
        fitting = [name for name in names if GATES[name].num_qubits <= len(used)]
        drawn = draw(st.lists(gates(len(used), names=fitting, bound=True), max_size=3))
        turned = [Gate("RY", k, angle) for k, angle in enumerate(draw(_angles(len(used))))]
        operations = [Gate(gate.name, [used[q] for q in gate.qubits], gate.angles) for gate in (*turned, *drawn)]
    return Case(Circuit(size, tuple(operations)), single_paulis(size, "ZX"))


@check("idle-qubits", lambda subject: {"any": _with_idle(subject.gates)})
def idle_qubits(subject: Subject, case: Case) -> None:
    """Qubits without a gate stay where they are, and stay |0>, wherever they lie in the register."""
    subject.agrees(case)


def _phase_cases(subject: Subject) -> Strategies:
    @st.composite
    def case(draw: st.DrawFn, name: str) -> Case:
        row = GATES[name]
        size = row.num_qubits
        qubits = draw(st.permutations(range(size)))
        turns = [Gate("H", qubits[0])]
        if size == 2:
            turns.append(Gate("RY", qubits[1], draw(_angles(1))[0]))
        gate = Gate(name, qubits, [draw(_angles(1))[0] for _ in row.parameters])
        pairs = [X(0) @ Y(1), Y(0) @ X(1), X(0) @ X(1)] if size == 2 else []
        return Case(Circuit(size, (*turns, gate)), (*single_paulis(size), *pairs))

    return {name: case(name) for name in PHASES if name in subject.gates}


@check("controlled-phases", _phase_cases)
def controlled_phases(subject: Subject, case: Case) -> None:
    """Phases are right: they show where the control, or the qubit itself, is in superposition."""
    subject.agrees(case)


def _gate_cases(subject: Subject) -> Strategies:
    @st.composite
    def case(draw: st.DrawFn, name: str) -> Case:
        row = GATES[name]
        size = row.num_qubits + draw(st.integers(0, 1))
        qubits = draw(st.permutations(range(size)))[: row.num_qubits]
        words = [(qubit, draw(st.sampled_from(PREPARATIONS))) for qubit in qubits]
        before = [Gate(part, qubit) for qubit, word in words for part in word]
        gate = Gate(name, qubits, [draw(NUMBERS.filter(bool)) for _ in row.parameters])
        strings = [
            PauliString(tuple(zip(sorted(qubits), letters, strict=True)))
            for letters in product("IXYZ", repeat=row.num_qubits)
            if set(letters) != {"I"}
        ]
        return Case(Circuit(size, (*before, gate)), tuple(strings))

    return {name: case(name) for name in subject.gates}


@check("gates", _gate_cases)
def every_gate(subject: Subject, case: Case) -> None:
    """Every gate acts as its matrix in the table does, on qubits in any order, seen by all Pauli strings on them."""
    subject.agrees(case)


def _random_cases(subject: Subject) -> Strategies:
    largest = min(4, subject.backend.capabilities.max_qubits)
    return {"any": filled(circuits(names=subject.gates, max_qubits=largest))} if subject.gates else {}


@check("random-circuits", _random_cases)
def random_circuits(subject: Subject, case: Case) -> None:
    """Circuits of all gates that the backend takes have the right expectations, frozen or not, in either precision."""
    subject.agrees(case, frozen=True)
    if subject.backend.capabilities.precision == "inputs":
        inputs, weights = case.tensors(torch.float32)
        found = subject.backend.expectation(case.circuit, inputs, weights, case.observables).value
        allowed = SINGLE.values * case.norms * max(1.0, len(case.circuit.gates) / 10)
        angles = max([1.0, *(abs(value) for row in (*case.inputs, case.weights) for value in row)])
        # float32 rounds the angle itself: 6e-8 of an angle up to 2.25 x 4 + 1.5
        subject.compare("the expectations in float32", subject.expected(case), found, allowed * max(1.0, angles))


def _encodings(subject: Subject) -> Strategies:
    return {
        "any vector": cases.amplitude_cases(subject.gates_with_angles),
        "zero vector": cases.amplitude_cases(subject.gates_with_angles, zero=True),
        "d < 2^n": cases.amplitude_cases(subject.gates_with_angles, partial=True),
    }


@check("amplitude-encoding", _encodings)
def amplitude_encoding(subject: Subject, case: Case) -> None:
    """Amplitude encoding normalises and pads, keeps signs, and prepares |0...0> for the zero vector."""
    subject.agrees(case, frozen=True)


def _angle_cases(subject: Subject) -> Strategies:
    names = subject.gates_with_angles
    if not any(GATES[name].num_qubits == 1 for name in names):
        return {}
    registers = st.integers(1, 3).flatmap(
        lambda size: st.lists(parametrised(size, names), min_size=2, max_size=6).map(
            lambda drawn: Circuit(size, tuple(drawn))
        )
    )
    return {"any": filled(registers, rows=(1, 3))}


@check("inputs-and-weights", _angle_cases)
def inputs_and_weights(subject: Subject, case: Case) -> None:
    """Angles are scale x value + offset of the right input or weight, used as often as one likes."""
    subject.agrees(case, frozen=True)


def _observable_cases(subject: Subject) -> Strategies:
    def circuit(angles: list[float]) -> Circuit:
        turns = [Gate("RY", q, a) for q, a in enumerate(angles)]
        links = [Gate("CNOT", (q, q + 1)) for q in range(len(angles) - 1)]
        return Circuit(len(angles), (*turns, *links, Gate("T", 0), Gate("H", len(angles) - 1)))

    registers = st.integers(2, 3).flatmap(_angles).map(circuit)

    def measured(kind: str) -> SearchStrategy[Case]:
        def of(drawn: Circuit) -> SearchStrategy[Case]:
            size = drawn.num_qubits
            several: SearchStrategy[Any] = {
                "order": st.permutations([Z(0), Z(1), Y(0), X(1) @ Z(0)]),
                "sums": st.lists(cases.observables(size), min_size=1, max_size=4),
                "non-commuting": st.permutations([X(0) + 0.5 * Z(0) - 2.0 * Y(0), Z(1) @ X(0), Y(1) - 1.0 * Z(1)]),
                "identity": st.just([PauliString(), Z(0) + 0.5 * PauliString(), 3.0 * PauliString()]),
            }[kind]
            return several.map(lambda chosen: Case(drawn, tuple(chosen)))

        return registers.flatmap(of)

    return {kind: measured(kind) for kind in ("order", "sums", "non-commuting", "identity")}


@check("observables", _observable_cases)
def observables(subject: Subject, case: Case) -> None:
    """One column an observable, in the order asked for: Pauli sums, terms that do not commute, and the identity."""
    subject.agrees(case, frozen=True)
