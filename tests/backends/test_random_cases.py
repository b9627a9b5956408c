"""300 random circuits on every backend, in every mode, against the dense simulator: values and derivatives.

All of them run on torch, and a share of them, in one mode each, on the others: every third where matrices are dense,
every fifth elsewhere, derivatives on a part. ``QDEQ_LONG=1`` runs all on all, in all modes.
"""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from adapters import PACKAGES, SINGLE, adapters
from dense_simulator import KRAUS, NUM_ANGLES, angle_values
from random_cases import COUNT, case
from tolerances import ANGLE32, DENSE_GRADIENT, DENSE_VALUE, QSIM_VALUE
from tolerances import SINGLE as SINGLE_GATES

from qdeq.backends import get_backend
from qdeq.errors import UnsupportedError

LONG = os.environ.get("QDEQ_LONG") == "1"
DENSITY = ("cirq-dm", "braket-local-dm", "pennylane:default.mixed")
PURE = tuple(name for name in PACKAGES if name not in DENSITY)
EXECUTIONS = ({"execution": "circuits"}, {"execution": "compiled"})
OTHERS = ({}, {"execution": "circuits", "gradient": "parameter-shift"})
NATIVE = {"pennylane", "pennylane:lightning.qubit"}


def compilable(tested):
    """Whether all inputs enter first: as amplitudes, or by rotations without noise."""
    return tested.encoder in ("amplitude", "angles") and not (tested.model or {}).get("encoder")


def modes(name, tested):
    """The options that the backend has for the circuit."""
    native = ({"gradient": "native"},) if name in NATIVE else ()
    return (*EXECUTIONS[: 1 + compilable(tested)], *OTHERS, *native)


def share(name):
    """Cases for a backend: those of its turn, without channels where it has no exact noise."""
    takers = DENSITY if name in DENSITY else PURE
    usable = [tested for tested in shuffled() if name in DENSITY or not tested.has_channels]
    return usable if LONG else usable[takers.index(name) :: len(takers)]


def shuffled():
    """All cases, in an order in which encoders and noise do not take turns with the backends."""
    return [case(seed) for seed in np.random.default_rng(1).permutation(COUNT).tolist()]


def differentiated(name):
    """The part of the share whose derivatives are compared: shifted density matrices take most of the time."""
    return share(name) if LONG or name in PURE else share(name)[::5]


def double(array):
    return torch.tensor(array, dtype=torch.float64, requires_grad=True)


def wrong_values(tested, found, tolerance):
    error = np.abs(found.detach().numpy() - tested.values).max()
    return [f"values are off by {error:.1e}"] if not error < tolerance else []


def wrong_slopes(what, found, expected, tolerance):
    """Compare derivatives, relative to the largest one where that is above 1."""
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    error = np.abs(found.detach().numpy() - expected).max(initial=0.0) / scale
    return [f"the derivative in {what} is off by {error:.1e}"] if not error < tolerance else []


def faults(name, options, tested, value=DENSE_VALUE, slope=DENSE_GRADIENT, injected=True):
    """What is wrong with the function of a case: its values, its gradients, the Jacobian, the same with a state."""
    inputs, weights = double(tested.inputs), double(tested.weights)
    function = get_backend({"name": name, **options}).at(tested.circuit, weights, tested.paulis)
    values = function(inputs)
    found = wrong_values(tested, values, value)
    if "execution" in options and function.compiled != (options["execution"] == "compiled"):
        found.append(f"compiled is {function.compiled}")
    cotangent = torch.linspace(-1, 1, values.numel(), dtype=torch.float64).reshape(values.shape)
    loss = (values * cotangent).sum() + 0 * (inputs.sum() + weights.sum())  # a graph, where the circuit has no angle
    in_inputs, in_weights = tested.derivatives
    pulled = [np.einsum(f"bo,bov->{left}v", cotangent, part) for left, part in (("b", in_inputs), ("", in_weights))]
    gradients = torch.autograd.grad(loss, (inputs, weights))
    for what, gradient, expected in zip(("inputs", "weights"), gradients, pulled, strict=True):
        found += wrong_slopes(what, gradient, expected, slope)
    if injected:
        found += injection_faults(tested, function, in_inputs, value, slope)
    return found


