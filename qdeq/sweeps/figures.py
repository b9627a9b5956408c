"""Which figures of a run's summary a sweep can put into its table, and how they are read from it."""

from __future__ import annotations

import typing
from dataclasses import fields
from typing import Any

from qdeq.training.metrics import Metrics
from qdeq.training.summary import RunSummary

SPLITS = ("test", "validation", "train")
SHARES = ("accuracy", "converged", "certified", "noise_limited")
"""Figures between 0 and 1, which tables show in per cent."""

_UNITS = {"seconds": "s", "samples_per_second": "1/s", "process_mib": "MiB", "device_mib": "MiB", "loss": "nats"}


def _numbers(kind: type) -> list[str]:
    """Return the fields of a dataclass that are numbers, or counts by name, which are added up."""
    hints = typing.get_type_hints(kind)
    wanted = (int, float, float | None, dict[str, int])
    return [field.name for field in fields(kind) if hints[field.name] in wanted]


FIGURES: tuple[str, ...] = (
    *(f"{split}.{name}" for split in SPLITS for name in _numbers(Metrics)),
    *(name for name in _numbers(RunSummary) if name != "seed"),
    "memory.process_mib",
    "memory.device_mib",
)
"""Every figure, by its path in the summary."""


def figure(summary: RunSummary, path: str) -> float | None:
    """Return a figure of a finished run; None where it was not measured."""
    value: Any = summary
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else getattr(value, part)
    if isinstance(value, dict):
        value = sum(value.values())
    return None if value is None else float(value)


def is_share(path: str) -> bool:
    """Return whether a figure is shown in per cent."""
    return path.rsplit(".", 1)[-1] in SHARES


def title(path: str) -> str:
    """Return a figure's name with its unit, such as ``test accuracy [%]``."""
    last = path.rsplit(".", 1)[-1]
    unit = "%" if is_share(path) else _UNITS.get(last)
    words = path.replace(".process_mib", " of the process").replace(".device_mib", " of the GPU")
    words = words.replace(".", " ").replace("_", " ")
    return words if unit is None else f"{words} [{unit}]"
