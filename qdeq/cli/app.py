"""The commands."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from qdeq.errors import BudgetReached, CircuitError, DataError, QdeqError, UnsupportedError

if TYPE_CHECKING:
    from rich.console import Console

    from qdeq.spec import ExperimentSpec

BAD_INPUT, OUT_OF_BUDGET, INTERRUPTED, TERMINATED = 2, 3, 130, 143
"""Exit codes: an error that qdeq raised on purpose; a budget that ended a run; Ctrl-C and SIGTERM (as in shells)."""

_SECTIONS = {DataError: "data", CircuitError: "model", UnsupportedError: "backend"}


class _Group(TyperGroup):
    """Turns what qdeq raises on purpose into a message and an exit code; anything else keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except QdeqError as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(OUT_OF_BUDGET if isinstance(error, BudgetReached) else BAD_INPUT) from error
        except KeyboardInterrupt as interrupt:
            if ctx.params.get("debug"):
                traceback.print_exc()
            typer.echo(f"\n{interrupt}" if str(interrupt) else "\ninterrupted", err=True)
            terminated = type(interrupt).__name__ == "TrainingTerminated"  # by name: importing it would load PyTorch
            raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from interrupt


app = typer.Typer(
    name="qdeq",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train Quantum Deep Equilibrium Models, each experiment from one YAML file.",
)

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The experiment, a YAML file.", show_default=False)]
Backend = Annotated[str | None, typer.Option(help="Use this backend; `qdeq backends` lists them.")]
Solver = Annotated[
    str | None, typer.Option(help="Use this solver; of the file's solver options, those that any solver has are kept.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the experiment, e.g. training.epochs=5; may be repeated."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.")]
Checkpoint = Annotated[str, typer.Option(help="Which weights of a run: best, last, or one like step-00000120.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]


def main() -> None:
    """Run the command line."""
    app()


def _version(asked: bool) -> None:
    if asked:
        from qdeq._version import __version__

        typer.echo(f"qdeq {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def show(
    config: Config,
    backend: Backend = None,
    solver: Solver = None,
    assignments: Assignments = None,
) -> None:
    """Show what a file describes: all settings, the circuit, its depth, and the parameters."""
    spec = load(config, backend, solver, None, assignments)

    from qdeq.reports.experiment import experiment_report

    console = make_console()
    with named(config):
        report = experiment_report(spec, width=console.width)
    console.print(report)


@app.command()
def schema() -> None:
    """Print the JSON schema of the experiment file, for editors; it lists the options of all installed plug-ins."""
    import json

    from qdeq.reports.schema import experiment_schema

    typer.echo(json.dumps(experiment_schema(), indent=2, ensure_ascii=False))


@app.command()
def solvers() -> None:
    """List the solvers that are installed, with their options."""
    from qdeq.plugins import SOLVERS
    from qdeq.reports.plugins import plugin_table

    make_console().print(plugin_table(SOLVERS))


@app.command()
def backends() -> None:
    """List the backends that are installed, with their options and what they can do."""
    from qdeq.plugins import BACKENDS
    from qdeq.reports.plugins import plugin_table

    make_console().print(plugin_table(BACKENDS))


def load(
    config: Path, backend: str | None, solver: str | None, device: str | None, assignments: list[str] | None
) -> ExperimentSpec:
    """Read the experiment; the shorthands come first, so that an assignment can refine them."""
    from qdeq.cli.shorthands import shorthands
    from qdeq.spec import load_spec

    return load_spec(config, [*shorthands(config, backend, solver, device), *(assignments or ())])


@contextmanager
def named(file: Path) -> Iterator[None]:
    """Put the file and the section in front of an error that only the data or the circuit could bring to light."""
    try:
        yield
    except (DataError, CircuitError, UnsupportedError) as error:
        section = next(name for kind, name in _SECTIONS.items() if isinstance(error, kind))
        raise type(error)(f"{file}: {section}: {error}") from error


def make_console() -> Console:
    """Return where results go: plain text unless it is a terminal, whatever the environment asks for."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(force_terminal=terminal, width=None if terminal else 100)
