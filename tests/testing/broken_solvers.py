"""A right solver, small; and one solver for each mistake, or lie, that the kit has to find."""

from __future__ import annotations

import dataclasses
import os
import random
import warnings
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.functions import as_function
from qdeq.solvers import SOLVER_CONFIG, CompositeSolver, Newton, Solver

options = dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)


class State(NamedTuple):
    """The number of steps taken, and whatever else a broken one keeps."""

    steps: Tensor
    kept: Any = None


@options
class Good(Solver):
    """Plain iteration with a damped first step."""

    damping: Annotated[float, Field(gt=0, le=1, description="Share of the first step that is taken.")] = 0.5

    def init(self, y0, f0):
        return State(torch.zeros_like(y0[:, :1]))

    def step(self, problem, state, y, fy):
        share = torch.where(state.steps == 0, self.damping, 1.0).to(y)
        return self.propose(problem, state, y, y + share * (fy - y)), self.following(state)

    def propose(self, problem, state, y, proposed):
        """Return the next iterate; a broken solver returns another."""
        return proposed

    def following(self, state):
        return state._replace(steps=state.steps + 1)


@options
class GoodWithMore(Good):
    """Two steps in one, counted and declared."""

    @property
    def evaluations_per_step(self):
        return 2

    def propose(self, problem, state, y, proposed):
        return problem(proposed)


# -- counts and budget ------------------------------------------------------------------------------------------------


@options
class CallsBehindTheCount(Good):
    def propose(self, problem, state, y, proposed):
        return problem._f(proposed, *problem._args)


@options
class OneCallTooFew(GoodWithMore):
    """Off by one: a call that it takes back from the count."""

    def propose(self, problem, state, y, proposed):
        proposed = problem(proposed)
        problem.evaluations -= 1
        return proposed


@options
class OneCallTooMany(GoodWithMore):
    def propose(self, problem, state, y, proposed):
        problem.evaluations += 1
        return proposed


@options
class ManyStepsInOne(Good):
    """Ignores the budget: what it does in a step is a solve."""

    def propose(self, problem, state, y, proposed):
        for _ in range(4):
            proposed = problem(proposed)
        return proposed


@options
class EvaluatesTheFrozen(Good):
    """Keeps all rows and all arguments, and evaluates them all, in every step; counted, and declared."""

    @property
    def evaluations_per_step(self):
        return 2

    def step(self, problem, state, y, fy):
        proposed, following = super().step(problem, state, y, fy)
        everything = state.kept or Everything(y.clone(), problem._args)
        problem.evaluations += 1
        problem._f(everything.y, *everything.args)
        return proposed, following._replace(kept=everything)


@dataclasses.dataclass
class Everything:
    y: Tensor
    args: tuple[Tensor, ...]


# -- lies about the result --------------------------------------------------------------------------------------------


@options
class FalseConvergence(Good):
    """Puts an f with a small residual in the place of the right one."""

    def propose(self, problem, state, y, proposed):
        if not hasattr(problem, "right"):
            right = problem.right = problem._f
            problem._f = as_function(lambda y, *args: y + 1e-15 * (right(y.clone(), *args) - y))
        return proposed


@options
class LoosensTheTolerance(Good):
    """Thinks that it knows better what is close enough; only where the tolerance is tight."""

    def __post_init__(self):
        if 0 < self.rtol <= 1e-6:
            object.__setattr__(self, "rtol", 1e-2)


@options
class DeclaresTooLittle(CompositeSolver):
    """Made of two others, each with the whole budget, and declares that of one."""

    @property
    def members(self):
        return Good(damping=0.5, max_steps=self.max_steps), Good(damping=0.7, max_steps=self.max_steps)

    @property
    def most_steps(self):
        return self.max_steps


@options
class GivesUp(Good):
    def propose(self, problem, state, y, proposed):
        return torch.where(state.steps < 2, proposed, y)


# -- other samples ----------------------------------------------------------------------------------------------------


@options
class BatchCoupledNorm(Good):
    """One step length for the whole batch, from the norm of all its residuals."""

    def propose(self, problem, state, y, proposed):
        move = proposed - y
        return y + move / (1 + 0.1 * torch.linalg.vector_norm(move))


