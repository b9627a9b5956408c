"""What a solve knows of each sample: its best iterate and what was found there, how it ended, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from qdeq.solvers.base import Problem
from qdeq.solvers.measured import MeasuredProblem
from qdeq.solvers.solution import Solution, Status


class Outcomes:
    """What is known of all samples.

    An iterate's row holds its value, where f is measured its noise and its weight, its step, its residual,
    ``||f(y)||``, and the residual in units of the tolerance: packed into one tensor ``[B, N + 4]`` or ``[B, N + 6]``,
    so that keeping, dropping and filing rows is one operation each.
    """

    def __init__(self, y0: Tensor, measured: bool) -> None:
        batch, self._size = y0.shape
        self._best = blank(y0, measured)
        self._shots = y0.new_zeros(batch, dtype=torch.int64) if measured else None
        self._status = y0.new_full((batch,), Status.NON_FINITE, dtype=torch.int8)
        self._entry = y0.new_zeros(batch, dtype=torch.int64)
        self._extra = torch.zeros_like(self._entry)
        self._spent = [(0, 0, 0)]  # steps, evaluations and Jacobians at each time of filing

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
        value, (step, residual, size) = self._best[:, : self._size], self._best[:, -4:-1].unbind(1)
        relative = torch.where(residual == 0, 0.0, residual / size)
        relative = torch.where(residual.isinf(), torch.inf, relative)
        steps, evaluations, jacobians = torch.tensor(self._spent, device=value.device)[self._entry].unbind(1)
        # y0 is no answer where f was finite at no iterate: it would pass for one
        value = value.masked_fill(residual.isinf()[:, None], math.nan)
        noise, weight = (None, None) if self._shots is None else self._best[:, -6:-4].clone().unbind(1)
        return Solution(
            value=value.reshape(-1, *shape).contiguous(),
            status=self._status,
            residual=residual.clone(),
            relative_residual=relative,
            steps=steps,
            best_step=step.to(torch.int64),
            evaluations=evaluations + self._extra,
            jacobians=jacobians,
            noise=noise,
            weight=weight,
            shots=self._shots,
        )


def blank(y0: Tensor, measured: bool) -> Tensor:
    """Return rows of iterates that nothing is known of."""
    unknown, start = y0.new_full((len(y0), 3), math.inf), y0.new_zeros((len(y0), 1))
    return torch.cat([y0, unknown[:, :1], start, start, unknown] if measured else [y0, start, unknown], dim=1)


def better(
    best: Tensor,
    y: Tensor,
    step: int,
    residual: Tensor,
    size: Tensor,
    tolerance: Tensor,
    ended: Tensor,
    measured: MeasuredProblem | None,
) -> Tensor:
    """Replace the best iterate of each sample that improved; a sample that ended well always takes this iterate."""
    # the smallest measured residual would be the luckiest one among those that noise makes equal, or the worst known
    largest = residual if measured is None else measured.upper_limit(residual)
    # the floor keeps the ratio finite where both tolerances are zero, and then ranks by the residual alone
    ratio = largest / tolerance.clamp_min(torch.finfo(y.dtype).tiny ** 0.5)
    if measured is not None:
        ratio = ratio.masked_fill(measured.unproven, torch.finfo(y.dtype).max)
    improved = ended | (ratio < best[:, -1:])  # false where the residual is not finite
    row = [torch.full_like(residual, step), residual, size, ratio]
    if measured is not None:
        row = [measured.noise, measured.weight, *row]
    return torch.where(improved, torch.cat([y, *row], dim=1), best)


def traced(
    batch: int, rows: Tensor, residual: Tensor, size: Tensor, usable: Tensor, problem: Problem
) -> tuple[Tensor, Tensor, Tensor]:
    """Return residual, relative residual and evaluations so far of all samples ``[B]``; NaN, NaN and 0 once frozen."""
    relative = torch.where(residual == 0, 0.0, residual / size)
    residual, relative = (torch.where(usable, item, math.inf).squeeze(1) for item in (residual, relative))
    spent = torch.full_like(rows, problem.evaluations) + (0 if problem.extra is None else problem.extra)
    frozen = residual.new_full((batch,), math.nan)
    none = rows.new_zeros(batch)
    return frozen.index_copy(0, rows, residual), frozen.index_copy(0, rows, relative), none.index_copy(0, rows, spent)
