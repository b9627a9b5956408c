"""Axes of charts: from numbers to places, and where the ticks stand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MOST_DECADES = 6
"""With more decades not each has a label."""


@dataclass(frozen=True)
class Scale:
    """The range of an axis; what lies beyond it is drawn at its end.

    Attributes:
        low: Where it begins.
        high: Where it ends; above ``low``.
        log: Whether it is logarithmic.
        wanted: About how many ticks a linear one has.
        whole: Whether its ticks are whole numbers.
    """

    low: float
    high: float
    log: bool = False
    wanted: int = 5
    whole: bool = False

    def at(self, value: float) -> float:
        """Return a number's place, 0 at the low end and 1 at the high one."""
        low, high = self._place(self.low), self._place(self.high)
        return min(1.0, max(0.0, (self._place(value) - low) / (high - low)))

    def value(self, place: float) -> float:
        """Return the number at a place from 0 to 1."""
        low, high = self._place(self.low), self._place(self.high)
        mixed = low + place * (high - low)
        return 10**mixed if self.log else mixed

    def ticks(self) -> list[tuple[float, str]]:
        """Return the ticks, with their labels; a label may be empty."""
        if self.log:
            return self._decades()
        step = _step((self.high - self.low) / self.wanted)
        step = max(1.0, step) if self.whole else step
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [(k * step, f"{k * step:,.{digits}f}") for k in range(first, last + 1)]

    def _decades(self) -> list[tuple[float, str]]:
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        every = max(1, math.ceil((last - first + 1) / _MOST_DECADES))
        return [
            (10.0**k, f"10{str(k).translate(_SUPERSCRIPT)}" if (k - first) % every == 0 else "")
            for k in range(first, last + 1)
        ]

    def _place(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value


def _step(about: float) -> float:
    """Return the 1, 2 or 5 times a power of ten that is next to a number from above."""
    power = 10.0 ** math.floor(math.log10(about))
    return next(power * k for k in (1, 2, 5, 10) if power * k >= about * (1 - 1e-9))


def linear(values: Iterable[float], *, include: Iterable[float] = (), most: float = math.inf) -> Scale:
    """Return a scale for the values, a little wider than they need.

    Args:
        values: What will be drawn.
        include: Numbers that are on the scale in any case, without room beyond them.
        most: Where it ends at the latest.
    """
    drawn, fixed = list(values), list(include)
    every = drawn + fixed or [0.0, 1.0]
    low, high = min(every), max(every)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    if low not in fixed:
        low -= room
    if high not in fixed or high == low:
        high += room
    return Scale(low, min(high, most) if most > low else high)


def logarithmic(values: Iterable[float], *, least_decades: float = 2.0) -> Scale:
    """Return a scale for positive values; others are left out. Noise in a narrow range does not look like a trend."""
    places = [math.log10(value) for value in values if 0 < value < math.inf] or [-4.0, 0.0]
    low, high = min(places) - 0.15, max(places) + 0.15
    spare = max(0.0, least_decades - (high - low)) / 2
    return Scale(10 ** (low - spare), 10 ** (high + spare), log=True)
