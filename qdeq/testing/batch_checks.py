"""Checks that no sample's result depends on another's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from qdeq.functions import as_function
from qdeq.solvers import Status
from qdeq.testing.comparison import Mismatch
from qdeq.testing.honesty import STATUSES, believed
from qdeq.testing.problems import PROBLEMS, FixedPointProblem, Instance
from qdeq.testing.solver_harness import check
from qdeq.testing.solver_subject import NotTried, Solve, SolverSubject

STEPS = 12
"""Budget of these solves: what couples samples does so from the first steps."""
ROUNDING = 1e-8
"""How far two solves of one sample may be apart, relative to its size, where their bits differ (linear algebra by
another routine, on an accelerator): rounding of 1e-16, amplified by least-squares problems."""


def _same(subject: SolverSubject, what: str, alone: Solve, together: Solve, rows: list[int]) -> None:
    """Compare the solve ``alone`` with the samples ``rows`` of another."""
    first, second = alone.solution, together.solution
    sizes = first.value.abs().amax(1, keepdim=True).clamp_min(1.0)
    subject.compare(f"the values {what}", first.value / sizes, second.value[rows] / sizes, ROUNDING)
    for name in ("status", "steps", "evaluations"):
        here, there = getattr(first, name), getattr(second, name)[rows]
        if not torch.equal(here, there):
            raise Mismatch(f"{name} {what} differ", here, there)


@check("batch-independence", lambda subject: {problem.name: problem for problem in PROBLEMS})
def batch_independence(subject: SolverSubject, problem: FixedPointProblem) -> None:
    """Every sample alone has the result that it has in a batch, in any order."""
    if subject.solved(problem).witness.non_finite:
        raise NotTried("isolation")
    instance = problem.make()
    everyone = list(range(len(instance.y0)))
    together = subject.solve(instance, max_steps=STEPS)
    back = subject.solve(instance.rows(everyone[::-1]), max_steps=STEPS)
    _same(subject, "in a batch and in its reverse", back, together, everyone[::-1])
    _same_alone(subject, together)


def _same_alone(subject: SolverSubject, together: Solve) -> None:
    """Compare the first, the middle and the last sample with what they are alone."""
    last = len(together.instance.y0) - 1
    for sample in sorted({0, last // 2, last}):
        alone = subject.solve(together.instance.rows([sample]), max_steps=STEPS)
        _same(subject, f"of sample {sample}, alone and in the batch,", alone, together, [sample])


def _poisoned(y: Tensor, rate: Tensor, poison: Tensor, edge: Tensor, bend: Tensor) -> Tensor:
    """Return ``r y + 1 + c``, NaN beyond an edge, with a term of its own that overflows."""
    beyond = torch.where((y > edge[:, None]).any(1, keepdim=True), math.nan, 0.0)
    return rate[:, None] * y + 1 + poison[:, None] + bend[:, None] * y * y + beyond


GOOD, BAD = 8, 4


def _mixture() -> Instance:
    """Return contractions at even places, and at odd ones NaN, inf, NaN after a few steps, and an overflow."""
    rates, poison = torch.zeros(GOOD + BAD, dtype=torch.float64), torch.zeros(GOOD + BAD, dtype=torch.float64)
    edge, bend = torch.full_like(rates, math.inf), torch.zeros_like(rates)
    rates[:] = 0.5
    rates[:-1:2] = torch.tensor([0.8, -0.7, 0.3, 0.6, -0.2, 0.1])[: len(rates[:-1:2])]
    poison[1], poison[3] = math.nan, math.inf
    edge[5], bend[7] = 1.6, 1e200
    y0 = torch.zeros(GOOD + BAD, 3, dtype=torch.float64)
    roots = (1 / (1 - rates))[:, None, None].expand(-1, 1, 3)
    return Instance(as_function(_poisoned), y0, (rates, poison, edge, bend), roots, 10.0)


@check("isolation", lambda subject: {"eight contractions with NaN, inf, a late NaN and an overflow among them": None})
def isolation(subject: SolverSubject, case: None) -> None:
    """Samples that are not finite, or become so, are named, and leave all others as they are without them."""
    instance, bad = _mixture(), [1, 3, 5, 7]
    good = [sample for sample in range(GOOD + BAD) if sample not in bad]
    without = subject.solve(instance.rows(good), max_steps=STEPS)
    try:
        _same_alone(subject, without)
    except Mismatch as coupled:
        raise NotTried("batch-independence") from coupled
    together = believed(subject.solve(instance, max_steps=STEPS))
    _same(subject, "without and with bad samples in the batch", without, together, good)
    for sample in (1, 3):
        if together.solution.status[sample] != Status.NON_FINITE:
            found = STATUSES[int(together.solution.status[sample])].name
            raise Mismatch(f"sample {sample}, of which f is not finite, is not named", "NON_FINITE", found)
    if not bool(together.solution.value.isfinite().all()):
        raise Mismatch("a value is not finite", "the best finite iterate", together.solution.value)
