"""Broyden's methods with a limited memory: quasi-Newton root finders that need no derivative."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.solvers.base import SOLVER_CONFIG, Problem, Solver
from qdeq.solvers.line_search import Trial, first_trial
from qdeq.solvers.secant import Inverse, one


class BroydenState(NamedTuple):
    """The previous iterate ``y`` and residual ``g`` (``None`` before the first step), and P.

    P approximates ``(1 - J)^{-1}``, minus the inverse Jacobian of g. With a line search, ``y`` is the last iterate that
    was accepted, and ``trial`` what is tried from there.
    """

    y: Tensor | None
    g: Tensor | None
    p: Inverse
    trial: Trial | None = None


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Broyden(Solver):
    """Solve g(y) = f(y) - y = 0 by ``y <- y + P g``, where -P is an inverse Jacobian of g that each step updates.

    With the last step s and its change Δg, P becomes ``P + u v^T`` such that P Δg = -s:
    ``u = -(s + P Δg) / (v^T Δg)``, and v tells the two methods apart.

    - ``update="good"``, Broyden's first: ``v = P^T s``. The Jacobian changes least; this is its inverse, by
      Sherman-Morrison.
    - ``update="bad"``, his second: ``v = Δg``. P itself changes least. One product less a step, and defined wherever
      g changes at all; usually it needs more steps.

    P starts as 1 (the first step is y <- f(y)), and does so again when the memory is full. In one dimension this is the
    secant method; on a linear problem with ``memory >= 2N`` it terminates in at most 2N steps (Gay 1979). Each step
    costs one evaluation.

    With ``line_search="derivative-free"``, a step after which ``||g||`` is too large is taken back
    (:mod:`qdeq.solvers.line_search`). P learns from it all the same, and the next step is at most half as long. It is
    for f that grow fast: where f is bounded, as in a quantum model, the steps that it forbids are often those that find
    the root.

    Sources: C. G. Broyden, Math. Comp. 19, 577 (1965), for both updates; D. M. Gay, SIAM J. Numer. Anal. 16, 623
    (1979); C. T. Kelley, Iterative Methods for Linear and Nonlinear Equations (SIAM 1995), ch. 7, for restarts; S. Bai,
    V. Koltun, J. Z. Kolter, "Multiscale Deep Equilibrium Models", NeurIPS 2020, for the low-rank form.
    """

    memory: Annotated[
        int, Field(ge=1, description="Rank-one terms kept in the inverse Jacobian before it restarts.")
    ] = 20
    update: Annotated[
        Literal["good", "bad"], Field(description="Broyden's first update (good) or his second (bad).")
    ] = "good"
    line_search: Annotated[
        Literal["none", "derivative-free"],
        Field(description="Take every step, or take back those after which the residual is too large."),
    ] = "none"

    def init(self, y0: Tensor, f0: Tensor) -> BroydenState:
        """Return P = 1."""
        return BroydenState(None, None, one(y0, self.memory))

    def step(self, problem: Problem, state: BroydenState, y: Tensor, fy: Tensor) -> tuple[Tensor, BroydenState]:
        """Return the quasi-Newton iterate ``[b, N]``; from the one before y where the line search rejects y."""
        g, p, trial = fy - y, state.p, state.trial
        if state.y is None or state.g is None:
            return fy, BroydenState(y, g, p, None if self.line_search == "none" else first_trial(g))
        s, dg, bad = y - state.y, g - state.g, self.update == "bad"
        if p.terms < self.memory:
            p_g = p.times(g)
            missing = p_g if trial is None else s + p.times(dg)  # they are alike after a whole step s = P (g - Δg)
            v = dg if bad else p.transposed_times(s)
        else:
            # dropping only the oldest term keeps stale ones: beyond spectral radius 1 it converged far less often
            p, p_g, missing, v = one(y, self.memory), g, s + dg, dg if bad else s
        u = _term(missing, v, dg, y)
        if trial is None:
            step = torch.addcmul(p_g, u, (v * g).sum(dim=1, keepdim=True))
            return y + step, BroydenState(y, g, p.plus(u, v))
        rejected = trial.rejected(state.g, g)
        y, g, p = torch.where(rejected, state.y, y), torch.where(rejected, state.g, g), p.plus(u, v)
        trial = trial.following(rejected, p.times(g))
        return y + trial.step, BroydenState(y, g, p, trial)


def _term(missing: Tensor, v: Tensor, dg: Tensor, y: Tensor) -> Tensor:
    """Return u such that P Δg = -s with the new term ``u v^T``; zeros for a sample where it is undefined."""
    denominator = (v * dg).sum(dim=1, keepdim=True)
    change, size, at = (torch.linalg.vector_norm(vector, dim=1, keepdim=True) for vector in (dg, v, y))
    # below the rounding error of the product, or of f(y) - y itself, even the denominator's sign is noise
    noise = size * torch.maximum(change, at) * (torch.finfo(dg.dtype).eps * dg.shape[1])
    return -(missing / denominator).masked_fill(denominator.abs() <= noise, 0.0)
