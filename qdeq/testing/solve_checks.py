"""Checks of what a solve costs and what it says: budget, counts, freezing, statuses, convergence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from qdeq.solvers import CompositeSolver
from qdeq.testing.comparison import Mismatch
from qdeq.testing.honesty import believed, check_honesty
from qdeq.testing.problems import PROBLEMS, FixedPointProblem, Instance
from qdeq.testing.solver_harness import check
from qdeq.testing.solver_subject import Solve, SolverSubject
from qdeq.wrappers import Wrapper

TABLE = {problem.name: problem for problem in PROBLEMS}


class WithJacobian(Wrapper):
    """f with a Jacobian of its own."""

    has_jacobian = True


def with_jacobian(instance: Instance) -> Instance:
    """Return the instance with an f that has its own Jacobian."""
    return replace(instance, f=WithJacobian(instance.f))


def whole_table(subject: SolverSubject) -> Mapping[str, FixedPointProblem]:
    """Return all problems by name."""
    return TABLE


def _shapes(subject: SolverSubject) -> Mapping[str, FixedPointProblem]:
    """Return the table, and batches of unusual shapes."""

    def unusual(name: str, instance: Instance) -> dict[str, FixedPointProblem]:
        return {name: FixedPointProblem(name, "cos y", "", "", lambda: instance)}

    cosine = TABLE["cosine"].make()
    square = replace(cosine, y0=torch.zeros(3, 2, 2, dtype=torch.float64))
    return {**TABLE, **unusual("a batch of none", cosine.rows([])), **unusual("states of shape [2, 2]", square)}


@check("completes", _shapes)
def completes(subject: SolverSubject, problem: FixedPointProblem) -> None:
    """Every problem ends in a solution of y0's shape: no exception, whatever f does."""
    solve = subject.attempt(problem)
    expected, found = solve.instance.y0.shape, solve.solution.value.shape
    if expected != found:
        raise Mismatch("the value has another shape than y0", list(expected), list(found))


@check("status", whole_table)
def status(subject: SolverSubject, problem: FixedPointProblem) -> None:
    """CONVERGED only where the residual, measured again, is within the tolerance; failures have their right name."""
    check_honesty(subject.solved(problem))


@check("converges", lambda subject: {name: problem for name, problem in TABLE.items() if problem.required})
def converges(subject: SolverSubject, problem: FixedPointProblem) -> None:
    """On contractions, every sample converges; elsewhere a solver may fail, as long as it says so."""
    solve = subject.solved(problem)
    failed = (solve.instance.solvable & ~solve.solution.converged).nonzero().squeeze(1).tolist()
    if failed:
        raise Mismatch(
            f"samples {failed} did not converge within {solve.max_steps} steps",
            f"residuals within rtol {solve.rtol:g}, atol {solve.atol:g}",
            solve.solution.residual,
        )


def _for_counting(subject: SolverSubject) -> Mapping[str, Any]:
    def solved(problem: FixedPointProblem) -> Callable[[], Solve]:
        return lambda: subject.solved(problem)

    def again(name: str) -> Callable[[], Solve]:
        def make() -> Solve:
            subject.solved(TABLE[name])
            return subject.solve(with_jacobian(TABLE[name].make()), max_steps=20)

        return make

    own = {f"{name}, f with a Jacobian": again(name) for name in ("contraction", "mixed-difficulty", "no-root")}
    return {**{name: solved(problem) for name, problem in TABLE.items()}, **own}


@check("counts", _for_counting)
def counts(subject: SolverSubject, make: Callable[[], Solve]) -> None:
    """Evaluations and Jacobians are as many as f was called for, sample by sample, until the sample was frozen."""
    solve = make()
    solution, witness = solve.solution, solve.witness
    batch = range(len(solution.status))
    for what, told, called in (
        ("evaluations", solution.evaluations, [witness.spent(sample) for sample in batch]),
        ("Jacobians", solution.jacobians, [witness.spent(sample, "jacobian") for sample in batch]),
    ):
        if what == "Jacobians" and not solve.instance.f.has_jacobian:
            continue  # each is made of evaluations, which are counted
        if told.tolist() != called:
            sample = next(i for i in batch if told[i] != called[i])
            raise Mismatch(f"{what} of sample {sample} are not as many as calls were made for it", called, told)


@check("freezing", whole_table)
def freezing(subject: SolverSubject, problem: FixedPointProblem) -> None:
    """A sample that has converged keeps the value at which it did, and f is not evaluated for it any more."""
    solve = believed(subject.solved(problem))
    for sample in solve.solution.converged.nonzero().squeeze(1).tolist():
        late = solve.witness.late(sample)
        if late:
            raise Mismatch(f"sample {sample} was evaluated after it had converged", 0, late)
        last, value = solve.witness.last[sample], solve.solution.value[sample]
        if not torch.equal(last, value):
            raise Mismatch(f"the value of sample {sample} is not where it converged", last, value)


def _budgets(subject: SolverSubject) -> Mapping[str, tuple[str, int]]:
    return {
        f"{name}, max_steps = {steps}": (name, steps) for steps in (0, 1, 2, 5) for name in ("no-root", "rotation-1.05")
    }


@check("budget", _budgets)
def budget(subject: SolverSubject, case: tuple[str, int]) -> None:
    """No more steps and evaluations than the solver declares: most_steps and most_evaluations."""
    name, steps = case
    subject.solved(TABLE[name])
    solve = subject.solve(with_jacobian(TABLE[name].make()), max_steps=steps)
    solution, declared = solve.solution, solve.solver
    alone = not isinstance(declared, CompositeSolver)  # one made of others may add up their budgets
    for what, most, spent in (
        ("steps", steps if alone else declared.most_steps, max(int(solution.steps.max()), solve.witness.steps)),
        ("evaluations", declared.most_evaluations, int(solution.evaluations.max())),
    ):
        if spent > most:
            raise Mismatch(f"more {what} than the solver declares (most_{what})", f"at most {most}", spent)
