"""``qdeq solvers``, ``qdeq backends`` and ``qdeq datasets``: what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from qdeq.cli.app import AsJson, app, examples, make_console

if TYPE_CHECKING:
    from qdeq.plugins import Registry


@app.command(epilog=examples("qdeq solvers", "qdeq solvers --json | jq -r .plugins[].name"))
def solvers(as_json: AsJson = False) -> None:
    """List the solvers that are installed, with their options."""
    from qdeq.plugins import SOLVERS

    _list(SOLVERS, as_json)


@app.command(epilog=examples("qdeq backends", "qdeq backends --json | jq -r .plugins[].name"))
def backends(as_json: AsJson = False) -> None:
    """List the backends that are installed, with their options and what they can do."""
    from qdeq.plugins import BACKENDS

    _list(BACKENDS, as_json)


@app.command(epilog=examples("qdeq datasets", "qdeq datasets --json | jq -r .plugins[].name"))
def datasets(as_json: AsJson = False) -> None:
    """List the data sets that are installed, with their options."""
    from qdeq.plugins import DATASETS

    _list(DATASETS, as_json)


def _list(registry: Registry, as_json: bool) -> None:
    from qdeq.reports.plugins import plugin_json, plugin_table

    if as_json:
        typer.echo(plugin_json(registry))
    else:
        make_console().print(plugin_table(registry))
