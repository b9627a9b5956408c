"""The exact adjoint: one N x N linear system a sample, and second derivatives where they are asked for."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.adjoints.base import ADJOINT_CONFIG, Report, SolverPath, relative
from qdeq.adjoints.implicit import RECORDED_EVALUATION, Cotangent, ImplicitAdjoint, solve_densely
from qdeq.adjoints.linearised import Linearised
from qdeq.functions import Function, flattened
from qdeq.jacobians import jacobian


@dataclass(frozen=True, kw_only=True, config=ADJOINT_CONFIG)
class DenseAdjoint(ImplicitAdjoint):
    """The exact Jacobian and one N x N linear solve per sample; where ``1 - J`` is singular, least squares.

    With ``order = 2`` the equilibrium can be differentiated twice. Two Newton steps from the solution, the second with
    the first one's matrix, are then recorded in the forward pass:

        ``y_{k+1} = y_k + M (f(y_k) - y_k)``, ``M = (1 - J(y*; θ))^{-1}``, from y* held constant.

    They move nothing, but each gains one order: the first has the first derivative of y*(θ) (differentiating M counts
    for nothing where f(y*) = y*), the second step the second (the chord method gains a factor of the error each time).
    This costs two evaluations of f and a Jacobian with its graph in every forward pass. A third derivative is refused.
    """

    falls_back: ClassVar[bool] = False
    by_products: ClassVar[bool] = False

    tolerance: Annotated[
        float | None,
        Field(
            gt=0, description="A relative residual above this is a failure; null for the square root of the precision."
        ),
    ] = None
    order: Annotated[
        Literal[1, 2], Field(description="How often the equilibrium can be differentiated; 2 costs more in every step.")
    ] = 1

    def solve(self, at: Linearised, g: Tensor) -> Cotangent:
        """Solve by LU decomposition; see :meth:`ImplicitAdjoint.solve`."""
        return solve_densely(at, g, self.tolerance)

    def connect(
        self, f: Function, y: Tensor, args: tuple[Tensor, ...], path: SolverPath | None, report: Report
    ) -> Tensor:
        """Record one evaluation of f at y, or for ``order = 2`` two Newton steps; see :meth:`Adjoint.connect`."""
        if self.order == 1:
            return super().connect(f, y, args, path, report)
        f = f.at_evaluation(RECORDED_EVALUATION)
        flat, shape = flattened(y), y.shape
        identity = torch.eye(flat.shape[1], dtype=y.dtype, device=y.device)
        inverse, info = torch.linalg.inv_ex(identity - jacobian(f, y, args))
        regular = (info == 0) & inverse.isfinite().all(dim=(1, 2))
        rows = regular.nonzero().squeeze(1)  # a singular sample's inf would spread to the weights that all share
        if not len(rows):
            report(~regular, y.new_full((len(y),), math.inf))
            return y
        rest = tuple(arg[rows] for arg in args)
        with torch.enable_grad():
            at = y[rows]
            system = identity - jacobian(f, at, rest, create_graph=True)
            inverse = torch.linalg.inv(system)

            def newton_step(state: Tensor) -> Tensor:
                missing = flattened(_Differentiable.apply(f(state, *rest), 2) - state)
                return state + (inverse * missing[:, None]).sum(-1).reshape(state.shape)

            moved = newton_step(newton_step(at))
        if not moved.requires_grad:
            return y
        system, inverse = system.detach(), inverse.detach()

        def backward(g: Tensor) -> None:
            part = flattened(g[rows])
            u = (inverse * part[..., None]).sum(1)
            residual = relative((system * u[..., None]).sum(1) - part, part)
            every = g.new_ones(len(g)).index_copy(0, rows, residual)
            limit = torch.finfo(g.dtype).eps ** 0.5 if self.tolerance is None else self.tolerance
            report(~regular | ~(every <= limit), every)

        # the Newton steps' own rounding stays out of the value: it is the solver's, bit for bit
        connected = y.index_copy(0, rows, at + (moved - moved.detach()))
        return _Watched.apply(connected.reshape(shape), backward)


class _Watched(torch.autograd.Function):
    """The identity; tells of the gradient that arrives, and lets no sample's NaN pass."""

    @staticmethod
    def forward(ctx, y, tell):  # type: ignore[no-untyped-def]
        ctx.tell = tell
        return y.clone()

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        ctx.tell(g.detach())
        usable = flattened(g).isfinite().all(dim=1)
        return torch.where(usable.reshape(-1, *(1,) * (g.dim() - 1)), g, 0.0), None


class _Differentiable(torch.autograd.Function):
    """The identity, which can be differentiated so many times."""

    @staticmethod
    def forward(ctx, value, times):  # type: ignore[no-untyped-def]
        ctx.times = times
        return value.clone()

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        if not torch.is_grad_enabled():
            return g, None
        if ctx.times == 1:
            raise RuntimeError(
                "this equilibrium can be differentiated twice, not three times: a second backward was called with "
                "create_graph=True.\nRemedy: UnrolledAdjoint(), or direct layers (Equilibrium.direct)."
            )
        return _Differentiable.apply(g, ctx.times - 1), None
