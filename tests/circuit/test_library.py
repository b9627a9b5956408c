import numpy as np
import pytest
from circuit_reference import EXACT, unitary

from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Input, Weight
from qdeq.errors import CircuitError
from qdeq.library import (
    amplitude_encoder,
    angle_encoder,
    data_reuploading,
    hardware_efficient,
    paper_angle_encoder,
    paper_ansatz,
    strongly_entangling,
)

ROTATIONS = ("RX", "RY", "RZ", "CRX")


def written(gates):
    return [(gate.name, *gate.qubits) for gate in gates]


def weights_of(circuit):
    return [angle.index for gate in circuit.gates for angle in gate.angles if isinstance(angle, Weight)]


# -- the paper's ----------------------------------------------------------------------------------------------------


def test_random_layer_of_4_qubits():
    gates = paper_ansatz(4).gates
    assert written(gates)[:10] == [
        ("RX", 2),
        ("RY", 1),
        ("RX", 1),
        ("RZ", 3),
        ("RX", 1),
        ("RX", 2),
        ("RX", 3),
        ("RZ", 0),
        ("RX", 1),
        ("CNOT", 0, 2),
    ]
    assert sum(gate.name in ROTATIONS for gate in gates[:50]) == 35
    assert sum(gate.name == "CNOT" for gate in gates[:50]) == 15


def test_random_layer_of_10_qubits():
    gates = paper_ansatz(10).gates
    assert written(gates)[:8] == [
        ("RX", 3),
        ("RZ", 5),
        ("RX", 5),
        ("RX", 7),
        ("RY", 4),
        ("RX", 8),
        ("RX", 4),
        ("CNOT", 2, 7),
    ]
    assert sum(gate.name in ROTATIONS for gate in gates[:50]) == 40
    assert sum(gate.name == "CNOT" for gate in gates[:50]) == 10


def test_blocks_of_4_qubits():
    assert written(paper_ansatz(4).gates)[50:] == [
        ("RX", 0),
        ("RY", 1),
        ("RZ", 3),
        ("CRX", 0, 2),
        ("H", 3),
        ("SX", 2),
        ("CNOT", 3, 0),
    ]


def test_blocks_of_10_qubits():
    blocks = written(paper_ansatz(10).gates)[50:]
    turned = [gate for b in (0, 2, 4, 6) for gate in [("RX", b), ("RY", b + 1), ("RZ", b + 3), ("CRX", b, b + 2)]]
    fixed = [gate for b in (0, 2, 4, 6) for gate in [("H", b + 3), ("SX", b + 2), ("CNOT", b + 3, b)]]
    assert blocks == turned + fixed


@pytest.mark.parametrize(("num_qubits", "weights"), [(4, 35 + 4), (10, 40 + 16)])
def test_every_rotation_has_a_weight_of_its_own(num_qubits, weights):
    ansatz = paper_ansatz(num_qubits)
    assert weights_of(ansatz) == list(range(weights))
    assert (ansatz.num_weights, ansatz.num_inputs) == (weights, 0)
    assert weights_of(paper_ansatz(num_qubits, layers=3)) == list(range(3 * weights))
    assert written(paper_ansatz(num_qubits, layers=2).gates) == 2 * written(ansatz.gates)


@pytest.mark.parametrize(("num_qubits", "blocks"), [(2, 0), (3, 0), (4, 1), (5, 1), (6, 2), (7, 2), (9, 3), (16, 7)])
def test_as_many_blocks_as_fit(num_qubits, blocks):
    ansatz = paper_ansatz(num_qubits)
    assert ansatz.gate_counts().get("CRX", 0) == blocks
    assert len(ansatz.gates) == 50 + 7 * blocks


def test_the_ansatz_ignores_and_spares_the_global_generator():
    np.random.seed(5)  # noqa: NPY002
    first = paper_ansatz(4)
    after = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert np.random.random() == after  # noqa: NPY002
    assert paper_ansatz(4) == first


def test_angle_layout_of_4_qubits():
    wanted = [
        Gate(axis, q, Input(4 * layer + q)) for layer, axis in enumerate(("RY", "RZ", "RX", "RY")) for q in range(4)
    ]
    assert list(paper_angle_encoder(4).gates) == wanted
    assert angle_encoder(4) == paper_angle_encoder(4)


