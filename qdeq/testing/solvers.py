"""The conformance kit of solvers: honest on every problem of the table, convergent on the contractions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from qdeq.solvers import Solver, get_solver
from qdeq.testing import batch_checks, option_checks, solve_checks, solver_contract_checks
from qdeq.testing.comparison import Mismatch
from qdeq.testing.honesty import check_honesty
from qdeq.testing.problems import PROBLEMS, FixedPointProblem
from qdeq.testing.report import ProblemVerdict, SolverReport, chosen
from qdeq.testing.solver_harness import SOLVER_CHECKS, run_check
from qdeq.testing.solver_subject import SolverSubject
from qdeq.testing.surroundings import surroundings_kept

_ORDER = (solve_checks, batch_checks, solver_contract_checks, option_checks)

CHECK_NAMES = tuple(
    name for module in _ORDER for name, check in SOLVER_CHECKS.items() if check.test.__module__ == module.__name__
)
"""The checks, in the order in which they run."""


def check_solver(solver: str | Mapping[str, Any] | Solver, *, checks: Iterable[str] | None = None) -> SolverReport:
    """Check a solver on the published table of fixed-point problems, and against the contract of solvers.

    No solver has to converge on all problems. Every solver has to converge on the contractions among them, to say
    truthfully what became of every sample, and to keep to the contract: one check for each part of it.

    Args:
        solver: A name, a mapping with options, or a solver. Its tolerances and its budget are replaced by the kit's.
        checks: Names of the checks to run; all of them by default. See :data:`CHECK_NAMES`.

    Returns:
        The report, with a verdict on every check and on every problem. ``report.raise_if_failed()`` makes it a test.

    Raises:
        QdeqError: There is no such solver or check, or an option is wrong.

    Example:
        >>> check_solver("anderson", checks=["budget", "purity"]).ok
        True
    """
    made = get_solver(solver)
    names = chosen(checks, CHECK_NAMES)
    name, registered = _name(solver, made)
    subject = SolverSubject(made, name, registered)
    with surroundings_kept():
        results = tuple(run_check(SOLVER_CHECKS[name], subject) for name in names)
        problems = tuple(_verdict(subject, problem) for problem in PROBLEMS)
    return SolverReport(solver=name, options=dataclasses.asdict(made), problems=problems, results=results)


def _name(choice: str | Mapping[str, Any] | Solver, made: Solver) -> tuple[str, bool]:
    """Return the name of the solver, and whether files can use it."""
    if isinstance(choice, str):
        return choice, True
    if isinstance(choice, Mapping):
        return str(choice["name"]), True
    return type(made).__name__, False


def _verdict(subject: SolverSubject, problem: FixedPointProblem) -> ProblemVerdict:
    instance = problem.make()
    samples = int(instance.solvable.sum())
    try:
        solve = subject.attempt(problem)
    except Exception as error:  # a plug-in may fail in any way
        first = next(iter(str(error).splitlines()), "")
        return ProblemVerdict(problem.name, "raised", samples, 0, None, f"{type(error).__name__}: {first}")
    solution = solve.solution
    converged, spent = int((solution.converged & instance.solvable).sum()), float(solution.evaluations.double().mean())
    try:
        check_honesty(solve)
    except Mismatch as lie:
        return ProblemVerdict(problem.name, "dishonest", samples, converged, spent, str(lie))
    solved = samples > 0 and converged == samples
    remarks = [f"{number} {status.name}" for status, number in solution.counts().items() if number and status.failed]
    lost = int((solution.converged & ~instance.solvable).sum())
    if lost:
        remarks.append(f"{lost} without a root CONVERGED far out, within rtol")
    remark = ", ".join(remarks)
    return ProblemVerdict(problem.name, "solved" if solved else "honest failure", samples, converged, spent, remark)
