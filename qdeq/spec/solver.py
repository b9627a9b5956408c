"""The section ``solver``: a registered solver with its own options, and what happens where it fails."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from qdeq.errors import QdeqError
from qdeq.numbers import as_number
from qdeq.solvers import CompositeSolver, get_solver
from qdeq.spec.fields import Positive, resolved


class SolverSpec(BaseModel):
    """A fixed-point solver, its options, and what happens where it fails."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    __numbers = field_validator("*", mode="before")(as_number)

    name: str = Field(
        "broyden", description="A registered solver; `qdeq solvers` lists them. Its options stand beside it."
    )
    on_failure: Literal["warn", "raise", "fallback"] = Field(
        "warn", description="A sample that does not converge: use its best iterate, stop, or try the fallback solvers."
    )
    fallback: list[Annotated[dict[str, Any], resolved(get_solver)]] = Field(
        default=[], description="Solvers that failed samples are tried with, in order; needs on_failure: fallback."
    )

    fixed_steps: Positive | None = Field(
        None, description="Exactly so many steps, without a test of convergence or of noise; null to solve."
    )
    first_shots: Positive | None = Field(
        None,
        description="Shots of a sample's first evaluations; they grow up to `shots` where noise hides the residual. "
        "null for `shots` from the start.",
    )
    shots_growth: float = Field(4.0, gt=1, description="Factor by which `first_shots` grow [dimensionless].")

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, choice: Any) -> Any:
        return {"name": choice} if isinstance(choice, str) else choice

    @model_validator(mode="after")
    def _checked(self) -> SolverSpec:
        if (self.on_failure == "fallback") != bool(self.fallback):
            raise ValueError("on_failure: fallback and a list `fallback` of solvers go together")
        if self.first_shots is not None and self.fixed_steps is not None:
            raise ValueError("first_shots grow by tests that fixed_steps leaves out; set one of them to null")
        try:
            made = get_solver(self.choice())
        except QdeqError as error:
            raise ValueError(str(error)) from error
        if self.fixed_steps is not None and isinstance(made, CompositeSolver):
            raise ValueError(f"{self.name} cannot take a fixed number of steps: name one of its solvers")
        object.__setattr__(self, "__pydantic_extra__", dataclasses.asdict(made))
        return self

    def choice(self) -> dict[str, Any]:
        """Return name and options, as :func:`qdeq.solvers.get_solver` takes them."""
        return {"name": self.name, **(self.model_extra or {})}
