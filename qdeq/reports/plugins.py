"""The installed plug-ins of one kind, the broken ones among them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qdeq.plugins import BACKENDS, Installed, Registry, installed
from qdeq.reports.tables import plain_table


def plugin_json(registry: Registry) -> str:
    """Return what is installed as JSON: an object for each plug-in, with the JSON schema of its options."""
    rows = []
    for plugin in installed(registry):
        row = {"name": plugin.name, "package": plugin.package, "ok": plugin.ok, "error": plugin.reason}
        row["options"] = TypeAdapter(plugin.made).json_schema() if plugin.ok else None
        if registry is BACKENDS:
            row["capabilities"] = asdict(plugin.made().capabilities) if plugin.ok else None
        rows.append(row)
    return json.dumps({"format_version": 1, "plugins": rows}, indent=2, ensure_ascii=False, default=sorted)


def plugin_table(registry: Registry) -> RenderableType:
    """Return what is installed: names and packages, what backends can do, and the options with defaults and meaning.

    Options that all have are listed once, and again where one of them has another default. A plug-in that cannot be
    loaded is named with the reason and how to install what it lacks; the others are listed all the same.
    """
    found = installed(registry)
    loaded = {plugin.name: plugin.made for plugin in found if plugin.ok}
    packages = {plugin.name: plugin.package for plugin in found}
    broken = [_problem(registry.kind, plugin) for plugin in found if not plugin.ok]
    parts: list[RenderableType] = []
    if registry is BACKENDS:
        parts += [_capability_table({name: plugin() for name, plugin in loaded.items()}), Text("")]
    return Group(*parts, _option_table(registry.kind, loaded, packages), *broken)


def _problem(kind: str, plugin: Installed) -> Text:
    if plugin.mend:
        return Text(f"not installed: {kind} {plugin.name!r}; {plugin.mend}", "yellow", overflow="fold")
    return Text(f"broken: {kind} {plugin.name!r}: {plugin.reason}", "red", overflow="fold")


def _option_table(kind: str, loaded: dict[str, Any], packages: dict[str, str]) -> Table:
    table = plain_table()
    for column in (kind, "from", "option", "default"):
        table.add_column(column, style="bold" if column == kind else "", no_wrap=True)
    table.add_column("meaning")
    rows = {name: _option_rows(plugin) for name, plugin in loaded.items()}
    shared = _shared(list(rows.values()))
    if len(rows) > 1 and shared:
        rows = {f"every {kind}": shared, **{name: [r for r in own if r not in shared] for name, own in rows.items()}}
    for name, own in rows.items():
        for position, row in enumerate(own or [("none of its own" if shared else "none", "", "")]):
            head = (name, packages.get(name, "")) if position == 0 else ("", "")
            table.add_row(*head, *map(Text, row))
        table.add_section()
    return table


def _shared(tables: list[list[tuple[str, str, str]]]) -> list[tuple[str, str, str]]:
    """Return the rows of options that all tables have, as most of them have them."""
    rows = [row for table in tables for row in table]
    everywhere = set.intersection(*({option for option, *_ in table} for table in tables)) if tables else set()
    return [row for row in dict.fromkeys(rows) if row[0] in everywhere and rows.count(row) > len(tables) / 2]


def _option_rows(plugin: Any) -> list[tuple[str, str, str]]:
    options = TypeAdapter(plugin).json_schema()
    required = options.get("required", [])
    return [
        (option, "required" if option in required else _text(about.get("default")), about.get("description", ""))
        for option, about in options.get("properties", {}).items()
    ]


def _capability_table(backends: dict[str, Any]) -> Table:
    """One row a backend."""
    table = plain_table()
    table.add_column("backend", style="bold", no_wrap=True)
    shown = ("exact", "shots", "noise", "gradients", "precision", "max_qubits", "remote", "costs_money")
    for column in shown:
        table.add_column(column.replace("_", " "))
    for name, backend in backends.items():
        table.add_row(name, *(_text(getattr(backend.capabilities, column)) for column in shown))
    return table


def _text(value: Any) -> str:
    """Return a value as the YAML file would have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "null"
    if isinstance(value, set | frozenset | list | tuple):
        return ", ".join(sorted(map(str, value))) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
