"""`noise:` in the experiment file: what is placed where, what is refused, and a training step on two backends."""

import importlib.util

import pytest
import torch
from pydantic import ValidationError

from qdeq.builders import build_circuit, build_model
from qdeq.circuit import AmplitudeEncoding, Channel, Circuit, Gate, Input, ReadoutError
from qdeq.errors import CircuitError, SpecError, UnsupportedError
from qdeq.noise import NoiseModel
from qdeq.spec import load_spec, parse_spec

CIRCUIT = Circuit(3, (Gate("RY", 0, Input(0)), Gate("H", 1), Gate("CRX", (0, 2), 0.3), Gate("Toffoli", (0, 1, 2))))
NOISE = {
    "depolarizing": {"one_qubit": 0.001, "two_qubit": 0.01, "qubits": {2: {"two_qubit": 0.05}}},
    "bit_flip": {"gates": {"H": 0.2}},
    "readout": {"zero_to_one": 0.01, "one_to_zero": 0.03, "qubits": {1: 0.1}},
}


def channels(noise, circuit=CIRCUIT):
    return [o for o in NoiseModel.model_validate(noise).attach(circuit).body if isinstance(o, Channel)]


def test_what_is_placed_where():
    noisy = NoiseModel.model_validate(NOISE).attach(CIRCUIT)
    assert noisy.gates == CIRCUIT.gates
    assert noisy.body == (
        CIRCUIT.gates[0],
        CIRCUIT.gates[1],
        Channel("Depolarizing", 1, 0.001),
        Channel("BitFlip", 1, 0.2),
        CIRCUIT.gates[2],
        Channel("TwoQubitDepolarizing", (0, 2), 0.05),
        CIRCUIT.gates[3],
        Channel("Depolarizing", 0, 0.01),
        Channel("Depolarizing", 1, 0.01),
        Channel("Depolarizing", 2, 0.05),
    )
    assert noisy.readout == (ReadoutError(0, 0.01, 0.03), ReadoutError(1, 0.1, 0.1), ReadoutError(2, 0.01, 0.03))


def test_what_is_said_of_a_gate_by_name_comes_before_its_class_and_a_qubit_before_both():
    rates = {
        "one_qubit": 0.1,
        "two_qubit": 0.1,
        "gates": {"H": 0.2, "CRX": 0.3},
        "qubits": {1: 0.4, 2: {"one_qubit": 0.5}},
    }
    assert channels({"phase_damping": rates}) == [
        Channel("PhaseDamping", 1, 0.4),
        *(Channel("PhaseDamping", qubit, 0.3) for qubit in (0, 2)),
        *(Channel("PhaseDamping", qubit, rate) for qubit, rate in ((0, 0.1), (1, 0.4), (2, 0.1))),
    ]


def test_a_number_is_for_all_gates_and_the_encoder_has_none_unless_asked():
    assert len(channels({"bit_flip": 0.1})) == 1 + 2 + 3
    assert len(channels({"bit_flip": 0.1, "encoder": True})) == 1 + 1 + 2 + 3
    assert channels({}) == []


def test_forms_of_a_noisy_circuit():
    noisy = NoiseModel.model_validate(NOISE).attach(CIRCUIT)
    assert Circuit.from_json(noisy.to_json()) == noisy
    assert len({noisy.content_hash, CIRCUIT.content_hash, (CIRCUIT + Circuit(3, (), noisy.readout)).content_hash}) == 3
    assert "~dep(0.05)" in noisy.draw()
    assert "~M(0.01,0.03)" in noisy.draw()
    assert noisy.figure().axes
    bound = noisy.bind(inputs=[0.4])
    assert (bound.body[2:], bound.readout) == (noisy.body[2:], noisy.readout)
    assert noisy.depth() == CIRCUIT.depth()
    with pytest.raises(CircuitError, match="openqasm3 has no readout errors"):
        bound.to_qasm()
    text = NoiseModel(bit_flip=1e-5).attach(CIRCUIT.bind(inputs=[0.4])).to_qasm("braket")
    assert "#pragma braket noise bit_flip(0.00001) q[1]" in text


