"""The filters of SearchQuantumTasks."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from .wire import ServiceError

_ORDER: dict[str, Callable[[str, str], bool]] = {
    "LT": operator.lt,
    "LTE": operator.le,
    "GT": operator.gt,
    "GTE": operator.ge,
}


def passes(task: dict[str, Any], condition: dict[str, Any]) -> bool:
    """Say whether a task's summary meets one filter; times compare as ISO 8601 text.

    Raises:
        ServiceError: A ValidationException, if the filter's name or operator is not known.
    """
    name, values, how = condition["name"], condition["values"], condition["operator"]
    if name.startswith("tags:"):
        found = task["tags"].get(name.removeprefix("tags:"))
    elif name in ("quantumTaskArn", "deviceArn", "status", "createdAt"):
        found = task[name]
    else:
        raise ServiceError("ValidationException", f"unknown filter {name}")
    if how == "EQUAL":
        return found in values
    if how == "BETWEEN":
        return bool(values[0] <= found <= values[1])
    if how not in _ORDER:
        raise ServiceError("ValidationException", f"unknown operator {how}")
    return _ORDER[how](found, values[0])
