"""Intervals against SciPy's own tests, which arrive at them another way, and against numbers worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from qdeq.sweeps import paired, spread

ROUNDING = 1e-12
"""Relative; two ways to sum a handful of doubles."""


@pytest.mark.parametrize("n", [2, 3, 5, 40])
def test_the_interval_is_that_of_the_t_test(n):
    values = np.random.default_rng(n).normal(3.0, 0.2, n).tolist()
    found = spread(values)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), rel=ROUNDING)
    assert (found.n, found.mean) == (n, pytest.approx(np.mean(values), rel=ROUNDING))


def test_by_hand():
    # 1, 2, 3: mean 2, deviation 1; Student's t for 2 degrees of freedom has quantile p at (2p - 1) / sqrt(2 p (1 - p))
    found, p = spread([1.0, 2.0, 3.0]), 0.975
    half = (2 * p - 1) / math.sqrt(2 * p * (1 - p)) / math.sqrt(3)
    assert found.deviation == 1
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), rel=ROUNDING)


def test_pairs_are_matched_by_seed():
    draw = np.random.default_rng(0)
    seeds = [4, 0, 2, 9]
    first, second = ({seed: float(value) for seed, value in zip(seeds, draw.normal(size=4), strict=True)} for _ in "ab")
    shuffled = {seed: second[seed] for seed in sorted(seeds)}
    found = paired(first, shuffled)
    test = stats.ttest_rel([first[seed] for seed in seeds], [second[seed] for seed in seeds])
    low, high = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), rel=ROUNDING)


def test_a_pair_that_moves_together_has_a_narrow_difference():
    first = {0: 1.0, 1: 5.0, 2: 9.0}
    found = paired(first, {seed: value - 0.5 for seed, value in first.items()})
    assert (found.mean, found.deviation, found.low, found.high) == (0.5, 0.0, 0.5, 0.5)


def test_seeds_that_one_side_lacks_are_left_out():
    assert paired({0: 1.0, 1: 2.0, 2: 7.0}, {1: 1.5, 2: 6.5, 3: 0.0}).n == 2
    assert paired({0: 1.0}, {1: 1.0}) is None


def test_one_seed_has_no_interval():
    found = spread([0.5])
    assert (found.n, found.mean, found.deviation, found.low, found.high) == (1, 0.5, None, None, None)
    assert spread([]) is None
