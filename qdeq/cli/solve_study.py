"""``qdeq solve-study``: all solvers on one model and the same samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdeq.cli import completion
from qdeq.cli.app import AsJson, Assignments, Checkpoint, Quiet, app, examples, load, make_console, named
from qdeq.cli.exits import ExitCode
from qdeq.cli.outputs import check_folder, plugin_choices, teller, write_out
from qdeq.errors import SolverError, SpecError

if TYPE_CHECKING:
    from qdeq.files import Content
    from qdeq.study import SolverStudy, Subject

NAME = "solve-study"
"""Of the files in the output folder."""


@app.command(
    name=NAME,
    epilog=examples(
        "qdeq solve-study configs/digits.yaml              # first weights",
        "qdeq solve-study runs/digits --out runs/study     # trained weights",
        'qdeq solve-study runs/digits --solvers "naive,{name: anderson, memory: 3}"',
    ),
)
def solve_study(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG",
            help="The experiment, a YAML file (its first weights), or the folder of a run (its trained weights).",
            show_default=False,
        ),
    ],
    solvers: Annotated[
        str | None,
        typer.Option(
            help="Solvers, by commas; one with options as {name: anderson, memory: 3}. `qdeq solvers` lists them.",
            show_default="the experiment's, and all that need no options",
            autocompletion=completion.several(completion.solvers),
        ),
    ] = None,
    assignments: Assignments = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Test images to solve for.", show_default="256, or all of fewer")
    ] = None,
    tolerances: Annotated[
        str, typer.Option(help="Relative residuals, by commas, that evaluations are counted to.")
    ] = "1e-2,1e-3,1e-4,1e-5,1e-6",
    checkpoint: Checkpoint = "best",
    out: Annotated[
        Path | None,
        typer.Option(help=f"Folder for {NAME}.json, .md, .csv and .png.", show_default="none"),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare solvers: evaluations, convergence and time, on the same samples from the same y0 = 0.

    Exit code 1 where a solver raised an error, 2 where nothing could be studied.
    """
    check_folder(out)
    choices = None if solvers is None else solver_choices(solvers)
    asked = tolerance_choices(tolerances)
    subject = _subject(config, samples, checkpoint, assignments)

    from qdeq.study import study_solvers

    study = study_solvers(subject, choices, tolerances=asked, progress=teller("solving with", quiet=quiet))
    if not study.studied:
        reasons = "; ".join(f"{result.label}: {result.reason}" for result in study.results)
        raise SolverError(f"no solver could be studied: {reasons}")
    if as_json:
        typer.echo(study.to_json())
    elif not quiet:
        from qdeq.reports.solver_study import study_table

        make_console().print(study_table(study), highlight=False)
    if out is not None:
        _write(study, out, quiet=quiet or as_json)
    if len(study.studied) < len(study.results):
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _subject(config: Path, samples: int | None, checkpoint: str, assignments: list[str] | None) -> Subject:
    from qdeq.study import Subject

    if config.is_dir():
        with named(config / "spec.yaml"):
            return Subject.of_run(config, samples, checkpoint=checkpoint, overrides=assignments or ())
    spec = load(config, None, None, None, assignments)
    with named(config):
        return Subject.of_spec(spec, samples)


def solver_choices(text: str) -> list[Any]:
    """Return the solvers that ``--solvers`` names, each of them checked.

    Raises:
        SpecError: The text is no such list.
        QdeqError: There is no such solver, or an option is wrong.
    """
    from qdeq.solvers import get_solver

    choices = plugin_choices(
        "--solvers", text, example="broyden,anderson", with_options="broyden,{name: anderson, memory: 3}"
    )
    for choice in choices:
        get_solver(choice)  # before the data are read
    return choices


def tolerance_choices(text: str) -> list[float]:
    """Return the numbers that ``--tolerances`` names.

    Raises:
        SpecError: The text is no list of numbers.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise SpecError(f"--tolerances {text}: expected numbers with commas between them, such as 1e-2,1e-4") from error


def _write(study: SolverStudy, folder: Path, *, quiet: bool) -> None:
    from qdeq.reports.plots.solver_study import draw_study
    from qdeq.reports.plots.style import figure_png
    from qdeq.reports.solver_study import study_csv, study_markdown

    contents: dict[str, Callable[[], Content]] = {
        f"{NAME}.json": lambda: study.to_json() + "\n",
        f"{NAME}.md": lambda: study_markdown(study),
        f"{NAME}.csv": lambda: study_csv(study),
        f"{NAME}.png": lambda: figure_png(draw_study(study)),
    }
    write_out(folder, contents, quiet=quiet)
