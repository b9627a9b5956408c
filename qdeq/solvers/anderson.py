"""Anderson acceleration: mix the last few iterates so that their linearised residual is smallest."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.solvers.base import SOLVER_CONFIG, Problem, Solver


class AndersonState(NamedTuple):
    """The previous iterate ``y`` and residual ``g`` (``None`` before the first step), and up to ``memory`` differences.

    ``dy`` and ``dg`` are ``[b, k, N]``, oldest first.
    """

    y: Tensor | None
    g: Tensor | None
    dy: Tensor
    dg: Tensor


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Anderson(Solver):
    """Anderson mixing with residual g = f(y) - y, in the form of differences (Walker & Ni, eq. 2.2 and below).

    ``γ = argmin ||g - Δg γ||``, then ``y <- y + mixing g - (Δy + mixing Δg) γ``. On a linear problem with
    ``memory >= N`` it is equivalent to GMRES and needs at most N + 1 steps, unless GMRES stagnates. The least squares
    are solved per sample through the normal equations of normalised columns with a Tikhonov term, so parallel or
    vanishing differences are harmless.

    A difference that lies almost in the span of newer ones is left out of a step ("angle filtering"): it adds little
    but large coefficients γ, and where f is curved it is the old differences that mislead. On quantum models of four
    qubits this halves the solves that fail, and needs fewer evaluations. ``min_sine=0`` is the method without it, which
    the equivalence with GMRES is about.

    Sources: D. G. Anderson, J. ACM 12, 547 (1965); H. F. Walker and P. Ni, SIAM J. Numer. Anal. 49, 1715 (2011);
    S. Pollock and L. G. Rebholz, SIAM J. Sci. Comput. 45, A1571 (2023), for the filter; S. Bai, J. Z. Kolter,
    V. Koltun, "Deep Equilibrium Models", NeurIPS 2019, for its use in these models.
    """

    memory: Annotated[int, Field(ge=1, description="Most differences of earlier iterates that are mixed.")] = 5
    mixing: Annotated[
        float, Field(gt=0, description="Share β of the mixed residual that is added [dimensionless].")
    ] = 1.0
    regularization: Annotated[
        float,
        Field(
            ge=0,
            description="Tikhonov term relative to the squared length of each column [dimensionless]; "
            "never below N times the rounding unit.",
        ),
    ] = 1e-10
    min_sine: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Sine of the angle between a difference of residuals and the span of all newer ones below "
            "which it is left out of the step [dimensionless]; 0 keeps all.",
        ),
    ] = 0.1

    def init(self, y0: Tensor, f0: Tensor) -> AndersonState:
        """Return an empty memory."""
        empty = y0.new_empty((y0.shape[0], 0, y0.shape[1]))
        return AndersonState(None, None, empty, empty)

    def step(self, problem: Problem, state: AndersonState, y: Tensor, fy: Tensor) -> tuple[Tensor, AndersonState]:
        """Return the mixed iterate ``[b, N]``; the first one is ``y + mixing (fy - y)``."""
        g = fy - y
        if state.y is None or state.g is None:
            return y + self.mixing * g, AndersonState(y, g, state.dy, state.dg)
        dy = torch.cat([state.dy, (y - state.y)[:, None]], dim=1)[:, -self.memory :]
        dg = torch.cat([state.dg, (g - state.g)[:, None]], dim=1)[:, -self.memory :]
        # g is known to the rounding of y and f(y): of a shorter difference not even the direction is
        rounding = torch.finfo(y.dtype).eps * sum(torch.linalg.vector_norm(x, dim=1) for x in (y, fy))
        gamma = self._least_squares(dg, g, rounding)
        correction = ((dy + self.mixing * dg) * gamma[:, :, None]).sum(dim=1)
        return y + self.mixing * g - correction, AndersonState(y, g, dy, dg)

    def _least_squares(self, columns: Tensor, target: Tensor, shortest: Tensor) -> Tensor:
        """Return ``γ [b, k]`` that minimises ``||target - Σ γ_i columns_i||``, for ``columns [b, k, N]``.

        Columns no longer than ``shortest [b]`` are left out.
        """
        length = torch.linalg.vector_norm(columns, dim=-1, keepdim=True)
        length = torch.where(length > shortest[:, None, None], length, torch.inf)
        unit = columns / length
        if self.min_sine > 0 and unit.shape[1] > 1:
            unit = torch.where(_sines(unit) > self.min_sine, unit, 0.0)
        # sums of products, not a matrix product: its rounding may depend on the size of the batch
        gram = (unit[:, :, None] * unit[:, None]).sum(dim=-1)
        floor = columns.shape[-1] * torch.finfo(columns.dtype).eps
        gram.diagonal(dim1=-2, dim2=-1).add_(max(self.regularization, floor))
        projection = (unit * target[:, None]).sum(dim=-1)
        gamma, _ = torch.linalg.solve_ex(gram, projection)  # a system that still is singular ends as NON_FINITE
        return gamma / length[:, :, 0]


def _sines(unit: Tensor) -> Tensor:
    """Return the sine ``[b, k, 1]`` of the angle between each of ``unit [b, k, N]`` and the span of the later ones."""
    # R of the vectors, last one first: what is left of each when its projections on those before it are taken away
    rest = torch.linalg.qr(unit.flip(1).mT, mode="r").R.diagonal(dim1=1, dim2=2).abs()
    beyond = unit.shape[1] - rest.shape[1]  # N of them span everything
    return torch.nn.functional.pad(rest, (0, beyond)).flip(1)[..., None]
