"""What is wrong with an experiment, in one line: file, path, what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from qdeq.errors import did_you_mean, printable
from qdeq.numbers import number_meant
from qdeq.spec.experiment import ExperimentSpec
from qdeq.spec.yaml_mistakes import space_missing


def origin(item: Any, overrides: Sequence[str], typed: Mapping[str, str]) -> str:
    """Say which override, if any, the mistake came in by, as the user typed it: the file itself may be right."""
    where = ".".join(str(part) for part in item["loc"])
    guilty = [text for text in overrides if f"{where}.".startswith(f"{text.partition('=')[0].strip()}.")]
    if not guilty:
        return ""
    if guilty[-1] in typed:
        return f" (from {printable(typed[guilty[-1]])})"
    key, _, value = guilty[-1].partition("=")
    # a whole mapping may hold anything, keys of an account too: it is not repeated
    return f" (from --set {printable(key)}={'{...}' if value.lstrip().startswith('{') else printable(value)})"


def located(source: str, item: Any, lines: Mapping[tuple[str, ...], int], overrides: Sequence[str] = ()) -> str:
    """Return the file's name, with the line where the mistake is.

    Args:
        source: The file's name.
        item: The mistake.
        lines: Of the file's values, as :func:`~qdeq.spec.text.value_lines` has them.
        overrides: What does not stand in the file.
    """
    section = [*map(str, _location(item))]
    path = list(section)
    if item["type"] == "value_error":  # of several keys: the message begins with the first of them
        named = re.match(r"[a-z_.]*[a-z_]", item["msg"].removeprefix("Value error, "))
        path += named.group().split(".") if named else []
    line = next((lines[found] for end in range(len(path), 0, -1) if (found := tuple(path[:end])) in lines), None)
    changed = [override.partition("=")[0].strip().split(".") for override in overrides]
    if line is None or any(keys == path[: len(keys)] or keys[: len(section)] == section != [] for keys in changed):
        return source
    return f"{source}, line {line}"


def _location(item: Any) -> list[Any]:
    return [part for part in item["loc"] if not str(part).startswith(("function-", "literal[", "tuple["))]


def explain(source: str, item: Any) -> str:
    """Return one line, or two where a plug-in says what it allows: file, path, what is wrong, what is allowed."""
    location = _location(item)
    where = printable(".".join(str(part) for part in location))
    prefix = f"{source}: {where}: " if where else f"{source}: "
    if item["type"] == "extra_forbidden" and (slip := space_missing(str(location[-1]))):
        return f"{prefix}{slip}"
    if meant := _value_meant(item):
        return f"{prefix}{meant}, not {_short(item['input'])}"
    if item["type"] == "extra_forbidden":
        fields = _fields_at(location[:-1])
        return f"{prefix}unknown key; allowed: {', '.join(fields)}.{_meant(location, fields)}"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return prefix + "\n".join(map(printable, message.splitlines()))
    if item["type"] in ("model_type", "dict_type"):
        fields = _fields_at(location)
        keys = f" with the keys {', '.join(fields)}" if fields else ""
        return f"{prefix}expected a mapping{keys}, not {_short(item['input'])}"
    if item["type"] == "too_short":
        return f"{prefix}needs at least {item['ctx']['min_length']} entries, not {_short(item['input'])}"
    if item["type"] == "string_pattern_mismatch":
        return f"{prefix}not {_short(item['input'])}. Allowed: {_description_at(location)}"
    guess = (
        did_you_mean(item["input"], item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", "))
        if item["type"] == "literal_error"
        else ""
    )
    return f"{prefix}{message[0].lower()}{message[1:]}, not {_short(item['input'])}.{guess}"


_LIST_TYPES = ("list_type", "tuple_type")
_NUMBER_TYPES = ("int_type", "int_parsing", "float_type", "float_parsing", "model_type", "dict_type", "literal_error")


def _value_meant(item: Any) -> str:
    """Return how to write a value whose form is wrong and whose meaning is clear; an empty string for any other."""
    given, kind = item["input"], item["type"]
    if kind in _LIST_TYPES and isinstance(given, str | int) and not isinstance(given, bool):
        return f"a list stands in brackets: [{', '.join(part.strip() for part in str(given).split(','))}]"
    if kind in ("model_type", "dict_type") and (slip := space_missing(given)):
        return slip
    number = number_meant(given, whole=kind.startswith("int_")) if kind in _NUMBER_TYPES else None
    return "" if number is None else f"write {number}"


def key_meant(word: str) -> str | None:
    """Return the key of an experiment, such as ``model.qubits``, that is meant by its last word, or nearly that."""
    keys: dict[str, str] = {}
    for section in ExperimentSpec.model_fields:
        for key in _fields_at((section,)):
            keys.setdefault(key, f"{section}.{key}")
    found = word if word in keys else "".join(did_you_mean(word, keys).split("'")[1:2])
    return keys.get(found)


def _meant(location: Sequence[Any], fields: Sequence[str]) -> str:
    """Return which key is meant by an unknown one: of its own mapping, or one that belongs in another section."""
    word, elsewhere = str(location[-1]), key_meant(str(location[-1]))
    exact = elsewhere is not None and elsewhere.endswith(f".{word}")
    guess = "" if exact else did_you_mean(word, fields)
    return guess or (f" Did you mean {elsewhere!r}?" if elsewhere and (exact or len(location) == 1) else "")


def _description_at(location: Sequence[Any]) -> str:
    parent: Any = ExperimentSpec
    for key in location[:-1]:
        parent = parent.model_fields[str(key)].annotation
    return parent.model_fields[str(location[-1])].description or ""


def _fields_at(location: Sequence[Any]) -> list[str]:
    model: Any = ExperimentSpec
    for key in location:
        if get_origin(model) is dict:  # of `dict[int, Section]`: the key is the user's
            model = get_args(model)[1]
            continue
        field = model.model_fields.get(str(key))
        model = field.annotation if field else None
        if get_origin(model) is dict:
            continue
        model = next((kind for kind in get_args(model) if kind is not type(None)), model)  # of `Budget | None`
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
