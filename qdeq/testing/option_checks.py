"""Checks of options: what is not allowed is refused, what is given is kept, and a file holds all of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from qdeq.errors import QdeqError
from qdeq.solvers import get_solver
from qdeq.spec import ExperimentSpec, parse_spec, parse_yaml
from qdeq.testing.comparison import Mismatch
from qdeq.testing.solver_harness import check
from qdeq.testing.solver_subject import SolverSubject

BASE: tuple[dict[str, Any], ...] = (
    {"max_steps": 7, "rtol": 1e-3, "atol": 1e-5},
    {"max_steps": 0, "rtol": 0.0, "atol": 0.0},
)
"""Options that every solver has, and values for them; with zeros it measures, or takes a fixed number of steps."""


def given_options(made: Any) -> dict[str, Any]:
    """Return the options of a plug-in's object by name; none where it is no dataclass."""
    if not dataclasses.is_dataclass(made):
        return {}
    return {field.name: getattr(made, field.name) for field in dataclasses.fields(made) if field.init}


def require_refusal(made: Any, name: str, value: Any) -> None:
    """Raise unless a plug-in like ``made`` refuses a value, in words for the user."""
    try:
        accepted = type(made)(**{**given_options(made), name: value})
    except (QdeqError, ValidationError):
        return
    except Exception as error:  # a plug-in may fail in any way
        raise Mismatch(
            f"{name} = {value!r} is refused without words for the user",
            "pydantic's ValidationError: decorate the class with @dataclass of pydantic.dataclasses and a config",
            f"{type(error).__name__}: {error}",
        ) from error
    raise Mismatch(f"{name} = {value!r} is not refused", "an error that names the option", accepted)


def refuses_unknown(made: Any) -> None:
    """An option that there is not is refused."""
    require_refusal(made, "no_such_option", 1)


def refuses_out_of_range(made: Any) -> None:
    """Values beyond the range that an option declares, of another type, or not finite, are refused."""
    for name, about in TypeAdapter(type(made)).json_schema().get("properties", {}).items():
        for value in _wrong(about):
            require_refusal(made, name, value)


def is_frozen(made: Any) -> None:
    """No option can be set later."""
    for name in given_options(made):
        try:
            setattr(made, name, getattr(made, name))
        except (dataclasses.FrozenInstanceError, ValidationError):
            continue
        raise Mismatch(f"{name} can be set", "a frozen dataclass", "no error")


def describes_options(made: Any) -> None:
    """Every option says what it means."""
    properties = TypeAdapter(type(made)).json_schema().get("properties", {})
    for name in given_options(made):
        if not properties.get(name, {}).get("description"):
            raise Mismatch(f"option {name} has no description", f"{name}: Annotated[..., Field(description=...)]", "")


def _wrong(about: Mapping[str, Any]) -> Iterator[Any]:
    """Yield values that an option's JSON schema rules out."""
    kind = about.get("type")
    if kind in ("number", "integer"):
        yield "no number"
        yield math.nan
        yield from (value for key in ("exclusiveMinimum", "exclusiveMaximum") if (value := about.get(key)) is not None)
        if "minimum" in about:
            yield about["minimum"] - 1
        if "maximum" in about:
            yield about["maximum"] + 1
    if kind == "number" and "maximum" not in about and "exclusiveMaximum" not in about:
        yield math.inf
    if kind == "boolean":
        yield "neither"
    if kind == "array":
        yield 3
    if "enum" in about:
        yield "no-such-choice"


def _beyond(subject: SolverSubject) -> None:
    """Negative numbers for what every solver has, and values beyond what its own options declare, are refused."""
    for name in ("max_steps", "rtol", "atol"):
        require_refusal(subject.solver, name, -1)
    refuses_out_of_range(subject.solver)


def _kept(subject: SolverSubject) -> None:
    """What is given for the options of every solver is what it then has."""
    for given in BASE:
        made: Any = dataclasses.replace(subject.solver, **given)
        for name, value in given.items():
            if getattr(made, name) != value:
                raise Mismatch(f"{name} is not what was given", value, getattr(made, name))


def _in_a_file(subject: SolverSubject) -> None:
    """An experiment file holds all options, and gives back the same solver."""
    options = dataclasses.asdict(subject.solver)
    if subject.registered:
        spec = ExperimentSpec.model_validate({"solver": {"name": subject.name, **options}})
        text = spec.to_yaml()
        again = get_solver(parse_spec(parse_yaml(text, "the file"), "the file").solver.choice())
    else:
        again = type(subject.solver)(**yaml.safe_load(yaml.safe_dump(options)))
    if again != subject.solver:
        raise Mismatch("a file does not give the same solver back", subject.solver, again)


PARTS: dict[str, Callable[[SolverSubject], None]] = {
    "an unknown option": lambda subject: refuses_unknown(subject.solver),
    "values out of range": _beyond,
    "setting an option later": lambda subject: is_frozen(subject.solver),
    "options of every solver": _kept,
    "descriptions": lambda subject: describes_options(subject.solver),
    "the way through a file": _in_a_file,
}


@check("options", lambda subject: PARTS)
def options(subject: SolverSubject, part: Callable[[SolverSubject], None]) -> None:
    """Unknown and impossible options are refused, the others kept, described, frozen, and saved with an experiment."""
    part(subject)
