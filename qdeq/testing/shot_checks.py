"""Checks of shots: their distribution, their streams, their standard errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from scipy import stats

from qdeq.backends import Expectation, ShotKey
from qdeq.circuit import Circuit, Gate, Input
from qdeq.observables import Observable, X, Y, Z
from qdeq.testing.cases import Case, pauli_strings, single_paulis
from qdeq.testing.comparison import Mismatch
from qdeq.testing.harness import LEAST_EXAMPLES, check, shots
from qdeq.testing.strategies import gates
from qdeq.testing.subject import Subject
from qdeq.testing.tolerances import FALSE_ALARM

ROWS, SHOTS = 5, 2000
"""Samples and shots of one distribution test: a 5 % readout error moves <Z> by 13 standard deviations and more."""
ERROR_ROWS, ERROR_SHOTS = 100, 400
"""The same for standard errors, which are compared with the spread over the samples."""
MOST_STRINGS = 4
NOT_NORMAL = 1.15
"""Room for means of 400 shots not being quite normal, and for their spread being estimated from them."""


def shot_key(subject: Subject, case: Case) -> ShotKey:
    """Return the key of a case's shots."""
    return ShotKey(seed=subject.seed, step=int(case.circuit.content_hash[:6], 16))


def _measure(subject: Subject, case: Case, rows: int, number: int, key: ShotKey) -> Expectation:
    """Measure the case's first sample several times over."""
    inputs, weights = case.tensors()
    repeated = inputs[:1].expand(rows, -1)
    return subject.backend.expectation(case.circuit, repeated, weights, case.observables, shots=number, key=key)


def _comparisons(subject: Subject, strings: int) -> int:
    """Return the most comparisons that a check makes, for the bound on false alarms."""
    return 2 * max(LEAST_EXAMPLES, subject.examples) * 2 * strings


def _statistics(subject: Subject) -> Mapping[str, SearchStrategy[Case]]:
    @st.composite
    def certain(draw: st.DrawFn) -> Case:
        size = draw(st.integers(1, 3))
        flipped = sorted(draw(st.sets(st.integers(0, size - 1))))
        return Case(Circuit(size, tuple(Gate("X", qubit) for qubit in flipped)), single_paulis(size, "Z"))

    @st.composite
    def drawn(draw: st.DrawFn) -> Case:
        size = draw(st.integers(1, 3))
        circuit = Circuit(size, tuple(draw(st.lists(gates(size, names=subject.gates, bound=True), max_size=6))))
        return Case(circuit, tuple(draw(st.lists(pauli_strings(size), min_size=1, max_size=MOST_STRINGS))))

    return {"certain outcomes": certain(), "any state": drawn()}


@check("shots-statistics", _statistics, needs=shots)
def shots_statistics(subject: Subject, case: Case) -> None:
    """Shots are distributed as the state says: exact binomial tests, with a false alarm of 1e-6 in all."""
    compare_means(subject, case, measured_means(subject, case))


def measured_means(subject: Subject, case: Case) -> np.ndarray:
    """Return the means ``[O]`` over all shots of the case's first sample."""
    means: np.ndarray = _measure(subject, case, ROWS, SHOTS, shot_key(subject, case)).value.double().mean(0).numpy()
    return means


def compare_means(subject: Subject, case: Case, means: np.ndarray) -> None:
    """Compare means over shots with the state of a case, by binomial tests."""
    exact = subject.expected(case)[0]
    total = ROWS * SHOTS
    level = FALSE_ALARM / _comparisons(subject, MOST_STRINGS)
    room = subject.allowed(case)  # the state itself is known to the tolerance
    highest = stats.binom.isf(level, total, np.minimum((1 + exact + room) / 2, 1)) * 2 / total - 1
    lowest = stats.binom.ppf(level, total, np.maximum((1 + exact - room) / 2, 0)) * 2 / total - 1
    allowed = np.where(means > exact, highest - exact, exact - lowest) + 0.5 / total
    subject.compare(f"the means over {total} shots", exact, means, allowed)


def _uncertain(subject: Subject) -> Mapping[str, SearchStrategy[Case]]:
    """Draw states whose outcomes are far from certain, one angle from the sample and the others fixed."""
    angles = st.integers(12, 38).map(lambda k: k / 16)

    @st.composite
    def case(draw: st.DrawFn) -> Case:
        size = draw(st.integers(2, 3))
        turns = [Gate("RY", 0, Input(0)), *(Gate("RY", qubit, draw(angles)) for qubit in range(1, size))]
        measured = draw(st.sampled_from([(Z(0), Z(1)), (Z(0), X(0)), (Z(1), Y(0), Z(0) @ Z(1))]))
        return Case(Circuit(size, tuple(turns)), measured, tuple((draw(angles),) for _ in range(4)))

    return {"any": case()}


