"""``qdeq check-backend``: the conformance kit on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qdeq.cli.app import _console, app
from qdeq.errors import PluginError

if TYPE_CHECKING:
    from rich.table import Table

    from qdeq.testing.report import BackendReport

_STYLES = {"passed": "green", "failed": "bold red", "skipped": "dim"}


@app.command(name="check-backend")
def check_backend(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A backend of `qdeq backends`.", show_default=False)],
    examples: Annotated[int, typer.Option(min=1, help="Circuits drawn for each check.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Prove that a backend gives what every other one gives, or show the smallest circuits where it does not.

    Exit code 1 if a check fails.
    """
    from qdeq.backends import get_backend

    backend = get_backend(name)
    try:
        from qdeq.testing.backends import check_backend as check
    except ModuleNotFoundError as error:
        if error.name not in ("hypothesis", "scipy"):
            raise
        raise PluginError(f"checking a backend needs {error.name}: pip install {error.name}") from error
    report = check(backend, examples=examples, seed=seed)
    if as_json:
        typer.echo(report.to_json())
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(1)


def _print(report: BackendReport) -> None:
    from rich.text import Text

    console = _console()
    console.print(Text(report.headline()))
    console.print(_table(report))
    for text in report.explanations():
        console.print()
        console.print(Text(text), soft_wrap=True)


def _table(report: BackendReport) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("examples", justify="right")
    table.add_column("difference", justify="right", no_wrap=True)
    table.add_column("tolerance", justify="right", no_wrap=True)
    table.add_column("remark")
    for result in report.results:
        numbers = ["" if value is None else f"{value:.1e}" for value in (result.difference, result.tolerance)]
        count = str(result.examples) if result.examples else ""
        verdict = Text(result.status, _STYLES[result.status])
        table.add_row(result.name, verdict, count, *numbers, Text(result.reason))
    return table
