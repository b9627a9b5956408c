"""The adjoint by GMRES: vector-Jacobian products instead of a Jacobian, for large states."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.sparse.linalg import LinearOperator, gmres
from torch import Tensor

from qdeq.adjoints.base import ADJOINT_CONFIG, relative
from qdeq.adjoints.implicit import Cotangent, ImplicitAdjoint
from qdeq.adjoints.linearised import Linearised

Vector = NDArray[np.float64]


class _NotFinite(ArithmeticError):
    """A product with J is NaN or inf; ends one sample's solve."""


@dataclass(frozen=True, kw_only=True, config=ADJOINT_CONFIG)
class GmresAdjoint(ImplicitAdjoint):
    """GMRES on ``(1 - J^T) u = g``, one sample at a time: no N x N Jacobian is formed.

    Each sample evaluates f once, and takes one vector-Jacobian product an iteration, at most N of them in exact
    arithmetic. It is for states too large for N x N matrices; for small ones, and where f has a Jacobian of its own
    (products are made of it then), the dense adjoint is faster. The Krylov space is kept in float64 whatever f's
    precision.

    Y. Saad, M. H. Schultz, SIAM J. Sci. Stat. Comput. 7, 856 (1986); the implementation is SciPy's.
    """

    rtol: Annotated[
        float | None,
        Field(
            gt=0,
            description="Tolerance on ||u - uJ - g|| relative to ||g||, measured at the end; a sample above it failed. "
            "null for the 2/3 power of the precision: 2e-5 in float32, 4e-11 in float64.",
        ),
    ] = None
    restart: Annotated[int, Field(ge=1, description="Iterations, and vectors of length N kept, before a restart.")] = 30
    max_restarts: Annotated[int, Field(ge=1, description="Budget of each sample, in rounds of so many iterations.")] = (
        10
    )

    def solve(self, at: Linearised, g: Tensor) -> Cotangent:
        """Solve by GMRES; see :meth:`ImplicitAdjoint.solve`."""
        rtol = torch.finfo(g.dtype).eps ** (2 / 3) if self.rtol is None else self.rtol
        u, residual = torch.full_like(g, torch.nan), g.new_full((len(g),), torch.inf)
        for row in range(len(g)):
            one = slice(row, row + 1)
            if not bool(g[one].isfinite().all()):
                continue
            product = at.pull_back_one(row)
            u[one] = self._solve_one(product, g[one], rtol / 2)  # half of it leaves room for f's own rounding
            residual[one] = relative(u[one] - product(u[one]) - g[one], g[one])
        return Cotangent(u, residual, ~(residual <= rtol))

    def _solve_one(self, product: Any, g: Tensor, rtol: float) -> Tensor:
        """Return u ``[1, *S]``; NaN where J is not finite."""
        size = float(torch.linalg.vector_norm(g))
        if size == 0:
            return torch.zeros_like(g)

        def matvec(vector: Vector) -> Vector:
            image: Vector = product(torch.as_tensor(vector).to(g).reshape(g.shape)).double().cpu().numpy().ravel()
            if not np.isfinite(image).all():
                raise _NotFinite
            return np.asarray(vector).ravel() - image

        target = (g / size).double().cpu().numpy().ravel()
        operator = LinearOperator((len(target), len(target)), matvec=matvec, dtype=np.float64)
        try:
            u, _ = gmres(operator, target, rtol=rtol, atol=0.0, restart=self.restart, maxiter=self.max_restarts)
        except _NotFinite:
            return torch.full_like(g, torch.nan)
        return torch.as_tensor(u).to(g).reshape(g.shape) * size
