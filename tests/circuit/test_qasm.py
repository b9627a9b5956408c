import re

import numpy as np
import pytest
from circuit_reference import MATRICES, SEED, controlled, embed, unitary
from hypothesis import given, settings

from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Input, Weight
from qdeq.errors import CircuitError
from qdeq.gates import GATES
from qdeq.library import amplitude_encoder, paper_ansatz
from qdeq.testing.strategies import circuits

EXECUTED = 1e-9
"""The other parsers' own rounding, over circuits of about a hundred gates; phases are compared too."""


def standard_gate(name, *angles):
    """A gate as stdgates.inc defines it, from the built-in U and gphase, phases included.

    The file's first revision and today's differ in U and in the gphase that makes up for it; the products are these.
    Qiskit does not read the file and gives u3 another phase, so running its import alone would not test the phases.
    """

    def u(theta, phi, lam):  # today's U, which is exp(iθ/2) times the first one
        return np.exp(0.5j * theta) * MATRICES["U3"](theta, phi, lam)

    def phased(angle, matrix):
        return np.exp(1j * angle) * matrix

    pi = np.pi
    single = {
        "id": lambda: u(0, 0, 0),
        "p": lambda t: np.diag([1, np.exp(1j * t)]),
        "x": lambda: phased(-pi / 2, u(pi, 0, pi)),
        "y": lambda: phased(-pi / 2, u(pi, pi / 2, pi / 2)),
        "z": lambda: single["p"](pi),
        "h": lambda: phased(-pi / 4, u(pi / 2, 0, pi)),
        "s": lambda: single["p"](pi / 2),
        "sdg": lambda: single["p"](-pi / 2),
        "t": lambda: single["p"](pi / 4),
        "tdg": lambda: single["p"](-pi / 4),
        "sx": lambda: single["h"]() @ single["s"]() @ single["h"](),  # the principal square root of x
        "rx": lambda t: phased(-t / 2, u(t, -pi / 2, pi / 2)),
        "ry": lambda t: phased(-t / 2, u(t, 0, 0)),
        "rz": lambda t: phased(-t / 2, u(0, 0, t)),
        "u3": lambda t, p, q: phased(-(p + q + t) / 2, u(t, p, q)),
    }
    if name == "swap":
        cx = controlled(single["x"]())
        return cx @ embed(cx, (1, 0), 2) @ cx
    if name == "ccx":
        return controlled(controlled(single["x"]()))
    return single[name](*angles) if name in single else controlled(single[name[1:]](*angles))


def run_standard(text, num_qubits):
    head, *lines = text.removesuffix("\n").split("\n")[1:]
    assert head == 'include "stdgates.inc";'
    assert lines.pop(0) == f"qubit[{num_qubits}] q;"
    whole = np.eye(2**num_qubits)
    for line in lines:
        name, angles, qubits = re.fullmatch(r"(\w+)(?:\((.*)\))? (.*);", line).groups()
        numbers = [float(angle) for angle in (angles or "").split(", ") if angle]
        wires = [int(qubit) for qubit in re.findall(r"q\[(\d+)\]", qubits)]
        whole = embed(standard_gate(name, *numbers), wires, num_qubits) @ whole
    return whole


def run_qiskit(text, num_qubits):
    """The unitary by the reference grammar of OpenQASM 3 (openqasm3) and Qiskit's import of it; little-endian."""
    qasm3 = pytest.importorskip("qiskit.qasm3")
    pytest.importorskip("qiskit_qasm3_import")
    quantum_info = pytest.importorskip("qiskit.quantum_info")
    loaded = qasm3.loads(text)
    assert loaded.num_qubits == num_qubits
    return quantum_info.Operator(loaded.reverse_bits()).data


def run_cirq(text, num_qubits):
    pytest.importorskip("ply")
    cirq = pytest.importorskip("cirq")
    qasm_import = pytest.importorskip("cirq.contrib.qasm_import")
    order = cirq.LineQubit.range(num_qubits)
    named = {cirq.NamedQubit(f"q_{i}"): order[i] for i in range(num_qubits)}
    loaded = qasm_import.circuit_from_qasm(text).transform_qubits(named)
    return loaded.unitary(qubit_order=order, qubits_that_should_be_present=order)


def run_braket(text, num_qubits):
    """The unitary, column by column from basis states, by Braket's local simulator."""
    devices = pytest.importorskip("braket.devices")
    openqasm = pytest.importorskip("braket.ir.openqasm")
    device = devices.LocalSimulator("braket_sv")
    head, body = re.fullmatch(r"(OPENQASM 3\.0;\nqubit\[\d+\] q;\n)(.*)", text, re.DOTALL).groups()
    columns = []
    for column in range(2**num_qubits):
        flips = [f"x q[{q}];\n" for q in range(num_qubits) if column >> (num_qubits - 1 - q) & 1]
        source = head + "".join(flips) + body + "#pragma braket result state_vector\n"
        columns.append(device.run(openqasm.Program(source=source), shots=0).result().values[0])
    return np.stack(columns, axis=1)


PARSERS = [
    pytest.param("openqasm3", run_standard, id="standard"),
    pytest.param("openqasm3", run_qiskit, id="qiskit"),
    pytest.param("openqasm3", run_cirq, id="cirq"),
    pytest.param("braket", run_braket, id="braket"),
]


