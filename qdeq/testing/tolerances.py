"""How far a backend may be from the truth: every tolerance of :func:`qdeq.testing.check_backend`, explained once.

They are per unit of an observable's norm (the sum of its coefficients' absolute values, at least 1).
"""

from __future__ import annotations

from dataclasses import dataclass

from qdeq.backends.base import Capabilities


@dataclass(frozen=True)
class Tolerances:
    """What one precision allows.

    Attributes:
        values: An expectation of a circuit of up to ten gates; it grows in proportion beyond.
        gradients: A derivative of order one; it grows with the derivative.
    """

    values: float
    gradients: float


DOUBLE = Tolerances(values=1e-9, gradients=1e-8)
"""float64: rounding is 1e-16 an operation, so anything beyond 1e-12 or so is a mistake; 1e-9 leaves room for
simulators that drop or renormalise small amplitudes."""

SINGLE = Tolerances(values=1e-6, gradients=1e-5)
"""float32: 6e-8 an operation, a few operations a gate and ten gates; a shift rule adds up to eight values."""

FALSE_ALARM = 1e-6
"""Probability that a statistical check fails a backend that is right, all its comparisons together."""


def tolerances(capabilities: Capabilities) -> Tolerances:
    """Return what the declared precision allows; ``"inputs"`` is tested with float64 ones."""
    return SINGLE if capabilities.precision == "float32" else DOUBLE
