"""One solver on a subject: the solve that the experiment asks for, and one that goes on to the smallest tolerance."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from qdeq.solvers import Solution, Solver, Status, solve
from qdeq.study.result import Curve, Reached, Solve, Spread
from qdeq.study.subject import Subject
from qdeq.training.metrics import finite

BAND = (0.25, 0.75)
"""Quantiles of the residual over the samples that the curve's band lies between."""

REPEATS, TIME_LIMIT = 5, 1.0
"""A solve is timed so often, unless the repetitions pass the limit [s] together."""


def measure(subject: Subject, solver: Solver, tolerances: Sequence[float]) -> tuple[Solve, tuple[Reached, ...], Curve]:
    """Measure a solver.

    Args:
        subject: f, its samples and y0.
        solver: With the experiment's tolerance.
        tolerances: Relative residuals to count evaluations to.
    """
    finest = dataclasses.replace(solver, rtol=min(tolerances), atol=0.0)
    residuals = residual_by_evaluations(solve(finest, subject.f, subject.y0, subject.rows, trace=True))
    solution, seconds = _timed(subject, solver)
    reached = tuple(_reached(residuals, tolerance) for tolerance in tolerances)
    return _summary(solution, seconds), reached, _curve(residuals)


def residual_by_evaluations(solution: Solution) -> Tensor:
    """Return the best relative residual of each sample after 1, 2, ..., E evaluations ``[E, B]``; inf before the first.

    Args:
        solution: Of a traced solve.
    """
    assert solution.trace_relative is not None
    assert solution.trace_evaluations is not None
    relative = solution.trace_relative.nan_to_num(nan=math.inf, posinf=math.inf)
    spent = int(solution.trace_evaluations.max())
    found = relative.new_full((spent, relative.shape[1]), math.inf)
    found.scatter_reduce_(0, (solution.trace_evaluations - 1).clamp_min(0), relative, "amin")
    return found.cummin(dim=0).values


def quantile(values: Tensor, share: float) -> Tensor:
    """Return the smallest value that at least a ``share`` of ``values [..., B]`` does not exceed; inf sorts last."""
    rank = max(math.ceil(share * values.shape[-1] - 1e-9), 1)
    return values.sort(dim=-1).values[..., rank - 1]


def _timed(subject: Subject, solver: Solver) -> tuple[Solution, float]:
    seconds: list[float] = []
    while len(seconds) < REPEATS and sum(seconds) < TIME_LIMIT:
        begin = time.perf_counter()
        solution = solve(solver, subject.f, subject.y0, subject.rows)
        solution.status.tolist()  # waits for a GPU
        seconds.append(time.perf_counter() - begin)
    return solution, statistics.median(seconds)


def _summary(solution: Solution, seconds: float) -> Solve:
    evaluations = solution.evaluations
    failures = {status.name.lower(): number for status, number in solution.counts().items() if status.failed and number}
    return Solve(
        converged=int(solution.converged.sum()),
        failures=failures,
        evaluations=Spread(
            evaluations.double().mean().item(),
            int(quantile(evaluations, 0.5)),
            int(quantile(evaluations, 0.95)),
            int(evaluations.max()),
        ),
        jacobians=solution.jacobians.double().mean().item(),
        residual=finite(solution.relative_residual.max().item()),
        seconds=seconds,
        arrivals=tuple(evaluations[solution.status == Status.CONVERGED].sort().values.tolist()),
    )


def _reached(residuals: Tensor, tolerance: float) -> Reached:
    """Count the evaluations after which a sample's residual was within the tolerance for the first time."""
    within = residuals <= tolerance
    first = torch.where(within.any(dim=0), within.int().argmax(dim=0) + 1.0, math.inf)
    half, most = (quantile(first, share).item() for share in (0.5, 0.95))
    share = within.any(dim=0).double().mean().item()
    return Reached(tolerance, share, *(int(value) if math.isfinite(value) else None for value in (half, most)))


def _curve(residuals: Tensor) -> Curve:
    low, median, high = (
        tuple(finite(value) for value in quantile(residuals, share).tolist()) for share in (BAND[0], 0.5, BAND[1])
    )
    return Curve(tuple(range(1, len(residuals) + 1)), low, median, high)