@options
class RowsOfOthers(Good):
    """Keeps the last iterates in a list, from which frozen samples are not dropped; takes as many as there are."""

    def propose(self, problem, state, y, proposed):
        before = state.kept[-1][: len(y)] if state.kept else y
        return proposed + 0.01 * (y - before)

    def step(self, problem, state, y, fy):
        proposed, following = super().step(problem, state, y, fy)
        return proposed, following._replace(kept=[y])


@options
class NaNLeak(GoodWithMore):
    """Where the second step is not finite for one sample, none takes it."""

    def propose(self, problem, state, y, proposed):
        second = problem(proposed)
        return second if second.isfinite().all() else proposed


@options
class OverflowLeak(Good):
    """Adds zero times the exponential of the batch's largest number: NaN for all, once one of them is beyond 709."""

    def propose(self, problem, state, y, proposed):
        return proposed + 0 * torch.exp(proposed.abs().amax())


@options
class OverflowLeakOfNewton(Newton):
    """The same where no iterate grows: what is large lies far out."""

    def step(self, problem, state, y, fy):
        proposed, following = super().step(problem, state, y, fy)
        return proposed + 0 * torch.exp(fy.abs().amax()), following


@options
class CubesOfAll(Good):
    """The mean of third powers over the batch overflows from 1e103 on."""

    def propose(self, problem, state, y, proposed):
        return proposed + 0 * (proposed**3).mean()


@options
class CouplesLate(Good):
    """Draws the samples together a little, in the twentieth step."""

    def propose(self, problem, state, y, proposed):
        late = (state.steps == 20).to(y)
        return proposed + late * 1e-3 * (proposed.mean() - proposed)


# -- the object -------------------------------------------------------------------------------------------------------


@options
class ChangesItsArguments(Good):
    def step(self, problem, state, y, fy):
        proposed, following = super().step(problem, state, y.clone(), fy)
        y.copy_(proposed)
        return proposed, following


@options
class ChangesItsState(Good):
    def following(self, state):
        return state._replace(steps=state.steps.add_(1))


@options
class RemembersItsLastSolve(Good):
    """Each solve with the same object takes a shorter first step."""

    def init(self, y0, f0):
        count = getattr(self, "_solves", 0)
        object.__setattr__(self, "_solves", count + 1)
        return State(torch.zeros_like(y0[:, :1]), count)

    def propose(self, problem, state, y, proposed):
        return torch.where(state.steps == 0, y + (proposed - y) / (1 + state.kept), proposed)


@options
class DrawsAtRandom(Good):
    def propose(self, problem, state, y, proposed):
        return proposed + 0.0 * torch.rand_like(y)


@options
class DrawsFromRandom(Good):
    def propose(self, problem, state, y, proposed):
        return proposed + 0.0 * random.random()


@options
class DrawsFromNumPy(Good):
    def propose(self, problem, state, y, proposed):
        return proposed + 0.0 * np.random.normal()


@options
class SeedsAtStart(Good):
    """Every draw after a solve repeats."""

    def init(self, y0, f0):
        torch.manual_seed(0)
        return super().init(y0, f0)


@options
class SeedsInEveryStep(Good):
    def propose(self, problem, state, y, proposed):
        torch.manual_seed(1234)
        return proposed


@options
class SeedsWhenMade(Good):
    def __post_init__(self):
        np.random.seed(0)


_CHANGES = {
    "default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "grad_mode": lambda: torch.set_grad_enabled(True),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "deterministic": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "warnings": lambda: warnings.simplefilter("ignore"),
    "numpy_errors": lambda: np.seterr(all="ignore"),
    "environment": lambda: os.environ.update(OMP_NUM_THREADS="1", QDEQ_NO_SUCH_VARIABLE="1"),
    "matmul": lambda: torch.set_float32_matmul_precision("medium"),
}
"""What solvers do to make themselves at home."""


def _changing(name):
    class Changes(Good):
        def init(self, y0, f0):
            _CHANGES[name]()
            return super().init(y0, f0)

    Changes.__name__ = Changes.__qualname__ = f"Changes_{name}"
    return options(Changes)


CHANGING = [_changing(name) for name in _CHANGES]

_SEEN = set()


@options
class RemembersShapes(Good):
    """Starts otherwise where any solve in this process has had a state of that length before."""

    def init(self, y0, f0):
        seen = y0.shape[1] in _SEEN
        _SEEN.add(y0.shape[1])
        return State(torch.zeros_like(y0[:, :1]), seen)

    def propose(self, problem, state, y, proposed):
        return torch.where(state.steps == 0, y + (proposed - y) / (1 + state.kept), proposed)


