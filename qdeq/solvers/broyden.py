"""Broyden's good method with a limited memory: a quasi-Newton root finder that needs no derivative."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.solvers.base import SOLVER_CONFIG, Problem, Solver


class BroydenState(NamedTuple):
    """The previous iterate ``y`` and residual ``g`` (``None`` before the first step), and ``P = 1 + Σ u_i v_i^T``.

    ``u`` and ``v`` are ``[b, k, N]``, oldest first; P approximates ``(1 - J)^{-1}``, minus the inverse Jacobian of g.
    """

    y: Tensor | None
    g: Tensor | None
    u: Tensor
    v: Tensor


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Broyden(Solver):
    """Solve g(y) = f(y) - y = 0 by ``y <- y + P g``, where -P is the inverse of Broyden's first ("good") update.

    By Sherman-Morrison, ``P <- P - (s + P Δg) s^T P / (s^T P Δg)`` with the last step s and its change Δg, so that
    P Δg = -s. P starts as 1 (the first step is y <- f(y)), and does so again when the memory is full. In one dimension
    this is the secant method; on a linear problem with ``memory >= 2N`` it terminates in at most 2N steps (Gay 1979).
    There is no line search: each step costs one evaluation.

    Sources: C. G. Broyden, Math. Comp. 19, 577 (1965); D. M. Gay, SIAM J. Numer. Anal. 16, 623 (1979); C. T. Kelley,
    Iterative Methods for Linear and Nonlinear Equations (SIAM 1995), ch. 7, for restarts; S. Bai, V. Koltun,
    J. Z. Kolter, "Multiscale Deep Equilibrium Models", NeurIPS 2020, for the low-rank form.
    """

    memory: Annotated[
        int, Field(ge=1, description="Rank-one terms kept in the inverse Jacobian before it restarts.")
    ] = 20

    def init(self, y0: Tensor, f0: Tensor) -> BroydenState:
        """Return P = 1."""
        empty = y0.new_empty((y0.shape[0], 0, y0.shape[1]))
        return BroydenState(None, None, empty, empty)

    def step(self, problem: Problem, state: BroydenState, y: Tensor, fy: Tensor) -> tuple[Tensor, BroydenState]:
        """Return the quasi-Newton iterate ``[b, N]``."""
        g = fy - y
        if state.y is None or state.g is None:
            return fy, BroydenState(y, g, state.u, state.v)
        s, dg, u, v = y - state.y, g - state.g, state.u, state.v
        if u.shape[1] < self.memory:
            missing = p_g = _product(u, v, g)  # s + P Δg, since the last step was s = P (g - Δg)
            st_p = _product(v, u, s)
        else:
            # dropping only the oldest term keeps stale ones: beyond spectral radius 1 it converged far less often
            u, v, p_g, st_p, missing = u[:, :0], v[:, :0], g, s, s + dg
        term = _term(missing, st_p, dg)
        step = torch.addcmul(p_g, term, (st_p * g).sum(dim=1, keepdim=True))
        u, v = torch.cat([u, term[:, None]], dim=1), torch.cat([v, st_p[:, None]], dim=1)
        return y + step, BroydenState(y, g, u, v)


def _term(missing: Tensor, st_p: Tensor, dg: Tensor) -> Tensor:
    """Return the new u, for which P Δg = -s; zeros for a sample where the update is undefined."""
    denominator = (st_p * dg).sum(dim=1, keepdim=True)
    size = torch.linalg.vector_norm(st_p, dim=1, keepdim=True) * torch.linalg.vector_norm(dg, dim=1, keepdim=True)
    # below the rounding error of the dot product even its sign is noise
    undefined = denominator.abs() <= size * (torch.finfo(dg.dtype).eps * dg.shape[1])
    return -(missing / denominator).masked_fill(undefined, 0.0)


def _product(u: Tensor, v: Tensor, x: Tensor) -> Tensor:
    """Return ``(1 + Σ u_i v_i^T) x`` for ``u, v [b, k, N]`` and ``x [b, N]``; exchange u and v for the transpose."""
    # sums of products, not a matrix product: its rounding may depend on the size of the batch
    weight = (v * x[:, None]).sum(dim=2, keepdim=True)
    return x + (u * weight).sum(dim=1)
