"""Adjoints by the implicit function theorem: one evaluation of f is recorded, and its cotangent is solved for.

With y* = f(y*; θ), ``dL/dθ = u ∂f/∂θ`` where ``u = g (1 - J)^{-1}``, ``g = dL/dy*`` and ``J = ∂f/∂y`` (Bai et al.,
NeurIPS 2019, theorem 1). Tolerances are relative to g, so that the loss's scale does not matter.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from qdeq.adjoints.base import Adjoint, Report, SolverPath, relative
from qdeq.adjoints.linearised import Linearised
from qdeq.errors import UnsupportedError
from qdeq.functions import Function, flattened
from qdeq.torch_modes import NO_TRANSFORMS

RECORDED_EVALUATION = 1 << 20
"""Number of the evaluation that is recorded for the backward pass; under shots it names a stream of its own."""


class Cotangent(NamedTuple):
    """A solution of ``u (1 - J) = g``.

    Attributes:
        u: ``[B, *S]``.
        residual: ``[B]``, ``||u - uJ - g||_2 / ||g||_2``, 0 where g is 0; None where it was not measured.
        failed: ``[B]`` bool.
    """

    u: Tensor
    residual: Tensor | None
    failed: Tensor


class ImplicitAdjoint(Adjoint):
    """The cotangent of the recorded evaluation solves ``u (1 - J) = g``, exactly or in part.

    Memory does not grow with the solver's steps. A second derivative would have to differentiate y* inside u and J
    too; backward with ``create_graph=True`` is an error.
    """

    falls_back: ClassVar[bool] = True
    """Whether the dense solve is another one, worth trying where this one failed."""

    by_products: ClassVar[bool] = True
    """Whether products with J are all that is wanted of it."""

    @abstractmethod
    def solve(self, at: Linearised, g: Tensor) -> Cotangent:
        """Solve ``u (1 - J) = g``, each sample by itself.

        Args:
            at: f near the equilibrium.
            g: ``[B, *S]``, gradient of the loss in y.
        """

    def connect(
        self, f: Function, y: Tensor, args: tuple[Tensor, ...], path: SolverPath | None, report: Report
    ) -> Tensor:
        """Record one evaluation of f at y; see :meth:`Adjoint.connect`."""
        at = Linearised(f.at_evaluation(RECORDED_EVALUATION), y, args, by_products=self.by_products)

        def backward(g: Tensor) -> Tensor:
            found = self.solve(at, g)
            if self.falls_back and report.on_failure == "fallback":
                found = _densely_where_it_failed(found, at, g)
            usable = flattened(found.u).isfinite().all(dim=1)
            report(found.failed | ~usable, found.residual)
            return torch.where(usable.reshape(-1, *(1,) * (g.dim() - 1)), found.u, 0.0)

        return _ImplicitGradient.apply(at.value, y, backward) if at.trainable else y


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
                "this equilibrium can be differentiated once, not twice: backward was called with create_graph=True.\n"
                "Remedy: Equilibrium(adjoint=DenseAdjoint(order=2)), or UnrolledAdjoint(), has second derivatives."
            )
        try:
            return ctx.backward_solve(g), None, None
        except RuntimeError as error:  # nothing else tells batches of gradients (is_grads_batched, vectorize)
            if "Batching rule" not in str(error):
                raise
            raise UnsupportedError(NO_TRANSFORMS) from error


def solve_densely(at: Linearised, g: Tensor, tolerance: float | None = None) -> Cotangent:
    """Solve ``u (1 - J) = g`` by LU decomposition of the exact matrices; least squares where they are singular.

    Args:
        at: f near the equilibrium.
        g: ``[B, *S]``.
        tolerance: A relative residual above this is a failure; None for the square root of the precision.
    """
    flat = flattened(g)
    system = torch.eye(flat.shape[1], dtype=g.dtype, device=g.device) - at.matrix().mT
    u, info = torch.linalg.solve_ex(system, flat[..., None])
    singular = (info != 0) & system.isfinite().all(dim=(1, 2)) & flat.isfinite().all(dim=1)
    if singular.any():
        u[singular] = torch.linalg.pinv(system[singular]) @ flat[singular][..., None]
    residual = relative((system @ u).squeeze(-1) - flat, flat)
    tolerance = torch.finfo(g.dtype).eps ** 0.5 if tolerance is None else tolerance
    return Cotangent(u.squeeze(-1).reshape(g.shape), residual, ~(residual <= tolerance))


def _densely_where_it_failed(found: Cotangent, at: Linearised, g: Tensor) -> Cotangent:
    if not found.failed.any():
        return found
    dense, rows = solve_densely(at, g), found.failed.nonzero().squeeze(1)
    residual = found.residual
    if residual is not None and dense.residual is not None:
        residual = residual.index_copy(0, rows, dense.residual[rows])
    u = found.u.index_copy(0, rows, dense.u[rows])
    return Cotangent(u, residual, found.failed.index_copy(0, rows, dense.failed[rows]))
