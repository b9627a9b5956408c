"""Every tolerance of a comparison: named, and explained once."""

from __future__ import annotations

import math

FUNCTION = {"float64": 1e-9, "float32": 1e-6}
"""Largest difference of an expectation from the native one, by the precision that a backend simulates in.

complex128: a hundred gates of rounding are 1e-14; 1e-9 leaves room for a backend's own decompositions (state
preparation among them) and is far below any mistake in a gate. complex64 (qsim) rounds at 6e-8 a gate, which partly
cancels: 1e-6.
"""

GRADIENT = {"float64": 1e-8, "float32": 1e-5}
"""The same for derivatives: sums of some tens of expectations with coefficients of order one."""

TRAINING_GROWTH = 2.0
"""How much a difference of losses may grow with each training step: the weights then differ too."""

FALSE_ALARM = 1e-6
"""Probability that a comparison under shots fails although nothing is wrong, over all values and backends together."""

REPEATS = 12
"""Independent native runs under shots, from which the standard errors of derivatives and solves are measured."""


def bernstein(variance: float, shots: int, false_alarm: float) -> float:
    """Return t with ``P(|a - b| > t) <= false_alarm`` for two means a, b of ``shots`` outcomes +1 and -1 each.

    Bernstein's inequality for 2N independent terms of variance ``variance / N²``, none further than ``2 / N`` from its
    mean: ``P <= 2 exp(-t² / (2 (2 variance / N + (2 / N) t / 3)))``. It holds for any N and any expectation.

    Args:
        variance: Of one outcome, ``1 - f²``.
        shots: N.
        false_alarm: The bound.
    """
    log = math.log(2 / false_alarm)
    linear = 2 * log * 2 / (3 * shots)
    constant = 4 * log * variance / shots
    return (linear + math.sqrt(linear**2 + 4 * constant)) / 2


def student(false_alarm: float, repeats: int = REPEATS) -> float:
    """Return t with ``P(|T| > t) = false_alarm`` for Student's T with ``repeats - 1`` degrees of freedom."""
    from scipy.stats import t  # here, so that importing qdeq stays fast

    return float(t.isf(false_alarm / 2, repeats - 1))
