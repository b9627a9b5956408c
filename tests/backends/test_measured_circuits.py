"""Circuits that are measured inside a solve: standard errors, streams, what is counted, and what the exact f says."""

import math

import numpy as np
import pytest
import torch
from adapters import adapters
from tolerances import FALSE_ALARM_Z

from qdeq.backends import ShotKey, get_backend
from qdeq.backends.executions import count_executions
from qdeq.backends.function import FrozenFunction
from qdeq.backends.sampling import least_error
from qdeq.circuit import Circuit, Gate
from qdeq.equilibrium import Equilibrium
from qdeq.errors import SolverError, UnsupportedError
from qdeq.injection import InjectedFunction
from qdeq.library import amplitude_encoder, angle_encoder, hardware_efficient, paper_ansatz
from qdeq.observables import X, Z
from qdeq.solvers import Broyden, GrowingShots, Naive, Status, solve

QUBITS, SAMPLES = 4, 24
KEY = ShotKey(seed=3, samples=tuple(range(100, 100 + SAMPLES)))
ROUNDING = 1e-12


def problem(backend="torch", encoder=amplitude_encoder, shots=None, key=KEY, samples=SAMPLES):
    """Return f, ``y0 = 0`` and the rows, in float64."""
    circuit = encoder(QUBITS) + paper_ansatz(QUBITS)
    draws = np.random.default_rng(2)
    x = torch.from_numpy(draws.normal(size=(SAMPLES, QUBITS**2)))[:samples]
    weights = torch.from_numpy(draws.uniform(-3, 3, circuit.num_weights))
    key = key if shots is not None else None
    frozen = get_backend(backend).at(circuit, weights, [Z(q) for q in range(QUBITS)], shots=shots, key=key)
    f, rows = frozen.inject(x, 1.0, QUBITS)
    return f, torch.zeros(samples, QUBITS).double(), rows


@pytest.mark.parametrize("encoder", [amplitude_encoder, angle_encoder])
@pytest.mark.parametrize("shots", [100, 2000])
def test_a_solve_ends_at_the_noise_of_its_shots(encoder, shots):
    f, y0, rows = problem(encoder=encoder, shots=shots)
    found = solve(Broyden(), f, y0, rows)
    assert (found.status == Status.NOISE_LIMITED).all()
    exact, _, exact_rows = problem(encoder=encoder)
    residual = torch.linalg.vector_norm(exact(found.value, *exact_rows) - found.value, dim=1)
    # as on the contraction of known noise: about the noise on average
    assert 0.5 < (residual / found.noise).square().mean().sqrt() < 1.5
    # the standard errors of 4 expectations of size < 1, and 4 / N for what was not seen
    assert (found.noise < 2 * math.hypot(1 / math.sqrt(shots - 1), 4 / shots)).all()


def test_more_shots_come_closer_to_the_equilibrium():
    exact, y0, exact_rows = problem()
    equilibrium = solve(Broyden(rtol=1e-10), exact, y0, exact_rows).value
    errors = []
    for shots in (100, 10_000):
        f, _, rows = problem(shots=shots)
        errors.append(float((solve(Broyden(), f, y0, rows).value - equilibrium).norm()))
    assert 5 < errors[0] / errors[1] < 20  # ten-fold, by the square root


def test_a_tolerance_within_reach_is_met_with_the_fewest_shots_that_show_it():
    f, y0, rows = problem(shots=1_000_000)
    found = solve(Broyden(rtol=0.0, atol=0.05), GrowingShots(f, 250), y0, rows)
    assert found.all_converged
    assert found.shots.max() < 200_000
    exact, _, exact_rows = problem()
    residual = torch.linalg.vector_norm(exact(found.value, *exact_rows) - found.value, dim=1)
    assert (residual <= 0.05).all()  # 24 samples, each with a probability of 1e-3 at most


@pytest.mark.parametrize("first", [None, 60])
@pytest.mark.parametrize("name", ["torch", *adapters("cirq", "braket-local", "pennylane")])
def test_what_is_spent_is_what_is_counted(name, first):
    f, y0, rows = problem(name, shots=500, samples=4, key=ShotKey(seed=3, samples=(5, 6, 7, 8)))
    with count_executions() as count:
        found = solve(Broyden(), f if first is None else GrowingShots(f, first), y0, rows)
    assert count.shots == int(found.shots.sum())
    assert count.requested == int(found.evaluations.sum())
    assert (found.status == Status.NOISE_LIMITED).all()


@pytest.mark.parametrize("name", adapters("cirq", "braket-local", "pennylane", "pennylane:lightning.qubit"))
def test_every_simulator_gives_the_same_solve(name):
    native, other = (problem(backend, shots=300, samples=4, key=ShotKey(seed=1)) for backend in ("torch", name))
    a, b = (solve(Broyden(), GrowingShots(f, 50), y0, rows) for f, y0, rows in (native, other))
    for field in ("status", "steps", "evaluations", "shots"):
        assert torch.equal(getattr(a, field), getattr(b, field))
    assert (a.value - b.value).abs().max() < ROUNDING


@pytest.mark.parametrize("first", [None, 60])
def test_a_sample_does_not_depend_on_its_batch(first):
    f, y0, rows = problem(shots=1000)
    g = f if first is None else GrowingShots(f, first)
    whole = solve(Broyden(), g, y0, rows)
    for part in (torch.tensor([5]), torch.arange(SAMPLES - 1, -1, -1)):
        alone = solve(Broyden(), g, y0[part], tuple(row[part] for row in rows))
        for field in ("value", "status", "residual", "noise", "steps", "evaluations", "shots"):
            assert torch.equal(getattr(alone, field), getattr(whole, field)[part])


