"""The solver under test, and the solves that its checks share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from qdeq.solvers import Solution, Solver, solve
from qdeq.testing.comparison import Comparisons
from qdeq.testing.problems import FixedPointProblem, Instance
from qdeq.testing.witness import Counted, Witness, watched

RTOL, ATOL = 1e-6, 1e-9
"""Tolerances of the solves of the table, relative and absolute."""
MAX_STEPS = 100
"""Their budget where nobody is asked to converge."""
PATIENCE = 1000
"""Their budget where convergence is required: enough for plain iteration at a rate of 0.98."""


class NotTried(Exception):
    """A case says nothing, since it shows what another check is named for; the message is that check's name."""


@dataclass(frozen=True)
class Solve:
    """A solve that was watched.

    Attributes:
        instance: What was solved.
        solver: The solver.
        rtol: Relative tolerance that was asked for.
        atol: Absolute tolerance, likewise.
        max_steps: Budget, likewise.
        solution: What came back.
        witness: What was seen.
        given: y0 and the arguments of f, the very tensors that were handed over.
    """

    instance: Instance
    solver: Solver
    rtol: float
    atol: float
    max_steps: int
    solution: Solution
    witness: Witness
    given: tuple[Tensor, ...]


@dataclass
class SolverSubject(Comparisons):
    """The solver under test.

    Attributes:
        solver: The solver.
        name: The name that it is registered under, or its class's.
        registered: Whether that name can be used in a file.
    """

    told_by: ClassVar[str] = "completes"
    expects: ClassVar[str] = "a solution"

    solver: Solver
    name: str
    registered: bool
    _solves: dict[str, Solve | Exception] = field(default_factory=dict)

    def solve(
        self,
        instance: Instance,
        *,
        rtol: float = RTOL,
        atol: float = ATOL,
        max_steps: int = MAX_STEPS,
        closely: bool = False,
    ) -> Solve:
        """Solve an instance with these tolerances and this budget, and watch; see :class:`Witness`."""
        solver = replace(self.solver, rtol=rtol, atol=atol, max_steps=max_steps)
        witness = Witness(closely=closely)
        index = torch.arange(len(instance.y0), device=instance.y0.device)
        y0, *args = given = tuple(tensor.clone() for tensor in (instance.y0, *instance.args))
        solution = solve(watched(solver, witness), Counted(instance.f, witness), y0, (index, *args))
        return Solve(instance, solver, rtol, atol, max_steps, solution, witness, given)

    def attempt(self, problem: FixedPointProblem) -> Solve:
        """Solve a problem of the table, once for all checks.

        Raises:
            Exception: Whatever the solver raised.
        """
        if problem.name not in self._solves:
            steps = PATIENCE if problem.required else MAX_STEPS
            try:
                self._solves[problem.name] = self.solve(problem.make(), max_steps=steps)
            except Exception as error:  # a plug-in may fail in any way
                self._solves[problem.name] = error
        found = self._solves[problem.name]
        if isinstance(found, Exception):
            raise found
        return found

    def given(self) -> dict[str, str]:
        """Return the solver as text."""
        return {"solver": str(self.solver)}

    @property
    def raised(self) -> bool:
        """Whether the solver raised on a problem of the table."""
        return any(isinstance(found, Exception) for found in self._solves.values())

    def solved(self, problem: FixedPointProblem) -> Solve:
        """Return the solve of a problem of the table.

        Raises:
            NotTried: There is none, since the solver raised.
        """
        try:
            return self.attempt(problem)
        except Exception as error:
            raise NotTried("completes") from error
