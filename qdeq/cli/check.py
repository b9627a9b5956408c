"""``qdeq check-backend`` and ``qdeq check-solver``: the conformance kits on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdeq.cli import completion
from qdeq.cli.app import AsJson, Quiet, app, examples, make_console
from qdeq.cli.exits import ExitCode
from qdeq.errors import PluginError, SolverError

if TYPE_CHECKING:
    from rich.table import Table

    from qdeq.testing.report import Report, SolverReport

_STYLES = {
    "passed": "green",
    "failed": "bold red",
    "skipped": "dim",
    "solved": "green",
    "dishonest": "bold red",
    "raised": "bold red",
}


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
    import json

    from rich.table import Table
    from rich.text import Text

    from qdeq.testing.problems import PROBLEMS
    from qdeq.testing.solver_harness import SOLVER_CHECKS
    from qdeq.testing.solvers import CHECK_NAMES

    if as_json:
        columns = ("name", "equation", "answer", "asks", "required")
        rows = [{column: getattr(problem, column) for column in columns} for problem in PROBLEMS]
        proofs = {check: SOLVER_CHECKS[check].proves for check in CHECK_NAMES}
        typer.echo(json.dumps({"problems": rows, "checks": proofs}, indent=2, ensure_ascii=False))
        return
    table = _new_table("problem", "f(y)", "answer", "what it asks", "must converge")
    for problem in PROBLEMS:
        must = "yes" if problem.required else ""
        table.add_row(*map(Text, (problem.name, problem.equation, problem.answer, problem.asks, must)))
    console = make_console()
    console.print(table)
    console.print()
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in CHECK_NAMES:
        table.add_row(Text(check, "bold"), Text(SOLVER_CHECKS[check].proves))
    console.print(table)


def _show(report: Report, as_json: bool, quiet: bool) -> None:
    """Print a report, and end with exit code 1 where a check failed."""
    from qdeq.testing.report import SolverReport

    if as_json:
        typer.echo(report.to_json())
    elif not quiet:
        _print(report, _problem_table(report) if isinstance(report, SolverReport) else None)
    if not report.ok:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _print(report: Report, more: Table | None) -> None:
    from rich.text import Text

    console = make_console()
    console.print(Text(report.headline()))
    console.print(_table(report))
    if more is not None:
        console.print()
        console.print(more)
    for text in report.explanations():
        console.print()
        console.print(Text(text), soft_wrap=True)


def _new_table(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for position, column in enumerate(columns):
        numeric = column in ("examples", "difference", "tolerance", "converged", "evaluations")
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric or position < 1)
    return table


def _table(report: Report) -> Table:
    from rich.text import Text

    table = _new_table("check", "verdict", "examples", "difference", "tolerance", "remark")
    for result in report.results:
        numbers = ["" if value is None else f"{value:.1e}" for value in (result.difference, result.tolerance)]
        count = str(result.examples) if result.examples else ""
        verdict = Text(result.status, _STYLES[result.status])
        table.add_row(result.name, verdict, count, *numbers, Text(result.reason))
    return table


def _problem_table(report: SolverReport) -> Table:
    from rich.text import Text

    table = _new_table("problem", "verdict", "converged", "evaluations", "remark")
    for row in report.problems:
        spent = "" if row.evaluations is None else f"{row.evaluations:.1f}"
        verdict = Text(row.verdict, _STYLES.get(row.verdict, ""))
        table.add_row(row.problem, verdict, f"{row.converged} of {row.samples}", spent, Text(row.remark))
    return table
