"""``qdeq compare``: one experiment on several backends."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdeq.cli import completion
from qdeq.cli.app import AsJson, Assignments, Config, Quiet, Solver, app, examples, load, make_console, named
from qdeq.cli.exits import ExitCode
from qdeq.cli.outputs import check_folder, plugin_choices, teller, write_out
from qdeq.errors import BackendError, SpecError

if TYPE_CHECKING:
    from qdeq.compare import Comparison
    from qdeq.files import Content

JSON_FILE, PICTURE_FILE = "comparison.json", "comparison.png"


@app.command(
    epilog=examples(
        "qdeq compare configs/digits.yaml",
        "qdeq compare configs/digits.yaml --backends torch,qsim --out runs/compare",
        'qdeq compare configs/digits.yaml --backends "cirq,{name: qsim, threads: 2}"',
    )
)
def compare(
    config: Config,
    backends: Annotated[
        str,
        typer.Option(
            help="Backends, by commas; one with options as {name: qsim, threads: 2}. `qdeq backends` lists them.",
            autocompletion=completion.several(completion.backends),
        ),
    ] = "torch,cirq,qsim,braket-local,pennylane",
    solver: Solver = None,
    assignments: Assignments = None,
    samples: Annotated[int, typer.Option(min=1, help="Training images to compare on.")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the short training.")] = 3,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="One tolerance for every quantity, absolute (under shots in standard errors).",
            show_default="by precision and solver",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help=f"Folder for {JSON_FILE} and {PICTURE_FILE}.", show_default="none")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare function, gradient, equilibrium and a short training of an experiment across backends.

    Exit code 1 where a difference is beyond its tolerance or a backend failed, 2 where nothing could be compared, 4
    where a backend could not be: it was refused, or is not installed.
    """
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise SpecError(f"--tolerance {tolerance}: expected a number that is not negative, such as 1e-6")
    check_folder(out)
    choices = backend_choices(backends)
    spec = load(config, None, solver, None, assignments)

    from qdeq.compare import compare as run

    with named(config):
        tell = teller("measuring", quiet=quiet)
        comparison = run(spec, choices, samples=samples, steps=steps, tolerance=tolerance, progress=tell)
    if as_json:
        typer.echo(comparison.to_json())
    elif not quiet:
        from qdeq.reports.comparison import comparison_table

        console = make_console()
        console.print(comparison_table(comparison), highlight=False)
    if out is not None:
        _write(comparison, out, quiet=quiet or as_json)
    if comparison.verdict == "nothing compared":
        raise BackendError("no backend but the native one could run this experiment, so nothing was compared")
    if comparison.verdict != "same":
        raise typer.Exit(ExitCode.INCOMPLETE if comparison.verdict == "incomplete" else ExitCode.CHECK_FAILED)


def backend_choices(text: str) -> list[Any]:
    """Return the backends that ``--backends`` names.

    Raises:
        SpecError: The text is no such list.
    """
    return plugin_choices("--backends", text, example="cirq,qsim", with_options="cirq,{name: qsim, threads: 2}")


def _write(comparison: Comparison, folder: Path, *, quiet: bool) -> None:
    from qdeq.reports.plots.comparison import draw_comparison
    from qdeq.reports.plots.style import figure_png

    contents: dict[str, Callable[[], Content]] = {
        JSON_FILE: lambda: comparison.to_json() + "\n",
        PICTURE_FILE: lambda: figure_png(draw_comparison(comparison)),
    }
    write_out(folder, contents, quiet=quiet)
