"""What all commands share: the options that several have, the experiment they load, the console they print to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdeq.cli import completion
from qdeq.cli.group import Group
from qdeq.errors import CircuitError, DataError, UnsupportedError

if TYPE_CHECKING:
    from rich.console import Console

    from qdeq.spec import ExperimentSpec

_SECTIONS = {DataError: "data", CircuitError: "model", UnsupportedError: "backend"}


def examples(*lines: str) -> str:
    """Return the end of a command's help: how it is called."""
    return "\n".join(["Examples:", "", *(f"  {line}" for line in lines)])


app = typer.Typer(
    name="qdeq",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train Quantum Deep Equilibrium Models, each experiment from one YAML file.",
    epilog=examples(
        "qdeq init                          # writes experiment.yaml, with comments",
        "qdeq train experiment.yaml         # trains it into runs/experiment",
        "qdeq eval runs/experiment          # its best checkpoint, on the test images",
        "qdeq doctor                        # what works here, and how to mend what does not",
    ),
)

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The experiment, a YAML file.", show_default=False)]
Backend = Annotated[
    str | None,
    typer.Option(help="Use this backend; `qdeq backends` lists them.", autocompletion=completion.backends),
]
Solver = Annotated[
    str | None,
    typer.Option(
        help="Use this solver; of the file's solver options, those that any solver has are kept.",
        autocompletion=completion.solvers,
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the experiment, e.g. training.epochs=5; may be repeated."),
]
DataAssignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Name other data, e.g. data.dataset=mnist; may be repeated."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N.", autocompletion=completion.devices)]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, e.g. runs/digits.", show_default=False)]
Checkpoint = Annotated[
    str,
    typer.Option(
        help="Which weights of a run: best, last, or one like step-00000120.", autocompletion=completion.checkpoints
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only; with --json, nothing beside it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else on the standard output.")]


_COMPLETION = ("--install-completion", "--show-completion")
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def run() -> None:
    """Run the command that the process was started with."""
    words = sys.argv[1:]
    if any(word in _COMPLETION and named in SHELLS for word, named in pairwise(words)):
        # typer would look for the shell that it runs in, and pass over the one that is named
        os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
    app(prog_name="qdeq")  # also by `python -m qdeq`: completion is for that name


def _version(asked: bool) -> None:
    if asked:
        from qdeq._version import __version__

        typer.echo(f"qdeq {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    no_color: Annotated[
        bool, typer.Option("--no-color", help="No colours; the environment variable NO_COLOR does the same.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def load(
    config: Path, backend: str | None, solver: str | None, device: str | None, assignments: list[str] | None
) -> ExperimentSpec:
    """Read the experiment; the shorthands come first, so that an assignment can refine them."""
    from qdeq.cli.shorthands import shorthands
    from qdeq.spec import load_spec

    short = shorthands(config, backend, solver, device)
    return load_spec(config, [*short, *(assignments or ())], typed=short)


@contextmanager
def named(file: Path) -> Iterator[None]:
    """Put the file and the section in front of an error that only the data or the circuit could bring to light."""
    try:
        yield
    except (DataError, CircuitError, UnsupportedError) as error:
        section = next(name for kind, name in _SECTIONS.items() if isinstance(error, kind))
        raise type(error)(f"{file}: {section}: {error}") from error


def make_console(*, stderr: bool = False) -> Console:
    """Return where results go: plain text unless it is a terminal, whatever the environment asks for.

    Args:
        stderr: Where a watched run tells of itself while the standard output is for JSON.
    """
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, force_terminal=terminal, width=None if terminal else 100)
