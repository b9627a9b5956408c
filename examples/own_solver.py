"""A solver of one's own in forty lines: Aitken's delta-squared process, component by component.

It takes components for uncoupled, so it may diverge where plain iteration converges; ``qdeq.testing.check_solver`` says
so. In a package it would be registered under the entry-point group ``qdeq.solvers``, and any experiment file could name
it.
"""

from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.solvers import SOLVER_CONFIG, Anderson, Broyden, Naive, Problem, Solver, solve


class AitkenState(NamedTuple):
    """Nothing is remembered: each step makes its own second evaluation."""


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Aitken(Solver):
    """Steffensen's ``y - (f(y) - y)² / (f(f(y)) - 2 f(y) + y)`` in every component; two evaluations a step."""

    floor: Annotated[float, Field(gt=0, description="Smallest |denominator|; below it the step is plain.")] = 1e-6

    @property
    def evaluations_per_step(self) -> int:
        """The loop's at y, and the step's at f(y)."""
        return 2

    def init(self, y0: Tensor, f0: Tensor) -> AitkenState:
        """Return the empty state."""
        return AitkenState()

    def step(self, problem: Problem, state: Any, y: Tensor, fy: Tensor) -> tuple[Tensor, AitkenState]:
        """Return the next iterate ``[b, N]``."""
        ffy = problem(fy)
        bend = ffy - 2 * fy + y
        usable = bend.abs() > self.floor
        return torch.where(usable, y - (fy - y) ** 2 / torch.where(usable, bend, 1.0), ffy), state


def main() -> None:
    y0, x = torch.zeros(100, 4), torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    for solver in (Naive(), Aitken(), Anderson(), Broyden()):
        solution = solve(solver, lambda y, x: torch.cos(y) + 0.1 * x, y0, (x,))
        print(f"{type(solver).__name__:9s} {solution.summary().splitlines()[0]}")


if __name__ == "__main__":
    main()
