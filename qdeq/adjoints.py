"""The backward solve: ``u (1 - J) = g`` at the equilibrium, by the implicit function theorem.

With y* = f(y*; θ), ``dL/dθ = u ∂f/∂θ`` where ``u = g (1 - J)^{-1}``, ``g = dL/dy*`` and ``J = ∂f/∂y`` (Bai et al.,
NeurIPS 2019, theorem 1). Tolerances are relative to g, so that the loss's scale does not matter.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qdeq.errors import ConvergenceError, ConvergenceWarning
from qdeq.jacobians import jacobian, vjp
from qdeq.solvers import Solver, solve

Function = Any
"""``f(y, *args)``, with a method ``jacobian`` where it has one of its own."""

RECORDED_EVALUATION = 1 << 20
"""Number of the evaluation that is recorded for the backward pass; under shots it names a stream of its own."""


@dataclass
class AdjointRecord:
    """What the backward pass of one solve reports; empty until it has run.

    Attributes:
        residual: ``[B]``, ``||u - uJ - g||_2 / ||g||_2`` (0 where g is 0).
        failed: ``[B]`` bool, where the backward solve did not reach its tolerance.
    """

    residual: Tensor | None = None
    failed: Tensor | None = None


class Adjoint(ABC):
    """How the backward linear system is solved."""

    @abstractmethod
    def solve(self, f: Function, y: Tensor, args: tuple[Tensor, ...], g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Solve ``u (1 - J) = g``.

        Args:
            f: ``f(y, *args)`` on ``[B, *S]``.
            y: ``[B, *S]``, the equilibrium.
            args: Tensors with the batch first.
            g: ``[B, *S]``, gradient of the loss in y.

        Returns:
            u ``[B, *S]``, its relative residual ``[B]``, and ``[B]`` bool, where the solve failed.
        """


@dataclass(frozen=True)
class DenseAdjoint(Adjoint):
    """The exact Jacobian and one N x N linear solve per sample; where ``1 - J`` is singular, least squares.

    Args:
        tolerance: A relative residual above this is a failure; None for the square root of the precision.
    """

    tolerance: float | None = None

    def solve(self, f: Function, y: Tensor, args: tuple[Tensor, ...], g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Solve by LU decomposition; see :meth:`Adjoint.solve`."""
        flat = g.flatten(1)
        matrix = jacobian(f, y, args).mT
        system = torch.eye(flat.shape[1], dtype=g.dtype, device=g.device) - matrix
        u, info = torch.linalg.solve_ex(system, flat[..., None])
        singular = (info != 0) & system.isfinite().all(dim=(1, 2)) & flat.isfinite().all(dim=1)
        if singular.any():
            u[singular] = torch.linalg.pinv(system[singular]) @ flat[singular][..., None]
        residual = _relative((system @ u).squeeze(-1) - flat, flat)
        tolerance = torch.finfo(g.dtype).eps ** 0.5 if self.tolerance is None else self.tolerance
        return u.squeeze(-1).reshape(g.shape), residual, ~(residual <= tolerance)


@dataclass(frozen=True)
class IterativeAdjoint(Adjoint):
    """Any fixed-point solver on ``u = uJ + g``, one vector-Jacobian product an evaluation.

    Args:
        solver: Its tolerances apply to ``u / ||g||``, sample by sample.
    """

    solver: Solver

    def solve(self, f: Function, y: Tensor, args: tuple[Tensor, ...], g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Solve by iteration; see :meth:`Adjoint.solve`."""
        size = torch.linalg.vector_norm(g.flatten(1), dim=1)
        scale = torch.where(size > 0, size, 1.0).reshape(-1, *(1,) * (g.dim() - 1))

        def adjoint_map(u: Tensor, point: Tensor, unit: Tensor, *rest: Tensor) -> Tensor:
            return vjp(f, point, u, rest) + unit

        solution = solve(self.solver, adjoint_map, g / scale, (y, g / scale, *args))
        return solution.value * scale, solution.residual * (size > 0), ~solution.converged


def _relative(difference: Tensor, reference: Tensor) -> Tensor:
    size = torch.linalg.vector_norm(reference, dim=1)
    return torch.linalg.vector_norm(difference, dim=1) / torch.where(size > 0, size, 1.0)


class _ImplicitGradient(torch.autograd.Function):
    """Forward: y*. Backward: hands u to ``f(y*)``, whose graph leads to the weights and to f's other arguments."""

    @staticmethod
    def forward(ctx, value, y, backward):  # type: ignore[no-untyped-def]
        ctx.backward_solve = backward
        return y.clone()

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # create_graph=True: a second derivative would silently miss dy*/dθ
            raise RuntimeError(
                "an equilibrium can be differentiated once, not twice: backward was called with create_graph=True.\n"
                "Remedy: differentiate direct layers (Equilibrium.direct) where a second derivative is needed."
            )
        return ctx.backward_solve(g), None, None


def attach(
    f: Function,
    y: Tensor,
    args: tuple[Tensor, ...],
    adjoint: Adjoint,
    on_failure: str,
    record: AdjointRecord,
    usable: Tensor | None = None,
) -> Tensor:
    """Return the equilibrium y with the gradient of the implicit function theorem attached.

    Args:
        f: The function; one more evaluation of it, with its graph, is made here.
        y: ``[B, *S]``, the equilibrium, without a graph.
        args: f's other arguments.
        adjoint: The backward solve.
        on_failure: ``"raise"`` raises where the backward solve fails; anything else warns.
        record: Filled in by the backward pass.
        usable: ``[B]`` bool, where f is finite at y; all samples by default. The others get no gradient and count as
            failed, so that a NaN does not spread to the weights that all samples share.
    """
    if hasattr(f, "at_evaluation"):
        f = f.at_evaluation(RECORDED_EVALUATION)
    rows = slice(None) if usable is None or usable.all() else usable.nonzero().squeeze(1)
    at, rest = y.detach()[rows], tuple(arg[rows] for arg in args)
    if len(y) and not len(at):
        return y

    def backward(g: Tensor) -> Tensor:
        u, residual, failed = adjoint.solve(f, at, rest, g[rows])
        record.residual = g.new_full((len(y),), math.inf)
        record.failed = torch.ones_like(record.residual, dtype=torch.bool)
        record.residual[rows], record.failed[rows] = residual, failed
        if record.failed.any():
            count = int(record.failed.sum())
            worst = float(record.residual.nan_to_num(nan=math.inf, posinf=math.inf).max())
            message = (
                f"the backward solve failed for {count} of {len(y)} samples (worst relative residual {worst:.2g}).\n"
                "Remedy: regularise the Jacobian (training.jacobian_weight), or lower the learning rate."
            )
            if on_failure == "raise":
                raise ConvergenceError(message)
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return u

    with torch.enable_grad():
        value = f(at, *rest)
    return _ImplicitGradient.apply(value, y.detach(), backward) if value.requires_grad else y
