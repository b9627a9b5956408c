"""What the sections of an experiment are made of: checked numbers, and plug-ins with their options written out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from qdeq.adjoints import IterativeAdjoint, get_adjoint
from qdeq.errors import QdeqError
from qdeq.numbers import as_number

Count = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[int, Field(strict=True, ge=1)]
Flag = Annotated[bool, Field(strict=True)]


def resolved(build: Callable[[Any], Any]) -> BeforeValidator:
    """Turn a plug-in's name, or mapping with options, into the mapping with all options written out."""

    def resolve(choice: Any) -> dict[str, Any]:
        try:
            made = build(choice)
        except QdeqError as error:
            raise ValueError(str(error)) from error
        name = choice["name"] if isinstance(choice, Mapping) else choice
        return {"name": name, **dataclasses.asdict(made)}

    return BeforeValidator(resolve)


def adjoint_options(choice: Any) -> Any:
    """Return what holds an adjoint's options; those of a solver stand beside its name."""
    made = get_adjoint(choice)
    return made.solver if isinstance(made, IterativeAdjoint) else made


class Section(BaseModel):
    """A mapping of an experiment: no unknown keys, no infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    __numbers = field_validator("*", mode="before")(as_number)
