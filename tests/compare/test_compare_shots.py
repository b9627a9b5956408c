"""Under shots: equal shots are equal, other shots of the same state pass, and a wrong device is caught."""

import numpy as np
import pytest
import wrong_backends as wrong

from qdeq.compare import compare
from qdeq.compare.result import QUANTITIES
from qdeq.compare.tolerances import bernstein, student

SHOTS = 100_000
"""A 5 % readout error moves f by 10 %: by more than the bound, about 7 sqrt(2 / SHOTS), wherever |f| > 0.3."""


@pytest.fixture
def found(digits, register):
    register(fine=wrong.Fine, other=wrong.OtherShots, readout=wrong.ReadoutError)
    return compare(digits(shots=SHOTS), ["fine", "other", "readout"], samples=2, steps=1)


def test_shots(found):
    _, fine, other, readout = found.results
    assert found.shots == SHOTS
    assert found.fixed_steps is None
    assert "a solve ends where its residual cannot be told from their noise" in found.notes[0]
    assert fine.same_shots
    assert {difference.value for difference in fine.differences} == {0.0}
    assert not other.same_shots
    assert other.passed
    values = {difference.quantity: difference for difference in other.differences}
    assert set(values) == set(QUANTITIES)
    assert all(difference.unit == "standard errors" for difference in other.differences)
    assert 0.5 < values["function"].value < 5  # the largest of 8 standard normals
    assert not readout.passed
    assert {"function_y0", "function"} & {difference.quantity for difference in readout.failures}
    assert (fine.cost.converged, fine.cost.noise_limited) == (0, 2)  # 1e5 shots do not resolve a tolerance of 1e-3


@pytest.mark.parametrize("expectation", [0.0, 0.8, 0.999])
def test_the_bound_of_the_function_values_holds(expectation):
    # 20 000 pairs at a false-alarm rate of 1 %: 200 expected at most; the bound is far from tight
    rate, shots, pairs = 0.01, 50, 20_000
    limit = bernstein(1 - expectation**2, shots, rate)
    draws = np.random.default_rng(5).binomial(shots, (1 + expectation) / 2, size=(2, pairs)) * 2 / shots - 1
    assert (np.abs(draws[0] - draws[1]) > limit).mean() <= rate
    assert limit < 12 * np.sqrt(2 * (1 - expectation**2) / shots) + 20 / shots  # and not empty


def test_the_bound_of_the_rest_is_that_of_students_t():
    assert student(0.05, repeats=12) == pytest.approx(2.201, abs=1e-3)  # the table of any textbook, 11 degrees
