"""The plain fixed-point loop that a user of a circuit simulator writes, for the contenders that have no solver.

What it does, exactly. Forward, without a graph: Broyden's good method with full memory from ``y0``, the whole batch
evaluated at every step, until every sample has ``||f(y) - y|| <= atol + rtol ||f(y)||`` (the largest residual of the
batch decides) or the steps are spent; a sample that has converged is held, but stays in the batch. This is the update
of qdeq's default solver, so both take nearly the same number of steps. Backward: one recorded evaluation of f at the
equilibrium; ``u = g + uJ`` by the same Broyden loop, one vector-Jacobian product of the recorded graph a step, to the
same rtol relative to ``||g||``; then u is propagated through that graph to the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.problem import ATOL, MAX_STEPS


@dataclass
class Found:
    """The equilibrium ``[B, n]`` with the implicit gradient attached, and what the forward solve took."""

    value: Tensor
    evaluations: int
    failed: int


def plain_equilibrium(f: Callable[[Tensor, Tensor], Tensor], y0: Tensor, x: Tensor, *, rtol: float) -> Found:
    """Solve ``y = f(y, x)``, differentiably in what f closes over."""
    with torch.no_grad():
        y, steps, failed = broyden(lambda point: f(point, x), y0, rtol, ATOL)
    leaf = y.detach().requires_grad_()
    recorded = f(leaf, x)

    def backward_solve(g: Tensor) -> Tensor:
        size = torch.linalg.vector_norm(g, dim=1, keepdim=True)
        unit = g / torch.where(size > 0, size, 1.0)

        def adjoint(u: Tensor) -> Tensor:
            return unit + torch.autograd.grad(recorded, leaf, u, retain_graph=True)[0]

        return broyden(adjoint, unit, rtol, ATOL)[0] * size

    return Found(_Implicit.apply(recorded, y, backward_solve), steps, failed)


class _Implicit(torch.autograd.Function):
    @staticmethod
    def forward(ctx, recorded, y, backward_solve):  # type: ignore[no-untyped-def]
        ctx.backward_solve = backward_solve
        return y.clone()

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        return ctx.backward_solve(g), None, None


def broyden(f: Callable[[Tensor], Tensor], y: Tensor, rtol: float, atol: float) -> tuple[Tensor, int, int]:
    """Return the best iterates ``[B, n]``, the number of evaluations, and how many samples did not converge."""
    inverse = -torch.eye(y.shape[1], dtype=y.dtype, device=y.device).expand(len(y), -1, -1)
    best, lowest = y, y.new_full((len(y),), torch.inf)
    done = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    last_y = last_g = None
    for step in range(MAX_STEPS + 1):
        value = f(y)
        g = value - y
        residual = torch.linalg.vector_norm(g, dim=1)
        size = torch.linalg.vector_norm(value, dim=1)
        converged = residual <= atol + rtol * size
        better = ~done & (converged | (residual < lowest))
        best, lowest = torch.where(better[:, None], y, best), torch.where(better, residual, lowest)
        done = done | converged
        if step == MAX_STEPS or bool(done.all()):
            break
        if last_y is not None:
            s, dg = y - last_y, g - last_g
            h_dg = (inverse @ dg[..., None]).squeeze(-1)
            st_h = (s[:, None] @ inverse).squeeze(1)
            below = (st_h * dg).sum(1, keepdim=True)
            defined = below.abs() > 1e-12
            term = torch.where(defined, (s - h_dg) / torch.where(defined, below, 1.0), 0.0)
            inverse = inverse + term[..., None] * st_h[:, None]
        last_y, last_g = y, g
        y = torch.where(done[:, None], best, y - (inverse @ g[..., None]).squeeze(-1))
    return best, step + 1, int((~done).sum())
