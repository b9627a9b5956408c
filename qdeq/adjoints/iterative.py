"""The adjoint by any fixed-point solver, on ``u = uJ + g``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qdeq.adjoints.implicit import Cotangent, ImplicitAdjoint
from qdeq.adjoints.linearised import Linearised
from qdeq.functions import Function, flattened
from qdeq.solvers import Solver, solve


@dataclass(frozen=True)
class IterativeAdjoint(ImplicitAdjoint):
    """Any fixed-point solver on ``u = uJ + g``, one vector-Jacobian product an evaluation.

    Args:
        solver: Its tolerances apply to ``u / ||g||``, sample by sample.
    """

    solver: Solver

    def solve(self, at: Linearised, g: Tensor) -> Cotangent:
        """Solve by iteration; see :meth:`ImplicitAdjoint.solve`."""
        size = torch.linalg.vector_norm(flattened(g), dim=1)
        scale = torch.where(size > 0, size, 1.0).reshape(-1, *(1,) * (g.dim() - 1))
        samples = torch.arange(len(g), device=g.device)
        solution = solve(self.solver, _AdjointMap(at, g), g / scale, (g / scale, samples))
        u = solution.value * scale
        return Cotangent(u, solution.residual.masked_fill(size == 0, 0.0), ~solution.converged)


class _AdjointMap(Function):
    """``u, g, samples -> u J + g`` for the samples of those numbers.

    Args:
        at: f near the equilibrium of all samples.
        like: ``[B, *S]``, what u is like.
    """

    def __init__(self, at: Linearised, like: Tensor) -> None:
        self._at, self._like = at, like

    def __call__(self, u: Tensor, *rows: Tensor) -> Tensor:
        """Return it ``[b, *S]``."""
        g, samples = rows
        return self._at.pull_back(torch.zeros_like(self._like).index_copy(0, samples, u))[samples] + g

    def jacobian(self, u: Tensor, *rows: Tensor, create_graph: bool = False) -> Tensor:
        """Return ``J^T`` ``[b, N, N]``."""
        return self._at.matrix()[rows[1]].mT