def injection_faults(tested, function, in_inputs, value, slope):
    """``f(y) = q(x + s W y)``, where x + s W y are the inputs of the case: each entry of y is repeated I / n times."""
    number = tested.inputs.shape[1]
    size = max(divisor for divisor in (1, 2, 3) if number % divisor == 0)
    repeat = np.kron(np.eye(size), np.ones((number // size, 1)))  # W
    scale, state = 0.7, np.linspace(-0.9, 0.8, 2 * size).reshape(2, size)
    features = torch.tensor(tested.inputs - scale * state @ repeat.T)
    f, rows = function.inject(features, scale, size)
    y = double(state)
    return [
        f"injected: {line}"
        for line in wrong_values(tested, f(y, *rows), value)
        + wrong_slopes("the state", f.jacobian(y, *rows), scale * in_inputs @ repeat, slope)
    ]


def assert_without_fault(found):
    """Fail with the seeds of the cases that have any: ``case(seed)`` is the circuit."""
    text = "\n".join(f"case({tested.seed}) {tested.encoder}: {line}" for tested, lines in found for line in lines)
    assert not text, text


def test_all_cases_on_torch():
    tested = [case(seed) for seed in range(COUNT)]
    assert_without_fault((one, faults("torch", {}, one, injected=one.seed % 3 == 0)) for one in tested)


@pytest.mark.parametrize("options", [*EXECUTIONS, OTHERS[1]], ids=str)
def test_the_other_modes_of_torch(options):
    """By itself it compiles where it can: only there are the other modes other ones."""
    able = [one for one in map(case, range(COUNT)) if compilable(one)]
    assert len(able) > COUNT / 4
    tested = map(case, range(COUNT)) if LONG else able[:: 4 if "gradient" in options else 1]
    assert_without_fault((one, faults("torch", options, one)) for one in tested if options in modes("torch", one))


@pytest.mark.parametrize("name", adapters(*PURE, *DENSITY))
def test_values_and_derivatives_of_a_share_on_every_adapter(name):
    slope, value = (SINGLE.gradient, QSIM_VALUE) if name == "qsim" else (DENSE_GRADIENT, DENSE_VALUE)
    found = []
    for number, tested in enumerate(differentiated(name)):
        usable = modes(name, tested)
        for options in usable if LONG else [usable[number % len(usable)]]:
            lines = faults(name, options, tested, value, slope, injected=number % 3 == 0)
            found.append((tested, [f"{options}: {line}" for line in lines]))
    assert_without_fault(found)


@pytest.mark.parametrize("name", adapters(*PURE, *DENSITY))
def test_values_of_a_share_on_every_adapter(name):
    backend, tolerance = get_backend(name), QSIM_VALUE if name == "qsim" else DENSE_VALUE
    found = []
    for tested in share(name):
        inputs, weights = torch.tensor(tested.inputs), torch.tensor(tested.weights)
        value = backend.expectation(tested.circuit, inputs, weights, tested.paulis).value
        found.append((tested, wrong_values(tested, value, tolerance)))
    assert_without_fault(found)


@pytest.mark.parametrize("name", [*PURE, *DENSITY])
def test_every_share_meets_every_gate_and_every_channel_that_the_backend_has(name):
    wanted = set(NUM_ANGLES) | (set(KRAUS) if name in DENSITY else set())
    assert set().union(*(tested.names for tested in differentiated(name))) >= wanted
    forms = {(tested.encoder, options.get("execution")) for tested in share(name) for options in modes(name, tested)}
    assert len(forms) == 5 * 2 + 2  # by itself and by circuits everywhere, compiled for two encoders


def test_the_shares_cover_all_cases():
    seeds = {tested.seed for name in DENSITY for tested in share(name)}
    assert seeds == set(range(COUNT))
    assert {tested.seed for name in PURE for tested in share(name)} == {
        tested.seed for tested in map(case, range(COUNT)) if not tested.has_channels
    }


@pytest.mark.parametrize("name", adapters(*PURE))
def test_channels_are_refused_where_there_is_no_exact_noise(name):
    for tested in [one for one in map(case, range(40)) if one.has_channels]:
        with pytest.raises(UnsupportedError, match="noise"):
            get_backend(name).at(tested.circuit, torch.tensor(tested.weights), tested.paulis)


def test_float32_on_torch_is_off_by_what_its_angles_and_gates_round():
    """An expectation moves by at most the observable's norm times the error of an angle, for each rotation."""
    found = []
    for tested in map(case, range(COUNT)):
        backend = get_backend({"name": "torch", "execution": ("auto", "circuits")[tested.seed // 5 % 2]})
        inputs, weights = torch.tensor(tested.inputs).float(), torch.tensor(tested.weights).float()
        value = backend.at(tested.circuit, weights, tested.paulis)(inputs)
        assert value.dtype == torch.float32
        given = inputs.double().numpy(), weights.double().expand(len(inputs), -1).numpy()
        bound = SINGLE_GATES + ANGLE32 * sum(
            np.abs(angle_values(angle, *given)).max()
            for name, _, numbers in tested.plan.operations
            if name not in KRAUS
            for angle in numbers
        )
        norms = [sum(abs(coefficient) for coefficient, _ in terms) for terms in tested.observables]
        error = (np.abs(value.numpy() - tested.dense(*given)) / np.maximum(norms, 1.0)).max()
        found.append((tested, [f"off by {error:.1e}, where {bound:.1e} is allowed"] if not error < bound else []))
    assert_without_fault(found)


def test_the_dense_simulator_knows_noise_from_none():
    """Where noise is placed, it moves the values: a simulator that forgot it would not pass by being compared."""
    noisy = [tested for tested in map(case, range(COUNT)) if tested.has_channels]
    weights = [np.tile(tested.weights, (len(tested.inputs), 1)) for tested in noisy]
    without = [replace(tested, plan=quiet(tested.plan), model=None) for tested in noisy]
    values = [tested.dense(tested.inputs, rows) for tested, rows in zip(without, weights, strict=True)]
    moved = [np.abs(tested.values - value).max() for tested, value in zip(noisy, values, strict=True)]
    assert len(noisy) > COUNT / 3
    assert np.median(moved) > 0.1


def quiet(plan):
    return replace(plan, operations=tuple(part for part in plan.operations if part[0] not in KRAUS), readout={})
