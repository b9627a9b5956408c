"""``qdeq check-backend``, ``check-solver`` and ``check-dataset``: the conformance kits on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdeq.cli import completion
from qdeq.cli.app import AsJson, Quiet, app, examples, make_console
from qdeq.cli.exits import ExitCode
from qdeq.errors import PluginError, QdeqError

if TYPE_CHECKING:
    from types import ModuleType

    from qdeq.testing.report import Report

Options = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="OPTION=VALUE", help="Set an option of the plug-in; may be repeated."),
]
Checks = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Run these checks only, by commas; --list names them.", show_default=False),
]
AsList = Annotated[bool, typer.Option("--list", help="List what is checked, and run nothing.")]


@app.command(
    name="check-backend",
    epilog=examples(
        "qdeq check-backend qsim --set threads=2",
        "qdeq check-backend qsim --examples 500 --seed 3",
        "qdeq check-backend qsim --checks run,gates",
        "qdeq check-backend --list           # what is asked of a backend",
    ),
)
def check_backend(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A backend of `qdeq backends`.",
            show_default=False,
            autocompletion=completion.backends,
        ),
    ] = None,
    options: Options = None,
    checks: Checks = None,
    examples: Annotated[int, typer.Option(min=1, help="Circuits drawn for each check.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    as_list: AsList = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Prove that a backend gives what every other one gives, or show the smallest circuits where it does not.

    Exit code 1 if a check fails.
    """
    if as_list:
        _list("backends", as_json)
        return
    from qdeq.backends import get_backend

    choice = _choice("backend", name, options)
    get_backend(choice)
    report = _kit("backends").check_backend(choice, examples=examples, seed=seed, checks=_chosen(checks))
    _show(report, as_json, quiet)


@app.command(
    name="check-solver",
    epilog=examples(
        "qdeq check-solver anderson --set memory=3",
        "qdeq check-solver anderson --checks isolation,purity",
        "qdeq check-solver --list           # what is asked of a solver",
    ),
)
def check_solver(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A solver of `qdeq solvers`.", show_default=False, autocompletion=completion.solvers
        ),
    ] = None,
    options: Options = None,
    checks: Checks = None,
    as_list: AsList = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Prove that a solver is honest on a table of known problems, converges where it has to, and keeps the contract.

    Exit code 1 if a check fails.
    """
    if as_list:
        _list("solvers", as_json)
        return
    from qdeq.solvers import get_solver

    choice = _choice("solver", name, options)
    get_solver(choice)
    _show(_kit("solvers").check_solver(choice, checks=_chosen(checks)), as_json, quiet)


@app.command(
    name="check-dataset",
    epilog=examples(
        "qdeq check-dataset npz --set path=bars.npz",
        "qdeq check-dataset my_module:Stripes --set count=100",
        "qdeq check-dataset --list           # what is asked of a data set",
    ),
)
def check_dataset(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A data set of `qdeq datasets`, or MODULE:CLASS.",
            show_default=False,
            autocompletion=completion.datasets,
        ),
    ] = None,
    options: Options = None,
    checks: Checks = None,
    as_list: AsList = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Prove that a data set loads the same images each time, and helps where it cannot. Nothing is downloaded.

    Exit code 1 if a check fails.
    """
    if as_list:
        _list("datasets", as_json)
        return
    kit = _kit("datasets")
    given = _choice("data set", name, options)
    choice = kit.named_dataset(given.pop("name"), given)
    _show(kit.check_dataset(choice, checks=_chosen(checks)), as_json, quiet)


def _kit(name: str) -> ModuleType:
    """Return a kit's module.

    Raises:
        PluginError: What it draws circuits with is not installed.
    """
    from importlib import import_module

    try:
        return import_module(f"qdeq.testing.{name}")
    except ModuleNotFoundError as error:
        if error.name not in ("hypothesis", "scipy"):
            raise
        raise PluginError(f"checking {name} needs {error.name}: pip install {error.name}") from error


def _choice(kind: str, name: str | None, options: list[str] | None) -> dict[str, Any]:
    """Return name and options as a mapping."""
    if name is None:
        raise QdeqError(f"name a {kind} to check (`qdeq {kind.replace(' ', '')}s` lists them), or give --list")
    return {"name": name, **dict(map(_option, options or ()))}


def _option(assignment: str) -> tuple[str, Any]:
    """Return name and value of ``OPTION=VALUE``, the value in YAML."""
    from qdeq.spec import parse_yaml

    name, sign, text = assignment.partition("=")
    if not (sign and name.strip()):
        raise QdeqError(f"--set {assignment}: expected OPTION=VALUE, for example memory=5")
    return name.strip(), parse_yaml(text, f"--set {assignment}")


def _chosen(checks: str | None) -> list[str] | None:
    return None if checks is None else [name.strip() for name in checks.split(",") if name.strip()]


def _list(kit: str, as_json: bool) -> None:
    """Print what each check of a kit proves, and of solvers the table of problems."""
    _kit(kit)  # says what is not installed
    from qdeq.reports.conformance import kit_json, kit_report

    if as_json:
        typer.echo(kit_json(kit))
    else:
        make_console().print(kit_report(kit))


def _show(report: Report, as_json: bool, quiet: bool) -> None:
    """Print a report, and end with exit code 1 where a check failed."""
    if as_json:
        typer.echo(report.to_json())
    elif not quiet:
        from qdeq.reports.conformance import conformance_report

        make_console().print(conformance_report(report), crop=False)
    if not report.ok:
        raise typer.Exit(ExitCode.CHECK_FAILED)
