"""Every way into a backend: shots that are no whole number, inputs that are no tensor, numbers of numpy's."""

import math

import numpy as np
import pytest
import torch
from tolerances import EXACT64

from qdeq import (
    AmplitudeEncoding,
    Circuit,
    Gate,
    Input,
    QDEQClassifier,
    QdeqError,
    QuantumFunction,
    ShotKey,
    Weight,
    Z,
    get_backend,
)
from qdeq.backends.sampling import sample_expectations
from qdeq.errors import CircuitError

CIRCUIT = Circuit(2, [Gate("RY", 0, Weight(0)), Gate("RX", 1, Input(0)), Gate("RX", 0, Input(1))])
ENCODED = Circuit(2, [AmplitudeEncoding(4), Gate("RY", 0, Weight(0))])
REUPLOADED = Circuit(1, [Gate("RY", 0, Weight(0)), Gate("RX", 0, Input(0)), Gate("RY", 0, Input(0))])
X, W = torch.tensor([[0.3, 0.4], [0.5, 0.6]]), torch.tensor([0.7])
KEY = ShotKey(seed=0)


def evaluate(name):
    return lambda shots: get_backend(name).evaluate((CIRCUIT,), X, W, [Z(0)], shots=shots, key=KEY)


def at_once(name):
    return lambda shots: get_backend(name).expectation(CIRCUIT, X, W, [Z(0)], shots=shots)


LOCAL = ("torch", "cirq", "cirq-dm", "qsim", "braket-local", "braket-local-dm", "pennylane")
DOORS = {
    **{f"{name}.expectation": at_once(name) for name in LOCAL},
    **{f"{name}.evaluate": evaluate(name) for name in LOCAL},
    "Backend.at": lambda shots: get_backend("torch").at(CIRCUIT, W, [Z(0)], shots=shots),
    "Backend.check": lambda shots: get_backend("torch").check(CIRCUIT, W, [Z(0)], shots=shots),
    "QuantumFunction.at": lambda shots: QuantumFunction(CIRCUIT).at(W, shots=shots),
    "QDEQClassifier": lambda shots: QDEQClassifier(QuantumFunction(CIRCUIT), 2, shots=shots),
    "sample_expectations": lambda shots: sample_expectations(
        lambda group: torch.full((1, 4), 0.25), [Z(0)], 2, shots, KEY
    ),
}


def made(door, shots):
    try:
        return DOORS[door](shots)
    except QdeqError as error:
        if "pip install" in str(error):
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("shots", [1.5, 100.0, True, "10", math.nan, 0, -1, np.float64(10)])
def test_shots_are_whole_at_every_door(door, shots):
    with pytest.raises(QdeqError, match=r"^shots.* must be a whole number of at least 1, not "):
        made(door, shots)


@pytest.mark.parametrize("door", DOORS)
def test_numpys_shots_are_whole(door):
    made(door, np.int64(10))


def test_numpys_shots_give_the_same_result_as_pythons():
    backend = get_backend("torch")
    one, other = (backend.expectation(CIRCUIT, X, W, [Z(0)], shots=shots) for shots in (50, np.int32(50)))
    assert torch.equal(one.value, other.value)
    assert type(other.shots) is int


@pytest.mark.parametrize("name", ["seed", "step", "evaluation"])
@pytest.mark.parametrize("value", [1.0, True, "1", -1])
def test_shot_keys_are_whole(name, value):
    with pytest.raises(CircuitError, match=f"^{name} of ShotKey must be a whole number"):
        ShotKey(**{"seed": 0, name: value})


def test_shot_keys_of_numpys_numbers_are_equal_to_pythons():
    assert ShotKey(np.int64(1), samples=tuple(np.arange(2))) == ShotKey(1, samples=(0, 1))
    assert ShotKey(np.int64(1), samples=tuple(np.arange(2))).stream(1, 0) == ShotKey(1, samples=(0, 1)).stream(1, 0)
    with pytest.raises(CircuitError, match="sample of ShotKey"):
        ShotKey(0, samples=(0, True))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_classes": 2.0}, "num_classes must be a whole number"),
        ({"num_classes": True}, "num_classes must be a whole number"),
        ({"layers": 1.5}, "layers must be a whole number"),
        ({"layers": 0}, "layers must be a whole number of at least 1"),
        ({"num_features": 2.0}, "num_features must be a whole number"),
        ({"dropout": math.nan}, "dropout must be a finite number"),
        ({"dropout": 1.0}, "dropout must be below 1"),
        ({"state_dropout": -0.1}, "state_dropout must be from 0 to 1"),
        ({"state_dropout": True}, "state_dropout must be a finite number"),
        ({"state_scale": math.inf}, "state_scale must be a finite number"),
        ({"state_scale": "1"}, "state_scale must be a finite number"),
    ],
)
def test_the_classifiers_numbers_are_checked(options, says):
    with pytest.raises(CircuitError, match=f"^{says}"):
        QDEQClassifier(QuantumFunction(CIRCUIT), **{"num_classes": 2, **options})


def test_layers_of_one_call_are_whole():
    with pytest.raises(CircuitError, match=r"^layers must be a whole number"):
        QDEQClassifier(QuantumFunction(CIRCUIT), 2)(X, layers=1.5)


