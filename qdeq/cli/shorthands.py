"""``--backend``, ``--solver`` and ``--device`` as assignments to the experiment file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from qdeq.errors import SpecError
from qdeq.spec import read_yaml

ANY_SOLVER = ("on_failure", "fallback", "fixed_steps", "first_shots", "shots_growth", "max_steps", "rtol", "atol")
"""What stands in the solver section whatever the solver is, and outlives a change of it."""


def shorthands(config: Path, backend: str | None, solver: str | None, device: str | None) -> dict[str, str]:
    """Return the assignments that the options stand for, each with the option as it was typed.

    A name that the file has already changes nothing. Another backend comes with its defaults; another solver keeps
    those of the file's options that every solver has.
    """
    data = _sections(config)
    if data is None:
        return {}
    found = {}
    if backend is not None and _name(data.get("backend", "torch")) != backend:
        found[_assignment("backend", backend)] = f"--backend {backend}"
    if solver is not None and _name(data.get("solver", "broyden")) != solver:
        old = data.get("solver")
        kept = {key: old[key] for key in ANY_SOLVER if key in old} if isinstance(old, Mapping) else {}
        found[_assignment("solver", {"name": solver, **kept})] = f"--solver {solver}"
    if device is not None:
        found[_assignment("training.device", device)] = f"--device {device}"
    return found


def _sections(config: Path) -> Mapping[Any, Any] | None:
    """Return the file's content, or None where it cannot be had: reading it for good will say why."""
    try:
        data = read_yaml(config)
    except SpecError:
        return None
    return data if isinstance(data, Mapping) else None


def _name(section: Any) -> Any:
    return section.get("name") if isinstance(section, Mapping) else section


def _assignment(key: str, value: Any) -> str:
    # as a list of one, because YAML ends a lone scalar with a line of dots
    text = yaml.safe_dump([value], default_flow_style=True, width=float("inf")).strip()
    return f"{key}={text.removeprefix('[').removesuffix(']')}"
