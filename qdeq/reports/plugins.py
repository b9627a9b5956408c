"""The installed plug-ins of one kind, the broken ones among them."""

from __future__ import annotations

import dataclasses
from importlib.metadata import entry_points
from typing import Any

from pydantic import TypeAdapter
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qdeq.errors import QdeqError
from qdeq.plugins import BACKENDS, Registry


def plugin_table(registry: Registry) -> RenderableType:
    """Return a table of names, packages, options with defaults and descriptions, and of what backends can do.

    A plug-in that cannot be loaded is named with the reason; the others are listed all the same.
    """
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(registry.kind, style="bold", no_wrap=True)
    table.add_column("from", no_wrap=True)
    table.add_column("option", no_wrap=True)
    table.add_column("default", no_wrap=True)
    table.add_column("meaning")
    packages = _packages(registry.group)
    broken: list[tuple[str, Exception]] = []
    capable: dict[str, Any] = {}
    for name in registry.names():
        package = packages.get(name, "")
        try:
            plugin = registry.load(name)
            options = TypeAdapter(plugin).json_schema()
            if registry is BACKENDS:
                capable[name] = plugin().capabilities
        except Exception as error:  # a plug-in may fail in any way
            broken.append((name, error))
            table.add_row(name, package, "", "", Text("broken, see below", "red"))
            continue
        required = options.get("required", [])
        rows = [
            (option, "required" if option in required else _text(about.get("default")), about.get("description", ""))
            for option, about in options.get("properties", {}).items()
        ]
        for position, row in enumerate(rows or [("none", "", "")]):
            head = (name, package) if position == 0 else ("", "")
            table.add_row(*head, *map(Text, row))
        table.add_section()
    parts: list[RenderableType] = [table]
    if capable:
        parts += [Text(""), _capability_table(capable)]
    for name, why in broken:
        reason = str(why) if isinstance(why, QdeqError) else f"{type(why).__name__}: {why}"
        parts.append(Text(f"broken: {registry.kind} {name!r}: {reason}", "red", overflow="fold"))
    return Group(*parts)


def _capability_table(capable: dict[str, Any]) -> Table:
    """One column a backend, one row a capability."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("capability", style="bold", no_wrap=True)
    for name in capable:
        table.add_column(name)
    for field in dataclasses.fields(next(iter(capable.values()))):
        table.add_row(field.name.replace("_", " "), *(_text(getattr(can, field.name)) for can in capable.values()))
    return table


def _packages(group: str) -> dict[str, str]:
    """Return the name and version of the package that each plug-in is from."""
    return {entry.name: f"{entry.dist.name} {entry.dist.version}" for entry in entry_points(group=group) if entry.dist}


def _text(value: Any) -> str:
    """Return a value as the YAML file would have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "null"
    if isinstance(value, set | frozenset | list | tuple):
        return ", ".join(sorted(map(str, value))) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
