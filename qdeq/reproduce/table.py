"""The paper's tables: data files of this package, and the sweep that each of them is.

A table has the settings that all its rows share, and for each fidelity mode what is changed in all rows, in those of
the equilibrium, and in those of direct layers. ``shared.yaml`` has what the tables have in common.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from qdeq.errors import SpecError, did_you_mean
from qdeq.numbers import as_number
from qdeq.spec import ExperimentSpec, parse_spec, parse_yaml, put
from qdeq.spec.fields import Positive
from qdeq.sweeps import Sweep, expand
from qdeq.sweeps.spec import parse_sweep_spec

Mode = Literal["corrected", "reference"]
MODES: tuple[Mode, ...] = get_args(Mode)
Changes = dict[str, Any]

IMPLICIT, WARMUP = "IMPLICIT", "IMPLICIT+WARMUP"
WARMUP_LAYERS = 2
METRICS = (
    *("test.accuracy", "validation.accuracy", "test.residual_mean", "test.residual_max", "test.converged"),
    *("test.evaluations", "train.evaluations", "memory.process_mib", "seconds", "parameters"),
)
_SHARED = "shared"


def direct(layers: int) -> str:
    """Return the name of the row that applies the circuit so many times."""
    return f"DIRECT {layers}"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    __numbers = field_validator("*", mode="before")(as_number)


class Settings(_Part):
    """What a mode changes.

    Attributes:
        everywhere: In all rows.
        implicit: In the rows of the equilibrium.
        direct: In those of direct layers.
        warmup: In IMPLICIT+WARMUP alone.
        warmup_share: Part of its steps that train direct layers; None for no such row.
    """

    everywhere: Changes = Field(default={}, alias="all")
    implicit: Changes = {}
    direct: Changes = {}
    warmup: Changes = {}
    warmup_share: Annotated[float, Field(gt=0, lt=1)] | None = None


class NoiseLevels(_Part):
    """What trained models are evaluated under.

    Attributes:
        rates: Depolarising probabilities after every gate.
        shots: Measurements of a circuit.
        images: At most so many test images.
    """

    rates: list[Annotated[float, Field(ge=0, le=0.75)]] = Field(min_length=1)
    shots: list[Positive] = Field(min_length=1)
    images: Positive


class PaperTable(_Part):
    """A table of the paper.

    Attributes:
        name: What it is called by.
        title: Data, register and encoding.
        experiment: What all rows share in all modes.
        seeds: How many, by default: 0, 1, ...
        train_images: In the training split of the whole data set.
        layers: Of its DIRECT rows.
        modes: Settings by fidelity mode.
        noise: Noise to evaluate under; None for a table of the paper.
        paper: Whose table it is.
        claims: What the paper claims, in words.
        measured: What was measured elsewhere, with its provenance.
        reproduced: What mode ``reference`` has of the published code.
        not_reproduced: What it has not.
    """

    name: str
    title: str
    experiment: dict[str, Any]
    seeds: Positive
    train_images: Positive
    layers: list[Positive]
    modes: dict[Mode, Settings]
    noise: NoiseLevels | None = None
    paper: str
    claims: list[str] = []
    measured: list[str] = []
    reproduced: list[str] = []
    not_reproduced: list[str] = []

    def settings(self, mode: Mode) -> Settings:
        """Return a mode's settings.

        Raises:
            SpecError: The table does not have the mode.
        """
        if mode not in self.modes:
            raise SpecError(f"{self.name} has no mode {mode!r}; it has: {', '.join(self.modes)}")
        return self.modes[mode]

    def sweep(
        self,
        mode: Mode = "corrected",
        *,
        seeds: int | None = None,
        epochs: int | None = None,
        changes: Mapping[str, Any] | None = None,
        train_images: int | None = None,
    ) -> Sweep:
        """Return the sweep that the table is.

        Args:
            mode: Whose settings.
            seeds: How many, in place of the table's.
            epochs: In every row, in place of the mode's.
            changes: To every row, last of all: keys with dots.
            train_images: In the training split, to count the steps of the warm-up; by default in that of the whole
                data set.

        Raises:
            SpecError: A row is no experiment, or the table does not have the mode.
        """
        chosen = self.settings(mode)
        everywhere = dict(chosen.everywhere)
        last = {**({} if epochs is None else {"training.epochs": epochs}), **(changes or {})}
        rows: dict[str, Changes] = {IMPLICIT: {**chosen.implicit, **last}}
        if chosen.warmup_share is not None:
            rows[WARMUP] = {**chosen.implicit, **chosen.warmup, **last}
            spec = self._spec({**everywhere, **rows[WARMUP]})
            steps = spec.training.epochs * math.ceil((train_images or self.train_images) / spec.training.batch_size)
            warm = {"training.warmup_steps": max(1, round(chosen.warmup_share * steps)),
                    "training.warmup_layers": WARMUP_LAYERS}  # fmt: skip
            rows[WARMUP].update({key: value for key, value in warm.items() if key not in last})
        for layers in self.layers:
            rows[direct(layers)] = {
                **chosen.direct, **last, "model.mode": "direct", "model.layers": layers,
            }  # fmt: skip
        sweep = parse_sweep_spec(
            {
                "name": self.name if mode == "corrected" else f"{self.name}-{mode}",
                "base": copy.deepcopy(self.experiment),
                "set": everywhere,
                "list": rows,
                "seeds": list(range(seeds or self.seeds)),
                "compare": [(IMPLICIT, direct(layers)) for layers in self.layers],
                "metrics": list(METRICS),
            },
            self.name,
        )
        return expand(sweep, self.experiment, sweep.name)

    def data_spec(self, mode: Mode, changes: Mapping[str, Any] | None = None) -> ExperimentSpec:
        """Return an experiment with the table's data, which all rows share."""
        return self._spec({**self.settings(mode).everywhere, **(changes or {})})

    def _spec(self, changes: Mapping[str, Any]) -> ExperimentSpec:
        data = copy.deepcopy(self.experiment)
        for key, value in changes.items():
            put(data, key, copy.deepcopy(value), self.name)
        return parse_spec(data, self.name)