def seeded(subject: Subject) -> str:
    """Return why a backend's shots cannot be told apart, if they cannot."""
    return shots(subject) or ("" if subject.backend.capabilities.seedable else "the backend is not seedable")


@check("shots-seed", _uncertain, needs=seeded, share=0.4)
def shots_seed(subject: Subject, case: Case) -> None:
    """The same key gives the same shots, in any batch; another key, and another sample, gives others."""
    inputs, weights = case.tensors()

    def measure(values: torch.Tensor, key: ShotKey) -> np.ndarray:
        found = subject.backend.expectation(case.circuit, values, weights, case.observables, shots=1000, key=key)
        return found.value.numpy()

    key = replace(shot_key(subject, case), samples=(3, 14, 15, 92))
    first = measure(inputs, key)
    _same("the same key gives the same shots", first, measure(inputs, key))
    for rows in ([2], [3, 0], [3, 1, 2, 0]):
        what = f"rows {rows} of the batch by themselves, with key.select({rows}), keep their shots"
        _same(what, first[rows], measure(inputs[rows], key.select(rows)))
    others: dict[str, Any] = {
        "seed": key.seed + 1,
        "step": key.step + 1,
        "evaluation": key.evaluation + 1,
        "samples": (4, 5, 6, 7),
    }
    for part, value in others.items():
        _other(f"another {part} in the key gives other shots", first, measure(inputs, replace(key, **{part: value})))
    alike = measure(inputs[:1].expand(8, -1), replace(key, samples=None))
    if len(np.unique(alike, axis=0)) == 1:
        raise Mismatch("eight samples with the same inputs share their shots", "shots of their own", alike)


def _same(what: str, first: np.ndarray, second: np.ndarray) -> None:
    if not np.array_equal(first, second):
        raise Mismatch(f"not so: {what}", first, second, float(np.abs(first - second).max()), 0.0)


def _other(what: str, first: np.ndarray, second: np.ndarray) -> None:
    if np.array_equal(first, second):
        raise Mismatch(f"not so: {what}", "other values", second)


def _spread(subject: Subject) -> Mapping[str, SearchStrategy[Case]]:
    sums: list[tuple[Observable, ...]] = [
        (Z(0), Z(1)),
        (X(0) + Z(0), 0.5 * Z(0) @ Z(1) - 1.5 * X(1)),
        (2.0 * Z(0) + Y(0), Z(0) - X(1)),
    ]
    angles = st.integers(12, 38).map(lambda k: k / 16)
    drawn = st.tuples(angles, angles, st.sampled_from(sums))
    return {
        "any": drawn.map(lambda d: Case(Circuit(2, (Gate("RY", 0, Input(0)), Gate("RY", 1, d[1]))), d[2], ((d[0],),)))
    }


@check("standard-error", _spread, needs=shots, share=0.12)
def standard_error(subject: Subject, case: Case) -> None:
    """Standard errors are the spread over many samples, also of sums measured in several settings."""
    exact = subject.expected(case)[0]
    result = _measure(subject, case, ERROR_ROWS, ERROR_SHOTS, shot_key(subject, case))
    if result.standard_error is None:
        raise Mismatch("there is no standard error", "a tensor [B, O]", None)
    value, error = result.value.double().numpy(), result.standard_error.double().numpy()
    if error.shape != value.shape or not (error > 0).all():
        raise Mismatch("standard errors are positive, one for each expectation", list(value.shape), error[:2])
    squares = (((value - exact) / error) ** 2).mean(axis=0)
    level = FALSE_ALARM / _comparisons(subject, len(case.observables))
    low, high = (float(stats.chi2.ppf(q, ERROR_ROWS)) / ERROR_ROWS for q in (level, 1 - level))
    allowed = np.where(squares > 1, high * NOT_NORMAL - 1, 1 - low / NOT_NORMAL)
    what = f"the means of ((estimate - exact) / standard error)² over {ERROR_ROWS} samples"
    subject.compare(what, np.ones(len(squares)), squares, allowed)
    certain = Case(Circuit(2, (Gate("X", 1),)), (Z(0), Z(1)))
    sure = _measure(subject, certain, 2, 20, shot_key(subject, case)).standard_error
    subject.compare("the standard errors of certain outcomes", np.zeros((2, 2)), sure, 1e-3)
