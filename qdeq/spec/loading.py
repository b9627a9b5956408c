"""From a file, or from parsed YAML, to a checked experiment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qdeq.errors import SpecError, printable
from qdeq.spec.experiment import ExperimentSpec
from qdeq.spec.messages import explain, located, origin
from qdeq.spec.places import anchor
from qdeq.spec.text import assign, parse_yaml, value_lines
from qdeq.spec.yaml_mistakes import space_missing

MAX_FILE_BYTES = 1 << 17
"""An experiment file larger than this is refused; no more of it is read."""


def load_spec(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    typed: Mapping[str, str] | None = None,
    base: Path | None = None,
) -> ExperimentSpec:
    """Read an experiment file.

    Args:
        path: A YAML file; the relative paths in it start at its folder.
        overrides: Assignments ``"a.b=value"``, the value in YAML, applied in order; their relative paths start at the
            working directory.
        typed: What the user typed for an override, where that was not ``--set``; for messages.
        base: Where the relative paths in the file start, if not at its folder.

    Raises:
        SpecError: The file cannot be read, or does not describe an experiment.
    """
    text = read_text(path)
    data = parse_yaml(text, str(Path(path)))
    _check_mapping(data, str(Path(path)))
    anchor(data, base or Path(path).absolute().parent)
    for override in overrides:
        assign(data, override)
    anchor(data, Path.cwd())
    return parse_spec(data, str(Path(path)), overrides, typed=typed, text=text)


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file of a size that a person writes.

    Raises:
        SpecError: It cannot be read, is too large, or is not YAML.
    """
    return parse_yaml(read_text(path), str(Path(path)))


def read_text(path: str | Path) -> str:
    """Read a text file of a size that a person writes.

    Raises:
        SpecError: It cannot be read, or is too large.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)  # whatever size the file claims: a device claims none
        if len(content) > MAX_FILE_BYTES:
            raise SpecError(f"{path}: larger than {MAX_FILE_BYTES} bytes; an experiment file is a few lines of YAML")
        return content.decode("utf-8")
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}){_file_meant(path)}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: cannot be read as UTF-8 (byte {error.start}); save it as UTF-8") from error
    except ValueError as error:  # a path with a NUL in it
        raise error if isinstance(error, SpecError) else SpecError(f"{path!r}: cannot be read ({error})") from error


def _file_meant(path: Path) -> str:
    """Return which file is meant by one that cannot be read: the spec in a run's folder, or a neighbour."""
    if os.path.isfile(path / "spec.yaml"):
        return f"; did you mean {path / 'spec.yaml'}?"
    try:
        beside = sorted(each.name for each in path.parent.iterdir() if each.suffix in (".yaml", ".yml"))
    except OSError:
        return ""
    same = [name for name in beside if Path(name).stem == (path.stem if path.suffix else path.name)]
    close = same or difflib.get_close_matches(path.name, beside, n=1, cutoff=0.8)
    return f"; did you mean {printable(str(path.with_name(close[0])))}?" if close and not path.exists() else ""


def parse_spec(
    data: Any,
    source: str,
    overrides: Sequence[str] = (),
    *,
    typed: Mapping[str, str] | None = None,
    text: str | None = None,
) -> ExperimentSpec:
    """Check a parsed experiment.

    Args:
        data: The experiment.
        source: Its name in messages, which also say what came in by an override.
        overrides: Assignments that are in it already.
        typed: What the user typed for an override, as :func:`load_spec` takes it.
        text: What it was parsed from, so that messages can name the line.

    Raises:
        SpecError: It is no experiment.
    """
    _check_mapping(data, source)
    try:
        return ExperimentSpec.model_validate(data)
    except ValidationError as error:
        items = error.errors(include_url=False)[:2]
        places = {} if text is None else value_lines(text)
        lines = []
        for item in items:
            came_by = origin(item, overrides, typed or {})
            where = source if came_by else located(source, item, places, overrides)
            lines.append(explain(where, item) + came_by)
        if len(lines) > 1:  # each may have a second line, with what is allowed; the message has two in all
            lines = [line.partition("\n")[0] for line in lines]
        raise SpecError("\n".join(lines)) from error


def _check_mapping(data: Any, source: str) -> None:
    if isinstance(data, dict) and {"base", "seeds"} <= data.keys():
        raise SpecError(f"{source}: is a sweep, not an experiment; `qdeq sweep {source}` runs it")
    if not isinstance(data, dict):
        if slip := space_missing(data):
            raise SpecError(f"{source}: {slip}")
        empty = "is empty, " if data is None else ""
        raise SpecError(
            f"{source}: {empty}expected a mapping with the keys {', '.join(ExperimentSpec.model_fields)}\n"
            "`qdeq init` writes a file to start from."
        )
