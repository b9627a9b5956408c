"""NaN and infinite numbers: the same in every backend, form and kind of derivative; nothing runs for them."""

import math

import pytest
import torch

from qdeq.backends import ShotKey, get_backend
from qdeq.backends.executions import count_executions
from qdeq.circuit import AmplitudeEncoding, Channel, Circuit, Gate, Input, Weight
from qdeq.errors import CircuitError
from qdeq.observables import X, Z
from tests.backends.adapters import adapters

ANSATZ = (Gate("RY", 0, Weight(0)), Gate("CNOT", (0, 1)), Gate("RX", 1, Weight(1)))
CIRCUITS = {
    "quadratic form": Circuit(2, [AmplitudeEncoding(4), *ANSATZ]),
    "product form": Circuit(2, [Gate("RY", 0, Input(0)), Gate("RX", 1, Input(1)), *ANSATZ]),
    "states": Circuit(2, [*ANSATZ, Gate("RY", 0, Input(0)), Gate("CRX", (0, 1), Input(1)), *ANSATZ]),
}
NOISY = Circuit(2, [*CIRCUITS["states"].operations, Channel("BitFlip", 0, 0.1)])
MEASURED = (Z(0), X(1))
WEIGHTS = torch.tensor([0.3, -0.8], dtype=torch.float64)
GOOD = [0, 2, 4]

MODES = [
    *(({"name": "torch", "execution": how}, None) for how in ("auto", "circuits")),
    ({"name": "torch", "execution": "circuits", "gradient": "parameter-shift"}, None),
    ({"name": "torch"}, 40),
]
ADAPTER_MODES = [
    ({"name": "cirq", "execution": "auto"}, None),
    ({"name": "cirq", "execution": "circuits"}, None),
    ({"name": "cirq-dm", "execution": "auto"}, None),
    ({"name": "qsim", "execution": "circuits"}, 40),
    ({"name": "braket-local", "execution": "circuits"}, None),
    ({"name": "pennylane", "execution": "circuits"}, None),
    ({"name": "pennylane:lightning.qubit", "execution": "circuits"}, None),
]
ALL = [
    *(pytest.param(*mode, id=f"{mode[0]}-{mode[1]}") for mode in MODES),
    *(
        pytest.param(*mode, id=f"{mode[0]}-{mode[1]}", marks=adapters(mode[0]["name"])[0].marks)
        for mode in ADAPTER_MODES
    ),
]


def batch(circuit):
    """Five samples, the second and the fourth broken."""
    x = torch.rand(5, circuit.num_inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) + 0.1
    x[1, -1], x[3, 0] = math.nan, -math.inf
    return x


def broken_rows(found):
    """Say for each row whether it is NaN; a row is so wholly or not at all."""
    flat = found.isnan().flatten(1)
    assert torch.equal(flat.all(1), flat.any(1))
    return flat.all(1).tolist()


def frozen(choice, circuit, shots, samples=None, weights=WEIGHTS):
    key = None if shots is None else ShotKey(seed=5, samples=samples)
    return get_backend(choice).at(circuit, weights, MEASURED, shots=shots, key=key)


@pytest.mark.parametrize("circuit", CIRCUITS.values(), ids=CIRCUITS)
@pytest.mark.parametrize(("choice", "shots"), ALL)
def test_rows_that_are_not_finite_are_nan_and_alone_in_that(choice, shots, circuit):
    x = batch(circuit)
    f, alone = frozen(choice, circuit, shots), frozen(choice, circuit, shots, samples=tuple(GOOD))
    for method in ("__call__", "jacobian", *(["measure"] if shots else [])):
        with count_executions() as ran:
            found = getattr(f, method)(x)
        with count_executions() as needed:
            right = getattr(alone, method)(x[GOOD])
        assert (ran.executed, ran.shots) == (needed.executed, needed.shots)
        pairs = zip(found, right, strict=True) if method == "measure" else [(found, right)]
        for mine, expected in pairs:
            assert broken_rows(mine) == [False, True, False, True, False]
            assert torch.equal(mine[GOOD], expected)


