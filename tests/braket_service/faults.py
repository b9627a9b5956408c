"""Failures on demand: rules that strike calls, the same ones each time for the same seed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .wire import ServiceError

WIRE_KINDS = frozenset({"throttle", "error", "unavailable", "drop", "lost", "cut", "reset", "delay", "body", "edit"})
"""What happens to one call."""
TASK_KINDS = frozenset({"queue", "fail", "late_result", "duration", "short"})
"""What a new task keeps."""


@dataclass
class Rule:
    """Strikes calls of one operation (``*``: any): the next ``times`` of them, or each with a probability.

    Whether the n-th call of an operation is struck depends on the seed, the operation and n alone, so concurrent calls
    of other operations do not shift it.
    """

    operation: str
    kind: str
    times: int | None = None
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    hits: int = 0

    def strikes(self, operation: str) -> bool:
        """Count a call, and say whether it is struck."""
        if self.operation not in ("*", operation):
            return False
        self.seen[operation] += 1
        if self.seen[operation] <= self.skip or (self.times is not None and self.hits >= self.times):
            return False
        draw = random.Random(f"{self.seed}/{operation}/{self.seen[operation]}").random()
        hit = draw < self.probability
        self.hits += hit
        return hit

    @classmethod
    def read(cls, content: dict[str, Any]) -> Rule:
        """Return the rule that a control request describes."""
        own = {"operation", "kind", "times", "skip", "probability", "seed"}
        rule = cls(**{k: v for k, v in content.items() if k in own})
        rule.settings = {k: v for k, v in content.items() if k not in own}
        if rule.kind not in WIRE_KINDS | TASK_KINDS:
            raise ServiceError("ValidationException", f"unknown kind of fault {rule.kind!r}")
        return rule


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(self, content: dict[str, Any]) -> None:
        """Add one rule."""
        with self._lock:
            self._rules.append(Rule.read(content))

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._rules.clear()

    def counts(self) -> list[dict[str, Any]]:
        """Return each rule with the number of calls that it struck."""
        with self._lock:
            return [{"operation": rule.operation, "kind": rule.kind, "hits": rule.hits} for rule in self._rules]

    def on_call(self, operation: str) -> Rule | None:
        """Return the first rule that strikes this call, if any."""
        with self._lock:
            for rule in self._rules:
                if rule.kind in WIRE_KINDS and rule.strikes(operation):
                    return rule
        return None

    def on_task(self) -> dict[str, dict[str, Any]]:
        """Return what happens to a task that is being created: settings by kind."""
        with self._lock:
            return {
                rule.kind: rule.settings
                for rule in self._rules
                if rule.kind in TASK_KINDS and rule.strikes("CreateQuantumTask")
            }
