"""Finite shots: keyed streams, unbiased means, honest standard errors."""

import math

import numpy as np
import pytest
import torch
from tolerances import EXACT64, FALSE_ALARM_Z

from qdeq.backends import ShotKey, get_backend
from qdeq.backends.sampling import sample_expectations
from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Input, Weight
from qdeq.errors import BackendError, CircuitError
from qdeq.observables import PauliString, X, Y, Z, measurement_groups

CIRCUIT = Circuit(
    3,
    (
        AmplitudeEncoding(5),
        Gate("U3", 0, (0.4, 1.0, -0.3)),
        Gate("CRX", (0, 2), Weight(0)),
        Gate("RY", 1, Input(0)),
        Gate("SX", 2),
        Gate("T", 0),
        Gate("H", 0),
    ),
)
WEIGHTS = torch.tensor([0.9], dtype=torch.float64)
FLAT = (Z(0), Z(1), 0.5 * Z(2) + 2.0 * Z(0) @ Z(1) - 0.25 * PauliString())
TWISTED = (X(0) @ Y(1) + 0.5 * Z(0) - 1.5 * Y(2), X(0) + Z(0) + Y(0), Z(2) @ X(1))
ROWS = 400
SHOTS = 200


def inputs(rows):
    return torch.from_numpy(np.random.default_rng(5).normal(size=(rows, 5)))


def measure(values, observables=FLAT, shots=SHOTS, key=None):
    return get_backend("torch").expectation(CIRCUIT, values, WEIGHTS, observables, shots=shots, key=key)


def same_rows():
    return inputs(1).expand(ROWS, -1)


def test_the_same_key_gives_the_same_shots():
    key = ShotKey(seed=1, step=2, evaluation=3)
    first, again = measure(inputs(6), key=key), measure(inputs(6), key=key)
    assert torch.equal(first.value, again.value)
    assert torch.equal(first.standard_error, again.standard_error)
    assert (first.shots, first.key) == (SHOTS, key)


@pytest.mark.parametrize("change", [{"seed": 9}, {"step": 9}, {"evaluation": 9}, {"samples": tuple(range(10, 16))}])
def test_every_part_of_the_key_makes_another_stream(change):
    same = inputs(1).expand(6, -1)
    first = measure(same, key=ShotKey(seed=1, samples=tuple(range(6)))).value
    other = measure(same, key=ShotKey(**{"seed": 1, "samples": tuple(range(6)), **change})).value
    assert not torch.equal(first, other)


def test_samples_and_groups_have_streams_of_their_own():
    rows = measure(same_rows(), (Z(0),), key=ShotKey(seed=1)).value
    assert len(rows.unique()) > 10
    state = torch.zeros(ROWS, 0, dtype=torch.float64)
    tilted = Circuit(1, (Gate("U3", 0, (math.acos(1 / math.sqrt(3)), math.pi / 4, 0.0)),))  # <X> = <Y> = <Z>
    three = get_backend("torch").expectation(
        tilted, state, torch.zeros(0).double(), (X(0), Y(0), Z(0)), shots=50, key=ShotKey(seed=1)
    )
    assert float(torch.corrcoef(three.value.T).triu(1).abs().max()) * math.sqrt(ROWS) < FALSE_ALARM_Z


def test_shots_stay_with_the_sample_whatever_the_batch_and_its_order():
    values, key = inputs(7), ShotKey(seed=4, samples=(3, 14, 15, 92, 65, 35, 89))
    whole = measure(values, TWISTED, key=key).value
    for rows in ([2], [6, 0], [5, 4, 3, 2, 1, 0, 6]):
        assert torch.equal(measure(values[rows], TWISTED, key=key.select(rows)).value, whole[rows])


def test_without_numbers_of_their_own_samples_are_named_by_their_first_position():
    values, key = inputs(5), ShotKey(seed=4)
    whole = measure(values, key=key).value
    assert torch.equal(measure(values, key=key.select(range(5))).value, whole)
    assert torch.equal(measure(values[[3, 1]], key=key.select([3, 1])).value, whole[[3, 1]])
    assert key.select([3, 1]).select([1]).samples == (1,)


