"""Random circuits under shots, on every backend that has them: their distribution is the dense simulator's.

An outcome of a Pauli string is 1 or -1, so the number of 1 among N shots is binomial, exactly. Keys are fixed: a test
that passes once always does. ``FALSE_ALARM`` bounds what the choice of keys could have done.
"""

import math

import numpy as np
import pytest
import torch
from adapters import PACKAGES, adapters
from random_cases import COUNT, case
from scipy.stats import binom

from qdeq.backends import ShotKey, get_backend
from qdeq.observables import PauliString

FALSE_ALARM = 1e-6
"""Probability that any of the comparisons of one test fails for keys drawn at random."""
CASES = 12
SHOTS = 100_000
TRAJECTORIES = 2000
"""Shots where each is a trajectory of its own, which takes about 20 µs."""


def cases_for(name, noisy):
    """Circuits with channels, or without; other ones for each backend."""
    order = np.random.default_rng(list(PACKAGES).index(name) if name in PACKAGES else 99).permutation(COUNT)
    return [tested for tested in map(case, order.tolist()) if tested.has_channels == noisy][:CASES]


def strings_of(tested):
    """The distinct Pauli strings of a case, by themselves; the identity left out, which has no spread."""
    return sorted({factors for terms in tested.observables for _, factors in terms if factors})


def surprise(mean, expected, shots):
    """Two-sided probability of a mean of ±1 outcomes as far off as this, where the right one is ``expected``."""
    count, p = round((1 + mean) * shots / 2), min(max((1 + expected) / 2, 0.0), 1.0)
    assert abs(2 * count / shots - 1 - mean) < 1e-9  # a number of shots
    if min(p, 1 - p) < 1e-12:  # the dense simulator's rounding of a certain outcome
        return float(count == round(p) * shots)
    return min(1.0, 2 * min(binom.cdf(count, shots, p), binom.sf(count - 1, shots, p)))


def measured(name, tested, observables, shots):
    weights, inputs = torch.tensor(tested.weights), torch.tensor(tested.inputs)
    key = ShotKey(seed=1000 + tested.seed)
    return get_backend(name).expectation(tested.circuit, inputs, weights, observables, shots=shots, key=key)


def assert_distributed_as_the_dense_simulator_says(name, cases, shots):
    rows = []
    for tested in cases:
        strings = strings_of(tested)
        if not strings:
            continue
        found = measured(name, tested, [PauliString(factors) for factors in strings], shots)
        weights = np.tile(tested.weights, (len(tested.inputs), 1))
        expected = tested.values_of([((1.0, factors),) for factors in strings], tested.inputs, weights)
        for mean, right in zip(found.value.numpy().flat, expected.flat, strict=True):
            rows.append((surprise(mean, right, shots), f"case({tested.seed}): {mean:.4f} for {right:.4f}"))
        error = np.sqrt((1 - found.value.numpy() ** 2).clip(min=0) / (shots - 1))  # of a mean of ±1 outcomes
        assert np.abs(found.standard_error.numpy() - error).max() < 1e-9, f"case({tested.seed})"
    assert len(rows) >= 2 * len(cases)
    assert not [text for probability, text in rows if probability < FALSE_ALARM / len(rows)]


@pytest.mark.parametrize("name", ["torch", *adapters()])
def test_counts_without_channels(name):
    assert_distributed_as_the_dense_simulator_says(name, cases_for(name, noisy=False), SHOTS)


@pytest.mark.parametrize("name", ["torch", *adapters("cirq-dm", "braket-local-dm", "pennylane:default.mixed", "qsim")])
def test_counts_with_channels(name):
    shots = TRAJECTORIES if name == "qsim" else SHOTS
    assert_distributed_as_the_dense_simulator_says(name, cases_for(name, noisy=True), shots)


@pytest.mark.parametrize("name", ["torch", *adapters()])
def test_sums_of_strings(name):
    """Hoeffding: groups are independent means of outcomes within ±c, whose squares add up to less than (Σ|c|)²."""
    rows = []
    for tested in cases_for(name, noisy=False):
        found = measured(name, tested, tested.paulis, SHOTS).value.numpy()
        norms = [sum(abs(c) for c, factors in terms if factors) for terms in tested.observables]
        rows += zip(np.abs(found - tested.values).flat, norms * len(found), [tested.seed] * found.size, strict=True)
    bound = math.sqrt(2 * math.log(2 * len(rows) / FALSE_ALARM) / SHOTS)
    assert bound < 0.025
    assert not [f"case({seed}) off by {error:.4f}" for error, norm, seed in rows if error > bound * norm + 1e-12]
