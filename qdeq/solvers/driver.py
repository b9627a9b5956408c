"""Solving with one solver, or with several in turn: the functions that callers use, around the one loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from qdeq.errors import SolverError
from qdeq.functions import as_function
from qdeq.solvers.base import CompositeSolver, Solver, describe
from qdeq.solvers.loop import iterate
from qdeq.solvers.solution import Solution


@torch.no_grad()
def solve(
    solver: Solver,
    f: Callable[..., Tensor],
    y0: Tensor,
    args: Sequence[Tensor] = (),
    *,
    trace: bool = False,
) -> Solution:
    """Find y = f(y, *args) for each sample of a batch, without recording gradients.

    A sample has converged when ``||f(y) - y||_2 <= atol + rtol ||f(y)||_2`` over its own flattened state. It is then
    frozen and leaves the batch, so that its result does not depend on its neighbours. Failure is a status, not an
    exception: what to do about it is the caller's choice. Where f is measured, with noise, a sample is frozen too when
    a step has been taken and its residual cannot be told from that noise; see :mod:`qdeq.solvers.measured`.

    Args:
        solver: The algorithm and its options.
        f: ``f(y, *args)`` on ``[b, *S]``, returning the same shape and dtype, each sample by itself. It is called with
            the b samples still active. It may overwrite ``y``, but not ``args``. A
            :class:`~qdeq.functions.Function` with a number of ``shots`` is measured
            (:class:`~qdeq.solvers.measured.MeasuredProblem`).
        y0: ``[B, *S]``, first iterate, real floating point.
        args: Tensors ``[B, ...]``, handed to f row by row with their samples.
        trace: Whether to keep the residual at every iterate, and the evaluations spent by then.

    Returns:
        The solution. A solver that evaluates f once a step spends ``steps + 1`` evaluations on each sample.

    Raises:
        SolverError: ``y0`` or ``args`` cannot be a batch, f or the solver returned another shape or dtype, or the
            solver raised an exception of its own, which is then the cause. What f raises passes as it is.
    """
    args = tuple(args)
    _check_inputs(type(solver).__name__, y0, args)
    if isinstance(solver, CompositeSolver):
        return solve_in_turn(solver.bound_members(), f, y0, args, trace=trace)
    return iterate(solver, as_function(f), y0, args, trace=trace)


def solve_in_turn(
    solvers: Sequence[Solver],
    f: Callable[..., Tensor],
    y0: Tensor,
    args: Sequence[Tensor] = (),
    *,
    trace: bool = False,
) -> Solution:
    """Solve with the first solver, then from y0 with the next one where that failed, and so on.

    Of two failures, the one with the smaller relative residual is kept.

    Args:
        solvers: At least one; each with its own budget and tolerances.
        f: The function; this and the other arguments are those of :func:`qdeq.solvers.solve`.
        y0: ``[B, *S]``, first iterate of every solver.
        args: Tensors ``[B, ...]``.
        trace: Whether to keep the residuals; those of one solver after those of the other, NaN for samples not tried.

    Returns:
        The solution. Steps, evaluations and Jacobians of a sample are those of all solvers that it was tried with, and
        ``tried`` names them.
    """
    f, args = as_function(f), tuple(args)
    first, *others = solvers
    solution = _attempt(first, f, y0, args, trace)
    for solver in others:
        failed = solution.failed.nonzero().squeeze(1)
        if len(failed) == 0:
            break
        again = _attempt(solver, f, y0[failed], tuple(arg[failed] for arg in args), trace)
        solution = _merge(solution, again, failed)
    return solution


def _attempt(solver: Solver, f: Callable[..., Tensor], y0: Tensor, args: tuple[Tensor, ...], trace: bool) -> Solution:
    """Return one solver's solution, and that it was tried."""
    solution = solve(solver, f, y0, args, trace=trace)
    return replace(solution, tried=solution.tried or ((type(solver).__name__, len(y0)),))


def _merge(first: Solution, again: Solution, rows: Tensor) -> Solution:
    """Put the better of two solves into the rows that were solved again; the work of both counts."""
    better = ~again.failed | (again.relative_residual < first.relative_residual[rows])
    taken, chosen = rows[better], better.nonzero().squeeze(1)

    def put(old: Tensor, new: Tensor) -> Tensor:
        return old.index_copy(0, taken, new[chosen])

    measured: dict[str, Tensor] = {}
    if first.shots is not None and again.shots is not None:
        measured = {name: put(getattr(first, name), getattr(again, name)) for name in ("noise", "weight")}
        measured["shots"] = first.shots.index_add(0, rows, again.shots)
    return replace(
        first,
        value=put(first.value, again.value),
        status=put(first.status, again.status),
        residual=put(first.residual, again.residual),
        relative_residual=put(first.relative_residual, again.relative_residual),
        best_step=put(first.best_step, again.best_step),
        steps=first.steps.index_add(0, rows, again.steps),
        evaluations=first.evaluations.index_add(0, rows, again.evaluations),
        jacobians=first.jacobians.index_add(0, rows, again.jacobians),
        **_traces(first, again, rows),
        **measured,
        tried=first.tried + again.tried,
    )


def _traces(first: Solution, again: Solution, rows: Tensor) -> dict[str, Tensor]:
    """Return the traces of both solves, one after the other; NaN, and 0 evaluations, for samples not solved again."""

    def after(old: Tensor | None, new: Tensor | None, absent: float) -> Tensor:
        assert old is not None
        assert new is not None
        return torch.cat([old, old.new_full((len(new), old.shape[1]), absent).index_copy(1, rows, new)])

    spent = again.trace_evaluations
    if spent is None:
        return {}
    spent = torch.where(spent > 0, spent + first.evaluations[rows], 0)
    return {
        "trace": after(first.trace, again.trace, torch.nan),
        "trace_relative": after(first.trace_relative, again.trace_relative, torch.nan),
        "trace_evaluations": after(first.trace_evaluations, spent, 0),
    }


def _check_inputs(name: str, y0: Tensor, args: tuple[Tensor, ...]) -> None:
    if not (isinstance(y0, Tensor) and y0.ndim > 0 and y0.is_floating_point()):
        found = describe(y0) if isinstance(y0, Tensor) else type(y0).__name__
        raise SolverError(f"{name}: y0 is {found}. It must be a real floating-point tensor with the batch first.")
    if y0.shape[1:].numel() == 0:
        raise SolverError(f"{name}: y0 is {describe(y0)}: a state without entries. Give it at least one a sample.")
    for index, arg in enumerate(args):
        if not (isinstance(arg, Tensor) and arg.ndim > 0 and arg.shape[0] == y0.shape[0]):
            found = describe(arg) if isinstance(arg, Tensor) else type(arg).__name__
            raise SolverError(
                f"{name}: args[{index}] is {found}, but y0 has a batch of {y0.shape[0]}.\n"
                "Pass tensors with the batch first; let f close over anything that samples share."
            )