@pytest.mark.parametrize("observables", [FLAT, TWISTED], ids=["one group", "non-commuting sums"])
def test_means_are_unbiased_and_their_standard_errors_honest(observables):
    exact = measure(same_rows(), observables, shots=None).value
    found = measure(same_rows(), observables, key=ShotKey(seed=7))
    z = (found.value - exact) / found.standard_error
    assert ((found.value - exact).mean(0) / (found.value.std(0) / math.sqrt(ROWS))).abs().max() < FALSE_ALARM_Z
    chi_squared = z.square().mean(0)  # 1 ± sqrt(2 / ROWS) where the errors are calibrated
    assert ((chi_squared - 1).abs() / math.sqrt(2 / ROWS)).max() < FALSE_ALARM_Z


def test_a_bias_of_five_percent_would_be_detected():
    exact = measure(same_rows(), (Z(0),), shots=None).value
    found = measure(same_rows(), (Z(0),), shots=2000, key=ShotKey(seed=7)).value
    spread = found.std(0) / math.sqrt(ROWS)
    assert ((found - exact).mean(0) / spread).abs() < FALSE_ALARM_Z
    assert ((found * 1.05 - exact).mean(0) / spread).abs() > FALSE_ALARM_Z


def test_the_error_falls_with_the_square_root_of_the_shots():
    few, many = (
        measure(same_rows(), (Z(0),), shots=n, key=ShotKey(seed=7)).standard_error.mean() for n in (100, 10_000)
    )
    assert float(few / many) == pytest.approx(10, rel=0.05)


def test_an_outcome_that_is_certain_has_no_error():
    result = get_backend("torch").expectation(
        Circuit(2, (Gate("X", 1),)), torch.zeros(3, 0), torch.zeros(0), (Z(0), Z(1)), shots=17
    )
    assert result.value.tolist() == [[1.0, -1.0]] * 3
    assert torch.equal(result.standard_error, torch.zeros(3, 2))


def test_terms_measured_together_share_their_shots():
    """Z0 and -Z0 cancel shot by shot; errors added term by term would not."""
    result = measure(inputs(4), (Z(0) @ Z(1) - Z(0) @ Z(1) * 1.0, Z(0) + 1.0 * PauliString()), key=ShotKey(seed=1))
    assert torch.equal(result.value[:, 0], torch.zeros(4, dtype=torch.float64))
    assert torch.equal(result.standard_error[:, 0], torch.zeros(4, dtype=torch.float64))
    alone = measure(inputs(4), (Z(0),), key=ShotKey(seed=1))
    torch.testing.assert_close(result.value[:, 1], alone.value[:, 0] + 1, atol=EXACT64, rtol=0)


def test_one_shot_gives_an_eigenvalue_and_a_bound_for_its_error():
    result = measure(inputs(50), (Z(0),), shots=1, key=ShotKey(seed=3))
    assert set(result.value.flatten().tolist()) == {-1.0, 1.0}
    assert torch.equal(result.standard_error, torch.ones_like(result.value))


def test_qubitwise_commuting_strings_share_a_setting():
    groups = measurement_groups([Z(0) + X(1), Z(0) @ X(1), Y(2), X(0)])
    assert [group.basis for group in groups] == [((0, "Z"), (1, "X"), (2, "Y")), ((0, "X"),)]


def test_the_shots_do_not_depend_on_the_precision():
    key = ShotKey(seed=2)
    double = measure(inputs(20), key=key).value
    single = get_backend("torch").expectation(CIRCUIT, inputs(20).float(), WEIGHTS.float(), FLAT, shots=SHOTS, key=key)
    assert single.value.dtype == torch.float32
    assert (single.value.double() - double).abs().lt(1e-6).double().mean() > 0.9  # a count may flip on the boundary


def test_a_key_for_another_batch_is_refused():
    with pytest.raises(CircuitError, match="names 2 samples, but the batch has 3"):
        measure(inputs(3), key=ShotKey(seed=0, samples=(1, 2)))


def test_probabilities_that_are_not_finite_are_refused_with_the_sample_named():
    """Whatever a backend has computed: inputs that are not finite never come as far as that."""
    probabilities = torch.full((3, 4), 0.25)
    probabilities[1, 0] = math.nan
    with pytest.raises(BackendError, match=r"sample 1 of the batch cannot be measured"):
        sample_expectations(lambda group: probabilities, [Z(0), X(1)], 2, 10, ShotKey(seed=0))


def test_an_empty_batch_has_no_shots():
    nothing = torch.zeros(0, 4)
    means, errors = sample_expectations(lambda group: nothing, [Z(0), X(1)], 2, 10, ShotKey(seed=0))
    assert means.shape == errors.shape == (0, 2)
