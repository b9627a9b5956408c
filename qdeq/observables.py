"""Observables: Pauli strings, their real sums, and the groups that one measurement setting serves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Self, overload

import numpy as np

from qdeq.errors import CircuitError
from qdeq.numbers import finite, shown, whole
from qdeq.operations import MAX_QUBITS


class _Arithmetic:
    """What strings and sums have in common: sums of them, and multiples by real numbers.

    A number that is added stands for so much of the identity, so ``sum([Z(0), Z(1)])`` and ``1 - Z(0)`` mean what they
    look like.
    """

    __array_ufunc__ = None  # numpy's numbers leave the arithmetic to us

    def __add__(self, other: Observable | float) -> PauliSum:
        return PauliSum(_summand(self).terms + _summand(other).terms)

    __radd__ = __add__

    def __sub__(self, other: Observable | float) -> PauliSum:
        return self + -_summand(other)

    def __rsub__(self, other: Observable | float) -> PauliSum:
        return -self + other

    def __mul__(self, factor: float) -> PauliSum:
        number = _real(factor, "a factor")
        return PauliSum(tuple((number * coefficient, string) for coefficient, string in _summand(self).terms))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> PauliSum:
        number = _real(divisor, "a divisor")
        if not number:
            raise CircuitError(f"an observable cannot be divided by {divisor!r}")
        return PauliSum(tuple((coefficient / number, string) for coefficient, string in _summand(self).terms))

    def __pos__(self) -> Self:
        return self

    def __neg__(self) -> PauliSum:
        return self * -1.0

    def __pow__(self, exponent: object) -> PauliSum:
        raise CircuitError("an observable has no powers; write the product out with @ (the square of a Pauli is 1)")


@dataclass(frozen=True)
class PauliString(_Arithmetic):
    """A product of Pauli matrices on different qubits; the identity on all others, or on all where it has no factors.

    Args:
        factors: Pairs ``(qubit, letter)`` with letter X, Y or Z; ``I`` is dropped. Kept sorted by qubit.

    Raises:
        CircuitError: A qubit is no whole number, or stands twice; or there is another letter.

    Example:
        >>> str(X(0) @ Z(2)), str(X(0) @ Z(2) * 0.5 + Y(1)), str(1 - Z(0) / 2)
        ('X0 Z2', '0.5·X0 Z2 + 1·Y1', '1·I + -0.5·Z0')
    """

    factors: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        kept = []
        for factor in self.factors:
            if not isinstance(factor, list | tuple) or len(factor) != 2 or factor[1] not in ("I", "X", "Y", "Z"):
                raise CircuitError(f"a Pauli factor is (qubit, one of I X Y Z), not {shown(factor)}")
            qubit, letter = factor
            qubit = whole(qubit, f"qubit of Pauli {letter}", 0, MAX_QUBITS - 1)
            if letter != "I":
                kept.append((qubit, letter))
        kept.sort()
        if len({qubit for qubit, _ in kept}) != len(kept):
            raise CircuitError(f"a Pauli string has one factor a qubit, not {kept}")
        object.__setattr__(self, "factors", tuple(kept))

    @overload
    def __matmul__(self, other: PauliString) -> PauliString: ...
    @overload
    def __matmul__(self, other: PauliSum) -> PauliSum: ...
    def __matmul__(self, other: Observable) -> Observable:
        return PauliString(self.factors + other.factors) if isinstance(other, PauliString) else as_sum(self) @ other

    def __str__(self) -> str:
        return " ".join(f"{letter}{qubit}" for qubit, letter in self.factors) or "I"


@dataclass(frozen=True)
class PauliSum(_Arithmetic):
    """A real linear combination of Pauli strings; equal strings are merged and sorted. One without terms is 0.

    Args:
        terms: Pairs ``(coefficient, string)``.

    Raises:
        CircuitError: A coefficient is not real, or not finite.
    """

    terms: tuple[tuple[float, PauliString], ...]

    def __post_init__(self) -> None:
        merged: dict[PauliString, float] = {}
        for term in self.terms:
            if not isinstance(term, list | tuple) or len(term) != 2 or not isinstance(term[1], PauliString):
                raise CircuitError(f"a term of a sum is (coefficient, PauliString), not {shown(term)}")
            coefficient, string = term
            merged[string] = merged.get(string, 0.0) + _real(coefficient, f"coefficient of {string}")
        ordered = sorted(merged.items(), key=lambda item: item[0].factors)
        object.__setattr__(self, "terms", tuple((coefficient, string) for string, coefficient in ordered))

    def __matmul__(self, other: Observable) -> PauliSum:
        pairs = product(self.terms, as_sum(other).terms)
        return PauliSum(tuple((a * b, left @ right) for (a, left), (b, right) in pairs))

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
    raise CircuitError(
        f"an observable is a PauliString or PauliSum, not {type(observable).__name__}; "
        "a constant c is c * PauliString()"
    )


def _summand(value: Any) -> PauliSum:
    """Return what is added as a sum: a number is a multiple of the identity, and 0 has no terms."""
    if isinstance(value, PauliString | PauliSum):
        return as_sum(value)
    number = _real(value, "what is added to an observable")
    return PauliSum(((number, PauliString()),) if number else ())


def _real(value: object, what: str) -> float:
    """Return a coefficient as a float.

    Raises:
        CircuitError: It is no finite real number.
    """
    if isinstance(value, PauliString | PauliSum):
        raise CircuitError(
            f"{what} must be a real number, not an observable; products, on different qubits, are written with @: "
            "Z(0) @ Z(1)"
        )
    if isinstance(value, complex | np.complexfloating):
        raise CircuitError(f"{what} must be a real number, not {value!r}: observables are Hermitian")
    return finite(value, what)


def check_observables(observables: Iterable[Observable], num_qubits: int) -> tuple[Observable, ...]:
    """Return the observables.

    Raises:
        CircuitError: One of them leaves the register or is none, or there is none.
    """
    if not isinstance(observables, Iterable):
        raise CircuitError(f"observables are a list, not {observables} alone: put it in brackets, [...]")
    listed = tuple(observables)
    if not listed:
        raise CircuitError("no observable given")
    for observable in listed:
        for _, string in as_sum(observable).terms:
            if string.factors and string.factors[-1][0] >= num_qubits:
                raise CircuitError(f"observable {string}: qubits run from 0 to {num_qubits - 1}")
    return listed


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
    strings = dict.fromkeys(string for total in sums for _, string in total.terms)
    for string in strings or (PauliString(),):  # where all sums are empty, and 0
        for basis, group in zip(bases, members, strict=True):
            if all(basis.get(qubit, letter) == letter for qubit, letter in string.factors):
                basis.update(string.factors)
                group.append(string)
                break
        else:
            bases.append(dict(string.factors))
            members.append([string])
    groups = []
    for basis, group in zip(bases, members, strict=True):
        coefficients = np.zeros((len(sums), len(group)))
        for row, total in enumerate(sums):
            for coefficient, string in total.terms:
                if string in group:
                    coefficients[row, group.index(string)] = coefficient
        groups.append(MeasurementGroup(tuple(sorted(basis.items())), tuple(group), coefficients))
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
                    (coefficient, PauliString(tuple((qubit, letter) for qubit, letter in factors)))
                    for coefficient, factors in terms
                )
            )
            for terms in data
        )
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CircuitError(f"not a list of observables: {error}") from error
