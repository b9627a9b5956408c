"""What the result type AdjointGradient asks for: a weighted sum of products of one-qubit observables."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BODY = re.compile(r"adjoint_gradient\s+expectation\((?P<observable>.*)\)\s+(?P<parameters>[^()]+)")
_TERM = re.compile(r"(?:(?P<weight>[-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*\*\s*)?(?P<factors>[^*]+)")
_FACTOR = re.compile(r"([xyzhi])\(\w+\[(\d+)\]\)")

Term = tuple[float, tuple[tuple[str, int], ...]]
"""A weight, and the name and qubit of every factor."""


@dataclass(frozen=True)
class GradientRequest:
    """The terms of the sum, the inputs to differentiate by, and the sum as results.json has it: without qubits."""

    terms: tuple[Term, ...]
    parameters: tuple[str, ...]
    observable: str

    @property
    def qubits(self) -> set[int]:
        return {qubit for _, factors in self.terms for _, qubit in factors}


def read_gradient(body: str, inputs: list[str]) -> GradientRequest:
    """Read ``adjoint_gradient expectation(2 * x(q[0]) @ y(q[1]) - 0.5 * z(q[1])) alpha, beta``.

    Raises:
        ValueError: It cannot be read, or names a parameter that is no input.
    """
    found = _BODY.fullmatch(body)
    if found is None:
        raise ValueError(f"cannot read the result '{body}'")
    names = [name.strip() for name in found["parameters"].split(",")]
    names = inputs if names == ["all"] else names
    if unknown := sorted(set(names) - set(inputs)):
        raise ValueError(f"parameters {unknown} are not inputs of the program")
    observable = re.sub(r"\(\w+\[\d+\]\)", "", found["observable"])
    return GradientRequest(tuple(_terms(found["observable"])), tuple(names), observable)


def _terms(text: str) -> list[Term]:
    pieces = re.split(r"\s+([-+])\s+", text.strip())
    signs = [1.0, *(1.0 if sign == "+" else -1.0 for sign in pieces[1::2])]
    return [_term(sign, piece.strip()) for sign, piece in zip(signs, pieces[::2], strict=True)]


def _term(sign: float, text: str) -> Term:
    found = _TERM.fullmatch(text)
    factors = [_FACTOR.fullmatch(factor.strip()) for factor in found["factors"].split("@")] if found else []
    if found is None or not all(factors):
        raise ValueError(f"cannot read the observable '{text}'")
    weight = sign * float(found["weight"] or 1)
    return weight, tuple((factor[1], int(factor[2])) for factor in factors if factor)
