"""From a sweep to its cells: every variant with every seed, each a whole experiment, all of them checked."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from qdeq.errors import QdeqError, SpecError, did_you_mean, summed_up
from qdeq.spec import ExperimentSpec, parse_spec, put, read_yaml
from qdeq.spec.places import anchor, places
from qdeq.sweeps.spec import SweepSpec, load_sweep_spec

MAX_CELLS = 10_000
"""A sweep of more cells than this is taken for a mistake."""

ONLY = "base"
"""Name of the variant where there is neither a list nor a grid."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of a sweep.

    Attributes:
        variant: Name of the variant.
        seed: Root of the run's random streams.
        spec: The experiment.
    """

    variant: str
    seed: int
    spec: ExperimentSpec

    @cached_property
    def name(self) -> str:
        """Name of its folder: what a person can read, and first digits of a hash of the spec, places included."""
        readable = re.sub(r"[^A-Za-z0-9._=-]+", "-", self.variant).strip("-")[:60]
        digest = self.spec.content_hash
        if where := places(self.spec.model_dump(mode="json")):  # cells may differ in their files alone
            digest = hashlib.sha256(json.dumps([digest, where], sort_keys=True).encode()).hexdigest()
        return f"{readable}-seed{self.seed}-{digest[:12]}"

    def __str__(self) -> str:
        return f"{self.variant}, seed {self.seed}"


@dataclass(frozen=True)
class Sweep:
    """A sweep whose every cell describes an experiment.

    Attributes:
        spec: The sweep file.
        source: Its path, for messages.
        variants: Names of all variants, in the order of the table.
        cells: Every variant with every seed: all variants with the first seed, then with the next.
        pairs: Variants that are compared, by their full names.
    """

    spec: SweepSpec
    source: str
    variants: tuple[str, ...]
    cells: tuple[Cell, ...]
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Variant:
    name: str
    listed: str  # its part from `list`
    point: str  # its part from the grid
    changes: dict[str, Any]


def load_sweep(path: str | Path) -> Sweep:
    """Read a sweep file and the experiment that it starts from, and check every cell.

    Raises:
        SpecError: A file cannot be read, or a cell is no experiment; the message names cell and field.
    """
    path = Path(path)
    spec = load_sweep_spec(path)
    file = path if isinstance(spec.base, dict) else path.parent / spec.base
    base = copy.deepcopy(spec.base) if isinstance(spec.base, dict) else read_yaml(file)
    if not isinstance(base, dict):
        raise SpecError(f"{file}: expected a mapping, as an experiment file has")
    anchor(base, file.absolute().parent)
    return expand(spec, base, str(path), path.absolute().parent)


def expand(spec: SweepSpec, base: dict[str, Any], source: str, folder: Path | None = None) -> Sweep:
    """Return the cells of a sweep.

    Args:
        spec: The sweep.
        base: The parsed experiment that all cells start from; it is left as it is.
        source: Names the sweep in messages.
        folder: Where relative paths in its variants start; the working directory by default.

    Raises:
        SpecError: See :func:`load_sweep`.
    """
    number = max(1, len(spec.variants)) * math.prod(map(len, spec.grid.values())) * len(spec.seeds)
    if number > MAX_CELLS:
        raise SpecError(f"{source}: {number:,} cells, and at most {MAX_CELLS:,} are allowed; split the sweep")
    variants = _variants(spec, source)
    specs = _experiments(variants, spec, base, source, folder or Path.cwd())
    cells = [Cell(name, seed, specs[name].model_copy(update={"seed": seed})) for seed in spec.seeds for name in specs]
    _each_once(cells, source)
    return Sweep(spec, source, tuple(specs), tuple(cells), tuple(_pairs(spec, variants, source)))


def _variants(spec: SweepSpec, source: str) -> list[_Variant]:
    short = _short_keys(list(spec.grid))
    found: dict[str, _Variant] = {}
    for listed, changes in (spec.variants or {"": {}}).items():
        for values in product(*spec.grid.values()):
            point = ", ".join(f"{short[key]}={label(value)}" for key, value in zip(spec.grid, values, strict=True))
            name = ", ".join(filter(None, (listed, point))) or ONLY
            if name in found:
                raise SpecError(
                    f"{source}: grid: the variant {name!r} comes twice; leave out the value that is repeated"
                )
            found[name] = _Variant(name, listed, point, {**changes, **dict(zip(spec.grid, values, strict=True))})
    return list(found.values())


def _experiments(
    variants: Sequence[_Variant], spec: SweepSpec, base: dict[str, Any], source: str, folder: Path
) -> dict[str, ExperimentSpec]:
    """Return every variant's experiment, by the variant's name; what is wrong with any of them is told together."""
    specs: dict[str, ExperimentSpec] = {}
    wrong: dict[str, QdeqError] = {}
    for variant in variants:
        where = f"variant {variant.name!r}"
        try:
            data = copy.deepcopy(base)
            for key, value in {**spec.fixed, **variant.changes, "seed": spec.seeds[0]}.items():
                put(data, key, copy.deepcopy(value), where)
            anchor(data, folder)
            specs[variant.name] = parse_spec(data, where)
        except SpecError as error:
            wrong[where] = SpecError(str(error).removeprefix(f"{where}: "))
    if wrong:
        raise SpecError(f"{source}: {summed_up(wrong, len(variants), 'variants')}")
    return specs


def _each_once(cells: Sequence[Cell], source: str) -> None:
    """Refuse two names for one experiment: it would be run twice for one result."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        first = seen.setdefault(cell.spec.to_yaml(), cell)
        if first is not cell:
            raise SpecError(
                f"{source}: the variants {first.variant!r} and {cell.variant!r} are the same experiment\n"
                "Leave one of them out, or change what it sets."
            )


def _pairs(spec: SweepSpec, variants: Sequence[_Variant], source: str) -> list[tuple[str, str]]:
    """Return the pairs to compare: variants by their full names, or variants of the list at each point of the grid."""
    found: list[tuple[str, str]] = []
    by_name = {variant.name: variant for variant in variants}
    for pair in spec.compare:
        for name in pair:
            allowed = {**by_name, **spec.variants}
            if name not in allowed:
                hint = did_you_mean(name, allowed)
                raise SpecError(f"{source}: compare: there is no variant {name!r}; there are: {_some(allowed)}.{hint}")
        if pair[0] == pair[1]:
            raise SpecError(f"{source}: compare: {pair[0]!r} is compared with itself")
        if all(name in by_name for name in pair):
            found.append(pair)
            continue
        if not all(name in spec.variants for name in pair):
            raise SpecError(f"{source}: compare: {list(pair)}: name two variants of `list`, or two points in full")
        at = {(variant.listed, variant.point): variant.name for variant in variants}
        points = dict.fromkeys(variant.point for variant in variants)
        found += [(at[pair[0], point], at[pair[1], point]) for point in points]
    return list(dict.fromkeys(found))


def label(value: Any) -> str:
    """Return a value as a variant's name shows it: ``anderson(memory=3)`` for a mapping with a name."""
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        options = ", ".join(f"{key}={label(option)}" for key, option in value.items() if key != "name")
        return f"{value['name']}({options})" if options else str(value["name"])
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return for each key its last part, or all of it where two keys end alike."""
    last = [key.rsplit(".", 1)[-1] for key in keys]
    return {key: part if last.count(part) == 1 else key for key, part in zip(keys, last, strict=True)}


def _some(names: Sequence[str] | dict[str, Any], most: int = 8) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (", ..." if listed[most:] else "")
