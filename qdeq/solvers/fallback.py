"""A list of solvers: each is tried, from y0, on the samples that all before it failed on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import cached_property
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.errors import QdeqError, SolverError
from qdeq.solvers.base import SOLVER_CONFIG, CompositeSolver, Problem, Solver
from qdeq.solvers.driver import solve
from qdeq.solvers.registry import get_solver
from qdeq.solvers.solution import Solution

_SHARED = tuple(field.name for field in fields(Solver))
_MISPLACED = "it holds for the whole list: give it beside solvers, not in an entry"


def _named(choices: Any) -> list[dict[str, Any]]:
    """Return the mappings that a list of names and mappings stands for, with each solver's own options written out."""
    if not isinstance(choices, list | tuple) or not choices:
        raise SolverError(f"Fallback: solvers is {choices!r}. It must be a list of at least one solver.")
    named = []
    for number, choice in enumerate(choices):
        given = dict(choice) if isinstance(choice, Mapping) else {"name": choice}
        where = f"Fallback: solvers[{number}]: "
        if given.get("name") == "fallback":
            raise SolverError(f"{where}a fallback cannot be in a fallback; put its solvers in its place")
        if isinstance(choice, Solver):
            raise SolverError(f"{where}a name or a mapping is needed; solve_in_turn takes objects")
        for option in set(_SHARED) & set(given):
            raise SolverError(f"{where}{option}: {_MISPLACED}")
        try:
            options = asdict(get_solver(given))
        except QdeqError as error:
            raise SolverError(f"{where}{error}") from error
        named.append({"name": given["name"], **{key: options[key] for key in options if key not in _SHARED}})
    return named


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Fallback(CompositeSolver):
    """Try the first solver on all samples, the next one on those that failed, and so on: :func:`solve_in_turn`.

    All are held to the same ``rtol`` and ``atol``, and share the budget in equal parts, so that a sample takes at most
    ``max_steps`` steps with all of them.
    """

    max_steps: Annotated[
        int, Field(ge=0, description="Step budget of each sample [steps]; each solver has an equal share of it.")
    ] = 150
    solvers: Annotated[
        list[dict[str, Any]],
        BeforeValidator(_named, json_schema_input_type=list[str | dict[str, Any]]),
        Field(
            min_length=1,
            validate_default=True,
            description="Solvers to try, in order: names, or mappings with name and options.",
        ),
    ] = ("broyden", "anderson", "newton-krylov")  # type: ignore[assignment]  # none of them needs a derivative

    def __post_init__(self) -> None:
        """Build the solvers, so that one that does not take the shared options says so now."""
        self.members  # noqa: B018

    @cached_property
    def members(self) -> tuple[Solver, ...]:
        """The solvers that are tried, in order; where there are fewer steps than solvers, not all of them are."""
        members: list[Solver] = []
        left = self.max_steps
        for number, choice in enumerate(self.solvers):
            share = math.ceil(left / (len(self.solvers) - number))
            if share or not members:
                members.append(get_solver({**choice, "max_steps": share, "rtol": self.rtol, "atol": self.atol}))
            left -= share
        return tuple(members)

    @property
    def evaluations_per_step(self) -> int:
        """Those of the solver with the most."""
        return max(member.evaluations_per_step for member in self.members)

    @property
    def most_evaluations(self) -> int:
        """Those of all solvers, each of which evaluates y0 again."""
        return sum(member.most_evaluations for member in self.members)

    def init(self, y0: Tensor, f0: Tensor) -> Any:
        """Return the first solver's state: step by step, a fallback is its first solver."""
        return self.members[0].init(y0, f0)

    def step(self, problem: Problem, state: Any, y: Tensor, fy: Tensor) -> tuple[Tensor, Any]:
        """Return the first solver's step."""
        return self.members[0].step(problem, state, y, fy)

    def solve(self, f: Callable[..., Tensor], y0: Tensor, args: tuple[Tensor, ...], *, trace: bool = False) -> Solution:
        """Solve with one solver after the other; see :func:`qdeq.solvers.solve`."""
        return solve_in_turn(self.members, f, y0, args, trace=trace)


def solve_in_turn(
    solvers: Sequence[Solver],
    f: Callable[..., Tensor],
    y0: Tensor,
    args: Sequence[Tensor] = (),
    *,
    trace: bool = False,
) -> Solution:
    """Solve with the first solver, then from y0 with the next one where that failed, and so on.

    Of two failures, the one with the smaller relative residual is kept.

    Args:
        solvers: At least one; each with its own budget and tolerances.
        f: The function; this and the other arguments are those of :func:`qdeq.solvers.solve`.
        y0: ``[B, *S]``, first iterate of every solver.
        args: Tensors ``[B, ...]``.
        trace: Whether to keep the residuals; those of one solver after those of the other, NaN for samples not tried.

    Returns:
        The solution. Steps, evaluations and Jacobians of a sample are those of all solvers that it was tried with, and
        ``tried`` names them.
    """
    args = tuple(args)
    first, *others = solvers
    solution = _attempt(first, f, y0, args, trace)
    for solver in others:
        failed = solution.failed.nonzero().squeeze(1)
        if len(failed) == 0:
            break
        again = _attempt(solver, f, y0[failed], tuple(arg[failed] for arg in args), trace)
        solution = _merge(solution, again, failed)
    return solution


def _attempt(solver: Solver, f: Callable[..., Tensor], y0: Tensor, args: tuple[Tensor, ...], trace: bool) -> Solution:
    """Return one solver's solution, and that it was tried."""
    solution = solve(solver, f, y0, args, trace=trace)
    return replace(solution, tried=solution.tried or ((type(solver).__name__, len(y0)),))


def _merge(first: Solution, again: Solution, rows: Tensor) -> Solution:
    """Put the better of two solves into the rows that were solved again; the work of both counts."""
    better = ~again.failed | (again.relative_residual < first.relative_residual[rows])
    taken, chosen = rows[better], better.nonzero().squeeze(1)

    def put(old: Tensor, new: Tensor) -> Tensor:
        return old.index_copy(0, taken, new[chosen])

    measured = {}
    if first.noise is not None and first.shots is not None and again.noise is not None and again.shots is not None:
        measured = {"noise": put(first.noise, again.noise), "shots": first.shots.index_add(0, rows, again.shots)}
    return replace(
        first,
        value=put(first.value, again.value),
        status=put(first.status, again.status),
        residual=put(first.residual, again.residual),
        relative_residual=put(first.relative_residual, again.relative_residual),
        steps=first.steps.index_add(0, rows, again.steps),
        evaluations=first.evaluations.index_add(0, rows, again.evaluations),
        jacobians=first.jacobians.index_add(0, rows, again.jacobians),
        **_traces(first, again, rows),
        **measured,
        tried=first.tried + again.tried,
    )


def _traces(first: Solution, again: Solution, rows: Tensor) -> dict[str, Tensor]:
    """Return the traces of both solves, one after the other; NaN, and 0 evaluations, for samples not solved again."""

    def after(old: Tensor | None, new: Tensor | None, absent: float) -> Tensor:
        assert old is not None
        assert new is not None
        return torch.cat([old, old.new_full((len(new), old.shape[1]), absent).index_copy(1, rows, new)])

    spent = again.trace_evaluations
    if spent is None:
        return {}
    spent = torch.where(spent > 0, spent + first.evaluations[rows], 0)
    return {
        "trace": after(first.trace, again.trace, torch.nan),
        "trace_relative": after(first.trace_relative, again.trace_relative, torch.nan),
        "trace_evaluations": after(first.trace_evaluations, spent, 0),
    }
