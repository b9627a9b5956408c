"""Programs for Braket's devices: only what the device lists, in the SDK's own words."""

import re

import pytest
import torch
from braket.circuits import Observable, ResultType
from braket.circuits.serialization import IRType, OpenQASMSerializationProperties

from qdeq.backends.braket_remote.lowering import lower
from qdeq.backends.braket_remote.programs import (
    expectation_program,
    gradient_program,
    outcome_signs,
    sampling_program,
)
from qdeq.backends.braket_remote.target import Target
from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Input, Weight
from qdeq.errors import UnsupportedError
from qdeq.gates import GATES
from qdeq.observables import X, Y, Z
from qdeq.qasm import BRAKET_NAMES

FEW = {
    "IQM": frozenset({"cz", "prx", "rx", "ry", "rz", "i", "h", "x", "y", "z", "cnot"}),
    "rx rz cz": frozenset({"rx", "rz", "cz"}),
    "ry rz cnot": frozenset({"ry", "rz", "cnot"}),
    "rx ry xx": frozenset({"rx", "ry", "xx"}),
    "rx ry zz": frozenset({"rx", "ry", "zz"}),
}
ALL = Target("all")
SDK = OpenQASMSerializationProperties()
PHASE = 1e-12
"""|tr(U† V)| / 2^n of two unitaries that agree up to a phase is 1, up to the rounding of some dozen products."""


def unitary(circuit):
    size = circuit.num_qubits
    total = torch.eye(2**size, dtype=torch.complex128)
    for gate in circuit.gates:
        count, wires = len(gate.qubits), list(gate.qubits)
        cube = total.reshape([2] * size + [-1])
        matrix = gate.type.matrix(*gate.angles).reshape([2] * (2 * count))
        moved = torch.tensordot(matrix, cube, dims=(list(range(count, 2 * count)), wires))
        order = wires + [wire for wire in range(size) if wire not in wires]
        total = moved.permute(*[order.index(wire) for wire in range(size)], size).reshape(2**size, -1)
    return total


@pytest.mark.parametrize("operations", FEW.values(), ids=FEW)
def test_every_gate_of_the_table_is_written_in_what_a_device_lists(operations):
    for name, row in GATES.items():
        angles = [0.3 + 0.5 * k for k in range(len(row.parameters))]
        circuit = Circuit(3, (Gate(name, range(row.num_qubits)[::-1], angles),))
        lowered = lower(circuit, operations, "device")
        assert {BRAKET_NAMES[gate.name] for gate in lowered.gates} <= operations, name
        overlap = torch.trace(unitary(circuit).mH @ unitary(lowered)).abs() / 8
        assert abs(overlap - 1) < PHASE, name


def test_free_angles_stay_free_when_a_gate_is_lowered():
    circuit = Circuit(2, (Gate("CRX", (0, 1), Weight(3, scale=2.0, offset=0.5)),))
    lowered = lower(circuit, FEW["rx rz cz"], "device")
    weights = [0.0, 0.0, 0.0, 0.7]
    difference = unitary(circuit.bind(weights=weights)).mH @ unitary(lowered.bind(weights=weights))
    assert abs(torch.trace(difference).abs() / 4 - 1) < PHASE


def test_a_device_that_cannot_have_a_gate_is_named_with_what_it_lists():
    with pytest.raises(UnsupportedError, match="Odd has no gates that H can be written with; it lists rz"):
        lower(Circuit(1, (Gate("H", 0),)), frozenset({"rz"}), "Odd")


def test_nothing_is_sent_that_the_on_demand_simulators_refuse_and_no_qubit_is_idle():
    rotations = [Gate("CRX", (0, 1), 0.3), Gate("U3", 1, (0.1, 0.2, 0.3)), Gate("Toffoli", (0, 1, 3))]
    circuit = Circuit(5, (AmplitudeEncoding(3, (0.1, 0.2, 0.3)), *rotations))
    for text in (sampling_program(circuit, ALL), expectation_program(circuit, [Z(2)], ALL)):
        assert not re.search(r"ctrl|gphase|\bU\b|\bu\(|\binv\b|pow|gate |include", text)
        assert "qubit[5] q;" in text
        used = set(map(int, re.findall(r"q\[(\d)\]", text.split("b[0]")[0].split("#pragma")[0])))
        assert used == set(range(5))
    without_i = Target("no i", frozenset({"rx", "rz", "cz"}))
    assert "rz(0.0) q[1];" in sampling_program(Circuit(2, (Gate("RX", 0, 0.1),)), without_i)


def test_what_is_asked_is_in_the_words_of_the_sdk():
    text = expectation_program(Circuit(3), [Z(2), X(0) @ Y(1)], ALL)
    wanted = [
        ResultType.Expectation(Observable.Z(), target=[2]),
        ResultType.Expectation(Observable.X() @ Observable.Y(), target=[0, 1]),
    ]
    assert text.splitlines()[-2:] == [result.to_ir(IRType.OPENQASM, SDK) for result in wanted]
    circuit = Circuit(2, (Gate("RX", 0, Input(0)), Gate("RY", 1, Weight(0, scale=2.0)), Gate("CNOT", (0, 1))))
    observable = -0.25 * (X(0) @ Z(1)) - 1.5 * Z(0) + 0.125 * Y(1)
    program = gradient_program(circuit, [0.3], [0.7], observable, ALL)
    same = -0.25 * (Observable.X(0) @ Observable.Z(1)) - 1.5 * Observable.Z(0) + 0.125 * Observable.Y(1)
    asked = ResultType.AdjointGradient(same, parameters=["g0", "g1"]).to_ir(IRType.OPENQASM, SDK)
    assert program.text.splitlines()[-1] == asked
    assert program.inputs == (("g0", 0.3), ("g1", 1.4))
    assert program.angles == (Input(0), Weight(0, scale=2.0))
    assert "input float g0;" in program.text


def test_small_cotangents_are_written_without_an_exponent():
    circuit = Circuit(1, (Gate("RX", 0, Weight(0)),))
    program = gradient_program(circuit, [], [0.1], 2e-7 * Z(0) - 3.25e-11 * X(0), ALL)
    assert "-0.0000000000325 * x(q[0]) + 0.0000002 * z(q[0])" in program.text
    assert gradient_program(circuit, [], [0.1], 0.0 * Z(0), ALL) is None
    assert gradient_program(Circuit(1, (Gate("H", 0),)), [], [], 1.0 * Z(0), ALL) is None


def test_signs_of_outcomes_are_the_eigenvalues_of_the_strings():
    signs = outcome_signs(["000", "100", "101"], [Z(0), Z(2), Z(0) @ Z(2)])
    assert signs.tolist() == [[1, 1, 1], [-1, 1, -1], [-1, -1, 1]]
