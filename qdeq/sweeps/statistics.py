"""Mean, standard deviation and 95 % interval over seeds, of a figure or of paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Spread:
    """A figure over seeds.

    Attributes:
        n: Number of seeds.
        mean: Over them.
        deviation: Sample standard deviation (n - 1); None for one seed.
        low: Lower end of the 95 % interval of the mean; None for one seed.
        high: Its upper end.
    """

    n: int
    mean: float
    deviation: float | None = None
    low: float | None = None
    high: float | None = None


def spread(values: Sequence[float]) -> Spread | None:
    """Return a sample's figures; the interval is ``mean ± t s / sqrt(n)`` with Student's t of n - 1 degrees of freedom.

    It takes the seeds' values to be independent and normally distributed. None for no values.
    """
    if not values:
        return None
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Spread(n, mean)
    from scipy import stats  # takes a second to import

    deviation = float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * deviation / math.sqrt(n)
    return Spread(n, mean, deviation, mean - half, mean + half)


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Spread | None:
    """Return the differences ``first - second`` over the seeds that both have: what a seed does to both cancels."""
    return spread([first[seed] - second[seed] for seed in first if seed in second])
