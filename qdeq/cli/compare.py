"""``qdeq compare``: one experiment on several backends."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdeq.cli import completion
from qdeq.cli.app import AsJson, Assignments, Config, Quiet, Solver, app, examples, load, make_console, named
from qdeq.cli.exits import ExitCode
from qdeq.errors import BackendError, SpecError

if TYPE_CHECKING:
    from qdeq.compare import Comparison

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

    Exit code 1 where a difference is beyond its tolerance, 2 where nothing could be compared.
    """
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise SpecError(f"--tolerance {tolerance}: expected a number that is not negative, such as 1e-6")
    if out is not None and out.exists() and not out.is_dir():
        raise SpecError(f"--out {out}: there is a file of that name; give a folder")
    choices = backend_choices(backends)
    spec = load(config, None, solver, None, assignments)

    from qdeq.compare import compare as run

    with named(config):
        comparison = run(
            spec, choices, samples=samples, steps=steps, tolerance=tolerance, progress=_silent if quiet else _tell
        )
    files = [] if out is None else _write(comparison, out)
    if as_json:
        typer.echo(comparison.to_json())
    elif not quiet:
        from qdeq.reports.comparison import comparison_table

        console = make_console()
        console.print(comparison_table(comparison), highlight=False)
        for file in files:
            typer.echo(f"written: {file}")
    if not comparison.compared and comparison.passed:
        raise BackendError("no backend but the native one could run this experiment, so nothing was compared")
    if not comparison.passed:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def backend_choices(text: str) -> list[Any]:
    """Return the backends that ``--backends`` names: names, and mappings with options, in YAML's flow style.

    Raises:
        SpecError: The text is no such list.
    """
    from qdeq.spec import parse_yaml

    choices = parse_yaml(f"[{text}]", f"--backends {text}")
    good = isinstance(choices, list) and all(
        isinstance(choice, str) or (isinstance(choice, dict) and isinstance(choice.get("name"), str))
        for choice in choices
    )
    if not good or not choices:
        raise SpecError(
            f"--backends {text}: expected names with commas between them, such as cirq,qsim\n"
            'Options go in braces: --backends "cirq,{name: qsim, threads: 2}"'
        )
    return list(choices)


def _silent(message: str) -> None:
    pass


def _tell(message: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"measuring {message} ...", err=True)


def _write(comparison: Comparison, folder: Path) -> list[Path]:
    from qdeq.reports.comparison import plot_comparison

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON_FILE).write_text(comparison.to_json() + "\n", encoding="utf-8")
        plot_comparison(comparison, folder / PICTURE_FILE)
    except OSError as error:
        raise SpecError(f"--out {folder}: cannot be written ({error.strerror})") from error
    return [folder / JSON_FILE, folder / PICTURE_FILE]
