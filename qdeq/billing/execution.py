"""What is paid for: an execution, known by its content, and its result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

_CONTENT = 1  # of what a content hash is made of


@dataclass(frozen=True)
class Execution:
    """One execution, by content: with shots under the same key, and without shots always, its result may be reused.

    Attributes:
        backend: Name of the backend.
        device: The device's ARN.
        program: The circuit with its values, and what is asked of it.
        qubits: Size of the register.
        wants: What comes back: expectations, the gradient of one expectation (after its value), or counts.
        size: How many numbers come back; 0 for counts.
        inputs: Values of the program's parameters, where it has any.
        shots: 0 for exact.
        key: Names the shots; None for exact.
    """

    backend: str
    device: str
    program: str
    qubits: int
    wants: Literal["expectations", "gradient", "counts"]
    size: int = 0
    inputs: tuple[tuple[str, float], ...] = ()
    shots: int = 0
    key: str | None = None

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
