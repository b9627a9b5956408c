"""``qdeq sweep``: many runs of one experiment, and a table over their seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdeq.cli.app import AsJson, Quiet, app, examples, make_console
from qdeq.cli.exits import ExitCode
from qdeq.errors import SpecError

if TYPE_CHECKING:
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
    if out is not None and out.exists() and not out.is_dir():
        raise SpecError(f"--out {out}: there is a file of that name; give a folder")

    from qdeq.sweeps import SweepInterrupted, SweepProgress, SweepTerminated, load_sweep, run_sweep
    from qdeq.sweeps.display import make_sweep_progress

    cells = load_sweep(file)
    console = make_console(stderr=as_json)
    progress = SweepProgress() if quiet else make_sweep_progress(console)
    try:
        result = run_sweep(
            cells, out or Path("runs") / cells.spec.name, address=ray, workers=workers, progress=progress
        )
    except SweepInterrupted as interrupt:
        typer.echo(f"\n{interrupt}", err=True)
        terminated = isinstance(interrupt, SweepTerminated)
        raise typer.Exit(ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED) from interrupt
    files = _write(result)
    if as_json:
        typer.echo(result.to_json())
    elif not quiet:
        from qdeq.reports.sweeps import headline, sweep_table

        console.print()
        console.print(sweep_table(result), highlight=False)
        typer.echo(headline(result))
        for path in files:
            typer.echo(f"written: {path}")
    for cell in result.failed:
        typer.echo(f"error: {cell.failure}", err=True)
    if result.failed:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _write(result: SweepResult) -> list[Path]:
    """Write the table as Markdown, CSV and picture."""
    import io

    from qdeq.reports.sweep_plot import draw_sweep
    from qdeq.reports.sweeps import sweep_csv, sweep_markdown

    picture = io.BytesIO()
    draw_sweep(result).savefig(picture, dpi=130, format="png")
    folder = result.folder
    contents = {
        "md": sweep_markdown(result).encode(),
        "csv": sweep_csv(result).encode(),
        "png": picture.getvalue(),
    }
    for ending, content in contents.items():
        folder.write(folder.table(ending), content)
    return [folder.cells, *(folder.table(ending) for ending in contents)]
