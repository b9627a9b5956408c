"""Numbers from outside: whole ones are never rounded, a truth value is no number, numpy's are as good as Python's.

What a circuit, a count of shots or an option takes is checked here, so that a number that YAML refuses is refused in
Python too, and two that are equal give equal objects, hashes and JSON.
"""

from __future__ import annotations

import math
import operator
from decimal import Decimal
from numbers import Integral
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationInfo
from pydantic_core import PydanticKnownError

from qdeq.errors import CircuitError, QdeqError


def whole(value: object, what: str, low: int, high: int | None = None, *, error: type[QdeqError] = CircuitError) -> int:
    """Return the value as an integer between two bounds. ``100.0`` is none, nor is ``True``.

    Args:
        value: An integer, of Python's or of any type that can stand for an index, such as numpy's.
        what: What it is; the message begins with it.
        low: The smallest that is allowed.
        high: The largest; None for no bound.
        error: Raised where it is not.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        allowed = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise error(f"{what} must be a whole number {allowed}, not {shown(value)}")
    return number


def finite(value: object, what: str, *, error: type[QdeqError] = CircuitError) -> float:
    """Return the value as a finite float; the ``error`` that is raised where it is none begins with ``what``."""
    if getattr(value, "requires_grad", False):
        raise error(f"{what} is a tensor with a gradient, which a number would lose; a trained one is Weight(k)")
    try:
        number = math.nan if isinstance(value, str | bytes) or is_truth_value(value) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = math.nan
    if not math.isfinite(number):
        raise error(f"{what} must be a finite number, not {shown(value)}")
    return number + 0.0  # turns -0.0 into 0.0: equal circuits have equal hashes


def between(value: object, what: str, most: float, *, error: type[QdeqError] = CircuitError) -> float:
    """Return the value as a float from 0 to ``most``; errors as for :func:`finite`."""
    number = finite(value, what, error=error)
    if not 0 <= number <= most:
        raise error(f"{what} must be from 0 to {most:g}, not {number:g}")
    return number


def is_truth_value(value: object) -> bool:
    """Whether the value is ``True`` or ``False``, of Python's or numpy's (which is not loaded for this)."""
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")


def shown(value: object) -> str:
    """Return the value as it may stand in a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers of thousands of digits, lists nested a thousand deep
        return f"this {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}..."


def number_meant(given: object, *, whole: bool = False) -> str | None:
    """Return the number as an option takes it, which a person wrote otherwise: ``1%``, or ``1e3`` for a whole one.

    Args:
        given: What was written.
        whole: Whether a whole number is wanted.
    """
    if not isinstance(given, str | float) or len(text := str(given).strip()) > 40:
        return None
    try:
        number = Decimal(text.removesuffix("%").strip())
        if text.endswith("%"):
            number = number.scaleb(-2)
        if not number.is_finite() or abs(number) >= 2**63 or (whole and number != int(number)):
            return None
    except ArithmeticError:
        return None
    if whole:
        return str(int(number))
    return f"{float(number):g}" if text.endswith("%") else None


@classmethod  # type: ignore[misc]
def as_number(cls: Any, value: Any, info: ValidationInfo) -> Any:
    """Validate an option before pydantic does, which would take ``True`` for 1, and ``"5"`` and ``5.0`` for 5.

    A base class of options has it for all its fields, and those of subclasses, by
    ``__numbers = field_validator("*", mode="before")(as_number)``. A text for a float is left to pydantic: YAML has no
    other form of ``1e-4``.
    """
    kinds = _kinds(cls.__pydantic_fields__[info.field_name].annotation)
    if bool in kinds or not kinds & {int, float}:
        return value
    if is_truth_value(value):
        raise PydanticKnownError("float_type" if float in kinds else "int_type")
    if isinstance(value, Integral):  # numpy's integers are registered there
        return int(value)
    if float not in kinds and (isinstance(value, str) or (isinstance(value, float) and value.is_integer())):
        raise PydanticKnownError("int_type")
    return value


def no_truth_value(value: Any) -> Any:
    """Refuse ``True`` and ``False`` where numbers stand in a list or mapping, which :func:`as_number` does not open."""
    if is_truth_value(value):
        raise PydanticKnownError("float_type")
    return value


def _kinds(annotation: Any) -> set[Any]:
    """Return the types that an annotation names, at its top: of a literal those of its values."""
    if get_origin(annotation) is Literal:
        return {type(value) for value in get_args(annotation)}
    if get_origin(annotation) in (list, tuple, dict, set):
        return {get_origin(annotation)}
    return {kind for part in get_args(annotation) for kind in _kinds(part)} or {annotation}
