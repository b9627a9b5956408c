"""Every adapter's functions against the native simulator's: values, gradients, Jacobians and shots."""

import numpy as np
import pytest
import torch
from adapters import adapters, tolerance

from qdeq.backends import ShotKey, get_backend
from qdeq.backends.executions import count_executions
from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Input, Weight
from qdeq.errors import UnsupportedError
from qdeq.library import amplitude_encoder, angle_encoder, data_reuploading, hardware_efficient
from qdeq.observables import PauliString, X, Y, Z

ANSATZ = Circuit(
    3,
    (
        *(Gate("RY", q, Weight(q)) for q in range(3)),
        Gate("CRX", (0, 2), Weight(3, -0.5, 0.2)),
        Gate("U3", 1, (Weight(4), Weight(0, 2.0), 0.4)),
        Gate("RYY", (2, 1), Weight(5)),
        Gate("PhaseShift", 0, Weight(1)),
        Gate("SX", 0),
        Gate("CNOT", (2, 0)),
    ),
)
CIRCUITS = {
    "amplitude": amplitude_encoder(3, 6) + ANSATZ,
    "angle": angle_encoder(3, 6) + ANSATZ,
    "re-uploading": data_reuploading(2, 2, 3),
    "scaled": Circuit(
        3,
        (
            Gate("H", 1),
            Gate("U3", 1, (Input(0, 2.0), Weight(0), Input(1))),
            Gate("CRY", (2, 0), Input(1, -1.0, 0.3)),
            Gate("CRZ", (0, 1), Input(0, 0.5)),
            Gate("RXX", (2, 0), Weight(0, -1.5)),
        ),
    ),
    "amplitude and angle": Circuit(
        2, (AmplitudeEncoding(3), Gate("RX", 0, Input(1)), Gate("CNOT", (0, 1)), Gate("CRX", (1, 0), Weight(0)))
    ),
    "bound amplitudes": Circuit(
        2, (AmplitudeEncoding(3, (1.0, 2.0, -1.0)), Gate("RX", 0, Input(1)), Gate("CRX", (0, 1), Weight(0)))
    ),
}
OBSERVABLES = (Z(0), X(1) @ Z(0) * 0.5 + Y(0) * 0.2 + PauliString() * 0.3, Y(1) @ X(0))


def numbers(circuit, *, batch=3, dtype=torch.float64):
    draws = np.random.default_rng(5)
    inputs = torch.from_numpy(draws.uniform(-2, 2, (batch, circuit.num_inputs)))
    weights = torch.from_numpy(draws.uniform(-3, 3, circuit.num_weights))
    return inputs.to(dtype), weights.to(dtype)


def derivatives(backend, circuit, inputs, weights):
    """Values, their weighted gradient in inputs and weights, and the Jacobian."""
    x, w = inputs.clone().requires_grad_(), weights.clone().requires_grad_()
    function = backend.at(circuit, w, OBSERVABLES)
    value = function(x)
    cotangent = torch.linspace(-1, 2, value.numel()).reshape(value.shape).to(value)
    gradients = torch.autograd.grad((value * cotangent).sum(), (x, w))
    return value.detach(), *gradients, backend.at(circuit, weights, OBSERVABLES).jacobian(inputs)


def assert_like_native(name, options, circuit, dtype=torch.float64):
    inputs, weights = numbers(circuit, dtype=dtype)
    native = derivatives(get_backend("torch"), circuit, inputs, weights)
    found = derivatives(get_backend({"name": name, **options}), circuit, inputs, weights)
    allowed = tolerance(name if dtype == torch.float64 else "qsim")
    assert all(tensor.dtype == dtype for tensor in found)
    assert (found[0] - native[0]).abs().max() < allowed.value
    for expected, given in zip(native[1:], found[1:], strict=True):
        assert (given - expected).abs().max() < allowed.gradient


@pytest.mark.parametrize("encoding", CIRCUITS)
@pytest.mark.parametrize("execution", ["auto", "circuits"])
@pytest.mark.parametrize("name", adapters())
def test_values_gradients_and_jacobians(name, execution, encoding):
    assert_like_native(name, {"execution": execution}, CIRCUITS[encoding])


@pytest.mark.parametrize("encoder", [amplitude_encoder(2, 3), angle_encoder(2, 4)], ids=["amplitude", "angle"])
@pytest.mark.parametrize("name", adapters("cirq-dm", "braket-local-dm", "pennylane:default.mixed"))
def test_compiled_from_probabilities(name, encoder):
    ansatz = Circuit(2, (Gate("CRX", (1, 0), Weight(0)), Gate("RY", 1, Weight(1)), Gate("RZZ", (0, 1), Weight(0, 0.5))))
    assert_like_native(name, {"execution": "compiled"}, encoder + ansatz)


@pytest.mark.parametrize("encoding", ["amplitude", "angle", "amplitude and angle", "bound amplitudes"])
@pytest.mark.parametrize("name", adapters("cirq", "pennylane", "pennylane:lightning.qubit"))
def test_jacobian_of_the_injected_state(name, encoding):
    """The padded inputs move no amplitude: columns of W that are zero there have to do no harm."""
    circuit = CIRCUITS[encoding]
    x, weights = numbers(circuit)
    x = torch.nn.functional.pad(x, (0, 12 - x.shape[1]), value=0.3)
    y = torch.linspace(-1, 1, 9, dtype=torch.float64).reshape(3, 3)
    found = []
    for choice in ("torch", {"name": name, "execution": "circuits"}):
        function, rows = get_backend(choice).at(circuit, weights, OBSERVABLES).inject(x, 0.7, 3)
        found.append(function.jacobian(y, *rows))
    assert (found[0] - found[1]).abs().max() < tolerance(name).gradient


