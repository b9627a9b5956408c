"""Options: whoever builds a solver, in Python or from a mapping, is told what is wrong and what is allowed."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any, NamedTuple

import pytest
from problems import SOLVERS
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.dataclasses import dataclass

from qdeq.errors import SolverError
from qdeq.plugins import SOLVERS as REGISTRY
from qdeq.plugins import _entry_points
from qdeq.solvers import SOLVER_CONFIG, Anderson, Broyden, Naive, Newton, NewtonKrylov, Solver, get_solver

WRONG: list[tuple[type[Solver], dict[str, Any], str]] = [
    (Naive, {"damping": 0.0}, "damping: input should be greater than 0, not 0.0"),
    (Naive, {"damping": 1.1}, "damping: input should be less than or equal to 1, not 1.1"),
    (Anderson, {"memory": 0}, "memory: input should be greater than or equal to 1, not 0"),
    (Anderson, {"mixing": 0}, "mixing: input should be greater than 0, not 0"),
    (Anderson, {"regularization": -1e-9}, "regularization: input should be greater than or equal to 0, not -1e-09"),
    (Broyden, {"memory": 2.5}, "memory: input should be a valid integer, got a number with a fractional part, not 2.5"),
    (Newton, {"decrease": 1}, "decrease: input should be less than 1, not 1"),
    (Newton, {"min_damping": 0}, "min_damping: input should be greater than 0, not 0"),
    (NewtonKrylov, {"krylov": 0}, "krylov: input should be greater than or equal to 1, not 0"),
    (NewtonKrylov, {"forcing": 1}, "forcing: input should be less than 1, not 1"),
    (NewtonKrylov, {"min_damping": 2}, "min_damping: input should be less than or equal to 1, not 2"),
]


class Nothing(NamedTuple):
    """A state without members."""


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Plugin(Solver):
    """A solver from outside, as docs/extending.md says, with checks of its own of three kinds."""

    order: Annotated[int, Field(ge=1, description="Order.")] = 2
    required: str
    low: float = 0.0
    high: float = 1.0

    @field_validator("required")
    @classmethod
    def _known(cls, value):
        if value not in ("a", "b"):
            raise ValueError(f"has to be a or b, not {value}")
        return value

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError("low has to be at most high")
        return self

    def __post_init__(self):
        if self.order == 13:
            raise ValueError("13 is unlucky")

    def init(self, y0, f0):
        return Nothing()

    def step(self, problem, state, y, fy):
        return fy, state


def refused(build, *lines):
    with pytest.raises(SolverError) as caught:
        build()
    assert isinstance(caught.value.__cause__, ValidationError)
    assert str(caught.value).splitlines() == list(lines)


def allowed(cls):
    return f"Its options are: {', '.join(field.name for field in dataclasses.fields(cls))}."


def test_the_table_has_every_solver_of_ours():
    ours = {name for name, entry in _entry_points(REGISTRY.group).items() if entry.value.startswith("qdeq.")}
    assert ours == set(SOLVERS)
    assert all(type(get_solver(name)) is type(solver) for name, solver in SOLVERS.items())


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stop_mode": "rel"}, "unknown option 'stop_mode'"),
        ({"max_step": 3}, "unknown option 'max_step'. Did you mean 'max_steps'?"),
        ({"max_steps": -1}, "max_steps: input should be greater than or equal to 0, not -1"),
        ({"rtol": math.nan}, "rtol: input should be a finite number, not nan"),
        (
            {"atol": math.inf, "rtol": -1},
            "rtol: input should be greater than or equal to 0, not -1; atol: input should be a finite number, not inf",
        ),
    ],
)
def test_options_that_every_solver_refuses(solver, options, says):
    cls = type(solver)
    refused(lambda: cls(**options), f"{cls.__name__}: {says}", allowed(cls))


@pytest.mark.parametrize(("cls", "options", "says"), WRONG)
def test_options_out_of_range(cls, options, says):
    refused(lambda: cls(**options), f"{cls.__name__}: {says}", allowed(cls))
    refused(lambda: dataclasses.replace(cls(), **options), f"{cls.__name__}: {says}", allowed(cls))


def test_options_are_given_by_name():
    refused(lambda: Broyden(5), "Broyden: options are given by name, not as 5 alone", allowed(Broyden))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"required": "a", "ordre": 3}, "unknown option 'ordre'. Did you mean 'order'?"),
        ({}, "option 'required' is missing"),
        ({"required": "a", "order": 0}, "order: input should be greater than or equal to 1, not 0"),
        ({"required": "c"}, "required: has to be a or b, not c"),
        ({"required": "a", "low": 2.0}, "low has to be at most high"),
        ({"required": "a", "order": 13}, "13 is unlucky"),
    ],
)
def test_a_plug_ins_options_are_refused_in_the_same_words(options, says, monkeypatch):
    refused(lambda: Plugin(**options), f"Plugin: {says}", allowed(Plugin))
    monkeypatch.setattr(type(REGISTRY), "load", lambda self, name: Plugin)
    refused(lambda: get_solver({"name": "mine", **options}), f"solver 'mine': {says}", allowed(Plugin))
    assert get_solver({"name": "mine", "required": "a"}) == Plugin(required="a")


def test_options_are_frozen_and_compared():
    with pytest.raises(AttributeError):
        Naive().rtol = 1.0
    assert Naive(damping=0.5) == Naive(damping=0.5) != Naive()
