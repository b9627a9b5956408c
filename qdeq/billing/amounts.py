"""Tasks, shots and money as one quantity, which is added and multiplied, and bounds on it."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Amount:
    """What is asked of a device.

    Attributes:
        circuits: Circuits that are asked for, those whose result is known already among them.
        tasks: Tasks that are new.
        shots: Their shots.
        low: The least that they can cost [nano-dollars].
        high: The most that they are expected to.
    """

    circuits: int = 0
    tasks: int = 0
    shots: int = 0
    low: int = 0
    high: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(*(a + b for a, b in zip(self._parts(), other._parts(), strict=True)))

    def __sub__(self, other: Amount) -> Amount:
        return self + other * -1

    def __mul__(self, times: int) -> Amount:
        return Amount(*(times * part for part in self._parts()))

    def _parts(self) -> tuple[int, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Unit:
    """What one step or one evaluation takes.

    Attributes:
        shared: Whatever the number of samples.
        each: For each sample.
    """

    shared: Amount
    each: Amount


@dataclass(frozen=True)
class Bounds:
    """The least and the most of something."""

    least: Amount
    most: Amount