@pytest.mark.parametrize("inputs", [X.tolist(), X.numpy(), X.double().tolist(), tuple(map(tuple, X.tolist()))])
def test_lists_and_arrays_are_what_their_tensors_are(inputs):
    f = QuantumFunction(CIRCUIT)
    right = f(X, W)
    torch.testing.assert_close(f(inputs, W), right, atol=1e-7, rtol=0)
    torch.testing.assert_close(f(inputs, W.tolist()), right, atol=1e-7, rtol=0)
    torch.testing.assert_close(f(X, W.numpy()), right, atol=1e-7, rtol=0)
    np.testing.assert_allclose(f([[0, 1]], W).numpy()[0, 0], math.cos(0.7) * math.cos(1.0), atol=1e-6)


def test_lists_take_the_precision_of_the_tensor_beside_them_and_gradients_flow():
    f = QuantumFunction(CIRCUIT, [Z(0)])  # <Z0> = cos(w) cos(x_1)
    weights = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    value = f([[0.3, 0.4]], weights)
    assert value.dtype == torch.float64
    value.sum().backward()
    assert abs(value.item() - math.cos(0.7) * math.cos(0.4)) < EXACT64
    assert abs(weights.grad.item() + math.sin(0.7) * math.cos(0.4)) < EXACT64
    assert f(X.double().numpy(), weights).dtype == torch.float64
    assert f([[0.3, 0.4]], [0.7]).dtype == torch.float32


@pytest.mark.parametrize(
    "inputs",
    [[["0.3", "0.4"]], [[0.3], [0.4, 0.5]], [[1j, 0]], [[True, False]], None, "x", [[None, 1.0]], {0: 1.0},
     [[torch.tensor(0.3, requires_grad=True), 0.4]]],
)  # fmt: skip
def test_what_is_no_array_of_numbers_is_refused(inputs):
    with pytest.raises(CircuitError, match=r"^inputs are "):
        QuantumFunction(CIRCUIT)(inputs, W)


def test_a_single_sample_says_how_to_make_it_a_batch():
    model = QDEQClassifier(QuantumFunction(CIRCUIT), 2)
    doors = [
        lambda: QuantumFunction(CIRCUIT)([0.3, 0.4], W),
        lambda: get_backend("torch").expectation(CIRCUIT, X[0], W, [Z(0)]),
        lambda: model(X[0]),
    ]
    for circuit, x in ((CIRCUIT, X[0]), (ENCODED, torch.ones(4)), (REUPLOADED, torch.ones(1))):
        frozen = QuantumFunction(circuit).at(W)
        doors += [lambda f=frozen, x=x: f(x), lambda f=frozen, x=x: f.inject(x, 1.0, 1)]
        doors += [lambda f=frozen, x=x: f.jacobian(x)]
    for door in doors:
        with pytest.raises(CircuitError, match=r"x\[None\]"):
            door()


@pytest.mark.parametrize("wrong", [X.numpy(), X.tolist(), None])
def test_where_a_tensor_is_needed_the_message_makes_one(wrong):
    backend = get_backend("torch")
    doors = [
        lambda: backend.expectation(CIRCUIT, wrong, W, [Z(0)]),
        lambda: backend.expectation(CIRCUIT, X, wrong, [Z(0)]),
        lambda: backend.at(CIRCUIT, wrong, [Z(0)]),
        lambda: QuantumFunction(CIRCUIT).at(wrong),
        lambda: QDEQClassifier(QuantumFunction(CIRCUIT), 2)(wrong),
    ]
    for circuit in (CIRCUIT, ENCODED, REUPLOADED):
        frozen = QuantumFunction(circuit).at(W)
        doors += [lambda f=frozen: f(wrong), lambda f=frozen: f.inject(wrong, 1.0, 1)]
        doors += [lambda f=frozen: f.jacobian(wrong)]
    for door in doors:
        with pytest.raises(CircuitError, match=r"are a tensor, not a \w+; torch\.as_tensor\(\w+, dtype=\.\.\.\)"):
            door()


def test_one_observable_in_place_of_a_list_is_named():
    for door in (
        lambda: QuantumFunction(CIRCUIT, Z(0)),
        lambda: get_backend("torch").expectation(CIRCUIT, X, W, Z(0)),
        lambda: get_backend("torch").at(CIRCUIT, W, 0.5 * Z(0)),
    ):
        with pytest.raises(CircuitError, match=r"observables are a list, not .*Z0 alone"):
            door()


def test_observables_may_come_from_a_generator():
    found = get_backend("torch").expectation(CIRCUIT, X, W, (Z(qubit) for qubit in range(2)))
    assert found.observables == (Z(0), Z(1))
    assert found.value.shape == (2, 2)


@pytest.mark.parametrize("name", ["torch", "cirq", "qsim", "braket-local", "pennylane"])
def test_shots_without_a_key_are_shots_all_the_same(name):
    circuit, x, w = Circuit(1, [Gate("RY", 0, Input(0))]), torch.ones(2, 1).double(), torch.zeros(0).double()
    values, errors = get_backend(name).evaluate((circuit,), x, w, [Z(0)], shots=10)
    assert (errors > 0).all()
    assert ((values * 5).round() - values * 5).abs().max() < 1e-12  # of ten shots each
