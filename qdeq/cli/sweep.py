"""``qdeq sweep``: many runs of one experiment, and a table over their seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdeq.cli.app import AsJson, Quiet, app, examples, make_console
from qdeq.cli.exits import ExitCode
from qdeq.cli.outputs import check_folder, write_shown

if TYPE_CHECKING:
    from qdeq.files import Content
    from qdeq.sweeps import SweepResult


@app.command(
    epilog=examples(
        "qdeq sweep configs/sweeps/digits-modes.yaml",
        "qdeq sweep configs/sweeps/digits-modes.yaml --workers 4 --out runs/modes",
        "qdeq sweep configs/sweeps/digits-modes.yaml --ray auto     # on a cluster",
    )
)
def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep, a YAML file.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the sweep; what is finished in it is not run again.", show_default="runs/NAME"),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A Ray cluster's address, or auto for the one that this machine belongs to.",
            show_default="Ray is started on this machine",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Cells that run at a time.", show_default="as many as there are CPUs")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run variants of an experiment with several seeds, and compare them: mean, standard deviation, 95 % interval.

    The same command goes on with a sweep that was cut short. Exit code 1 if a cell failed for good.
    """
    check_folder(out)

    from qdeq.reports.live.sweeps import make_sweep_progress
    from qdeq.sweeps import SweepProgress, load_sweep, run_sweep

    cells = load_sweep(file)
    console = make_console(stderr=as_json)
    progress = SweepProgress() if quiet else make_sweep_progress(console)
    result = run_sweep(cells, out or Path("runs") / cells.spec.name, address=ray, workers=workers, progress=progress)
    if as_json:
        typer.echo(result.to_json())
    elif not quiet:
        from qdeq.reports.sweeps import headline, sweep_table

        console.print()
        console.print(sweep_table(result), highlight=False)
        typer.echo(headline(result))
    _write(result, quiet=quiet or as_json)
    for cell in result.failed:
        typer.echo(f"error: {cell.failure}", err=True)
    if result.failed:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _write(result: SweepResult, *, quiet: bool) -> None:
    """Write the table as Markdown, CSV and picture."""
    from qdeq.reports.plots.style import figure_png
    from qdeq.reports.plots.sweeps import draw_sweep
    from qdeq.reports.sweeps import sweep_csv, sweep_markdown

    folder = result.folder
    contents: dict[Path, Callable[[], Content]] = {
        folder.table("md"): lambda: sweep_markdown(result),
        folder.table("csv"): lambda: sweep_csv(result),
        folder.table("png"): lambda: figure_png(draw_sweep(result)),
    }
    if not quiet:
        typer.echo(f"written: {folder.cells}")
    write_shown(contents, quiet=quiet)
