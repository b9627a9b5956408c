"""A list of solvers by their names, as an experiment file has it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cached_property
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from qdeq.errors import QdeqError, SolverError
from qdeq.solvers.base import SOLVER_CONFIG, CompositeSolver, Solver
from qdeq.solvers.registry import get_solver

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
    """Try the first solver on all samples, the next one on those that failed, and so on.

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
