"""Noise: two-qubit cases by hand, random circuits against Kraus operators in numpy, derivatives, shots."""

import math

import numpy as np
import pytest
import torch
from adapters import adapters
from dense_simulator import expectations
from scipy.stats import chi2
from tolerances import FD_DIRECT, FD_STEP

from qdeq.backends import ShotKey, get_backend
from qdeq.channels import CHANNELS
from qdeq.circuit import Channel, Circuit, Gate, Input, ReadoutError, Weight
from qdeq.errors import UnsupportedError
from qdeq.gates import GATES
from qdeq.library import amplitude_encoder, angle_encoder, hardware_efficient
from qdeq.noise import NoiseModel
from qdeq.observables import PauliString, X, Y, Z

DENSITY = ["torch", *adapters("cirq-dm", "braket-local-dm", "pennylane:default.mixed")]
SAME = 1e-12
"""Rounding of a few hundred float64 operations."""
FALSE_ALARM = 1e-6
THETA, P, Q = 0.7, 0.13, 0.21
COS, SIN = math.cos(THETA), math.sin(THETA)
NOISE = NoiseModel(
    depolarizing={"one_qubit": 0.02, "two_qubit": 0.05, "qubits": {1: 0.1}},
    amplitude_damping={"two_qubit": 0.04, "gates": {"H": 0.03}},
    phase_damping=0.06,
    bit_flip={"gates": {"CRX": 0.07, "Toffoli": 0.02}},
    readout={"zero_to_one": 0.03, "one_to_zero": 0.08, "qubits": {0: 0.05}},
)
FEW = (Z(0), X(0) @ Y(1) + 0.5 * Z(1))
OBSERVABLES = (Z(0), X(0) @ Y(1), 0.5 * Z(1) + 1.5 * Z(0) @ Z(1) - 0.25 * PauliString(), Y(0) + X(1))


def exact(name, circuit, observables, inputs=None, weights=None):
    inputs = torch.zeros(1, 0, dtype=torch.float64) if inputs is None else inputs
    weights = torch.zeros(0, dtype=torch.float64) if weights is None else weights
    return get_backend(name).expectation(circuit, inputs, weights, observables).value


def turned(*channels, readout=()):
    """RY(θ) on qubit 0 of two, then noise on it: <Z> = cos θ and <X> = sin θ without."""
    return Circuit(2, (Gate("RY", 0, THETA), *channels), readout)


def bell():
    """H with depolarising P, CNOT with that of the pair, Q."""
    circuit = Circuit(2, (Gate("H", 0), Gate("CNOT", (0, 1))))
    return NoiseModel(depolarizing={"one_qubit": P, "two_qubit": Q}).attach(circuit)


PAIR = (Z(0), X(0), Z(0) @ Z(1), X(0) @ X(1), Y(0) @ Y(1))
KEPT, BOTH = 1 - 4 * P / 3, 1 - 16 * Q / 15
"""What is left of a Pauli after depolarising one qubit, or a pair."""
BY_HAND = {
    "depolarising": (turned(Channel("Depolarizing", 0, P)), (KEPT * COS, KEPT * SIN, KEPT * COS, 0, 0)),
    "bit flip": (turned(Channel("BitFlip", 0, P)), ((1 - 2 * P) * COS, SIN, (1 - 2 * P) * COS, 0, 0)),
    "phase damping": (turned(Channel("PhaseDamping", 0, P)), (COS, math.sqrt(1 - P) * SIN, COS, 0, 0)),
    "all phase lost": (turned(Channel("PhaseDamping", 0, 1.0)), (COS, 0, COS, 0, 0)),
    "amplitude damping": (
        turned(Channel("AmplitudeDamping", 0, P)),
        (P + (1 - P) * COS, math.sqrt(1 - P) * SIN, P + (1 - P) * COS, 0, 0),
    ),
    "readout": (
        turned(readout=(ReadoutError(0, P, Q), ReadoutError(1, 0.0, Q))),  # qubit 1 is 0, which is read rightly
        ((Q - P) + (1 - P - Q) * COS, (Q - P) + (1 - P - Q) * SIN, (Q - P) + (1 - P - Q) * COS, 0, 0),
    ),
    "a noisy Bell pair": (bell(), (0, 0, BOTH, BOTH * KEPT, -BOTH * KEPT)),
}


@pytest.mark.parametrize("name", DENSITY)
@pytest.mark.parametrize("case", BY_HAND)
def test_two_qubits_by_hand(name, case):
    circuit, expected = BY_HAND[case]
    observables = PAIR[:3] if case == "readout" else PAIR
    value = exact(name, circuit, observables)[0].numpy()
    assert np.abs(value - expected[: len(observables)]).max() < SAME


def every_gate(size, seed):
    """Every gate of the table once, in random order, at random angles and places; the last qubit stays idle."""
    draw = np.random.default_rng(seed)
    gates = []
    for name in draw.permutation(sorted(GATES)):
        row = GATES[name]
        qubits = draw.choice(size - 1, size=row.num_qubits, replace=False).tolist()
        gates.append(Gate(name, qubits, draw.uniform(-3, 3, len(row.parameters)).tolist()))
    return Circuit(size, tuple(gates))


