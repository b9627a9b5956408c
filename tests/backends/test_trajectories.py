"""qsim under noise: a random trajectory for each shot, named by the key, distributed as the density matrix says."""

import math

import pytest
import torch
from adapters import adapters
from tolerances import FALSE_ALARM_Z

from qdeq.backends import ShotKey, get_backend
from qdeq.backends.executions import count_executions
from qdeq.circuit import Channel, Circuit, Gate, Input, Weight
from qdeq.errors import CircuitError, UnsupportedError
from qdeq.library import amplitude_encoder, angle_encoder, hardware_efficient
from qdeq.noise import NoiseModel
from qdeq.observables import PauliString, X, Y, Z

pytestmark = [mark for parameter in adapters("qsim") for mark in parameter.marks]
NOISE = NoiseModel(
    depolarizing={"one_qubit": 0.02, "two_qubit": 0.1},
    amplitude_damping={"two_qubit": 0.1, "gates": {"RY": 0.05}},
    readout={"zero_to_one": 0.02, "one_to_zero": 0.1},
)
OBSERVABLES = (Z(0), X(0) @ Y(1), 0.5 * Z(1) + 1.5 * Z(0) @ Z(1) - 0.25 * PauliString(), Y(0) + X(1))
NOTHING = torch.zeros(0).double()


def measure(circuit, observables, shots, inputs=None, weights=NOTHING, seed=5, samples=None, **options):
    inputs = torch.zeros(1, 0).double() if inputs is None else inputs
    backend = get_backend({"name": "qsim", **options})
    return backend.expectation(circuit, inputs, weights, observables, shots=shots, key=ShotKey(seed, samples=samples))


def model(encoder):
    circuit = NOISE.attach(encoder + hardware_efficient(2) + Circuit(2, (Gate("U3", 0, (0.3, 0.4, 0.5)),)))
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(3, circuit.num_inputs, generator=draw, dtype=torch.float64)
    return circuit, inputs, torch.randn(circuit.num_weights, generator=draw, dtype=torch.float64)


LEFT = 0.8
"""What each channel leaves of an expectation that is 1 or -1 without it."""
KEPT = {
    "Depolarizing": ([Gate("I", 0)], (1 - LEFT) * 3 / 4, Z(0), LEFT),
    "TwoQubitDepolarizing": ([Gate("X", 1)], (1 - LEFT) * 15 / 16, Z(0) @ Z(1), -LEFT),
    "BitFlip": ([Gate("H", 0), Gate("S", 0)], (1 - LEFT) / 2, Y(0), LEFT),
    "AmplitudeDamping": ([Gate("X", 0)], (1 - LEFT) / 2, Z(0), -LEFT),
    "PhaseDamping": ([Gate("H", 0)], 1 - LEFT**2, X(0), LEFT),
}
SHOTS = 25_000
"""The spread of a mean is 0.6 / √SHOTS = 0.0038: 5 % of 0.8 are 10.5 of it, and 4.9 raise the alarm."""


@pytest.mark.parametrize("name", KEPT)
def test_trajectories_have_the_expectation_of_the_channel(name):
    gates, probability, observable, exact = KEPT[name]
    channel = Channel(name, (0, 1)[: 1 + (name == "TwoQubitDepolarizing")], probability)
    found = measure(Circuit(2, (*gates, channel)), (observable,), SHOTS)
    spread = math.sqrt((1 - exact**2) / SHOTS)
    assert abs(float(found.value) - exact) < FALSE_ALARM_Z * spread
    assert abs(1.05 * float(found.value) - exact) > FALSE_ALARM_Z * spread
    assert float(found.standard_error) == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("encoder", [angle_encoder(2, 3), amplitude_encoder(2, 3)], ids=["angle", "amplitude"])
def test_a_model_with_decomposed_gates_and_readout_errors(encoder):
    circuit, inputs, weights = model(encoder)
    assert any(gate.name == "U3" for gate in circuit.gates)
    exact = get_backend("torch").expectation(circuit, inputs, weights, OBSERVABLES).value
    found = measure(circuit, OBSERVABLES, 4000, inputs, weights)
    assert ((found.value - exact) / found.standard_error).abs().max() < FALSE_ALARM_Z


