"""Observables as a result repeats them: read where that can be done, and never relied on.

A service may write ``-0.25 * x @ z + 5e-05 * y``, with or without qubits, with as many digits as it likes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from qdeq.billing.execution import Term

DIGITS = 1e-3
"""To this part of the largest coefficient repeated ones have to agree: some are rounded to a few digits."""

_FACTOR = r"[ixyz](?:\(\w+\[\d+\]\))?"
_TERM = re.compile(
    r"\s*(?P<sign>[-+]?)\s*(?:(?P<weight>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*\*\s*)?"
    rf"(?P<factors>{_FACTOR}(?:\s*@\s*{_FACTOR})*)\s*"
)


def string_of(letters: Sequence[Any], qubits: Sequence[Any]) -> frozenset[tuple[int, str]]:
    """Return a Pauli string from the letters and the qubits that they stand on.

    Raises:
        ValueError: It is none: another matrix, a qubit twice, or not as many qubits as letters.
    """
    pairs = [(qubit, str(letter).upper()) for letter, qubit in zip(letters, qubits, strict=True)]
    if any(letter not in {"I", "X", "Y", "Z"} or type(qubit) is not int for qubit, letter in pairs):
        raise ValueError(f"{letters} on {qubits} is no Pauli string")
    if len({qubit for qubit, _ in pairs}) != len(pairs):
        raise ValueError(f"{letters} on {qubits} has a qubit twice")
    return frozenset((qubit, letter) for qubit, letter in pairs if letter != "I")


def contradicts(text: Any, targets: Any, terms: Sequence[Term]) -> str:
    """Return where a repeated observable is another one than was asked for; empty where it is not, or cannot be read.

    Args:
        text: The sum, as the service writes it.
        targets: The qubits of each term.
        terms: What was asked for.
    """
    try:
        found = _read(text, targets)
    except (ValueError, TypeError):
        return ""
    wanted: dict[frozenset[tuple[int, str]], float] = {}
    for coefficient, factors in terms:
        wanted[frozenset(factors)] = wanted.get(frozenset(factors), 0.0) + coefficient
    close = DIGITS * max(abs(coefficient) for coefficient in wanted.values())
    for string in wanted.keys() | found.keys():
        ours, theirs = wanted.get(string, 0.0), found.get(string, 0.0)
        if not abs(ours - theirs) <= close:
            return f"{theirs:g} of {' '.join(f'{letter}{qubit}' for qubit, letter in sorted(string))}, not {ours:g}"
    return ""


def _read(text: Any, targets: Any) -> dict[frozenset[tuple[int, str]], float]:
    """Return the coefficient of each string.

    Raises:
        ValueError: It cannot be read.
        TypeError: Likewise.
    """
    found: dict[frozenset[tuple[int, str]], float] = {}
    position, lowered = 0, text.lower() if isinstance(text, str) else ""
    for qubits in targets:
        match = _TERM.match(lowered, position)
        if match is None:
            raise ValueError(lowered)
        position = match.end()
        weight = float(match["weight"] or 1) * (-1 if match["sign"] == "-" else 1)
        if not math.isfinite(weight):
            raise ValueError(lowered)
        string = string_of([factor.strip()[0] for factor in match["factors"].split("@")], qubits)
        found[string] = found.get(string, 0.0) + weight
    if lowered[position:].strip():
        raise ValueError(lowered)
    return found