def test_angle_layout_of_10_qubits():
    gates = paper_angle_encoder(10).gates
    assert len(gates) == 100
    for i, gate in enumerate(gates):
        assert gate == Gate(("RY", "RX", "RZ")[i // 10 % 3], i // 10, Input(i))


@pytest.mark.parametrize("num_qubits", [3, 5, 9])
def test_the_paper_has_two_registers_only(num_qubits):
    with pytest.raises(CircuitError, match=f"4 and 10 qubits, not {num_qubits}"):
        paper_angle_encoder(num_qubits)


# -- general --------------------------------------------------------------------------------------------------------


def test_amplitude_encoder():
    assert amplitude_encoder(4).operations == (AmplitudeEncoding(16),)
    assert amplitude_encoder(10).num_inputs == 100
    assert amplitude_encoder(3, 5).num_inputs == 5
    with pytest.raises(CircuitError, match="9 features do not fit the 8 amplitudes"):
        amplitude_encoder(3)


def test_angle_encoder_of_any_size():
    assert written(angle_encoder(2, 7).gates) == [
        ("RY", 0),
        ("RY", 1),
        ("RZ", 0),
        ("RZ", 1),
        ("RX", 0),
        ("RX", 1),
        ("RY", 0),
    ]
    assert [gate.angles for gate in angle_encoder(2, 7).gates] == [(Input(i),) for i in range(7)]
    assert written(angle_encoder(2, 4, axes=("RX",)).gates) == [("RX", 0), ("RX", 1)] * 2


def test_hardware_efficient_by_hand():
    circuit = hardware_efficient(3, layers=2)
    layer = [("RY", 0), ("RZ", 0), ("RY", 1), ("RZ", 1), ("RY", 2), ("RZ", 2), ("CZ", 0, 1), ("CZ", 1, 2)]
    assert written(circuit.gates) == layer * 2
    assert weights_of(circuit) == list(range(12))
    assert written(hardware_efficient(1).gates) == [("RY", 0), ("RZ", 0)]


def test_strongly_entangling_by_hand():
    circuit = strongly_entangling(3, layers=3)
    cnots = [gate.qubits for gate in circuit.gates if gate.name == "CNOT"]
    near, far = [(0, 1), (1, 2), (2, 0)], [(0, 2), (1, 0), (2, 1)]
    assert cnots == near + far + near
    assert weights_of(circuit) == list(range(27))
    assert written(circuit.gates)[:3] == [("RZ", 0), ("RY", 0), ("RZ", 0)]
    assert written(strongly_entangling(1).gates) == [("RZ", 0), ("RY", 0), ("RZ", 0)]


def test_reuploading_shares_inputs_and_not_weights():
    circuit = data_reuploading(2, layers=3, num_features=3)
    assert circuit.num_inputs == 3
    assert weights_of(circuit) == list(range(12))
    assert [angle.index for gate in circuit.gates for angle in gate.angles if isinstance(angle, Input)] == [0, 1, 2] * 3
    assert written(circuit.gates) == 3 * written((angle_encoder(2, 3) + hardware_efficient(2)).gates)


@pytest.mark.parametrize("ansatz", [paper_ansatz, hardware_efficient, strongly_entangling, data_reuploading])
@pytest.mark.parametrize("layers", [0, -1])
def test_no_layer_is_refused(ansatz, layers):
    with pytest.raises(CircuitError, match=f"layers of an ansatz must be a whole number of at least 1, not {layers}"):
        ansatz(4, layers=layers)


def test_one_qubit_is_too_few_for_the_paper():
    with pytest.raises(CircuitError, match="at least 2 qubits, not 1"):
        paper_ansatz(1)


def test_layers_multiply_as_unitaries():
    ansatz = hardware_efficient(2, layers=2)
    weights = np.linspace(-1, 2, 8)
    single = Circuit(2, hardware_efficient(2).operations)
    wanted = unitary(single.bind(weights=weights[4:])) @ unitary(single.bind(weights=weights[:4]))
    np.testing.assert_allclose(unitary(ansatz.bind(weights=weights)), wanted, atol=EXACT)


@pytest.mark.parametrize("build", [angle_encoder, amplitude_encoder, paper_angle_encoder,
                                   paper_ansatz, hardware_efficient, strongly_entangling,
                                   data_reuploading])  # fmt: skip
@pytest.mark.parametrize("wrong", [4.0, True, "4", 0])
def test_qubits_are_whole(build, wrong):
    with pytest.raises(CircuitError, match="num_qubits must be a whole number from 1"):
        build(wrong)


@pytest.mark.parametrize("build", [paper_ansatz, hardware_efficient, strongly_entangling,
                                   data_reuploading])  # fmt: skip
@pytest.mark.parametrize("wrong", [1.5, True])
def test_layers_are_whole(build, wrong):
    with pytest.raises(CircuitError, match="layers of an ansatz must be a whole number of at least 1"):
        build(4, wrong)


def test_numpys_sizes_give_the_circuits_of_pythons():
    four, two = np.int64(4), np.int32(2)
    assert angle_encoder(four, np.int16(3)).to_json() == angle_encoder(4, 3).to_json()
    assert amplitude_encoder(four).to_json() == amplitude_encoder(4).to_json()
    assert paper_ansatz(four, two).to_json() == paper_ansatz(4, 2).to_json()
    assert strongly_entangling(four, two).content_hash == strongly_entangling(4, 2).content_hash


@pytest.mark.parametrize("build", [angle_encoder, amplitude_encoder])
@pytest.mark.parametrize("wrong", [3.0, True, -1])
def test_features_are_whole(build, wrong):
    with pytest.raises(CircuitError, match="num_features must be a whole number"):
        build(4, wrong)
