"""What is paid for: an execution, known by its content, and its result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

_CONTENT = 1  # of what a content hash is made of

ROUNDING = 1e-6
"""By so much, relative to its bound, a simulator's number may lie beyond it; and probabilities may miss their sum."""

Kind = Literal["expectations", "gradient", "counts"]
Term = tuple[float, tuple[tuple[int, str], ...]]
"""A coefficient, and the qubit and letter of every factor of a Pauli string."""


@dataclass(frozen=True)
class Asked:
    """What an execution asked for, by which its result is judged.

    Attributes:
        kind: Expectations, the gradient of one expectation (after its value), or counts.
        terms: The Pauli strings whose expectations are wanted, or the weighted sum that is differentiated.
        parameters: By which it is differentiated.
    """

    kind: Kind
    terms: tuple[Term, ...] = ()
    parameters: tuple[str, ...] = ()

    def impossible(self, result: Result) -> str:
        """Return why a result cannot be the one that was asked for; an empty text where it can.

        An angle's generator has eigenvalues at most 1 apart, in every gate, so no derivative is larger than the
        observable's norm, and that is no larger than the sum of the coefficients.
        """
        if self.kind == "counts":
            return "" if result.counts else "no counts"
        bounds = [abs(coefficient) for coefficient, _ in self.terms]
        if self.kind == "gradient":
            bounds = [sum(bounds)] * (1 + len(self.parameters))
        if len(result.values) != len(bounds):
            return f"{len(result.values)} numbers, and {len(bounds)} were asked for"
        for value, bound in zip(result.values, bounds, strict=True):
            if not abs(value) <= bound * (1 + ROUNDING):  # NaN is not
                return f"{value:g}, where at most {bound:g} is possible"
        return ""

    def to_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps({"kind": self.kind, "terms": self.terms, "parameters": self.parameters})

    @classmethod
    def from_json(cls, text: str) -> Asked:
        """Read what :meth:`to_json` wrote."""
        data = json.loads(text)
        terms = tuple((weight, tuple((qubit, letter) for qubit, letter in string)) for weight, string in data["terms"])
        return cls(data["kind"], terms, tuple(data["parameters"]))


@dataclass(frozen=True)
class Execution:
    """One execution, by content: with shots under the same key, and without shots always, its result may be reused.

    Attributes:
        backend: Name of the backend.
        device: The device's ARN.
        program: The circuit with its values, and what is asked of it.
        qubits: Size of the register.
        wants: What comes back.
        size: How many numbers come back; 0 for counts.
        inputs: Values of the program's parameters, where it has any.
        shots: 0 for exact.
        key: Names the shots; None for exact.
        terms: Of the observables; see :class:`Asked`.
    """

    backend: str
    device: str
    program: str
    qubits: int
    wants: Kind
    size: int = 0
    inputs: tuple[tuple[str, float], ...] = ()
    shots: int = 0
    key: str | None = None
    terms: tuple[Term, ...] = ()

    @property
    def asked(self) -> Asked:
        """What its result is judged by."""
        return Asked(self.wants, self.terms, tuple(name for name, _ in self.inputs))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        content = (_CONTENT, self.backend, self.device, self.program, self.inputs, self.shots, self.key)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True)
class Result:
    """What an execution gave.

    Attributes:
        values: Expectations, or an expectation and its gradient.
        counts: How often each outcome was measured; an outcome has one character a qubit, qubit 0 first.
    """

    values: tuple[float, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()

    @property
    def shots(self) -> int:
        """How often was measured; 0 without counts."""
        return sum(count for _, count in self.counts)

    def to_json(self) -> str:
        """Return the result as JSON text, every number with all its digits."""
        return json.dumps({"counts": dict(self.counts)} if self.counts else {"values": self.values}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read what :meth:`to_json` wrote."""
        data = json.loads(text)
        return cls(tuple(data.get("values", ())), tuple(data.get("counts", {}).items()))
