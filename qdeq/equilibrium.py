"""The equilibrium layer: y* = f(y*, x) as a differentiable PyTorch module, for any f."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from qdeq.adjoints import Adjoint, AdjointRecord, DenseAdjoint, SolverPath, UnrolledAdjoint, attach
from qdeq.errors import ConvergenceError, ConvergenceWarning, SolverError, warn
from qdeq.functions import Function, as_function, flattened, refuse_closed_over_batch
from qdeq.jacobians import hutchinson_norm, jacobian, squared_norm
from qdeq.numbers import finite, whole
from qdeq.seeds import Share, draw
from qdeq.solvers import Broyden, CompositeSolver, Naive, Solution, Solver, Status, solve, solve_in_turn
from qdeq.torch_modes import HALVES, own_precision, refuse_tangents
from qdeq.wrappers import GrowingShots

OnFailure = Literal["warn", "raise", "fallback"]

_NO_DERIVATIVE = "its steps leave PyTorch. Use another solver, or another adjoint (dense)"


class Equilibrated(NamedTuple):
    """What an equilibrium layer returns for a batch of B samples; a tuple, so that a module's backward hooks see it.

    Attributes:
        value: ``[B, *S]``, the equilibrium (or the last direct layer's output), differentiable; NaN for a sample of
            which no finite value is known.
        evaluations: ``[B]`` int64, evaluations of f that the forward pass spent on the sample.
        residual: ``[B]``, ``||f(y) - y||_2`` at ``value`` (where shots limited the solve, near it: see
            :class:`~qdeq.solvers.Solution`); None where it was not measured (direct layers in training).
        relative_residual: ``[B]``, the same over ``||f(y)||_2``.
        status: ``[B]`` int8, values of :class:`~qdeq.solvers.Status`; None for direct layers.
        noise: ``[B]``, what shots add to the residual (see :class:`~qdeq.solvers.Solution`); None where f is exact.
        shots: ``[B]`` int64, shots that the forward solve spent on the sample; None where f is exact, or not solved.
        penalty: Mean over the batch of ``||J||_F² / N``, differentiable; None where it was not asked for.
        adjoint: Filled in by the backward pass; None for direct layers.
    """

    value: Tensor
    evaluations: Tensor
    residual: Tensor | None = None
    relative_residual: Tensor | None = None
    status: Tensor | None = None
    noise: Tensor | None = None
    shots: Tensor | None = None
    penalty: Tensor | None = None
    adjoint: AdjointRecord | None = None


class Equilibrium(nn.Module):
    """Solve ``y = f(y, *args)`` for each sample, and differentiate the solution by the implicit function theorem.

    Memory does not grow with the number of solver steps: only one evaluation of f is recorded (but see
    :mod:`qdeq.adjoints` for gradients of other kinds).

    Args:
        solver: The forward solver.
        adjoint: How the solution gets its gradient; the exact dense solve by default.
        on_failure: What happens where a solve fails: ``"warn"`` and use the best iterate, ``"raise"``, or
            ``"fallback"``: forward to the next solver, backward to the dense solve.
        fallback: Solvers that failed samples are tried with, in order, each from y0.
        jacobian_weight: Positive to return the Jacobian penalty in training mode. The caller adds it to the loss.
        jacobian_estimate: The penalty from the exact Jacobian, or from one random vector (Hutchinson).
        fixed_steps: Take exactly so many steps, and ask neither whether the solve has converged nor, where f is
            measured, whether it can. The best iterate is returned.
        first_shots: Where f is measured, shots of a sample's first evaluations, which then grow up to f's own number
            (:class:`~qdeq.solvers.GrowingShots`). By default all evaluations have f's own number.
        shots_growth: Factor by which they grow.

    Raises:
        SolverError: An argument is of another kind or out of range, or two of them do not go together.

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
        first_shots: int | None = None,
        shots_growth: float = 4.0,
    ) -> None:
        super().__init__()
        _check_kinds(solver, adjoint, fallback)
        if on_failure not in get_args(OnFailure):
            raise SolverError(f"on_failure is {on_failure!r}; allowed: {', '.join(get_args(OnFailure))}")
        if jacobian_estimate not in ("exact", "hutchinson"):
            raise SolverError(f"jacobian_estimate is {jacobian_estimate!r}; allowed: exact, hutchinson")
        if finite(jacobian_weight, "jacobian_weight", error=SolverError) < 0:
            raise SolverError(f"jacobian_weight must be at least 0, not {jacobian_weight}")
        for what, number in (("fixed_steps", fixed_steps), ("first_shots", first_shots)):
            if number is not None:
                whole(number, what, 1, error=SolverError)
        if finite(shots_growth, "shots_growth", error=SolverError) <= 1:
            raise SolverError(f"shots_growth is {shots_growth}: the factor by which shots grow is above 1")
        if (on_failure == "fallback") != bool(fallback):
            raise SolverError("on_failure='fallback' and a list of fallback solvers go together")
        if isinstance(solver, CompositeSolver) and fixed_steps is not None:
            raise SolverError(f"{type(solver).__name__} cannot take a fixed number of steps: name one of its solvers")
        if (fallback or isinstance(solver, CompositeSolver)) and isinstance(adjoint, UnrolledAdjoint):
            raise SolverError("an unrolled gradient follows one solver: leave the fallback solvers out, or the adjoint")
        if isinstance(adjoint, UnrolledAdjoint) and solver is not None and not solver.differentiable:
            raise SolverError(f"an unrolled gradient cannot follow {type(solver).__name__}: {_NO_DERIVATIVE}")
        if first_shots is not None and fixed_steps is not None:
            raise SolverError("with fixed_steps nothing is tested that shots could grow by: leave first_shots out")
        if first_shots is not None and isinstance(adjoint, UnrolledAdjoint):
            raise SolverError("an unrolled gradient repeats the solve with f's own shots: leave first_shots out")
        self.fixed_steps, self.first_shots, self.shots_growth = fixed_steps, first_shots, shots_growth
        self.solver = solver or Broyden()
        if fixed_steps is not None:
            self.solver = replace(self.solver, max_steps=fixed_steps, rtol=0.0, atol=0.0)
        self.adjoint = adjoint or DenseAdjoint()
        self.on_failure = on_failure
        self.fallback = tuple(fallback)
        self.jacobian_weight = jacobian_weight
        self.jacobian_estimate = jacobian_estimate

    @own_precision
    def forward(
        self,
        f: Callable[..., Tensor],
        y0: Tensor,
        args: Sequence[Tensor] = (),
        *,
        generator: torch.Generator | None = None,
        share: Share | None = None,
    ) -> Equilibrated:
        """Return the equilibrium of ``f(y, *args)``.

        Args:
            f: Maps ``y [b, *S]`` and the rows of ``args`` to ``[b, *S]``, each sample by itself. Gradients flow to
                ``args`` and to whatever f closes over; not to y0.
            y0: ``[B, *S]``, first iterate.
            args: Tensors with the batch first; a converged sample's rows are left out of later calls.
            generator: Source of the Hutchinson vector.
            share: Which part of a batch these samples are, where processes share it.

        Raises:
            ConvergenceError: A sample failed and ``on_failure`` is ``"raise"``.
        """
        f, args = as_function(f), tuple(args)
        _check_precision(y0, args)
        refuse_tangents((y0, *args))
        solution = self._solve(f, y0, args)
        record = AdjointRecord()
        value, penalty = solution.value, None
        if torch.is_grad_enabled():
            usable = solution.residual.isfinite()
            path = SolverPath(self.solver, y0, solution.best_step, solution.weight)
            value = attach(f, solution.value, args, self.adjoint, self.on_failure, record, usable, path)
            if self.training and self.jacobian_weight > 0:
                rows = tuple(arg[usable] for arg in args)
                probe = None
                if self.jacobian_estimate == "hutchinson":  # drawn for all, so that a sample's is its own
                    probe = draw(torch.randn, y0, generator, share)[usable]
                penalty = self._penalty(f, solution.value[usable], rows, probe)
        return Equilibrated(
            value,
            solution.evaluations,
            solution.residual,
            solution.relative_residual,
            solution.status,
            solution.noise,
            solution.shots,
            penalty,
            record,
        )

    @own_precision
    def direct(self, f: Callable[..., Tensor], y0: Tensor, args: Sequence[Tensor] = (), *, layers: int) -> Equilibrated:
        """Apply f ``layers`` times from y0, recording all of them: the paper's DIRECT, and the warm-up of IMPLICIT.

        In evaluation mode the residual at the output is measured too, which costs one more evaluation. A sample whose
        output is not finite has the value NaN, without a gradient.

        Raises:
            ConvergenceError: There is such a sample, and ``on_failure`` is ``"raise"``.
        """
        f, args = as_function(f), tuple(args)
        _check_precision(y0, args)
        whole(layers, "layers", 1, error=SolverError)
        y = _layers(f, y0, args, layers)
        spent = torch.full((len(y0),), layers, dtype=torch.int64, device=y0.device)
        usable = flattened(y).isfinite().all(dim=1)
        if not usable.all():
            gone = f"{int((~usable).sum())} of {len(y)} samples are not finite after direct layers"
            self._tell(f"{gone}.\nRemedy: {Status.NON_FINITE.remedy}")
            # again without them: in one graph their derivatives, 0 x NaN, would reach the weights that all share
            rows = usable.nonzero().squeeze(1)
            try:
                again = _layers(f, y0[rows], tuple(arg[rows] for arg in args), layers)
            except Exception as error:
                refuse_closed_over_batch(error, len(rows), len(y0))
                raise
            y = torch.full_like(y0, math.nan).index_copy(0, rows, again)
        if self.training:
            return Equilibrated(y, spent)
        measured = solve(Naive(max_steps=0), f, y.detach(), args)  # takes no step: it measures
        return Equilibrated(y, spent, measured.residual, measured.relative_residual, noise=measured.noise)

    def most_evaluations(self, shots: int | None = None) -> int:
        """Return how often a solve evaluates f for a sample at most, where f has so many shots."""
        growths, reached = 0, self.first_shots
        while shots is not None and reached is not None and reached < shots:
            growths, reached = growths + 1, math.ceil(reached * self.shots_growth)
        solvers = (self.solver, *self.fallback)
        members = sum(len(getattr(solver, "members", (solver,))) for solver in solvers)  # shots begin anew with each
        return sum(solver.most_evaluations for solver in solvers) + members * growths

    def as_solved(self, f: Function) -> Function:
        """Return f as the solver is given it: with shots that grow, where that was asked for."""
        return f if self.first_shots is None else GrowingShots(f, self.first_shots, self.shots_growth)

    def _solve(self, f: Function, y0: Tensor, args: tuple[Tensor, ...]) -> Solution:
        if self.fixed_steps is not None:
            solution = solve(self.solver, f, y0, args)
            ended = solution.status.masked_fill(solution.status == Status.MAX_STEPS, Status.FIXED_STEPS)
            return replace(solution, status=ended)
        solution = solve_in_turn((self.solver, *self.fallback), self.as_solved(f), y0, args)
        if not solution.all_converged and solution.failed.any():
            self._tell(solution.summary())
        return solution

    def _tell(self, failure: str) -> None:
        if self.on_failure == "raise":
            raise ConvergenceError(failure)
        warn(failure, ConvergenceWarning)

    def _penalty(self, f: Function, y: Tensor, args: tuple[Tensor, ...], probe: Tensor | None) -> Tensor:
        """Return the mean of ``||J||_F² / N`` at the (constant) equilibrium, as in Bai et al., ICML 2021."""
        if not len(y):
            return y.new_zeros(())
        if probe is None:
            norm = squared_norm(jacobian(f, y, args, create_graph=True))
        else:
            norm = hutchinson_norm(f, y, args, probe=probe, create_graph=True)
        return norm.mean() / y[0].numel()


