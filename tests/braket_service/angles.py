"""Angles of gates: arithmetic on numbers and inputs, with the derivatives by the inputs."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

_CONSTANTS = {"pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e}


@dataclass(frozen=True)
class Angle:
    """A number [rad], and its derivative by every input that it depends on."""

    value: float
    slopes: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: Angle) -> Angle:
        return _chain(self.value + other.value, (1.0, self), (1.0, other))

    def __sub__(self, other: Angle) -> Angle:
        return _chain(self.value - other.value, (1.0, self), (-1.0, other))

    def __mul__(self, other: Angle) -> Angle:
        return _chain(self.value * other.value, (other.value, self), (self.value, other))

    def __truediv__(self, other: Angle) -> Angle:
        quotient = self.value / other.value
        return _chain(quotient, (1 / other.value, self), (-quotient / other.value, other))

    def __pow__(self, other: Angle) -> Angle:
        if other.slopes:
            raise ValueError("an exponent must be a number")
        power = other.value
        return _chain(self.value**power, (power * self.value ** (power - 1) if power else 0.0, self))

    def __neg__(self) -> Angle:
        return _chain(-self.value, (-1.0, self))


def _chain(value: float, *parts: tuple[float, Angle]) -> Angle:
    slopes: dict[str, float] = {}
    for factor, part in parts:
        for name, slope in part.slopes.items():
            slopes[name] = slopes.get(name, 0.0) + factor * slope
    return Angle(value, slopes)


_BINARY = {
    ast.Add: Angle.__add__,
    ast.Sub: Angle.__sub__,
    ast.Mult: Angle.__mul__,
    ast.Div: Angle.__truediv__,
    ast.Pow: Angle.__pow__,
}


def read_angle(text: str, inputs: Mapping[str, Angle]) -> Angle:
    """Read an angle such as ``0.3``, ``pi/4`` or ``2*alpha + 0.5``.

    Raises:
        ValueError: An unknown name, or something else than arithmetic.
    """
    try:
        return Angle(float(text))
    except ValueError:
        pass
    try:
        return _evaluate(ast.parse(text.strip(), mode="eval").body, inputs)
    except SyntaxError as error:
        raise ValueError(f"cannot read the angle {text!r}") from error


def _evaluate(node: ast.expr, inputs: Mapping[str, Angle]) -> Angle:
    match node:
        case ast.Constant(value=int() | float() as number):
            return Angle(float(number))
        case ast.Name(id=name):
            if name in inputs:
                return inputs[name]
            if name in _CONSTANTS:
                return Angle(_CONSTANTS[name])
            raise ValueError(f"{name} is not defined")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand, inputs)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _evaluate(operand, inputs)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_evaluate(left, inputs), _evaluate(right, inputs))
    raise ValueError(f"{ast.unparse(node)} is not supported")