def table_names() -> list[str]:
    """Return the names of all tables."""
    files = (file.name for file in resources.files(__package__).joinpath("tables").iterdir())
    names = [name.removesuffix(".yaml") for name in files if name.endswith(".yaml")]
    return sorted((name for name in names if name != _SHARED), key=lambda name: (name not in _ORDER, _place(name)))


_ORDER = ("mnist4-amplitude", "mnist4-angle", "mnist10", "fashion10", "cifar10", "noise", "noise-mnist4")


def _place(name: str) -> Any:
    return _ORDER.index(name) if name in _ORDER else name


@lru_cache
def load_table(name: str) -> PaperTable:
    """Return a table.

    Raises:
        SpecError: There is none of that name.
    """
    names = table_names()
    if name not in names:
        raise SpecError(f"there is no table {name!r}; there are: {', '.join(names)}.{did_you_mean(name, names)}")
    shared, own = _read(_SHARED), _read(name)
    reference = shared.pop("reference")
    for mode, settings in own["modes"].items():
        if mode == "reference":
            for part in ("all", "implicit"):
                settings[part] = {**reference[part], **settings.get(part, {})}
    return PaperTable.model_validate({**shared, "name": name, **own})


def _read(name: str) -> dict[str, Any]:
    file = resources.files(__package__).joinpath("tables", f"{name}.yaml")
    data: dict[str, Any] = parse_yaml(file.read_text(encoding="utf-8"), f"{name}.yaml")
    return data


def sweep_file(table: PaperTable, sweep: Sweep, schema: str = "sweep.schema.json") -> str:
    """Return a table's sweep as the text of a file for ``qdeq sweep``.

    Args:
        table: The table.
        sweep: Its sweep.
        schema: The JSON schema that editors check the file by, from the file's own folder.
    """
    import yaml

    content = sweep.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return (
        f"# yaml-language-server: $schema={schema}\n"
        f"# {table.title}.\n"
        f"# Written by `qdeq reproduce {table.name} --show`, with the warm-up steps of the whole data set.\n"
        + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    )