def _layers(f: Function, y: Tensor, args: tuple[Tensor, ...], layers: int) -> Tensor:
    """Return what f makes of y, applied so many times; under shots each time with new ones."""
    for layer in range(layers):
        # the first numbered evaluation is that of the residual, which is measured afterwards
        y = f.at_evaluation(layer + 2)(y.clone(), *args)  # f may overwrite its argument, or write where y is
    return y.clone()


def _check_precision(y0: Any, args: tuple[Any, ...]) -> None:
    for name, given in (("y0", y0), *((f"args[{number}]", arg) for number, arg in enumerate(args))):
        if isinstance(given, Tensor) and given.dtype in HALVES:
            raise SolverError(
                f"{name} is {str(given.dtype).removeprefix('torch.')}, too coarse for a fixed point.\n"
                "Give it as float32, by .float(); under torch.autocast the layer does that itself."
            )


def _check_kinds(solver: Any, adjoint: Any, fallback: Any) -> None:
    """Refuse names, classes and mappings where objects are wanted."""
    given = [("solver", solver, Solver), ("adjoint", adjoint, Adjoint)]
    given = [item for item in given if item[1] is not None] + [("fallback", item, Solver) for item in fallback]
    for what, item, kind in given:
        if not isinstance(item, kind):
            raise SolverError(
                f"{what}: {item!r} is no {kind.__name__}.\n"
                f"Give an object, such as qdeq.get_{kind.__name__.lower()}(name) makes of a name or a mapping."
            )
