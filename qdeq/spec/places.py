"""Places: options that say where files lie. A relative one starts at the folder of the file that it stands in.

A place is no part of what an experiment is: the content of what lies there is, and a run keeps its digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from qdeq.errors import PluginError
from qdeq.plugins import DATASETS

TRAINING = ("init_from",)
"""The places in the section ``training``."""


def dataset_places(name: str) -> tuple[str, ...]:
    """Return which options of a data set are places: those of the type ``Path``, such as ``DataPath``.

    Raises:
        PluginError: There is no such data set.
    """
    hints = get_type_hints(DATASETS.load(name.partition(":")[0]))
    return tuple(option for option, hint in hints.items() if Path in (hint, *get_args(hint)))


def anchor(data: Any, folder: Path) -> None:
    """Make the relative places of a parsed experiment absolute, in place; what is wrong with it is left to the checks.

    Args:
        data: As YAML has it.
        folder: Where relative places start.
    """
    if not isinstance(data, dict):
        return
    section = data.get("data")
    dataset = section.get("dataset") if isinstance(section, dict) else None
    if isinstance(dataset, dict) and isinstance(dataset.get("name"), str):
        try:
            _anchor(dataset, dataset_places(dataset["name"]), folder)
        except PluginError:
            return  # the checks of the data set say so, with what there is
    if isinstance(training := data.get("training"), dict):
        _anchor(training, TRAINING, folder)


def _anchor(section: dict[str, Any], places: tuple[str, ...], folder: Path) -> None:
    for option in places:
        value = section.get(option)
        if isinstance(value, str) and value and not value.startswith("~"):
            section[option] = str(folder / value)


def without_places(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved spec, as JSON has it, without its places; that a run starts from other weights stays in it."""
    dataset, training = dict(data["data"]["dataset"]), dict(data["training"])
    for option in dataset_places(dataset["name"]):
        dataset.pop(option, None)
    for option in TRAINING:
        training[option] = training[option] is not None
    return {**data, "data": {**data["data"], "dataset": dataset}, "training": training}


def places(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the places that a resolved spec, as JSON has it, names."""
    dataset, training = data["data"]["dataset"], data["training"]
    found = {f"data.dataset.{option}": dataset.get(option) for option in dataset_places(dataset["name"])}
    found |= {f"training.{option}": training[option] for option in TRAINING}
    return {key: place for key, place in found.items() if place is not None}
