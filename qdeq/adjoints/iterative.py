"""The adjoint by any fixed-point solver, on ``u = uJ + g``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qdeq.adjoints.base import Function
from qdeq.adjoints.implicit import Cotangent, ImplicitAdjoint
from qdeq.jacobians import jacobian, vjp
from qdeq.solvers import Solver, solve


@dataclass(frozen=True)
class IterativeAdjoint(ImplicitAdjoint):
    """Any fixed-point solver on ``u = uJ + g``, one vector-Jacobian product an evaluation.

    Args:
        solver: Its tolerances apply to ``u / ||g||``, sample by sample.
    """

    solver: Solver

    def solve(self, f: Function, y: Tensor, args: tuple[Tensor, ...], g: Tensor) -> Cotangent:
        """Solve by iteration; see :meth:`ImplicitAdjoint.solve`."""
        size = torch.linalg.vector_norm(g.flatten(1), dim=1)
        scale = torch.where(size > 0, size, 1.0).reshape(-1, *(1,) * (g.dim() - 1))
        solution = solve(self.solver, _AdjointMap(f), g / scale, (y, g / scale, *args))
        known = solution.residual.isfinite().reshape(scale.shape)  # elsewhere the value is the first guess, unjudged
        u = torch.where(known, solution.value * scale, torch.nan)
        return Cotangent(u, solution.residual.masked_fill(size == 0, 0.0), ~solution.converged)


class _AdjointMap:
    """``u, y*, g, *args -> u J(y*) + g``, and its Jacobian in u for solvers that ask for it."""

    def __init__(self, f: Function) -> None:
        self._f = f

    def __call__(self, u: Tensor, point: Tensor, g: Tensor, *args: Tensor) -> Tensor:
        return vjp(self._f, point, u, args) + g

    def jacobian(self, u: Tensor, point: Tensor, g: Tensor, *args: Tensor) -> Tensor:
        return jacobian(self._f, point, args).mT
