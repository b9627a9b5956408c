"""The backend under test, and what is right for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from qdeq.backends.base import Backend
from qdeq.gates import GATES
from qdeq.testing import reference
from qdeq.testing.cases import Case
from qdeq.testing.comparison import Comparisons
from qdeq.testing.tolerances import SINGLE, Tolerances, tolerances


@dataclass
class Subject(Comparisons):
    """The backend under test, and what the checks need to know about it.

    Attributes:
        backend: The backend.
        gates: The gates of the table that it takes.
        examples: Cases per check.
        seed: Seed of all draws.
        roots: By the names of checks, the smallest cases on which others failed for what these are named for, and how.
    """

    backend: Backend
    gates: tuple[str, ...]
    examples: int
    seed: int
    roots: dict[str, tuple[Case, Exception]] = field(default_factory=dict)

    @property
    def tolerances(self) -> Tolerances:
        """What its precision allows: the declared one, until that is found to be untrue."""
        return SINGLE if "precision" in self.roots else tolerances(self.backend.capabilities)

    def blame(self, name: str, case: Case, error: Exception) -> None:
        """Note that what the check ``name`` is about fails on a case; the smallest is kept."""
        if name not in self.roots or case.size <= self.roots[name][0].size:
            self.roots[name] = case, error

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
