"""``qdeq report``: one HTML page about a run, or about several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qdeq.cli.app import AsJson, Checkpoint, Quiet, app, examples

NAME = "report.html"


@app.command(
    epilog=examples(
        "qdeq report runs/digits                     # runs/digits/report.html",
        "qdeq report runs/a runs/b --out both.html   # side by side",
        "qdeq report runs/digits --open",
        "qdeq report runs/digits --json | jq .runs[0].test.accuracy",
    )
)
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, e.g. runs/digits.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The page.", show_default=f"RUN/{NAME}; of several runs {NAME}"),
    ] = None,
    checkpoint: Checkpoint = "best",
    samples: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most so many test images, drawn at random.", show_default="all; 256 where f runs circuits"
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Show the page in a browser.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write one HTML page about a run, or about several side by side, that needs no other file and no network.

    Figures, curves, residuals, spectral radii, predictions, solver steps, circuit, cost, settings and versions.
    """
    from qdeq.reports.html import check_target, gather_runs, report_data, write_page

    file = out or (runs[0] / NAME if len(runs) == 1 else Path(NAME))
    if out is not None or len(runs) > 1:
        check_target(file)  # before the work; a run's own folder is looked at first, for the better message
    gathered = gather_runs(runs, checkpoint=checkpoint, samples=samples)
    write_page(gathered, file)
    if as_json:
        typer.echo(report_data(gathered, file))
    elif not quiet:
        for run in gathered:
            for sentence in run.missing.values():
                typer.echo(f"{run.label}: {sentence}", err=True)
        typer.echo(f"written: {file}")
    if open_page:
        _show(file)


def _show(file: Path) -> None:
    import webbrowser

    if not webbrowser.open(file.resolve().as_uri()):
        typer.echo(f"{file}: no browser could be started; open the file yourself", err=True)
