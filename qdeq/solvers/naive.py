"""Plain fixed-point (Picard) iteration, with damping."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.solvers.base import SOLVER_CONFIG, Problem, Solver


class NaiveState(NamedTuple):
    """Plain iteration remembers nothing."""


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Naive(Solver):
    """Iterate ``y <- y + damping (f(y) - y)``.

    Converges at the rate ``max |1 - damping + damping λ|`` over the eigenvalues λ of df/dy, so with ``damping = 1``
    only where the spectral radius is below 1. With ``rtol = atol = 0`` it takes exactly ``max_steps`` steps unless the
    residual vanishes, and still returns the best of the iterates.
    """

    damping: Annotated[
        float, Field(gt=0, le=1, description="Share of the step f(y) - y that is taken [dimensionless]; 1 is undamped.")
    ] = 1.0

    def init(self, y0: Tensor, f0: Tensor) -> NaiveState:
        """Return the empty state."""
        return NaiveState()

    def step(self, problem: Problem, state: NaiveState, y: Tensor, fy: Tensor) -> tuple[Tensor, NaiveState]:
        """Return the damped iterate ``[b, N]``; with ``damping = 1`` it is ``fy`` bit for bit."""
        return torch.lerp(y, fy, self.damping), state
