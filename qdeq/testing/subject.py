"""The backend under test, and what is right for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeq.backends.base import Backend
from qdeq.gates import GATES
from qdeq.testing import reference
from qdeq.testing.cases import Case
from qdeq.testing.comparison import Comparisons
from qdeq.testing.tolerances import Tolerances


@dataclass
class Subject(Comparisons):
    """The backend under test, and what the checks need to know about it.

    Attributes:
        backend: The backend.
        tolerances: What its precision allows.
        gates: The gates of the table that it takes.
        examples: Cases per check.
        seed: Seed of all draws.
    """

    backend: Backend
    tolerances: Tolerances
    gates: tuple[str, ...]
    examples: int
    seed: int

    @property
    def gates_with_angles(self) -> tuple[str, ...]:
        """The gates that it takes and that have angles."""
        return tuple(name for name in self.gates if GATES[name].parameters)

    def allowed(self, case: Case) -> np.ndarray:
        """Return the tolerance ``[O]`` for the case's expectations."""
        return self.tolerances.values * case.norms * max(1.0, len(case.circuit.body) / 10)

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
