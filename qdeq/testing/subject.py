"""The backend under test, and how what it gives is compared with what is right."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from qdeq.backends.base import Backend
from qdeq.gates import GATES
from qdeq.testing import reference
from qdeq.testing.cases import Case
from qdeq.testing.tolerances import Tolerances


class Mismatch(Exception):
    """A backend is not what it should be.

    Args:
        problem: What is wrong.
        expected: What was expected.
        got: What came.
        difference: Largest difference, where there is one.
        tolerance: What is allowed.
    """

    def __init__(
        self,
        problem: str,
        expected: object = "",
        got: object = "",
        difference: float | None = None,
        tolerance: float | None = None,
    ) -> None:
        super().__init__(problem)
        self.expected, self.got = _text(expected), _text(got)
        self.difference, self.tolerance = difference, tolerance


@dataclass
class Subject:
    """The backend under test, and what the checks need to know about it.

    Attributes:
        backend: The backend.
        tolerances: What its precision allows.
        gates: The gates of the table that it takes.
        examples: Cases per check.
        seed: Seed of all draws.
        worst: Largest difference so far and its tolerance, by their ratio; reset for every check.
    """

    backend: Backend
    tolerances: Tolerances
    gates: tuple[str, ...]
    examples: int
    seed: int
    worst: tuple[float, float] | None = field(default=None)

    @property
    def gates_with_angles(self) -> tuple[str, ...]:
        """The gates that it takes and that have angles."""
        return tuple(name for name in self.gates if GATES[name].parameters)

    def compare(self, what: str, expected: object, got: object, tolerance: float | np.ndarray) -> None:
        """Compare two arrays, and remember the largest difference.

        Args:
            what: What they are, in the plural.
            expected: What they should be.
            got: What they are.
            tolerance: Largest allowed difference, for all entries or for each of the last dimension.

        Raises:
            Mismatch: They differ in shape, or by more than the tolerance, or are not finite.
        """
        right, found = _array(expected), _array(got)
        if right.shape != found.shape:
            raise Mismatch(f"{what} have shape {list(found.shape)}, not {list(right.shape)}", right, found)
        if not found.size:
            return
        difference = np.abs(found - right)
        allowed = np.broadcast_to(tolerance, difference.shape)
        at = np.unravel_index(np.argmax(np.where(np.isfinite(difference), difference / allowed, np.inf)), right.shape)
        largest, limit = float(difference[at]), float(allowed[at])
        if not largest <= limit:
            place = f" (entry {[int(i) for i in at]})" if right.size > 1 else ""
            raise Mismatch(
                f"{what} differ by {largest:.3g}{place}, more than {limit:.1g}", right, found, largest, limit
            )
        if self.worst is None or largest / limit > self.worst[0] / self.worst[1]:
            self.worst = largest, limit

    def allowed(self, case: Case) -> np.ndarray:
        """Return the tolerance ``[O]`` for the case's expectations."""
        return self.tolerances.values * case.norms * max(1.0, len(case.circuit.gates) / 10)

    def expected(self, case: Case) -> np.ndarray:
        """Return the right expectations ``[B, O]``."""
        inputs, weights = case.tensors()
        return reference.expectations(case.circuit, inputs.numpy(), weights.numpy(), case.observables)

    def agrees(self, case: Case, *, frozen: bool = False) -> None:
        """Compare the backend's expectations with the right ones; with ``frozen``, the frozen function's as well."""
        inputs, weights = case.tensors()
        expected, allowed = self.expected(case), self.allowed(case)
        found = self.backend.expectation(case.circuit, inputs, weights, case.observables).value
        self.compare("the expectations", expected, found, allowed)
        if frozen:
            function = self.backend.at(case.circuit, weights, case.observables)
            self.compare("the frozen function's values", expected, function(inputs), allowed)


def _array(values: object) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    return array.astype(complex if np.iscomplexobj(array) else float)


def _text(values: object) -> str:
    if isinstance(values, np.ndarray | torch.Tensor):
        text = np.array2string(_array(values), precision=6, suppress_small=True, threshold=24, separator=", ")
        return " ".join(text.split())
    return str(values)