def test_a_model_reads_back_from_json():
    noise = NoiseModel.model_validate(NOISE)
    assert NoiseModel.model_validate_json(noise.model_dump_json()) == noise


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ("depolarising: 0.1", "noise.depolarising: unknown key.*Did you mean 'depolarizing'"),
        ("depolarizing: 0.8", "noise: depolarizing is at most 0.75, not 0.8"),
        ("bit_flip: {gates: {H: 0.6}}", "noise: bit_flip is at most 0.5, not 0.6"),
        ("bit_flip: {gates: {CRXX: 0.1}}", "noise.bit_flip: unknown gate 'CRXX'"),
        ("bit_flip: -0.1", "noise.bit_flip.one_qubit: input should be greater than or equal to 0"),
        ("bit_flip: {qubits: {3: {one: 0.1}}}", "one: unknown key; allowed: one_qubit, two_qubit, gates"),
        ("bit_flip: {qubits: {7: 0.1}}", "noise names qubit 7, and model.qubits is 4"),
        ("readout: 0.7", "noise.readout.zero_to_one: input should be less than or equal to 0.5"),
        ("readout: lots", "noise.readout: expected a mapping with the keys zero_to_one, one_to_zero, qubits"),
        ("encoder: true", "noise.encoder needs rotations by inputs"),
        ("encoder: 1", "noise.encoder: input should be a valid boolean"),
    ],
)
def test_mistakes_are_named(tmp_path, noise, message):
    path = tmp_path / "noisy.yaml"
    path.write_text(f"noise: {{{noise}}}\n")
    with pytest.raises(SpecError, match=message):
        load_spec(path)


def test_what_cannot_be_attached():
    noise = NoiseModel(bit_flip=0.1)
    with pytest.raises(CircuitError, match="has noise already"):
        noise.attach(noise.attach(CIRCUIT))
    with pytest.raises(CircuitError, match="amplitude encoding has no fixed gates"):
        NoiseModel(encoder=True).attach(Circuit(2, (AmplitudeEncoding(3),)))
    with pytest.raises(CircuitError, match="noise names qubit 5: qubits run from 0 to 2"):
        NoiseModel(readout={"qubits": {5: 0.1}}).attach(CIRCUIT)
    with pytest.raises(ValidationError):
        NoiseModel(depolarizing=0.9)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Channel("Depolarising", 0, 0.1), "unknown channel 'Depolarising'.*Did you mean 'Depolarizing'"),
        (lambda: Channel("BitFlip", 0, 0.6), "probability of BitFlip must be from 0 to 0.5, not 0.6"),
        (lambda: Channel("TwoQubitDepolarizing", 0, 0.1), "acts on 2 different qubits"),
        (lambda: Circuit(2, (Channel("BitFlip", 2, 0.1),)), "qubits run from 0 to 1"),
        (lambda: ReadoutError(0, 0.1, 0.7), "one_to_zero of ReadoutError must be from 0 to 0.5"),
        (lambda: Circuit(1, (), (ReadoutError(0, 0.1, 0.1),) * 2), "at most one each"),
        (lambda: Circuit.from_json(CIRCUIT.to_json()[:-1] + ',"readout":[[0,0.1]]}'), "readout must be a list of"),
    ],
)
def test_wrong_noise_in_a_circuit(build, message):
    with pytest.raises(CircuitError, match=message):
        build()


EXPERIMENT = {
    "model": {"ansatz": "hardware-efficient", "dropout": 0.0},
    "solver": {"name": "broyden", "fixed_steps": 3},
    "noise": {"depolarizing": {"one_qubit": 0.01, "two_qubit": 0.05}, "amplitude_damping": 0.02, "readout": 0.03},
    "training": {"precision": "float64"},
}


def step(backend):
    """Loss and gradient of one training step on two images."""
    model = build_model(parse_spec({**EXPERIMENT, "backend": backend}, "x"), 10)
    images = torch.rand(2, 16, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    loss = torch.nn.functional.cross_entropy(model(images).logits, torch.tensor([3, 7]))
    loss.backward()
    return [loss.detach(), *(parameter.grad for parameter in model.parameters())]


@pytest.mark.skipif(importlib.util.find_spec("cirq") is None, reason="cirq is not installed")
def test_a_training_step_under_noise_is_the_same_on_two_backends():
    native, other = step("torch"), step({"name": "cirq-dm", "execution": "circuits"})
    for ours, theirs in zip(native, other, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert native[1].abs().max() > 1e-3


def test_the_noise_is_in_the_circuit_and_refused_where_it_cannot_be_had():
    spec = parse_spec(EXPERIMENT, "x")
    noisy = build_circuit(spec.model, spec.noise)
    assert (len(noisy.body), len(noisy.readout)) == (8 + 3 + 8 * 2 + 3 * 3, 4)
    with pytest.raises(UnsupportedError, match="backend 'cirq' has no noise"):
        build_model(parse_spec({**EXPERIMENT, "backend": "cirq"}, "x"), 2)
