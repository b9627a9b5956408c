"""Broyden's good method with a limited memory: a quasi-Newton root finder that needs no derivative."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.solvers.base import SOLVER_CONFIG, Problem, Solver


class BroydenState(NamedTuple):
    """The previous iterate ``y`` and residual ``g`` (``None`` before the first step), and ``H = -I + Σ u_i v_i^T``.

    ``u`` and ``v`` are ``[b, k, N]``, oldest first; H approximates the inverse Jacobian of g.
    """

    y: Tensor | None
    g: Tensor | None
    u: Tensor
    v: Tensor


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Broyden(Solver):
    """Solve g(y) = f(y) - y = 0 by ``y <- y - H g``, where H is the inverse of Broyden's first ("good") update.

    By Sherman-Morrison, ``H <- H + (s - H Δg) s^T H / (s^T H Δg)`` with the last step s and its change Δg, so that
    H Δg = s. H starts as -I (the first step is y <- f(y)), and does so again when the memory is full. In one dimension
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
        """Return H = -I."""
        empty = y0.new_empty((y0.shape[0], 0, y0.shape[1]))
        return BroydenState(None, None, empty, empty)

    def step(self, problem: Problem, state: BroydenState, y: Tensor, fy: Tensor) -> tuple[Tensor, BroydenState]:
        """Return the quasi-Newton iterate ``[b, N]``."""
        g = fy - y
        if state.y is None or state.g is None:
            return y + g, BroydenState(y, g, state.u, state.v)
        s, dg, u, v = y - state.y, g - state.g, state.u, state.v
        if u.shape[1] < self.memory:
            h_g, st_h = _product(u, v, g), _product(v, u, s)
            missing = -h_g  # s - H Δg, since the last step was s = -H g
        else:
            # dropping only the oldest term keeps stale ones: beyond spectral radius 1 it converged far less often
            u, v, h_g, st_h, missing = u[:, :0], v[:, :0], -g, -s, s + dg
        term = _term(missing, st_h, dg)
        step = -(h_g + term * (st_h * g).sum(dim=-1, keepdim=True))
        u, v = torch.cat([u, term[:, None]], dim=1), torch.cat([v, st_h[:, None]], dim=1)
        return y + step, BroydenState(y, g, u, v)


def _term(missing: Tensor, st_h: Tensor, dg: Tensor) -> Tensor:
    """Return the new u, for which H Δg = s; zeros for a sample where the update is undefined."""
    denominator = (st_h * dg).sum(dim=-1, keepdim=True)
    scale = torch.linalg.vector_norm(st_h, dim=-1) * torch.linalg.vector_norm(dg, dim=-1)
    # below the rounding error of the dot product even its sign is noise
    defined = denominator.abs() > torch.finfo(dg.dtype).eps * dg.shape[-1] * scale[:, None]
    return torch.where(defined, missing / torch.where(defined, denominator, 1.0), 0.0)


def _product(u: Tensor, v: Tensor, x: Tensor) -> Tensor:
    """Return ``(-I + Σ u_i v_i^T) x`` for ``u, v [b, k, N]`` and ``x [b, N]``; exchange u and v for the transpose."""
    # sums of products, not a matrix product: its rounding may depend on the size of the batch
    weight = (v * x[:, None]).sum(dim=-1, keepdim=True)
    return (u * weight).sum(dim=1) - x
