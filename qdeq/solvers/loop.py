"""The loop that every solver shares: budget, convergence per sample, freezing, best iterate, counts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from qdeq.errors import QdeqError, SolverError
from qdeq.functions import Function
from qdeq.solvers.base import Problem, Solver, describe
from qdeq.solvers.measured import MeasuredProblem, problem_of
from qdeq.solvers.outcomes import Outcomes, better, blank, traced
from qdeq.solvers.solution import Solution


def iterate(solver: Solver, f: Function, y0: Tensor, args: tuple[Tensor, ...], *, trace: bool = False) -> Solution:
    """Take steps until every sample has ended; see :func:`qdeq.solvers.solve`, which has checked the arguments."""
    name = type(solver).__name__
    batch, shape = y0.shape[0], y0.shape[1:]
    y = y0.detach().reshape(batch, math.prod(shape))
    problem = problem_of(f, y, shape, args, solver)
    measured = problem if isinstance(problem, MeasuredProblem) else None
    outcomes = Outcomes(y, measured is not None)
    rows = torch.arange(batch, device=y0.device)
    best = blank(y, measured is not None)  # of each active sample
    lost: Tensor | None = None  # samples whose proposed iterate was not finite
    history: list[tuple[Tensor, Tensor, Tensor]] = []
    state = None

    max_steps, rtol, atol = solver.max_steps, solver.rtol, solver.atol  # as they are now, whatever a step does to them
    for step in range(max_steps + 1 if batch else 0):
        fy = problem.at_iterate(y)
        residual = torch.linalg.vector_norm(fy - y, dim=1, keepdim=True)
        if lost is not None:
            residual = residual.masked_fill(lost, math.inf)
        size = torch.linalg.vector_norm(fy, dim=1, keepdim=True)
        residual = torch.where(size < math.inf, residual, size)  # an infinite tolerance would be met by anything
        tolerance = size * rtol + atol
        usable = residual < math.inf  # nor is it NaN
        if measured is None:
            value, converged = y, usable & (residual <= tolerance)
            ended = converged
        else:
            value, converged = measured.estimate(y, fy), usable & measured.converged
            ended = converged | (usable & measured.limited)
        best = better(best, value, step, residual, size, tolerance, ended, measured)
        if trace:
            history.append(traced(batch, rows, residual, size, usable, problem))

        keep = (usable ^ ended).squeeze(1).nonzero().squeeze(1)  # the one host synchronisation of an iteration
        last = step == max_steps or len(keep) == 0
        if last or len(keep) < len(rows):
            # file all active samples, which needs no synchronisation; those that go on are filed again later
            outcomes.file(rows, best, usable, converged, step, problem)
            if measured is not None:
                outcomes.file_measured(rows, ended ^ converged, measured)
        if last:
            break
        if len(keep) < len(rows):
            y, fy, rows, best = (item.index_select(0, keep) for item in (y, fy, rows, best))
            state = select_rows(state, keep)
            problem.keep(keep)

        proposed, state = _advance(solver, problem, state, y, fy)
        _checked_state(name, state, len(rows))
        _check_proposal(name, proposed, y)
        if proposed.device.type == "cpu" and math.isfinite(proposed.sum().item()):  # on the CPU this costs no waiting
            lost, y = None, proposed
            continue
        # a lost sample waits at its best iterate until the next synchronisation, so f is never called outside the reals
        lost = (proposed * 0).sum(dim=1, keepdim=True) != 0  # 0 x inf and 0 x NaN are NaN
        y = torch.where(lost, best[:, : y.shape[1]], proposed)

    solution = outcomes.solution(shape)
    if not trace:
        return solution
    none = y.new_empty((0, batch))  # for an empty batch
    residuals, relative, spent = map(torch.stack, zip(*history, strict=True)) if history else (none, none, none.long())
    return dataclasses.replace(solution, trace=residuals, trace_relative=relative, trace_evaluations=spent)


def select_rows(state: Any, keep: Tensor) -> Any:
    """Keep the rows ``keep`` of every tensor in a NamedTuple, and in those within it."""
    if isinstance(state, Tensor):
        return state.index_select(0, keep)
    if hasattr(state, "_fields"):
        return type(state)(*(select_rows(item, keep) for item in state))
    return state


def _advance(solver: Solver, problem: Problem, state: Any, y: Tensor, fy: Tensor) -> tuple[Tensor, Any]:
    """Return what ``step`` does, after ``init`` where there is no state yet; a solver that raises is named."""
    name = type(solver).__name__
    try:
        if state is None:
            state = _checked_state(name, solver.init(y, fy), len(y))
        proposed, following = solver.step(problem, state, y, fy)
    except Exception as error:
        if isinstance(error, QdeqError) or error is problem.error:
            raise
        raise SolverError(
            f"{name}: {'init' if state is None else 'step'} raised {type(error).__name__}: {error}\n"
            f"The mistake is in the solver ({type(solver).__module__}), not in f: mend it, or use another one."
        ) from error
    return proposed, following


def _checked_state(name: str, state: Any, batch: int) -> Any:
    """Return ``state`` if rows can be dropped from it; one that could not would mix samples up silently."""
    if not (isinstance(state, tuple) and hasattr(state, "_fields")):
        raise SolverError(f"{name}: the state is a {type(state).__name__}. init and step must return a NamedTuple.")
    for field, item in zip(state._fields, state, strict=True):
        if hasattr(item, "_fields"):
            _checked_state(name, item, batch)
        elif isinstance(item, Tensor) and (item.ndim == 0 or item.shape[0] != batch):
            raise SolverError(
                f"{name}: state.{field} is {describe(item)} for a batch of {batch}.\n"
                "Put the batch first in every tensor of the state, or keep plain Python numbers."
            )
    return state


def _check_proposal(name: str, proposed: Any, y: Tensor) -> None:
    if not isinstance(proposed, Tensor) or proposed.shape != y.shape or proposed.dtype != y.dtype:
        found = describe(proposed) if isinstance(proposed, Tensor) else type(proposed).__name__
        raise SolverError(
            f"{name}: step returned {found} for {describe(y)}.\n"
            "The next iterate must have the shape and dtype of the last one: mend the solver's step."
        )
    if proposed.device != y.device:
        raise SolverError(
            f"{name}: step returned an iterate on {proposed.device}, but y is on {y.device}.\n"
            "Make tensors with device=y.device in the solver's step."
        )
