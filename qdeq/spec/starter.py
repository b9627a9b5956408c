"""A first experiment file: the keys that are commonly changed, each below the description that the spec has of it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, TypeAdapter

from qdeq.backends import get_backend
from qdeq.plugins import SOLVERS
from qdeq.spec.experiment import ExperimentSpec
from qdeq.spec.loading import parse_spec

KEYS: dict[str, tuple[str, ...]] = {
    "name": (),
    "seed": (),
    "data": ("dataset", "classes", "limit"),
    "model": (
        *("qubits", "encoding", "ansatz", "ansatz_layers", "mode", "layers"),
        *("state_scale", "learn_state_scale", "dropout"),
    ),
    "backend": (),
    "shots": (),
    "noise": (),
    "solver": ("name", "max_steps", "rtol", "on_failure"),
    "adjoint": (),
    "training": (
        *("epochs", "batch_size", "learning_rate", "clip", "warmup_steps", "jacobian_weight"),
        *("precision", "device"),
    ),
    "budget": ("max_usd", "max_tasks", "max_shots"),
}
"""What a starter file has: the keys of the experiment, with those of their sections."""

SUITED: dict[Any, dict[str, dict[str, Any]]] = {
    "digits": {
        "data": {"classes": [0, 3, 6, 9]},
        "training": {"epochs": 60, "batch_size": 32, "learning_rate": 0.02},
    },
    "mnist": {"data": {"classes": [0, 3, 6, 9]}},
}
"""Where a data set does better with other values than the defaults, as in configs/."""

FIRST_USD = 5.0
"""Where the backend costs money; the user is told to look at the estimate first."""
FIRST_SHOTS = 1000
"""Where the backend has no exact expectations."""
_COLUMNS = 120


def starter(
    name: str = "experiment", *, dataset: Any = "digits", qubits: int = 4, backend: Any = "torch", schema: str
) -> str:
    """Return an experiment file with comments; it is checked, and describes the experiment that was asked for.

    Args:
        name: Of the experiment.
        dataset: A data set's name, or a mapping with options.
        qubits: Register n.
        backend: A backend's name, or a mapping with options.
        schema: The JSON schema that editors check the file by: a path from the file's own folder, or an address.

    Raises:
        SpecError: There is no such experiment.
        QdeqError: The backend cannot be had.
    """
    data = _chosen(name, dataset, qubits, backend)
    spec = parse_spec(data, "a file with these options")
    lines = [
        f"# yaml-language-server: $schema={schema}",
        "# An experiment of qdeq. Every key has a default and may be left out; this file has the common ones,",
        "# `qdeq show FILE` prints all, and `qdeq train FILE --set KEY=VALUE` changes any of them for once.",
    ]
    if spec.budget is not None:
        lines.append(
            "# This backend costs money: look at `qdeq estimate FILE` before you train, and at `budget` below."
        )
    return "\n".join([*lines, *_sections(spec, data)]) + "\n"


def _chosen(name: str, dataset: Any, qubits: int, backend: Any) -> dict[str, Any]:
    """Return what differs from the defaults."""
    suited = SUITED.get(dataset, {}) if isinstance(dataset, str) else {}
    fits = qubits != 3  # n x n features fit 2**n amplitudes for every other n
    can = get_backend(backend).capabilities
    return {
        "name": name,
        "data": {"dataset": dataset, **suited.get("data", {})},
        "model": {"qubits": qubits, "encoding": "amplitude" if fits else "angle"},
        "backend": backend,
        "training": suited.get("training", {}),
        **({} if can.exact else {"shots": FIRST_SHOTS}),
        **({"budget": {"max_usd": FIRST_USD}} if can.costs_money else {}),
    }


def _sections(spec: ExperimentSpec, data: Mapping[str, Any]) -> Iterator[str]:
    for key, inner in KEYS.items():
        value, field = getattr(spec, key), ExperimentSpec.model_fields[key]
        if not inner:
            # a plug-in as it was asked for: its options need not be repeated
            shown = data.get(key, value["name"]) if isinstance(value, dict) else value
            yield from ("", *_entry(key, shown, field.description, field.annotation))
        elif value is not None:
            yield from ("", *_comment(field.description, ""), f"{key}:")
            yield from _section(key, value, inner, data.get(key, {}))


def _section(key: str, section: BaseModel, inner: tuple[str, ...], given: Mapping[str, Any]) -> Iterator[str]:
    options = TypeAdapter(SOLVERS.load(section.name)).json_schema() if key == "solver" else {}  # type: ignore[attr-defined]
    for name in inner:
        if field := type(section).model_fields.get(name):
            description, annotation = field.description, field.annotation
        elif about := options["properties"].get(name):
            description, annotation = about["description"], None
        else:
            continue  # an option that this solver does not have
        value = getattr(section, name)
        yield from _entry(name, given[name] if isinstance(value, dict) else value, description, annotation, "  ")


def _entry(key: str, value: Any, description: str | None, annotation: Any, indent: str = "") -> Iterator[str]:
    choices = _choices(annotation)
    text = f"{description} One of {', '.join(choices)}." if choices else description
    yield from _comment(text, indent)
    written = yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=float("inf")).strip()
    yield f"{indent}{key}: {written[1:-1]}"


def _comment(text: str | None, indent: str) -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(text or "", _COLUMNS, initial_indent=start, subsequent_indent=start, break_on_hyphens=False)


def _choices(annotation: Any) -> tuple[str, ...]:
    """Return the words that a key allows, where it is one of few."""
    if get_origin(annotation) is Annotated:
        return _choices(get_args(annotation)[0])
    return get_args(annotation) if get_origin(annotation) is Literal else ()