@pytest.mark.parametrize("circuit", CIRCUITS.values(), ids=CIRCUITS)
@pytest.mark.parametrize(("choice", "shots"), ALL)
def test_the_same_with_the_state_fed_back(choice, shots, circuit):
    x = batch(circuit)
    y = torch.full((5, 2), 0.2, dtype=torch.float64)
    f, rows = frozen(choice, circuit, shots).inject(x, 0.7, 2)
    alone, fewer = frozen(choice, circuit, shots, samples=tuple(GOOD)).inject(x[GOOD], 0.7, 2)
    for found, right in (
        (f(y, *rows), alone(y[GOOD], *fewer)),
        (f.jacobian(y, *rows), alone.jacobian(y[GOOD], *fewer)),
    ):
        assert broken_rows(found) == [False, True, False, True, False]
        torch.testing.assert_close(found[GOOD], right, rtol=0, atol=1e-14)


@pytest.mark.parametrize("circuit", CIRCUITS.values(), ids=CIRCUITS)
@pytest.mark.parametrize(("choice", "shots"), ALL)
@pytest.mark.parametrize("injected", [False, True])
def test_gradients_of_the_others_are_those_without_them(choice, shots, circuit, injected):
    x = batch(circuit)

    def gradients(x, samples):
        weights, inputs = WEIGHTS.clone().requires_grad_(), x.clone().requires_grad_()
        f = frozen(choice, circuit, shots, samples, weights)
        if injected:
            f, rows = f.inject(inputs, 0.7, 2)
            value = f(inputs.new_full((len(x), 2), 0.2), *rows)
        else:
            value = f(inputs)
        usable = torch.where(value.isnan(), 0.0, value)  # a loss over the samples that have a value
        return torch.autograd.grad(usable.square().sum(), (inputs, weights))

    to_x, to_weights = gradients(x, None)
    others, right = gradients(x[GOOD], tuple(GOOD))
    torch.testing.assert_close(to_weights, right, rtol=0, atol=1e-13)
    torch.testing.assert_close(to_x[GOOD], others, rtol=0, atol=1e-13)


@pytest.mark.parametrize("choice", ["torch", *adapters("cirq-dm", "pennylane:default.mixed")])
def test_the_same_under_noise(choice):
    x = batch(NOISY)
    for execution in ("auto", "circuits"):
        f = frozen({"name": choice, "execution": execution}, NOISY, None)
        assert broken_rows(f(x)) == [False, True, False, True, False]
        assert torch.equal(f(x)[GOOD], f(x[GOOD]))


def test_a_batch_of_broken_samples_runs_nothing():
    x = torch.full((3, 2), math.nan, dtype=torch.float64)
    for choice in ("torch", {"name": "torch", "execution": "circuits", "gradient": "parameter-shift"}):
        f = frozen(choice, CIRCUITS["states"], None)
        with count_executions() as ran:
            value, slopes = f(x), f.jacobian(x)
        assert ran.executed == 0
        assert (value.shape, slopes.shape) == ((3, 2), (3, 2, 2))
        assert value.isnan().all()
        assert slopes.isnan().all()


@pytest.mark.parametrize("name", ["torch", *adapters("cirq", "qsim", "pennylane")])
@pytest.mark.parametrize("shots", [None, 10])
def test_an_expectation_names_the_number_that_is_not_finite(name, shots):
    backend, circuit = get_backend(name), CIRCUITS["product form"]
    x = torch.zeros(4, 2, dtype=torch.float64)
    x[3, 1] = math.nan
    with pytest.raises(CircuitError, match=r"^inputs\[3, 1\] is nan\n.*sample") as caught:
        backend.expectation(circuit, x, WEIGHTS, MEASURED, shots=shots)
    assert len(str(caught.value).splitlines()) == 2
    broken = torch.tensor([0.1, math.inf], dtype=torch.float64)
    with pytest.raises(CircuitError, match=r"^weights\[1\] is inf\n.*diverged, lower the learning rate"):
        backend.expectation(circuit, x.nan_to_num(), broken, MEASURED, shots=shots)
    with pytest.raises(CircuitError, match=r"^weights\[1\] is inf\n"):
        backend.at(circuit, broken, MEASURED, shots=shots)