@options
class ExtendsItsBudget(Good):
    def propose(self, problem, state, y, proposed):
        object.__setattr__(self, "max_steps", 300)
        return proposed


@options
class AlwaysDouble(Good):
    def propose(self, problem, state, y, proposed):
        return proposed.double()


@options
class RoundsToSingle(Good):
    def propose(self, problem, state, y, proposed):
        return proposed.float().to(y.dtype)


@options
class CoarseState(Good):
    def init(self, y0, f0):
        return State(torch.zeros_like(y0[:, :1]), y0.half())


@options
class TensorsOnTheHost(Good):
    def propose(self, problem, state, y, proposed):
        return proposed * torch.ones(y.shape[1], dtype=y.dtype)


@options
class StateOnTheHost(Good):
    def init(self, y0, f0):
        return State(torch.zeros(len(y0), 1, dtype=y0.dtype))


@options
class ReadsByNumPy(Good):
    def propose(self, problem, state, y, proposed):
        return torch.as_tensor(proposed.numpy() * 1.0, dtype=y.dtype, device=y.device)


# -- exceptions -------------------------------------------------------------------------------------------------------


@options
class SqueezesOneAway(Good):
    """Loses the batch where it is one sample."""

    def propose(self, problem, state, y, proposed):
        return proposed.squeeze()


@options
class RaisesWhereSingular(Good):
    """A linear solver that raises for the whole batch where one system is singular."""

    def propose(self, problem, state, y, proposed):
        slope = ((proposed - y).abs() == 1).all(1)
        if slope.any():
            raise torch.linalg.LinAlgError("the matrix is singular")
        return proposed


@options
class WrongShape(Good):
    def propose(self, problem, state, y, proposed):
        return torch.cat([proposed, proposed], dim=1)


@options
class NoNamedTuple(Good):
    def init(self, y0, f0):
        return [torch.zeros_like(y0)]


# -- options ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="ignore"))
class SwallowsOptions(Good):
    """Ignores what it does not know, as pydantic does by default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class UncheckedOptions(Good):
    """The standard library's dataclass checks nothing."""

    memory: Annotated[int, Field(ge=1, description="Unused.")] = 1


@options
class UndescribedOption(Good):
    memory: int = 1


@options
class RaisesItsTolerance(Good):
    """Sets another tolerance than it was given."""

    def __post_init__(self):
        object.__setattr__(self, "atol", max(self.atol, 1e-12))


@options
class NotToBeSaved(Good):
    memory: Annotated[Any, Field(description="Anything, a tensor by default.")] = Field(
        default_factory=lambda: torch.ones(2)
    )


BROKEN = {
    CallsBehindTheCount: "counts",
    OneCallTooFew: "counts",
    OneCallTooMany: "counts",
    ManyStepsInOne: "budget",
    DeclaresTooLittle: "budget",
    EvaluatesTheFrozen: "freezing",
    FalseConvergence: "status",
    LoosensTheTolerance: "status",
    GivesUp: "converges",
    BatchCoupledNorm: "batch-independence",
    RowsOfOthers: "batch-independence",
    CouplesLate: "batch-independence",
    NaNLeak: "isolation",
    OverflowLeak: "isolation",
    OverflowLeakOfNewton: "isolation",
    CubesOfAll: "isolation",
    ChangesItsArguments: "purity",
    ChangesItsState: "purity",
    RemembersItsLastSolve: "purity",
    DrawsAtRandom: "purity",
    DrawsFromRandom: "purity",
    DrawsFromNumPy: "purity",
    SeedsAtStart: "purity",
    SeedsInEveryStep: "purity",
    SeedsWhenMade: "purity",
    **dict.fromkeys(CHANGING, "purity"),
    RemembersShapes: "purity",
    ExtendsItsBudget: "purity",
    AlwaysDouble: "precision",
    RoundsToSingle: "precision",
    CoarseState: "precision",
    TensorsOnTheHost: "device",
    StateOnTheHost: "device",
    ReadsByNumPy: "device",
    SqueezesOneAway: "completes",
    RaisesWhereSingular: "completes",
    WrongShape: "completes",
    NoNamedTuple: "completes",
    SwallowsOptions: "options",
    UncheckedOptions: "options",
    UndescribedOption: "options",
    RaisesItsTolerance: "options",
    NotToBeSaved: "options",
}
"""Each broken solver, and the check named for its mistake."""