@pytest.mark.parametrize("name", DENSITY)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_gate_with_noise_is_right_though_it_be_decomposed(name, seed):
    circuit = NOISE.attach(every_gate(4, seed))
    assert {channel.name for channel in circuit.body} >= set(CHANNELS)
    expected = expectations(circuit, np.zeros((1, 0)), np.zeros(0), OBSERVABLES)
    assert np.abs(exact(name, circuit, OBSERVABLES).numpy() - expected).max() < SAME


def model(encoder):
    """A noisy circuit on two qubits with inputs and weights, decomposed gates among them; and values for both."""
    ansatz = (
        Gate("RY", 0, Weight(0)),
        Gate("CRX", (1, 0), Weight(1, 0.5, 0.2)),
        Gate("U3", 1, (0.3, Weight(0, -1.0), 0.1)),
    )
    circuit = NOISE.attach(encoder() + Circuit(2, ansatz))
    draw = torch.Generator().manual_seed(3)
    inputs = torch.randn(2, circuit.num_inputs, generator=draw, dtype=torch.float64)
    weights = torch.randn(circuit.num_weights, generator=draw, dtype=torch.float64)
    return circuit, inputs, weights


def amplitude():
    return amplitude_encoder(2, 3)


def angle():
    return angle_encoder(2, 3)


def reuploaded():
    return angle_encoder(2, 2) + Circuit(2, (Gate("CNOT", (0, 1)), Gate("RX", 1, Input(0, 2.0)), Gate("H", 1)))


FORMS = [(encoder, how) for encoder in (amplitude, angle) for how in ("circuits", "compiled")] + [
    (reuploaded, "circuits")
]


@pytest.mark.parametrize("name", DENSITY)
@pytest.mark.parametrize(("encoder", "execution"), FORMS)
def test_values_and_derivatives_in_every_form(name, encoder, execution):
    circuit, inputs, weights = model(encoder)
    frozen = get_backend({"name": name, "execution": execution}).at(
        circuit, leaf := weights.clone().requires_grad_(), FEW
    )
    value = frozen(inputs)
    assert frozen.compiled == (execution == "compiled")

    def reference(x, w):
        return expectations(circuit, x, w, FEW)

    assert np.abs(value.detach().numpy() - reference(inputs.numpy(), weights.numpy())).max() < SAME
    cotangent = torch.linspace(-1, 1, value.numel(), dtype=torch.float64).reshape(value.shape)
    (gradient,) = torch.autograd.grad((value * cotangent).sum(), leaf)
    steps = FD_STEP * np.eye(len(weights))
    x, w, u = inputs.numpy(), weights.numpy(), cotangent.numpy()
    slopes = [((reference(x, w + step) - reference(x, w - step)) * u).sum() / (2 * FD_STEP) for step in steps]
    assert np.abs(gradient.numpy() - slopes).max() < FD_DIRECT
    jacobian = frozen.jacobian(inputs).detach().numpy()
    for column in range(x.shape[1]):
        step = FD_STEP * np.eye(x.shape[1])[column]
        along = (reference(x + step, w) - reference(x - step, w)) / (2 * FD_STEP)
        assert np.abs(jacobian[:, :, column] - along).max() < FD_DIRECT


def test_a_noisy_encoder_is_noisy_on_the_rotations_by_inputs_too():
    noise = NoiseModel(depolarizing=P, encoder=True)
    circuit = noise.attach(Circuit(2, (Gate("RY", 0, Input(0)), Gate("RX", 1, Input(1)))))
    for execution in ("circuits", "compiled"):
        backend = get_backend({"name": "torch", "execution": execution})
        frozen = backend.at(circuit, torch.zeros(0).double(), (Z(0), Z(1), Z(0) @ Z(1)))
        value = frozen(torch.tensor([[THETA, 0.0]], dtype=torch.float64))
        assert np.abs(value.numpy() - [KEPT * COS, KEPT, KEPT**2 * COS]).max() < SAME


def test_second_derivatives_of_the_native_simulation():
    circuit, inputs, weights = model(reuploaded)
    backend = get_backend({"name": "torch", "execution": "circuits"})
    assert torch.autograd.gradgradcheck(
        lambda x, w: backend.at(circuit, w, OBSERVABLES[:2])(x), (inputs[:1].requires_grad_(), weights.requires_grad_())
    )


