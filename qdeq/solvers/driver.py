"""The loop that every solver shares: budget, convergence per sample, freezing, best iterate, counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from qdeq.errors import SolverError
from qdeq.solvers.base import CompositeSolver, Problem, Solver, describe
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
    exception: what to do about it is the caller's choice.

    Args:
        solver: The algorithm and its options.
        f: ``f(y, *args)`` on ``[b, *S]``, returning the same shape and dtype, each sample by itself. It is called with
            the b samples still active. It may overwrite ``y``, but neither ``args`` nor what it returned before.
        y0: ``[B, *S]``, first iterate, real floating point.
        args: Tensors ``[B, ...]``, handed to f row by row with their samples.
        trace: Whether to keep the residual at every iterate.

    Returns:
        The solution. A solver that evaluates f once a step spends ``steps + 1`` evaluations on each sample.

    Raises:
        SolverError: ``y0`` or ``args`` cannot be a batch, or f or the solver returned another shape or dtype.
    """
    args = tuple(args)
    if isinstance(solver, CompositeSolver):
        return solver.solve(f, y0, args, trace=trace)
    name = type(solver).__name__
    _check_inputs(name, y0, args)
    batch, shape = y0.shape[0], y0.shape[1:]
    problem = Problem(f, shape, args, name)
    y = y0.detach().reshape(batch, math.prod(shape))
    ledger = _Ledger(y)
    rows = torch.arange(batch, device=y0.device)
    best = torch.cat([y, y.new_full((batch, 3), math.inf)], dim=1)  # of each active sample; see _Ledger
    lost: Tensor | None = None  # samples whose proposed iterate was not finite
    history: list[Tensor] = []
    state = None

    for step in range(solver.max_steps + 1 if batch else 0):
        fy = problem(y)
        residual = torch.linalg.vector_norm(fy - y, dim=1, keepdim=True)
        if lost is not None:
            residual = residual.masked_fill(lost, math.inf)
        size = torch.linalg.vector_norm(fy, dim=1, keepdim=True)
        tolerance = size * solver.rtol + solver.atol
        usable = residual < math.inf  # nor is it NaN
        converged = usable & (residual <= tolerance)
        best = _better(best, y, residual, size, tolerance, converged)
        if trace:
            measured = torch.where(usable, residual, math.inf).squeeze(1)
            history.append(y.new_full((batch,), math.nan).index_copy(0, rows, measured))

        keep = (usable ^ converged).squeeze(1).nonzero().squeeze(1)  # the one host synchronisation of an iteration
        last = step == solver.max_steps or len(keep) == 0
        if last or len(keep) < len(rows):
            # file all active samples, which needs no synchronisation; those that go on are filed again later
            ledger.file(rows, best, usable, converged, step, problem)
        if last:
            break
        if len(keep) < len(rows):
            y, fy, rows, best = (item.index_select(0, keep) for item in (y, fy, rows, best))
            state = _select(state, keep)
            problem.keep(keep)

        if state is None:
            state = _checked_state(name, solver.init(y, fy), len(rows))
        proposed, state = solver.step(problem, state, y, fy)
        _checked_state(name, state, len(rows))
        _check_proposal(name, proposed, y)
        # a lost sample waits at its best iterate until the next synchronisation, so f is never called outside the reals
        lost = (proposed * 0).sum(dim=1, keepdim=True) != 0  # 0 x inf and 0 x NaN are NaN
        y = torch.where(lost, best[:, : y.shape[1]], proposed)

    recorded = None
    if trace:
        recorded = torch.stack(history) if history else y.new_empty((0, batch))
    return ledger.solution(shape, recorded)


class _Ledger:
    """What is known of all samples: the best iterate of each, its residual, how its solve ended, and what it cost.

    An iterate's row holds y, its residual, ``||f(y)||``, and the residual in units of the tolerance: packed into one
    tensor ``[B, N + 3]``, so that keeping, dropping and filing rows is one operation each.
    """

    def __init__(self, y0: Tensor) -> None:
        batch = len(y0)
        self._best = torch.cat([y0, y0.new_full((batch, 3), math.inf)], dim=1)
        self._status = y0.new_full((batch,), Status.NON_FINITE, dtype=torch.int8)
        self._entry = y0.new_zeros(batch, dtype=torch.int64)
        self._spent = [(0, 0, 0)]  # steps, evaluations and Jacobians at each time of filing

    def file(self, rows: Tensor, best: Tensor, usable: Tensor, converged: Tensor, step: int, problem: Problem) -> None:
        """Write what is known of the samples ``rows``."""
        status = torch.where(usable, Status.MAX_STEPS, Status.NON_FINITE).masked_fill(converged, Status.CONVERGED)
        self._best.index_copy_(0, rows, best)
        self._status.index_copy_(0, rows, status.squeeze(1).to(torch.int8))
        self._entry.index_fill_(0, rows, len(self._spent))
        self._spent.append((step, problem.evaluations, problem.jacobians))

    def solution(self, shape: Sequence[int], trace: Tensor | None) -> Solution:
        """Return all of it."""
        value, (residual, size) = self._best[:, :-3], self._best[:, -3:-1].unbind(1)
        relative = torch.where(residual == 0, 0.0, residual / size)
        relative = torch.where(residual.isinf(), torch.inf, relative)
        steps, evaluations, jacobians = torch.tensor(self._spent, device=value.device)[self._entry].unbind(1)
        value = value.reshape(-1, *shape).contiguous()
        return Solution(value, self._status, residual.clone(), relative, steps, evaluations, jacobians, trace=trace)


def _better(best: Tensor, y: Tensor, residual: Tensor, size: Tensor, tolerance: Tensor, converged: Tensor) -> Tensor:
    """Replace the best iterate of each sample that improved; a sample that converged always takes this iterate."""
    # the floor keeps the ratio finite where both tolerances are zero, and then ranks by the residual alone
    ratio = residual / tolerance.clamp_min(torch.finfo(y.dtype).tiny ** 0.5)
    improved = converged | (ratio < best[:, -1:])  # false where the residual is not finite
    return torch.where(improved, torch.cat([y, residual, size, ratio], dim=1), best)


def _select(state: Any, keep: Tensor) -> Any:
    """Keep the rows ``keep`` of every tensor in a NamedTuple."""
    if state is None:
        return None
    return type(state)(*(item.index_select(0, keep) if isinstance(item, Tensor) else item for item in state))


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
        if isinstance(item, Tensor) and (item.ndim == 0 or item.shape[0] != batch):
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