@pytest.mark.parametrize(("dialect", "run"), PARSERS)
@pytest.mark.parametrize("name", GATES)
def test_every_gate_runs_elsewhere_as_the_same_unitary(name, dialect, run):
    row = GATES[name]
    angles = np.random.default_rng(SEED).uniform(-6, 6, len(row.parameters))
    circuit = Circuit(4, (Gate(name, (3, 1, 0)[: row.num_qubits], angles),))  # qubit 2 is idle, 0 and 1 mostly
    np.testing.assert_allclose(run(circuit.to_qasm(dialect), 4), unitary(circuit), atol=EXECUTED)


@pytest.mark.parametrize(("dialect", "run"), PARSERS)
def test_random_circuits_run_elsewhere_as_the_same_unitary(dialect, run):
    @settings(max_examples=20)
    @given(circuits(max_qubits=3, bound=True))
    def check(circuit):
        ours = unitary(circuit.prepared())
        np.testing.assert_allclose(run(circuit.to_qasm(dialect), circuit.num_qubits), ours, atol=EXECUTED)

    check()


@pytest.mark.parametrize(("dialect", "run"), PARSERS)
def test_the_paper_model_runs_elsewhere(dialect, run):
    circuit = amplitude_encoder(4) + paper_ansatz(4)
    draws = np.random.default_rng(SEED)
    inputs, weights = draws.normal(size=16), draws.uniform(-np.pi, np.pi, circuit.num_weights)
    bound = circuit.bind(inputs, weights)
    executed = run(bound.to_qasm(dialect), 4)
    wanted = unitary(bound) @ (inputs / np.linalg.norm(inputs))
    np.testing.assert_allclose(executed[:, 0], wanted, atol=EXECUTED)
    np.testing.assert_allclose(executed, unitary(bound.prepared()), atol=EXECUTED)


@pytest.mark.parametrize(("dialect", "run"), PARSERS)
@pytest.mark.parametrize("num_qubits", [1, 3])
def test_an_empty_circuit_keeps_its_qubits(num_qubits, dialect, run):
    np.testing.assert_allclose(
        run(Circuit(num_qubits).to_qasm(dialect), num_qubits), np.eye(2**num_qubits), atol=EXECUTED
    )


@pytest.mark.parametrize("angle", [1e-300, -1e-17, 0.1 + 0.2, 1e16, -123456.789, 1e22, 5.0])
@pytest.mark.parametrize(("dialect", "run"), PARSERS)
def test_numbers_keep_their_digits(angle, dialect, run):
    circuit = Circuit(1, (Gate("RY", 0, angle),))
    text = circuit.to_qasm(dialect)
    assert float(re.search(r"ry\((.*)\)", text).group(1)) == angle
    if abs(angle) < 1e6:  # beyond that the parsers' own reduction to one turn costs digits
        np.testing.assert_allclose(run(text, 1), unitary(circuit), atol=EXECUTED)


def test_text_of_the_standard_dialect():
    circuit = Circuit(3, (Gate("RX", 2, 0.1), Gate("CNOT", (2, 0)), Gate("Sdg", 0)))
    assert circuit.to_qasm() == (
        'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[3] q;\nrx(0.1) q[2];\ncx q[2], q[0];\nsdg q[0];\n'
    )


def test_text_of_the_braket_dialect():
    circuit = Circuit(4, (Gate("RX", 2, 0.1), Gate("CNOT", (2, 0)), Gate("Sdg", 0)))
    assert circuit.to_qasm("braket") == (
        "OPENQASM 3.0;\nqubit[4] q;\ni q[1];\ni q[3];\nrx(0.1) q[2];\ncnot q[2], q[0];\nsi q[0];\n"
    )


@pytest.mark.parametrize("name", GATES)
def test_braket_text_has_nothing_that_remote_simulators_refuse(name):
    row = GATES[name]
    text = Circuit(4, (Gate(name, (3, 1, 0)[: row.num_qubits], [0.3] * len(row.parameters)),)).to_qasm("braket")
    assert not re.search(r"ctrl|inv|pow|gphase|include|gate|@|\b[uU]\b|\bu3\b", text)


@pytest.mark.parametrize(
    ("circuit", "words"),
    [
        (Circuit(1, (Gate("RX", 0, Input(2)),)), ["3 inputs are free", "circuit.bind(inputs=...)"]),
        (Circuit(1, (Gate("RX", 0, Weight(1)),)), ["2 weights are free", "circuit.bind(weights=...)"]),
        (Circuit(1, (AmplitudeEncoding(2),)), ["2 inputs are free", "circuit.bind(inputs=...)"]),
        (
            amplitude_encoder(4) + paper_ansatz(4),
            ["16 inputs and 39 weights are free", "circuit.bind(inputs=..., weights=...)"],
        ),
    ],
)
@pytest.mark.parametrize("dialect", ["openqasm3", "braket"])
def test_free_angles_are_named_with_the_remedy(circuit, words, dialect):
    with pytest.raises(CircuitError) as caught:
        circuit.to_qasm(dialect)
    assert all(word in str(caught.value) for word in words)


def test_unknown_dialect():
    with pytest.raises(
        CircuitError, match=r"unknown dialect 'brakett'; known: openqasm3, braket. Did you mean 'braket'"
    ):
        Circuit(1).to_qasm("brakett")
