"""A row of the ledger, the sum of all rows, and the limits that the sum is held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["reserved", "sent", "completed", "failed", "cancelled", "rejected"]
"""``reserved``: the request may have been made; ``sent``: the service has named the task; ``rejected``: it refused."""

IN_FLIGHT: tuple[State, ...] = ("reserved", "sent")


@dataclass(frozen=True)
class Entry:
    """One row: an attempt at an execution. Money is in nano-dollars, times in seconds."""

    hash: str
    attempt: int
    backend: str
    device: str
    qubits: int
    shots: int
    key: str | None
    token: str
    destination: str
    arn: str | None
    state: State
    reserved: int
    cost: int
    seconds: float | None
    result: str | None
    reason: str | None
    created: float
    updated: float
    asked: str | None = None
    """What the result is judged by, as :meth:`Asked.to_json` writes it; None in what 0.1.0 wrote."""
    fresh: bool = False
    """Whether the row was made just now, so that no request can have been made before."""

    @property
    def held(self) -> int:
        """What a task that is given up keeps counted: what was held for it, or what it was billed if that was more."""
        return max(self.reserved, self.cost)


@dataclass(frozen=True)
class Limits:
    """What all rows of a ledger together may not pass; None for no limit."""

    cost: int
    tasks: int | None = None
    shots: int | None = None


@dataclass(frozen=True)
class Totals:
    """What has been used up: finished tasks at their cost, all others at what was reserved for them.

    A task that failed keeps its reservation: nothing says that it was free.
    """

    tasks: int = 0
    shots: int = 0
    cost: int = 0

    def exceeded(self, limits: Limits) -> str | None:
        """Return the first limit that is passed, as the budget calls it."""
        given = (("max_usd", self.cost, limits.cost), ("max_tasks", self.tasks, limits.tasks))
        for name, used, limit in (*given, ("max_shots", self.shots, limits.shots)):
            if limit is not None and used > limit:
                return name
        return None
