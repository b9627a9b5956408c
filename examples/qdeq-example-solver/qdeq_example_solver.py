"""A solver from outside qdeq: SQUAREM, squared extrapolation."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.solvers import SOLVER_CONFIG, Problem, Solver


class SquaremState(NamedTuple):
    """The longest step that a sample may take, ``[b, 1]``; tensors of a state have the batch first."""

    longest: Tensor


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Squarem(Solver):
    """``y <- y + 2 a r + a² v`` with ``r = f(y) - y`` and ``v = f(f(y)) - 2 f(y) + y``, then a plain step.

    With a = 1 that is f(f(y)). For a linear f, an eigenvalue λ of its matrix damps the error by ``(1 - a (1 - λ))²``:
    the square of what one extrapolation by a does. The step length a has a lower bound, and an upper one that grows
    whenever it is reached.

    Source: R. Varadhan and C. Roland, "Simple and globally convergent methods for accelerating the convergence of any
    EM algorithm", Scand. J. Stat. 35, 335 (2008); a is -α there, and never below 1, since an EM algorithm has no
    negative λ.
    """

    scheme: Annotated[
        Literal["S1", "S2", "S3"], Field(description="Step length: -r·v / v·v, -r·r / r·v, or ||r|| / ||v||.")
    ] = "S1"
    shortest: Annotated[float, Field(gt=0, le=1, description="Least step length; 1 where no λ is negative [1].")] = 0.1
    growth: Annotated[float, Field(ge=1, description="Factor by which an upper bound that is reached grows [1].")] = 4.0

    @property
    def evaluations_per_step(self) -> int:
        """One at y, by the loop; here one at f(y), and one at the extrapolated point."""
        return 3

    def init(self, y0: Tensor, f0: Tensor) -> SquaremState:
        """Return the first upper bound, 1."""
        return SquaremState(torch.ones_like(y0[:, :1]))

    def step(self, problem: Problem, state: SquaremState, y: Tensor, fy: Tensor) -> tuple[Tensor, SquaremState]:
        """Return the next iterate ``[b, N]``; f(f(y)) for samples whose extrapolation is not finite."""
        second = problem(fy)
        r = fy - y
        v = second - fy - r
        length = self._length(r, v).nan_to_num(1.0).clamp_min(self.shortest)
        taken = torch.minimum(length, state.longest)
        extrapolated = problem(y + 2 * taken * r + taken**2 * v)
        usable = extrapolated.isfinite().all(dim=1, keepdim=True)
        longest = torch.where(length >= state.longest, self.growth * state.longest, state.longest)
        return torch.where(usable, extrapolated, second), SquaremState(longest)

    def _length(self, r: Tensor, v: Tensor) -> Tensor:
        """Return the step length ``[b, 1]`` before its bounds; sums of products keep each sample to itself."""
        rr, rv, vv = ((a * b).sum(dim=1, keepdim=True) for a, b in ((r, r), (r, v), (v, v)))
        return {"S1": -rv / vv, "S2": -rr / rv, "S3": (rr / vv).sqrt()}[self.scheme]