def test_a_sample_does_not_depend_on_its_batch():
    circuit, _, weights = model(reuploaded)
    inputs = torch.randn(7, circuit.num_inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    inputs[3] = math.nan
    frozen = get_backend({"name": "torch", "execution": "circuits"}).at(circuit, weights, OBSERVABLES)
    whole = frozen(inputs)
    assert whole[3].isnan().all()
    for row in (0, 6):
        torch.testing.assert_close(frozen(inputs[[row]])[0], whole[row], rtol=0, atol=1e-15)


def test_many_rotated_qubits_are_compiled_though_their_product_is_large():
    """3^8 is more than states are worth compiling for, and less than a density matrix has entries."""
    circuit = NoiseModel(amplitude_damping=0.05).attach(angle_encoder(8, 8) + hardware_efficient(8))
    draw = torch.Generator().manual_seed(2)
    inputs = torch.randn(2, 8, dtype=torch.float64, generator=draw)
    weights = torch.randn(circuit.num_weights, dtype=torch.float64, generator=draw)
    frozen = get_backend("torch").at(circuit, weights, (Z(0), Z(3) @ Z(7)))
    assert frozen.compiled
    by_circuits = get_backend({"name": "torch", "execution": "circuits"}).at(circuit, weights, (Z(0), Z(3) @ Z(7)))
    assert (frozen(inputs) - by_circuits(inputs)).abs().max() < SAME


def test_single_precision():
    circuit, inputs, weights = model(angle)
    for execution in ("circuits", "compiled"):
        backend = get_backend({"name": "torch", "execution": execution})
        value = backend.at(circuit, weights.float(), OBSERVABLES)(inputs.float())
        assert value.dtype == torch.float32
        assert (value - backend.at(circuit, weights, OBSERVABLES)(inputs)).abs().max() < 2e-5


SHOTS = 400_000


def frequencies(name, circuit):
    """How often each outcome of two qubits was measured, from the means of Z0, Z1 and Z0 Z1 of the same shots."""
    observables = (Z(0), Z(1), Z(0) @ Z(1))
    nothing = torch.zeros(1, 0).double(), torch.zeros(0).double()
    value = get_backend(name).expectation(circuit, *nothing, observables, shots=SHOTS, key=ShotKey(seed=11)).value
    return SHOTS * outcomes(*value[0].tolist())


def outcomes(z0, z1, both):
    return np.array([(1 + a * z0 + b * z1 + a * b * both) / 4 for a in (1, -1) for b in (1, -1)])


def statistic(counts, probabilities):
    expected = SHOTS * probabilities
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("name", DENSITY)
def test_shots_under_noise_are_those_of_the_exact_distribution(name):
    circuit = NoiseModel(depolarizing={"one_qubit": P, "two_qubit": Q}, readout=0.04).attach(
        Circuit(2, (Gate("RY", 0, THETA), Gate("CNOT", (0, 1))))
    )
    z = BOTH * KEPT * COS  # of Z0, and so of Z1, before it is read; Z0 Z1 is BOTH: depolarising came before the CNOT
    limit = chi2.isf(FALSE_ALARM, 3)
    read, twice = 1 - 2 * 0.04, (1 - 2 * 0.04) ** 2
    counts = frequencies(name, circuit)
    assert statistic(counts, outcomes(read * z, read * z, twice * BOTH)) < limit
    # 5 % off, in the expectations or in one of the noise's parameters: the same test says so
    for wrong in (
        outcomes(0.95 * read * z, read * z, twice * BOTH),
        outcomes(read * z, read * z, 0.95 * twice * BOTH),
        outcomes(*(0.95 * value for value in (read * z, read * z, twice * BOTH))),
        outcomes(*((1 - 16 * 1.05 * Q / 15) / BOTH * value for value in (read * z, read * z, twice * BOTH))),
    ):
        assert statistic(counts, wrong) > limit


@pytest.mark.parametrize("name", adapters("cirq-dm", "braket-local-dm", "pennylane:default.mixed"))
def test_shots_are_the_same_on_all(name):
    circuit, inputs, weights = model(amplitude)
    values = [
        get_backend(backend).expectation(circuit, inputs, weights, OBSERVABLES, shots=300, key=ShotKey(seed=2)).value
        for backend in ("torch", name)
    ]
    assert (values[0] - values[1]).abs().max() < SAME


@pytest.mark.parametrize("name", adapters("cirq", "braket-local", "pennylane", "pennylane:lightning.qubit"))
def test_who_has_no_noise_names_those_who_have(name):
    circuit = NoiseModel(bit_flip=0.1, readout=0.1).attach(Circuit(2, (Gate("H", 0),)))
    words = r"has no noise on gates \(readout errors alone run here\); leave noise out; backends that have it: .*torch"
    with pytest.raises(UnsupportedError, match=words) as caught:
        get_backend(name).at(circuit, torch.zeros(0).double(), (Z(0),))
    if name.startswith("pennylane"):
        assert "pennylane:default.mixed" in str(caught.value)


def test_a_register_too_large_for_a_density_matrix():
    circuit = NoiseModel(bit_flip=0.1).attach(Circuit(13, (Gate("H", 0),)))
    with pytest.raises(UnsupportedError, match=r"at most 12 qubits under noise, not 13: .* takes 512 MiB per sample"):
        get_backend("torch").at(circuit, torch.zeros(0).double(), (Z(0),))
