"""``qdeq check-backend`` and ``qdeq check-solver``: the conformance kits on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdeq.cli import completion
from qdeq.cli.app import AsJson, Quiet, app, examples, make_console
from qdeq.cli.exits import ExitCode
from qdeq.errors import PluginError, SolverError

if TYPE_CHECKING:
    from qdeq.testing.report import Report


@app.command(
    name="check-backend",
    epilog=examples("qdeq check-backend qsim", "qdeq check-backend qsim --examples 500 --seed 3"),
)
def check_backend(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A backend of `qdeq backends`.",
            show_default=False,
            autocompletion=completion.backends,
        ),
    ],
    examples: Annotated[int, typer.Option(min=1, help="Circuits drawn for each check.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
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
    _show(report, as_json, quiet)


@app.command(
    name="check-solver",
    epilog=examples(
        "qdeq check-solver anderson --set memory=3", "qdeq check-solver --list           # what is asked of a solver"
    ),
)
def check_solver(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A solver of `qdeq solvers`.", show_default=False, autocompletion=completion.solvers
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="Set an option of the solver; may be repeated."),
    ] = None,
    problems: Annotated[bool, typer.Option("--list", help="List the problems and the checks, and run none.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Prove that a solver is honest on a table of known problems, converges where it has to, and keeps the contract.

    Exit code 1 if a check fails.
    """
    from qdeq.solvers import get_solver

    if problems:
        _list(as_json)
        return
    if name is None:
        raise SolverError("name a solver to check (`qdeq solvers` lists them), or give --list")
    choice = {"name": name, **dict(map(_option, options or ()))}
    get_solver(choice)

    from qdeq.testing import check_solver as check

    _show(check(choice), as_json, quiet)


def _option(assignment: str) -> tuple[str, Any]:
    """Return name and value of ``OPTION=VALUE``, the value in YAML."""
    from qdeq.spec import parse_yaml

    name, sign, text = assignment.partition("=")
    if not (sign and name.strip()):
        raise SolverError(f"--set {assignment}: expected OPTION=VALUE, for example memory=5")
    return name.strip(), parse_yaml(text, f"--set {assignment}")


def _list(as_json: bool) -> None:
    """Print the table of problems, and what each check proves."""
    from qdeq.reports.conformance import problems_json, problems_report

    if as_json:
        typer.echo(problems_json())
    else:
        make_console().print(problems_report())


def _show(report: Report, as_json: bool, quiet: bool) -> None:
    """Print a report, and end with exit code 1 where a check failed."""
    if as_json:
        typer.echo(report.to_json())
    elif not quiet:
        from qdeq.reports.conformance import conformance_report

        make_console().print(conformance_report(report), crop=False)
    if not report.ok:
        raise typer.Exit(ExitCode.CHECK_FAILED)
