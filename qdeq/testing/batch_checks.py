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
"""Budget of these solves: most of what couples samples does so from the first steps."""
LATE = 60
"""Budget where rounding does not grow from step to step: enough for what couples samples at a restart, or later."""
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
    together = subject.solve(instance, max_steps=LATE if problem.name == "slow-contraction" else STEPS)
    back = subject.solve(instance.rows(everyone[::-1]), max_steps=together.max_steps)
    _same(subject, "in a batch and in its reverse", back, together, everyone[::-1])
    _same_alone(subject, together)


def _same_alone(subject: SolverSubject, together: Solve) -> None:
    """Compare the first, the middle and the last sample with what they are alone."""
    last = len(together.instance.y0) - 1
    for sample in sorted({0, last // 2, last}):
        alone = subject.solve(together.instance.rows([sample]), max_steps=together.max_steps)
        _same(subject, f"of sample {sample}, alone and in the batch,", alone, together, [sample])


def _poisoned(y: Tensor, rate: Tensor, poison: Tensor, edge: Tensor, bend: Tensor) -> Tensor:
    """Return ``r y + 1 + c``, NaN beyond an edge, with a square that overflows."""
    beyond = torch.where((y > edge[:, None]).any(1, keepdim=True), math.nan, 0.0)
    return rate[:, None] * y + 1 + poison[:, None] + bend[:, None] * y * y + beyond


CONTRACTIONS = (0.8, -0.7, 0.3, 0.6, -0.2, 0.1, 0.5, 0.5)
"""Rates r of the samples that have to be left as they are."""
FAR = (1e3, -1e6, 1e12, 1e30, -1e70, 1e140)
"""Sums 1 + c of contractions whose iterates are that large from the first step on, whatever a solver does: what goes by
the batch's largest or mean number, or overflows with it, shows beside them."""
GROWING = (-3.0, 1e6)
"""Rates at which plain iteration diverges."""
NOT_FINITE = (1, 3)
"""The samples of which f is not finite at y0."""


def _mixture() -> tuple[Instance, list[int]]:
    """Return contractions with bad samples among them, and the places of the contractions.

    The bad ones are NaN, inf, NaN after a few steps, overflow, lie far out, or grow.
    """
    bad = [(0.5, math.nan, math.inf, 0.0), (0.5, math.inf, math.inf, 0.0), (0.5, 0.0, 1.6, 0.0)]
    bad += [(0.5, 0.0, math.inf, 1e200)]
    bad += [(0.5, total, math.inf, 0.0) for total in FAR] + [(rate, 0.0, math.inf, 0.0) for rate in GROWING]
    rows: list[tuple[float, ...]] = []
    good = []
    for place, other in enumerate(bad):
        if place < len(CONTRACTIONS):
            good.append(len(rows))
            rows.append((CONTRACTIONS[place], 0.0, math.inf, 0.0))
        rows.append(other)
    rates, poison, edge, bend = torch.tensor(rows, dtype=torch.float64).T
    y0 = torch.zeros(len(rows), 3, dtype=torch.float64)
    roots = ((1 + poison) / (1 - rates))[:, None, None].expand(-1, 1, 3)
    return Instance(as_function(_poisoned), y0, (rates, poison, edge, bend), roots, 10.0), good


@check(
    "isolation", lambda subject: {"contractions with NaN, inf, an overflow and numbers up to 1e140 among them": None}
)
def isolation(subject: SolverSubject, case: None) -> None:
    """Samples that are not finite, become so, or are huge, are told apart, and leave all others as they are alone."""
    instance, good = _mixture()
    without = subject.solve(instance.rows(good), max_steps=LATE)
    try:
        _same_alone(subject, without)
    except Mismatch as coupled:
        raise NotTried("batch-independence") from coupled
    together = believed(subject.solve(instance, max_steps=LATE))
    _same(subject, "without and with bad samples in the batch", without, together, good)
    for sample in NOT_FINITE:
        if together.solution.status[sample] != Status.NON_FINITE:
            found = STATUSES[int(together.solution.status[sample])].name
            raise Mismatch(f"sample {sample}, of which f is not finite, is not named", "NON_FINITE", found)
