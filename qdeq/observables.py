"""Observables: Pauli strings, their real sums, and the groups that one measurement setting serves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from qdeq.errors import CircuitError


@dataclass(frozen=True)
class PauliString:
    """A product of Pauli matrices on different qubits; the identity on all others.

    Args:
        factors: Pairs ``(qubit, letter)`` with letter X, Y or Z; ``I`` is dropped. Kept sorted by qubit.

    Example:
        >>> str(X(0) @ Z(2)), str(X(0) @ Z(2) * 0.5 + Y(1))
        ('X0 Z2', '0.5·X0 Z2 + 1·Y1')
    """

    factors: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        kept = []
        for qubit, letter in self.factors:
            if letter not in ("I", "X", "Y", "Z") or isinstance(qubit, bool) or not isinstance(qubit, int) or qubit < 0:
                raise CircuitError(f"a Pauli factor is (qubit >= 0, one of I X Y Z), not ({qubit!r}, {letter!r})")
            if letter != "I":
                kept.append((qubit, letter))
        kept.sort()
        if len({qubit for qubit, _ in kept}) != len(kept):
            raise CircuitError(f"a Pauli string has one factor a qubit, not {kept}")
        object.__setattr__(self, "factors", tuple(kept))

    def __matmul__(self, other: PauliString) -> PauliString:
        if not isinstance(other, PauliString):
            return NotImplemented
        return PauliString(self.factors + other.factors)

    def __mul__(self, factor: float) -> PauliSum:
        return PauliSum(((float(factor), self),))

    __rmul__ = __mul__

    def __add__(self, other: Observable) -> PauliSum:
        return as_sum(self) + other

    def __neg__(self) -> PauliSum:
        return -1.0 * self

    def __sub__(self, other: Observable) -> PauliSum:
        return as_sum(self) - other

    def __str__(self) -> str:
        return " ".join(f"{letter}{qubit}" for qubit, letter in self.factors) or "I"


@dataclass(frozen=True)
class PauliSum:
    """A real linear combination of Pauli strings; equal strings are merged and sorted.

    Args:
        terms: Pairs ``(coefficient, string)``.
    """

    terms: tuple[tuple[float, PauliString], ...]

    def __post_init__(self) -> None:
        merged: dict[PauliString, float] = {}
        for coefficient, string in self.terms:
            if not math.isfinite(coefficient):
                raise CircuitError(f"the coefficient of {string} must be finite, not {coefficient!r}")
            merged[string] = merged.get(string, 0.0) + float(coefficient)
        ordered = sorted(merged.items(), key=lambda item: item[0].factors)
        object.__setattr__(self, "terms", tuple((coefficient, string) for string, coefficient in ordered))

    def __matmul__(self, other: Observable) -> PauliSum:
        pairs = product(self.terms, as_sum(other).terms)
        return PauliSum(tuple((a * b, left @ right) for (a, left), (b, right) in pairs))

    __rmatmul__ = __matmul__  # factors on different qubits commute

    def __add__(self, other: Observable) -> PauliSum:
        return PauliSum(self.terms + as_sum(other).terms)

    def __sub__(self, other: Observable) -> PauliSum:
        return self + -1.0 * as_sum(other)

    def __mul__(self, factor: float) -> PauliSum:
        return PauliSum(tuple((factor * coefficient, string) for coefficient, string in self.terms))

    __rmul__ = __mul__

    def __neg__(self) -> PauliSum:
        return -1.0 * self

    def __str__(self) -> str:
        return " + ".join(f"{coefficient:g}·{string}" for coefficient, string in self.terms) or "0"


Observable = PauliString | PauliSum


def X(qubit: int) -> PauliString:
    """Return the Pauli X on one qubit."""
    return PauliString(((qubit, "X"),))


def Y(qubit: int) -> PauliString:
    """Return the Pauli Y on one qubit."""
    return PauliString(((qubit, "Y"),))


def Z(qubit: int) -> PauliString:
    """Return the Pauli Z on one qubit."""
    return PauliString(((qubit, "Z"),))


def as_sum(observable: Observable) -> PauliSum:
    """Return the observable as a :class:`PauliSum`."""
    if isinstance(observable, PauliSum):
        return observable
    if isinstance(observable, PauliString):
        return PauliSum(((1.0, observable),))
    raise CircuitError(f"an observable is a PauliString or PauliSum, not {type(observable).__name__}")


def check_observables(observables: Sequence[Observable], num_qubits: int) -> None:
    """Raise a :class:`~qdeq.errors.CircuitError` where an observable leaves the register, or there is none."""
    if not observables:
        raise CircuitError("no observable given")
    for observable in observables:
        for _, string in as_sum(observable).terms:
            if string.factors and string.factors[-1][0] >= num_qubits:
                raise CircuitError(f"observable {string}: qubits run from 0 to {num_qubits - 1}")


BASIS_GATES = {"X": ("H",), "Y": ("Sdg", "H"), "Z": ()}
"""Gates, in time order, that turn a Pauli's eigenbasis into the computational one."""


