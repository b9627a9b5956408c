"""The equilibrium layer: y* = f(y*, x) as a differentiable PyTorch module, for any f."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from qdeq.adjoints import Adjoint, AdjointRecord, DenseAdjoint, attach
from qdeq.errors import ConvergenceError, ConvergenceWarning, SolverError
from qdeq.jacobians import hutchinson_norm, jacobian, squared_norm
from qdeq.solvers import Broyden, Naive, Solution, Solver, Status, solve

OnFailure = Literal["warn", "raise", "fallback"]


@dataclass(frozen=True, eq=False)
class Equilibrated:
    """What an equilibrium layer returns for a batch of B samples.

    Attributes:
        value: ``[B, *S]``, the equilibrium (or the last direct layer's output), differentiable.
        evaluations: ``[B]`` int64, evaluations of f that the forward pass spent on the sample.
        residual: ``[B]``, ``||f(y) - y||_2`` at ``value``; None where it was not measured (direct layers in training).
        relative_residual: ``[B]``, the same over ``||f(y)||_2``.
        status: ``[B]`` int8, values of :class:`~qdeq.solvers.Status`; None for direct layers.
        penalty: Mean over the batch of ``||J||_F² / N``, differentiable; None where it was not asked for.
        adjoint: Filled in by the backward pass; None for direct layers.
    """

    value: Tensor
    evaluations: Tensor
    residual: Tensor | None = None
    relative_residual: Tensor | None = None
    status: Tensor | None = None
    penalty: Tensor | None = None
    adjoint: AdjointRecord | None = None


class Equilibrium(nn.Module):
    """Solve ``y = f(y, *args)`` for each sample, and differentiate the solution by the implicit function theorem.

    Memory does not grow with the number of solver steps: only one evaluation of f is recorded.

    Args:
        solver: The forward solver.
        adjoint: The backward solve; the exact dense one by default.
        on_failure: What happens where the forward solve fails: ``"warn"`` and use the best iterate, ``"raise"``, or
            ``"fallback"`` to the next solver.
        fallback: Solvers that failed samples are tried with, in order, each from y0.
        jacobian_weight: Positive to return the Jacobian penalty in training mode. The caller adds it to the loss.
        jacobian_estimate: The penalty from the exact Jacobian, or from one random vector (Hutchinson).
        fixed_steps: Take exactly so many steps and do not ask whether the solve has converged: under shots no residual
            falls below the sampling error. The iterate with the smallest measured residual is returned.

    Example:
        >>> layer = Equilibrium(Broyden(rtol=1e-6))
        >>> f = lambda y, x: 0.5 * torch.tanh(y) + x
        >>> result = layer(f, torch.zeros(2, 3), (torch.ones(2, 3),))
        >>> bool(result.residual.max() < 1e-5)
        True
    """

    def __init__(
        self,
        solver: Solver | None = None,
        *,
        adjoint: Adjoint | None = None,
        on_failure: OnFailure = "warn",
        fallback: Sequence[Solver] = (),
        jacobian_weight: float = 0.0,
        jacobian_estimate: Literal["exact", "hutchinson"] = "exact",
        fixed_steps: int | None = None,
    ) -> None:
        super().__init__()
        if (on_failure == "fallback") != bool(fallback):
            raise SolverError("on_failure='fallback' and a list of fallback solvers go together")
        self.fixed_steps = fixed_steps
        self.solver = solver or Broyden()
        if fixed_steps is not None:
            self.solver = replace(self.solver, max_steps=fixed_steps, rtol=0.0, atol=0.0)
        self.adjoint = adjoint or DenseAdjoint()
        self.on_failure = on_failure
        self.fallback = tuple(fallback)
        self.jacobian_weight = jacobian_weight
        self.jacobian_estimate = jacobian_estimate

    def forward(
        self,
        f: Callable[..., Tensor],
        y0: Tensor,
        args: Sequence[Tensor] = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Equilibrated:
        """Return the equilibrium of ``f(y, *args)``.

        Args:
            f: Maps ``y [b, *S]`` and the rows of ``args`` to ``[b, *S]``, each sample by itself. Gradients flow to
                ``args`` and to whatever f closes over; not to y0.
            y0: ``[B, *S]``, first iterate.
            args: Tensors with the batch first; a converged sample's rows are left out of later calls.
            generator: Source of the Hutchinson vector.

        Raises:
            ConvergenceError: A sample failed and ``on_failure`` is ``"raise"``.
        """
        args = tuple(args)
        solution = self._solve(f, y0, args)
        record = AdjointRecord()
        value, penalty = solution.value, None
        if torch.is_grad_enabled():
            usable = solution.residual.isfinite()
            value = attach(f, solution.value, args, self.adjoint, self.on_failure, record, usable)
            if self.training and self.jacobian_weight > 0:
                penalty = self._penalty(f, solution.value[usable], tuple(arg[usable] for arg in args), generator)
        return Equilibrated(
            value, solution.evaluations, solution.residual, solution.relative_residual, solution.status, penalty, record
        )

    def direct(self, f: Callable[..., Tensor], y0: Tensor, args: Sequence[Tensor] = (), *, layers: int) -> Equilibrated:
        """Apply f ``layers`` times from y0, recording all of them: the paper's DIRECT, and the warm-up of IMPLICIT.

        In evaluation mode the residual at the output is measured too, which costs one more evaluation.
        """
        args = tuple(args)
        y = y0
        for _ in range(layers):
            y = f(y, *args)
        spent = torch.full((len(y0),), layers, dtype=torch.int64, device=y0.device)
        if self.training:
            return Equilibrated(y, spent)
        with torch.no_grad():
            measured = solve(Naive(max_steps=0), f, y, args)  # takes no step: it measures
        return Equilibrated(y, spent, measured.residual, measured.relative_residual)

    def _solve(self, f: Callable[..., Tensor], y0: Tensor, args: tuple[Tensor, ...]) -> Solution:
        solution = solve(self.solver, f, y0, args)
        if self.fixed_steps is not None:
            ended = solution.status.masked_fill(solution.status == Status.MAX_STEPS, Status.FIXED_STEPS)
            return replace(solution, status=ended)
        for solver in self.fallback:
            failed = (~solution.converged).nonzero().squeeze(1)
            if len(failed) == 0:
                break
            again = solve(solver, f, y0[failed], tuple(arg[failed] for arg in args))
            solution = _merge(solution, again, failed)
        if not solution.all_converged:
            if self.on_failure == "raise":
                raise ConvergenceError(solution.summary())
            warnings.warn(solution.summary(), ConvergenceWarning, stacklevel=3)
        return solution

    def _penalty(
        self, f: Callable[..., Tensor], y: Tensor, args: tuple[Tensor, ...], generator: torch.Generator | None
    ) -> Tensor:
        """Return the mean of ``||J||_F² / N`` at the (constant) equilibrium, as in Bai et al., ICML 2021."""
        if not len(y):
            return y.new_zeros(())
        if self.jacobian_estimate == "exact":
            norm = squared_norm(jacobian(f, y, args, create_graph=True))
        else:
            norm = hutchinson_norm(f, y, args, generator=generator, create_graph=True)
        return norm.mean() / y[0].numel()


def _merge(first: Solution, again: Solution, rows: Tensor) -> Solution:
    """Put the better of two solves into the rows that were solved again; the work of both counts."""
    better = again.converged | (again.relative_residual < first.relative_residual[rows])
    taken, chosen = rows[better], better.nonzero().squeeze(1)

    def put(old: Tensor, new: Tensor) -> Tensor:
        return old.index_copy(0, taken, new[chosen])

    return replace(
        first,
        value=put(first.value, again.value),
        status=put(first.status, again.status),
        residual=put(first.residual, again.residual),
        relative_residual=put(first.relative_residual, again.relative_residual),
        steps=first.steps.index_add(0, rows, again.steps),
        evaluations=first.evaluations.index_add(0, rows, again.evaluations),
        jacobians=first.jacobians.index_add(0, rows, again.jacobians),
    )
