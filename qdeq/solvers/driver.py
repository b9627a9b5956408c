"""The loop that every solver shares: budget, convergence per sample, freezing, best iterate, counts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from qdeq.errors import QdeqError, SolverError
from qdeq.solvers.base import CompositeSolver, Problem, Solver, describe
from qdeq.solvers.measured import CLAIM_Z, MeasuredProblem, problem_of
from qdeq.solvers.solution import Solution, Status


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
    its residual cannot be told from that noise; see :mod:`qdeq.solvers.measured`.

    Args:
        solver: The algorithm and its options.
        f: ``f(y, *args)`` on ``[b, *S]``, returning the same shape and dtype, each sample by itself. It is called with
            the b samples still active. It may overwrite ``y``, but neither ``args`` nor what it returned before. If it
            has a number of ``shots``, it is measured (:class:`~qdeq.solvers.measured.MeasuredProblem`).
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
    if isinstance(solver, CompositeSolver):
        return solver.solve(f, y0, args, trace=trace)
    name = type(solver).__name__
    _check_inputs(name, y0, args)
    batch, shape = y0.shape[0], y0.shape[1:]
    y = y0.detach().reshape(batch, math.prod(shape))
    problem = problem_of(f, y, shape, args, solver)
    measured = problem if isinstance(problem, MeasuredProblem) else None
    ledger = _Ledger(y, measured is not None)
    rows = torch.arange(batch, device=y0.device)
    best = ledger.blank(y)  # of each active sample
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
            converged = ended = usable & (residual <= tolerance)
            best = _better(best, y, residual, size, tolerance, ended)
        else:
            converged, ended = usable & measured.converged, usable & (measured.converged | measured.limited)
            best = _better(best, y, residual, size, tolerance, ended, measured.noise)
        if trace:
            history.append(_measured(batch, rows, residual, size, usable, problem))

        keep = (usable ^ ended).squeeze(1).nonzero().squeeze(1)  # the one host synchronisation of an iteration
        last = step == max_steps or len(keep) == 0
        if last or len(keep) < len(rows):
            # file all active samples, which needs no synchronisation; those that go on are filed again later
            ledger.file(rows, best, usable, converged, step, problem)
            if measured is not None:
                ledger.file_measured(rows, ended ^ converged, measured)
        if last:
            break
        if len(keep) < len(rows):
            y, fy, rows, best = (item.index_select(0, keep) for item in (y, fy, rows, best))
            state = _select(state, keep)
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

    solution = ledger.solution(shape)
    if not trace:
        return solution
    none = y.new_empty((0, batch))  # for an empty batch
    residuals, relative, spent = map(torch.stack, zip(*history, strict=True)) if history else (none, none, none.long())
    return dataclasses.replace(solution, trace=residuals, trace_relative=relative, trace_evaluations=spent)


class _Ledger:
    """What is known of all samples: the best iterate of each, its residual, how its solve ended, and what it cost.

    An iterate's row holds y, its noise where f is measured, its residual, ``||f(y)||``, and the residual in units of
    the tolerance: packed into one tensor ``[B, N + 3]`` or ``[B, N + 4]``, so that keeping, dropping and filing rows is
    one operation each.
    """

    def __init__(self, y0: Tensor, measured: bool) -> None:
        batch, self._size = y0.shape
        self._figures = 4 if measured else 3
        self._best = self.blank(y0)
        self._shots = y0.new_zeros(batch, dtype=torch.int64) if measured else None
        self._status = y0.new_full((batch,), Status.NON_FINITE, dtype=torch.int8)
        self._entry = y0.new_zeros(batch, dtype=torch.int64)
        self._extra = torch.zeros_like(self._entry)
        self._spent = [(0, 0, 0)]  # steps, evaluations and Jacobians at each time of filing

    def blank(self, y0: Tensor) -> Tensor:
        """Return rows of iterates that nothing is known of."""
        return torch.cat([y0, y0.new_full((len(y0), self._figures), math.inf)], dim=1)

    def file(self, rows: Tensor, best: Tensor, usable: Tensor, converged: Tensor, step: int, problem: Problem) -> None:
        """Write what is known of the samples ``rows``."""
        status = torch.where(usable, Status.MAX_STEPS, Status.NON_FINITE).masked_fill(converged, Status.CONVERGED)
        self._best.index_copy_(0, rows, best)
        self._status.index_copy_(0, rows, status.squeeze(1).to(torch.int8))
        self._entry.index_fill_(0, rows, len(self._spent))
        self._spent.append((step, problem.evaluations, problem.jacobians))
        if problem.extra is not None:
            self._extra.index_copy_(0, rows, problem.extra)

    def file_measured(self, rows: Tensor, limited: Tensor, problem: MeasuredProblem) -> None:
        """Add to what was filed which samples ended at the noise, and the shots of all."""
        assert self._shots is not None
        self._shots.index_copy_(0, rows, problem.spent)
        self._status.index_fill_(0, rows[limited.squeeze(1)], Status.NOISE_LIMITED)

    def solution(self, shape: Sequence[int]) -> Solution:
        """Return all of it."""
        value, (residual, size) = self._best[:, : self._size], self._best[:, -3:-1].unbind(1)
        relative = torch.where(residual == 0, 0.0, residual / size)
        relative = torch.where(residual.isinf(), torch.inf, relative)
        steps, evaluations, jacobians = torch.tensor(self._spent, device=value.device)[self._entry].unbind(1)
        value, evaluations = value.reshape(-1, *shape).contiguous(), evaluations + self._extra
        noise = None if self._shots is None else self._best[:, self._size].clone()
        return Solution(
            value,
            self._status,
            residual.clone(),
            relative,
            steps,
            evaluations,
            jacobians,
            noise=noise,
            shots=self._shots,
        )


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


def _measured(
    batch: int, rows: Tensor, residual: Tensor, size: Tensor, usable: Tensor, problem: Problem
) -> tuple[Tensor, Tensor, Tensor]:
    """Return residual, relative residual and evaluations so far of all samples ``[B]``; NaN, NaN and 0 once frozen."""
    relative = torch.where(residual == 0, 0.0, residual / size)
    residual, relative = (torch.where(usable, item, math.inf).squeeze(1) for item in (residual, relative))
    spent = torch.full_like(rows, problem.evaluations) + (0 if problem.extra is None else problem.extra)
    blank = residual.new_full((batch,), math.nan)
    none = rows.new_zeros(batch)
    return blank.index_copy(0, rows, residual), blank.index_copy(0, rows, relative), none.index_copy(0, rows, spent)


def _better(
    best: Tensor,
    y: Tensor,
    residual: Tensor,
    size: Tensor,
    tolerance: Tensor,
    ended: Tensor,
    noise: Tensor | None = None,
) -> Tensor:
    """Replace the best iterate of each sample that improved; a sample that ended well always takes this iterate."""
    # the smallest measured residual would be the luckiest one among those that noise makes equal, or the worst known
    largest = residual if noise is None else residual + CLAIM_Z * noise
    # the floor keeps the ratio finite where both tolerances are zero, and then ranks by the residual alone
    ratio = largest / tolerance.clamp_min(torch.finfo(y.dtype).tiny ** 0.5)
    improved = ended | (ratio < best[:, -1:])  # false where the residual is not finite
    row = (y, residual, size, ratio) if noise is None else (y, noise, residual, size, ratio)
    return torch.where(improved, torch.cat(row, dim=1), best)


def _select(state: Any, keep: Tensor) -> Any:
    """Keep the rows ``keep`` of every tensor in a NamedTuple, and in those within it."""
    if isinstance(state, Tensor):
        return state.index_select(0, keep)
    if hasattr(state, "_fields"):
        return type(state)(*(_select(item, keep) for item in state))
    return state


def _check_inputs(name: str, y0: Tensor, args: tuple[Tensor, ...]) -> None:
    if not (isinstance(y0, Tensor) and y0.ndim > 0 and y0.is_floating_point()):
        found = describe(y0) if isinstance(y0, Tensor) else type(y0).__name__
        raise SolverError(f"{name}: y0 is {found}. It must be a real floating-point tensor with the batch first.")
    for index, arg in enumerate(args):
        if not (isinstance(arg, Tensor) and arg.ndim > 0 and arg.shape[0] == y0.shape[0]):
            found = describe(arg) if isinstance(arg, Tensor) else type(arg).__name__
            raise SolverError(
                f"{name}: args[{index}] is {found}, but y0 has a batch of {y0.shape[0]}.\n"
                "Pass tensors with the batch first; let f close over anything that samples share."
            )


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