@dataclass(frozen=True)
class MeasurementGroup:
    """Pauli strings that commute qubit by qubit, so that one setting measures them all.

    Attributes:
        basis: The letter to measure on each qubit that matters, sorted by qubit.
        strings: The strings of the group.
        coefficients: ``[O, K]``: the coefficient of string k in observable o.
    """

    basis: tuple[tuple[int, str], ...]
    strings: tuple[PauliString, ...]
    coefficients: np.ndarray = field(compare=False)

    def signs(self, num_qubits: int) -> np.ndarray:
        """Return the eigenvalue ``[2^n, K]`` of each string for each outcome; see :func:`eigenvalue_signs`."""
        return eigenvalue_signs([[qubit for qubit, _ in string.factors] for string in self.strings], num_qubits)


def eigenvalue_signs(supports: Sequence[Sequence[int]], num_qubits: int) -> np.ndarray:
    """Return the parity ``[2^n, K]`` (1 or -1) of each outcome on each set of qubits; qubit 0 is the highest bit."""
    outcomes = np.arange(2**num_qubits)
    masks = [sum(1 << (num_qubits - 1 - qubit) for qubit in support) for support in supports]
    return np.stack([1.0 - 2.0 * (np.bitwise_count(outcomes & mask) & 1) for mask in masks], axis=1)


def measurement_groups(observables: Sequence[Observable]) -> tuple[MeasurementGroup, ...]:
    """Sort the strings of all observables, greedily in order of appearance, into qubit-wise commuting groups."""
    sums = [as_sum(observable) for observable in observables]
    bases: list[dict[int, str]] = []
    members: list[list[PauliString]] = []
    for string in dict.fromkeys(string for total in sums for _, string in total.terms):
        for basis, group in zip(bases, members, strict=True):
            if all(basis.get(qubit, letter) == letter for qubit, letter in string.factors):
                basis.update(string.factors)
                group.append(string)
                break
        else:
            bases.append(dict(string.factors))
            members.append([string])
    groups = []
    for basis, strings in zip(bases, members, strict=True):
        coefficients = np.zeros((len(sums), len(strings)))
        for row, total in enumerate(sums):
            for coefficient, string in total.terms:
                if string in strings:
                    coefficients[row, strings.index(string)] = coefficient
        groups.append(MeasurementGroup(tuple(sorted(basis.items())), tuple(strings), coefficients))
    return tuple(groups)


def to_data(observables: Iterable[Observable]) -> list[Any]:
    """Return the observables as JSON-ready lists ``[[coefficient, [[qubit, letter], ...]], ...]``, one a sum."""
    return [
        [[coefficient, [list(factor) for factor in string.factors]] for coefficient, string in as_sum(observable).terms]
        for observable in observables
    ]


def from_data(data: Any) -> tuple[PauliSum, ...]:
    """Read what :func:`to_data` wrote.

    Raises:
        CircuitError: The data is not a list of Pauli sums.
    """
    if not isinstance(data, list | tuple):
        raise CircuitError(f"not a list of observables: a {type(data).__name__}")
    try:
        return tuple(
            PauliSum(
                tuple(
                    (float(coefficient), PauliString(tuple((qubit, letter) for qubit, letter in factors)))
                    for coefficient, factors in terms
                )
            )
            for terms in data
        )
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CircuitError(f"not a list of observables: {error}") from error
