"""YAML text, and assignments to what it describes; both may come from anybody.

An experiment is small, flat and plain. What is not is refused while it is read, before it can cost time or memory:
deep nesting, thousands of values, very long ones, tags, aliases, merges, repeated keys, characters that do not print.
"""

from __future__ import annotations

from typing import Any

import yaml

from qdeq.errors import SpecError, is_hidden, printable
from qdeq.spec.yaml_mistakes import in_plain_words

MAX_DEPTH = 20
"""Levels of mappings and lists; noise, the deepest section, has six."""
MAX_NODES = 10_000
"""Keys, values, mappings and lists in one text."""
MAX_CHARACTERS = 4096
"""In one key or value; the longest are paths."""
MAX_INTEGER = 2**63 - 1


class _Loader(yaml.SafeLoader):
    """The safe loader, for plain data of bounded size. Aliases are refused: few lines of them can ask for gigabytes."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases (*name) are not allowed", event)
        if event.tag is not None:
            raise _refusal(f"tags ({printable(event.tag)}) are not allowed", event)
        if isinstance(event, yaml.ScalarEvent):
            _check_scalar(event)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _refusal(f"more than {MAX_NODES} keys and values", event)
        if self.depth == MAX_DEPTH:
            raise _refusal(f"nested more than {MAX_DEPTH} deep", event)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise _refusal("merging (<<) is not allowed", key)
            try:
                name = self.construct_object(key, deep=True)
                repeated = name in mapping
            except TypeError as error:
                raise _refusal("a key is a name or a number, not a list or a mapping", key) from error
            if repeated:
                raise _refusal(f"key {name!r} stands twice", key)
            mapping[name] = self.construct_object(value, deep=deep)
        return mapping

    def construct_integer(self, node: Any) -> int:
        number = self.construct_yaml_int(node)
        if abs(number) > MAX_INTEGER:
            raise _refusal("a whole number has more than 64 bits", node)
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)


def _refusal(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, at.start_mark)


def _check_scalar(event: yaml.ScalarEvent) -> None:
    if len(event.value) > MAX_CHARACTERS:
        raise _refusal(f"a text of {len(event.value)} characters; at most {MAX_CHARACTERS} are allowed", event)
    for character in event.value:
        if is_hidden(character):
            raise _refusal(f"the character U+{ord(character):04X}, which cannot be printed, is not allowed", event)


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML; ``source`` names it in messages.

    Raises:
        SpecError: The text is not YAML, or uses what an experiment file may not.
    """
    try:
        loader = _Loader(text)  # refuses characters that YAML does not have
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line, problem = in_plain_words(text, error)
        where = "" if line is None else f", line {line}"
        raise SpecError(f"{source}{where}: not valid YAML: {printable(problem)}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # of dates and numbers that do not exist
        raise SpecError(f"{source}: not valid YAML: {printable(str(error).splitlines()[0])}") from error


def value_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line [from 1] of every value in YAML that :func:`parse_yaml` takes: of a mapping or list, of its key.

    Args:
        text: The YAML; the keys of what is returned are those that lead to a value, and places in lists.
    """
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    finally:
        loader.dispose()
    lines: dict[tuple[str, ...], int] = {}

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, str(key.value))
                lines[here] = (value if isinstance(value, yaml.ScalarNode) and value.value else key).start_mark.line + 1
                walk(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for place, item in enumerate(node.value):
                lines[*path, str(place)] = item.start_mark.line + 1
                walk(item, (*path, str(place)))

    walk(root, ())
    return lines


def assign(data: Any, override: str) -> None:
    """Change parsed YAML, in place, by one assignment ``"a.b=value"``.

    Raises:
        SpecError: It is no assignment, or leads nowhere.
    """
    path, sign, text = override.partition("=")
    shown = f"--set {printable(override)}"
    if not sign or not all(path.strip().split(".")):
        raise SpecError(f"{shown}: expected KEY.KEY=VALUE, for example training.epochs=5")
    put(data, path.strip(), parse_yaml(text, shown), shown)


def put(data: Any, path: str, value: Any, source: str) -> None:
    """Set the value at the keys ``"a.b"`` of parsed YAML, in place; ``source`` names the assignment in messages.

    Raises:
        SpecError: The keys do not lead into a mapping.
    """
    keys = path.split(".")
    target = data
    for key in keys[:-1]:
        if isinstance(target, dict) and isinstance(target.get(key), str):
            target[key] = {"name": target[key]}  # `solver: broyden` and --set solver.max_steps=20
        if isinstance(target, dict) and target.get(key) is None:
            target[key] = {}  # `budget: null` and --set budget.max_usd=5
        target = target[key] if isinstance(target, dict) else None
    if not isinstance(target, dict) or len(keys) > MAX_DEPTH:
        raise SpecError(f"{source}: {printable(path)} does not lead into a mapping")
    target[keys[-1]] = value