@pytest.mark.parametrize("name", adapters())
def test_single_precision_in_and_out(name):
    assert_like_native(name, {}, CIRCUITS["re-uploading"], torch.float32)


@pytest.mark.parametrize("encoding", CIRCUITS)
@pytest.mark.parametrize("gradient", ["native", "parameter-shift"])
@pytest.mark.parametrize("name", adapters("pennylane", "pennylane:lightning.qubit"))
def test_native_gradients_of_pennylane(name, gradient, encoding):
    circuit = CIRCUITS[encoding]
    assert_like_native(name, {"execution": "circuits", "gradient": gradient}, circuit)
    if gradient == "native":
        assert_like_native(name, {"gradient": "native"}, circuit)
        inputs, weights = numbers(circuit)
        with count_executions() as native:
            derivatives(get_backend({"name": name, "gradient": "native"}), circuit, inputs, weights)
        with count_executions() as shifted:
            shift = get_backend({"name": name, "execution": "circuits", "gradient": "parameter-shift"})
            derivatives(shift, circuit, inputs, weights)
        assert native.executed < shifted.executed


@pytest.mark.parametrize("name", adapters("pennylane"))
@pytest.mark.parametrize("encoding", ["amplitude", "re-uploading"])
def test_backpropagation_gives_derivatives_of_the_jacobian(name, encoding):
    circuit = CIRCUITS[encoding]
    inputs, weights = numbers(circuit)
    found = []
    for choice in ("torch", {"name": name, "gradient": "native"}):
        x, w = inputs.clone().requires_grad_(), weights.clone().requires_grad_()
        jacobian = get_backend(choice).at(circuit, w, OBSERVABLES).jacobian(x, create_graph=True)
        found.append(torch.autograd.grad(jacobian.square().sum(), (x, w)))
    for expected, given in zip(*found, strict=True):
        assert (given - expected).abs().max() < tolerance(name).gradient


@pytest.mark.parametrize("name", adapters("pennylane:lightning.qubit"))
def test_the_adjoint_method_has_no_derivative_of_the_jacobian(name):
    circuit = CIRCUITS["re-uploading"]
    inputs, weights = numbers(circuit)
    function = get_backend(name).at(circuit, weights, OBSERVABLES)
    with pytest.raises(UnsupportedError, match="no derivative of the Jacobian"):
        function.jacobian(inputs.requires_grad_(), create_graph=True)


@pytest.mark.parametrize(
    ("name", "options", "shots", "says"),
    [
        ("cirq", {"gradient": "native"}, None, "'cirq' has no native gradient"),
        ("pennylane:default.mixed", {"gradient": "native"}, None, r"'pennylane:default.mixed' has no native gradient"),
        ("pennylane", {"gradient": "native"}, 10, "with shots, use gradient: auto"),
        ("pennylane", {"gradient": "native", "execution": "compiled"}, None, "with execution: compiled, use gradient"),
    ],
)
def test_native_gradients_that_are_not_to_be_had_are_refused(name, options, shots, says):
    pytest.importorskip(name.partition(":")[0])
    circuit = CIRCUITS["amplitude"]
    with pytest.raises(UnsupportedError, match=says), count_executions() as count:
        get_backend({"name": name, **options}).at(circuit, numbers(circuit)[1], OBSERVABLES, shots=shots)
    assert count.executed == 0


@pytest.mark.parametrize("name", adapters())
def test_one_key_gives_the_same_shots_on_every_simulator(name):
    """All are sampled by one generator from exact probabilities. Rounding to float64 moves no shot of these draws (the
    key fixes them); rounding to float32 may move 2 in 1000."""
    circuit = CIRCUITS["angle"]
    inputs, weights = numbers(circuit, batch=6)
    key = ShotKey(seed=3, step=2)
    native, found = (
        get_backend(choice).expectation(circuit, inputs, weights, OBSERVABLES, shots=1000, key=key)
        for choice in ("torch", name)
    )
    slack = 0.004 if name == "qsim" else 1e-12
    assert (found.value - native.value).abs().max() < slack
    assert (found.standard_error - native.standard_error).abs().max() < slack
    assert found.backend == name
    assert found.version


@pytest.mark.parametrize("name", adapters())
def test_training_with_shots_follows_the_shift_rules(name):
    circuit = hardware_efficient(2) + Circuit(2, (Gate("RX", 0, Input(0)),))
    inputs, weights = numbers(circuit, batch=2)
    found = []
    for choice in ("torch", name):
        w = weights.clone().requires_grad_()
        function = get_backend(choice).at(circuit, w, (Z(0), X(1)), shots=500, key=ShotKey(seed=1))
        found.append(torch.autograd.grad(function(inputs).sum(), w)[0])
    assert (found[0] - found[1]).abs().max() < (0.02 if name == "qsim" else 1e-12)


@pytest.mark.parametrize("name", adapters())
def test_capabilities(name):
    can = get_backend(name).capabilities
    assert can.exact
    assert can.shots
    assert can.seedable
    assert not any([can.remote, can.costs_money])
    assert can.exact_noise == (name in ("cirq-dm", "braket-local-dm", "pennylane:default.mixed"))
    assert can.noise == (can.exact_noise or name == "qsim")
    assert can.readout
    assert can.precision == ("float32" if name == "qsim" else "float64")
    with pytest.raises(UnsupportedError, match=f"at most {can.max_qubits} qubits"):
        get_backend(name).at(Circuit(can.max_qubits + 1), torch.zeros(0), (Z(0),))