def test_shots_are_independent_of_each_other():
    """Shots from one trajectory would be correlated, and their standard errors too small."""
    rows, circuit = 300, Circuit(1, (Gate("H", 0), Channel("BitFlip", 0, 0.5), Gate("RY", 0, 0.4)))
    circuit += Circuit(1, (Channel("AmplitudeDamping", 0, 0.3),))
    exact = get_backend("torch").expectation(circuit, torch.zeros(1, 0).double(), NOTHING, (Z(0),)).value
    found = measure(circuit, (Z(0),), 60, torch.zeros(rows, 0).double())
    z = (found.value - exact) / found.standard_error
    assert abs(float(z.square().mean()) - 1) < FALSE_ALARM_Z * math.sqrt(2 / rows)


def test_shots_belong_to_the_key_and_the_sample_whatever_the_batch_and_the_workers():
    circuit, inputs, weights = model(angle_encoder(2, 3))
    whole = measure(circuit, OBSERVABLES, 50, inputs, weights, samples=(7, 3, 5)).value
    alone = measure(circuit, OBSERVABLES, 50, inputs[[1]], weights, samples=(3,)).value
    assert torch.equal(alone[0], whole[1])
    spread = measure(circuit, OBSERVABLES, 50, inputs, weights, samples=(7, 3, 5), workers=2).value
    assert torch.equal(spread, whole)
    assert not torch.equal(measure(circuit, OBSERVABLES, 50, inputs, weights, samples=(7, 3, 5), seed=6).value, whole)
    assert not torch.equal(measure(circuit, OBSERVABLES, 50, inputs, weights, samples=(8, 3, 5)).value[0], whole[0])
    assert measure(circuit, OBSERVABLES, 50, inputs[:0], weights).value.shape == (0, 4)
    with pytest.raises(CircuitError, match="names 2 samples, but the batch has 3"):
        measure(circuit, OBSERVABLES, 50, inputs, weights, samples=(1, 2))


def test_every_row_group_and_circuit_has_a_stream_of_its_own(monkeypatch):
    asked, generator = [], ShotKey.generator

    def watched(self, row, group, part=0):
        asked.append((row, group, part))
        return generator(self, row, group, part)

    monkeypatch.setattr(ShotKey, "generator", watched)
    circuit = Circuit(1, (Gate("H", 0), Channel("BitFlip", 0, 0.3)))
    get_backend("qsim").evaluate(
        (circuit, circuit), torch.zeros(3, 0).double(), NOTHING, (Z(0), X(0)), shots=2, key=ShotKey(seed=1), part=5
    )
    assert sorted(asked) == sorted((row, group, part) for row in range(3) for group in (0, 1) for part in (5, 6))


def test_gradients_are_those_of_the_noisy_circuit():
    circuit = Circuit(1, (Gate("RX", 0, Input(0)), Gate("RX", 0, Weight(0)), Channel("BitFlip", 0, 0.2)))
    leaf = torch.tensor([0.9], dtype=torch.float64, requires_grad=True)
    frozen = get_backend("qsim").at(circuit, leaf, (Z(0),), shots=2000, key=ShotKey(seed=1))
    (gradient,) = torch.autograd.grad(frozen(torch.tensor([[0.4]], dtype=torch.float64)).sum(), leaf)
    assert abs(float(gradient) + 0.6 * math.sin(1.3)) < FALSE_ALARM_Z / math.sqrt(2 * 2000)


def test_a_register_too_large_for_a_density_matrix():
    chain = [Gate("H", 0), *(Gate("CNOT", (qubit, qubit + 1)) for qubit in range(15))]
    circuit = NoiseModel(readout={"qubits": {3: 0.5}}, phase_damping=0.2).attach(Circuit(16, tuple(chain)))
    with pytest.raises(UnsupportedError, match="at most 12 qubits under noise"):
        get_backend("torch").expectation(circuit, torch.zeros(1, 0).double(), NOTHING, (Z(0),))
    with count_executions() as count:
        found = measure(circuit, (Z(0) @ Z(15), Z(3) @ Z(2)), 40)
    assert (count.executed, count.shots) == (1, 40)
    assert float(found.value[0, 0]) == 1.0  # phases are lost, parities are not
    assert abs(float(found.value[0, 1])) < FALSE_ALARM_Z / math.sqrt(40)


def test_exact_expectations_are_refused_with_those_who_have_them():
    circuit = NoiseModel(bit_flip=0.1).attach(Circuit(1, (Gate("H", 0),)))
    message = r"'qsim' runs a random trajectory for each shot .* give a number of shots; .*cirq-dm.*torch"
    with pytest.raises(UnsupportedError, match=message):
        get_backend("qsim").at(circuit, NOTHING, (Z(0),))