def test_two_settings_cost_twice_the_shots():
    circuit = angle_encoder(2) + hardware_efficient(2)
    weights = torch.linspace(-1, 1, circuit.num_weights).double()
    frozen = get_backend("torch").at(circuit, weights, [Z(0), X(0)], shots=100, key=ShotKey(seed=0))
    f, rows = frozen.inject(torch.ones(3, 4).double(), 1.0, 2)
    with count_executions() as count:
        found = solve(Naive(max_steps=2, rtol=0.0, atol=0.0), f, torch.zeros(3, 2).double(), rows)
    assert found.shots.tolist() == [3 * 2 * 100] * 3
    assert count.shots == 3 * 3 * 2 * 100


def test_a_measurement_is_the_value_with_its_standard_error():
    f, y0, rows = problem(shots=400)
    value, error = f.at_evaluation(7).measure(y0, *rows)
    assert torch.equal(value, f.at_evaluation(7)(y0, *rows))
    assert not torch.equal(value, f.at_evaluation(8)(y0, *rows))
    expected = ((1 - value.square()) / 399 + (4 / 400) ** 2).sqrt()
    assert (error - expected).abs().max() < ROUNDING
    fewer, wider = f.at_evaluation(7).at_shots(100).measure(y0, *rows)
    assert (fewer * 100).frac().abs().max() < 1e-9
    assert (wider > error).all()


def test_no_standard_error_is_zero():
    """2 000 outcomes of probability 0.2 %: of 400 shots each, 45 % see none, and the mean seems exact."""
    angle = 2 * math.asin(math.sqrt(0.002))
    frozen = get_backend("torch").at(
        Circuit(1, (Gate("RX", 0, angle),)), torch.zeros(0).double(), [Z(0)], shots=400, key=ShotKey(seed=1)
    )
    value, error = frozen.measure(torch.zeros(2000, 0).double())
    assert ((value == 1).double().mean() - 0.998**400).abs() < FALSE_ALARM_Z * math.sqrt(0.25 / 2000)
    assert ((value - 0.996).abs() <= 3.3 * error).double().mean() > 0.995
    assert error.min() == 0.01


def test_the_least_error_of_a_sum_has_all_its_terms():
    observables = [Z(0) * 3.0, Z(0) + X(0) * 2.0]
    assert least_error(observables, 8).tolist() == pytest.approx([1.5, math.hypot(0.5, 1.0)])


def test_exact_functions_have_no_standard_error():
    assert getattr(problem()[0], "shots", None) is None
    frozen = get_backend({"name": "torch", "gradient": "parameter-shift", "execution": "circuits"}).at(
        Circuit(1, (Gate("H", 0),)), torch.zeros(0), [Z(0)]
    )
    assert frozen.shots is None
    with pytest.raises(UnsupportedError, match="no standard errors"):
        frozen.measure(torch.zeros(1, 0))


class Plugin(FrozenFunction):
    """A function of another package, without streams; it has errors of its own."""

    shots = 50

    def __call__(self, inputs):
        return self.measure(inputs)[0]

    def measure(self, inputs):
        return torch.cos(inputs.sum(1, keepdim=True)), torch.full((len(inputs), 1), 1.0 / self.shots)

    def at_shots(self, shots):
        changed = Plugin()
        changed.shots = shots
        return changed


def test_a_plug_ins_function_need_only_measure():
    f, rows = Plugin().inject(torch.ones(3, 2), 1.0, 1)
    assert isinstance(f, InjectedFunction)
    found = solve(Broyden(), GrowingShots(f, 5), torch.zeros(3, 1), rows)
    assert (found.status == Status.NOISE_LIMITED).all()
    assert torch.allclose(found.noise, torch.tensor(1 / 50))
    assert found.shots.equal(20 + 50 + 5 * (found.evaluations - 2))  # it grows where no shot is needed for a step


def test_a_layer_gives_its_shots_to_the_solve():
    f, y0, rows = problem(shots=400, samples=3, key=ShotKey(seed=0))
    layer = Equilibrium(Broyden(), first_shots=50)
    found = layer(f, y0, rows)
    assert (found.status == Status.NOISE_LIMITED).all()
    assert found.noise.shape == found.shots.shape == (3,)
    exact, _, exact_rows = problem(samples=3)
    direct = Equilibrium().eval().direct(f, y0, rows, layers=2)
    assert direct.noise.shape == (3,)
    with pytest.raises(SolverError, match="f has none"):
        layer(exact, y0, exact_rows)


def test_a_layer_counts_its_evaluations_beforehand():
    layer = Equilibrium(Broyden(max_steps=10), on_failure="fallback", fallback=[Naive(max_steps=5)], first_shots=100)
    assert layer.most_evaluations(1000) == 11 + 6 + 2 * 2  # 100, 400, 1000 in each of two solves
    assert Equilibrium(Broyden(max_steps=10)).most_evaluations(1000) == 11


def test_what_cannot_grow_is_refused():
    with pytest.raises(SolverError, match="leave first_shots out"):
        Equilibrium(first_shots=10, fixed_steps=5)
