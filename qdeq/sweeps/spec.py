"""The sweep file: one YAML that says which experiments to run, how often, and what to compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from qdeq.errors import SpecError, did_you_mean
from qdeq.numbers import as_number
from qdeq.spec import ExperimentSpec, parse_yaml, read_text
from qdeq.spec.fields import Count, Positive
from qdeq.spec.messages import explain, key_meant, located
from qdeq.spec.schema import DIALECT
from qdeq.spec.text import value_lines
from qdeq.sweeps.figures import FIGURES

Key = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.\w+)*$")]
VariantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+=-]{0,59}$")]
Overrides = dict[Key, Any]


class SweepSpec(BaseModel):
    """A sweep: variants of one experiment, each with every seed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_by_name=False)

    __numbers = field_validator("*", mode="before")(as_number)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="Name of the sweep: letters, digits, dot, dash, underscore."
    )
    base: Annotated[str, Field(min_length=1)] | dict[str, Any] = Field(
        description="The experiment file that all cells start from, relative to this file; or the experiment itself."
    )
    fixed: Overrides = Field(
        default={},
        alias="set",
        description="What is changed in every cell: keys with dots as for --set, such as training.epochs: 20.",
    )
    variants: dict[VariantName, Overrides] = Field(
        default={},
        alias="list",
        description="Variants by name, each with what it changes, such as direct-5: {model.mode: direct, "
        "model.layers: 5}; {} changes nothing.",
    )
    grid: dict[Key, Annotated[list[Any], Field(min_length=1)]] = Field(
        default={}, description="Keys with a list of values each; every combination is run, of every variant in `list`."
    )
    seeds: list[Count] = Field(min_length=1, description="Seeds; every variant is run with each of them.")
    compare: list[tuple[str, str]] = Field(
        default=[],
        description="Pairs [a, b] of variants: a's figures less b's, seed by seed, at every point of the grid.",
    )
    metrics: list[str] = Field(
        default=["test.accuracy", "test.loss", "test.residual_mean", "test.evaluations", "seconds"],
        min_length=1,
        description="Figures of summary.json in the table, such as test.accuracy, parameters or memory.process_mib.",
    )
    retries: Annotated[Count, Field(le=100)] = Field(
        2, description="How often a cell is run again that failed, or whose worker died, before it is reported."
    )
    cpus: Positive = Field(1, description="CPU threads of a cell, which takes as many of the cluster's CPUs.")
    gpus: float | None = Field(
        None, ge=0, description="GPUs of a cell, a part of one allowed; null for one where training.device is cuda."
    )

    @field_validator("fixed", "grid")
    @classmethod
    def _no_seed(cls, value: dict[str, Any]) -> dict[str, Any]:
        if any(key.partition(".")[0] == "seed" for key in value):
            raise ValueError("seed cannot be set here; list the seeds under `seeds`")
        return value

    @field_validator("variants")
    @classmethod
    def _no_seed_in_variants(cls, variants: dict[str, Overrides]) -> dict[str, Overrides]:
        for changes in variants.values():
            cls._no_seed(changes)
        return variants

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, seeds: list[int]) -> list[int]:
        twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
        if twice is not None:
            raise ValueError(f"seed {twice} stands twice")
        return seeds

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: list[str]) -> list[str]:
        unknown = next((metric for metric in metrics if metric not in FIGURES), None)
        if unknown is not None:
            some = "test.accuracy, validation.loss, train.residual_mean, seconds, parameters, memory.process_mib"
            raise ValueError(f"{unknown!r} is no figure of summary.json.{did_you_mean(unknown, FIGURES)} Some: {some}")
        return list(dict.fromkeys(metrics))

    @model_validator(mode="after")
    def _no_key_twice(self) -> SweepSpec:
        for name, change in self.variants.items():
            both = next((key for key in change if key in self.grid), None)
            if both is not None:
                raise ValueError(f"{both} is in `grid` and in the variant {name!r}; say it in one of them")
        return self

    def to_yaml(self) -> str:
        """Return the sweep with every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False)


def load_sweep_spec(path: str | Path) -> SweepSpec:
    """Read a sweep file, but not yet the experiment that it starts from.

    Raises:
        SpecError: The file cannot be read, or does not describe a sweep.
    """
    text = read_text(path)
    return parse_sweep_spec(parse_yaml(text, str(path)), str(path), text)


def parse_sweep_spec(data: Any, source: str, text: str | None = None) -> SweepSpec:
    """Check a parsed sweep.

    Args:
        data: The sweep.
        source: Its name in messages.
        text: What it was parsed from, so that messages can name the line.

    Raises:
        SpecError: It does not describe a sweep.
    """
    if not isinstance(data, dict):
        raise SpecError(f"{source}: expected a mapping with the keys {', '.join(keys())}")
    if not data.keys() & set(keys()) - {"name"} and data.keys() & set(ExperimentSpec.model_fields):
        raise SpecError(f"{source}: is an experiment, not a sweep; `qdeq train {source}` trains it")
    try:
        return SweepSpec.model_validate(data)
    except ValidationError as error:
        lines = {} if text is None else value_lines(text)
        items = error.errors(include_url=False)[:2]
        raise SpecError("\n".join(_explain(located(source, item, lines), item) for item in items)) from error


def sweep_schema() -> dict[str, Any]:
    """Return the JSON schema of the sweep file, for editors."""
    return {"$schema": DIALECT, **SweepSpec.model_json_schema()}


def keys() -> list[str]:
    """Return the keys of a sweep file."""
    return [field.alias or name for name, field in SweepSpec.model_fields.items()]


def _key_meant(word: str) -> str:
    """Return which key is meant by an unknown one: of a sweep, by a field's name too, or of the experiment."""
    field = SweepSpec.model_fields.get(word)
    if field is not None:
        return f" Did you mean {field.alias!r}?"
    if word in ExperimentSpec.model_fields and word != "seed":
        return " It is of the experiment: put it into `set`, by keys with dots such as training.epochs."
    key = key_meant(word)
    if key is not None and key.endswith(f".{word}"):
        return f" It is of the experiment: put it into `set`, as {key}."
    return did_you_mean(word, keys())


def _explain(source: str, item: Any) -> str:
    location = ".".join(str(part) for part in item["loc"] if part != "[key]")
    if item["type"] == "extra_forbidden":
        return f"{source}: {location}: unknown key; allowed: {', '.join(keys())}.{_key_meant(location)}"
    if item["type"] == "missing":
        field = next(field for name, field in SweepSpec.model_fields.items() if location in (name, field.alias))
        return f"{source}: {location}: is missing. {field.description}"
    if item["type"] == "string_pattern_mismatch":
        allowed = "letters, digits, dot, dash, underscore"
        if "[key]" in item["loc"]:
            allowed = "a key with dots, such as training.epochs" if location.startswith(("set", "grid")) else allowed
        return f"{source}: {location}: not {item['input']!r}. Allowed: {allowed}"
    return explain(source, item)
