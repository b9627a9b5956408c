"""``qdeq reproduce``: the paper's tables, run again."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdeq.cli import completion
from qdeq.cli.app import AsJson, Assignments, Quiet, app, examples, make_console
from qdeq.cli.exits import ExitCode
from qdeq.cli.outputs import check_folder, write_shown
from qdeq.errors import SpecError

if TYPE_CHECKING:
    from qdeq.files import Content
    from qdeq.reproduce import NoiseStudy, Reproduction


class Fidelity(StrEnum):
    """Whose settings."""

    corrected = "corrected"
    reference = "reference"


@app.command(
    epilog=examples(
        "qdeq reproduce --list",
        "qdeq reproduce mnist4-amplitude --workers 2",
        "qdeq reproduce mnist4-amplitude --mode reference",
        "qdeq reproduce mnist10 --seeds 1 --epochs 2      # a first look",
        "qdeq reproduce noise                             # its runs under noise",
        "qdeq reproduce mnist4-angle --show > sweep.yaml  # a sweep to change",
    )
)
def reproduce(
    table: Annotated[
        str | None,
        typer.Argument(
            metavar="TABLE", help="The table; --list names all.", show_default=False, autocompletion=completion.tables
        ),
    ] = None,
    mode: Annotated[
        Fidelity, typer.Option(help="corrected: our settings; reference: those of the published code.")
    ] = Fidelity.corrected,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds.", show_default="that of the table: 5, or 3")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of every row.", show_default="those of the mode")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder; what is finished in it is not run again.", show_default="runs/reproduce/TABLE[-MODE]"
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time.", show_default="as many as there are CPUs")
    ] = None,
    assignments: Assignments = None,
    listed: Annotated[bool, typer.Option("--list", help="List the tables.")] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the table as a file for `qdeq sweep`, and run nothing.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a table of the paper with several seeds, or go on with it, and print it beside what the paper claims.

    Rows: IMPLICIT, IMPLICIT+WARMUP, DIRECT 1, 2, 5, 10, and logistic regression. Exit code 1 if a run failed for good.
    """
    if listed or table is None:
        if table is None and not listed:
            raise SpecError("which table? `qdeq reproduce --list` names them")
        _list(as_json)
        return
    check_folder(out)

    from qdeq.reproduce.table import load_table, sweep_file

    chosen = load_table(table)
    changes = _changes(assignments)
    sweep = chosen.sweep(mode.value, seeds=seeds, epochs=epochs, changes=changes)  # what is wrong, before any work
    if show:
        typer.echo(sweep_file(chosen, sweep), nl=False)
        return

    from qdeq.reports.live.sweeps import make_sweep_progress
    from qdeq.reproduce import reproduce as run
    from qdeq.reproduce import study_noise
    from qdeq.sweeps import SweepProgress

    progress = SweepProgress() if quiet else make_sweep_progress(make_console(stderr=as_json))
    folder = out or Path("runs") / "reproduce" / sweep.spec.name
    found = run(
        chosen, folder, mode=mode.value, seeds=seeds, epochs=epochs, changes=changes, workers=workers, progress=progress
    )
    study = None if chosen.noise is None else study_noise(found, progress.noted)
    if as_json:
        typer.echo((study or found).to_json())
    elif not quiet:
        _print(found, study)
    _write(found, study, quiet=quiet or as_json)
    for cell in found.result.failed:
        typer.echo(f"error: {cell.failure}", err=True)
    if found.result.failed:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _list(as_json: bool) -> None:
    import json

    from qdeq.reproduce.table import load_table, table_names

    tables = [load_table(name) for name in table_names()]
    if as_json:
        data = [
            {"name": each.name, "title": each.title, "seeds": each.seeds, "modes": list(each.modes)} for each in tables
        ]
        typer.echo(json.dumps({"format_version": 1, "tables": data}, indent=2, ensure_ascii=False))
        return
    for each in tables:
        typer.echo(f"{each.name:<18} {each.title}; {each.seeds} seeds; {', '.join(each.modes)}")


def _changes(assignments: list[str] | None) -> dict[str, Any]:
    """Return the assignments as keys with values."""
    from qdeq.spec import parse_yaml

    changes = {}
    for assignment in assignments or ():
        key, sign, text = assignment.partition("=")
        if not sign or not all(key.strip().split(".")):
            raise SpecError(f"--set {assignment}: expected KEY.KEY=VALUE, for example data.limit=600")
        if key.strip().partition(".")[0] == "seed":
            raise SpecError(f"--set {assignment}: a table has several seeds; give their number with --seeds")
        changes[key.strip()] = parse_yaml(text, f"--set {assignment}")
    return changes


def _print(found: Reproduction, study: NoiseStudy | None) -> None:
    from qdeq.reports.reproduction import reproduction_table

    console = make_console()
    console.print()
    console.print(reproduction_table(found), highlight=False)
    if study is not None:
        from qdeq.reports.noise_study import noise_table

        console.print()
        console.print(noise_table(study), highlight=False)


def _write(found: Reproduction, study: NoiseStudy | None, *, quiet: bool) -> None:
    """Write the table as Markdown, CSV, JSON and picture, and a noise study likewise."""
    from qdeq.reports.plots.reproduction import draw_reproduction
    from qdeq.reports.plots.style import figure_png
    from qdeq.reports.reproduction import reproduction_csv, reproduction_markdown

    files: dict[str, Callable[[], Content]] = {
        "table.md": lambda: reproduction_markdown(found),
        "table.csv": lambda: reproduction_csv(found),
        "table.json": lambda: found.to_json() + "\n",
        "table.png": lambda: figure_png(draw_reproduction(found)),
    }
    if study is not None:
        from qdeq.reports.noise_study import noise_csv, noise_markdown
        from qdeq.reports.plots.noise_study import draw_noise

        files |= {
            "noise.md": lambda: noise_markdown(study),
            "noise.csv": lambda: noise_csv(study),
            "noise.json": lambda: study.to_json() + "\n",
            "noise.png": lambda: figure_png(draw_noise(study)),
            "noise-residual.png": lambda: figure_png(draw_noise(study, "residual")),
        }
    folder = found.result.folder.path
    write_shown({folder / name: make for name, make in files.items()}, quiet=quiet)
