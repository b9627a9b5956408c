"""The order of the commands, options that may stand anywhere, and what becomes of errors."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from qdeq.cli.exits import ExitCode
from qdeq.errors import BudgetReached, QdeqError

PANELS = {
    "Train": ("init", "train", "sweep", "reproduce"),
    "Look": ("show", "eval", "predict", "report", "stability", "compare", "solve-study"),
    "Money": ("estimate", "ledger"),
    "Check": ("doctor", "check-backend", "check-solver", "check-dataset"),
    "Set up": ("backends", "solvers", "datasets", "schema"),
}
"""The commands by what one wants of them, in the order of ``qdeq --help``."""

ANYWHERE = ("--debug", "--no-color")
"""Options of qdeq itself that may stand behind the command, too."""

UsageError: Any = typer.BadParameter.__base__
"""What is raised for a line that cannot be understood; typer does not name it."""

TERMINATIONS = ("TrainingTerminated", "SweepTerminated")
"""What SIGTERM raises, by name: importing it would load PyTorch."""


class Group(TyperGroup):
    """All commands.

    What qdeq raises on purpose becomes a message and an exit code; anything else keeps its traceback.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        panels = {name: panel for panel, names in PANELS.items() for name in names}
        order = {name: position for position, name in enumerate(panels)}
        self.commands = dict(sorted(self.commands.items(), key=lambda item: order.get(item[0], len(order))))
        for name, command in self.commands.items():
            command.rich_help_panel = panels.get(name)  # type: ignore[attr-defined]

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command line; ``--no-color`` is NO_COLOR for as long as that takes."""
        with _no_color("--no-color" in _own(sys.argv[1:] if args is None else args)):
            try:
                code = super().main(args, *rest, **{**options, "standalone_mode": False})
            except UsageError as error:
                _tell_usage(error)
                code = ExitCode.BAD_INPUT
            except typer.Abort:  # Ctrl-C while the line was read
                typer.echo("interrupted", err=True)
                code = ExitCode.INTERRUPTED
        sys.exit(code if isinstance(code, int) else ExitCode.DONE)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the options that may stand anywhere to the front."""
        own = _own(args)
        moved = [word for word in own if word in ANYWHERE]
        return super().parse_args(ctx, [*moved, *(word for word in own if word not in ANYWHERE), *args[len(own) :]])

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and turn errors into exit codes."""
        try:
            return super().invoke(ctx)
        except QdeqError as error:
            _trace(ctx)
            typer.echo(f"error: {error}", err=True)
            code = ExitCode.OUT_OF_BUDGET if isinstance(error, BudgetReached) else ExitCode.BAD_INPUT
            raise typer.Exit(code) from error
        except KeyboardInterrupt as interrupt:
            _trace(ctx)
            typer.echo(f"\n{interrupt}" if str(interrupt) else "\ninterrupted", err=True)
            terminated = type(interrupt).__name__ in TERMINATIONS
            raise typer.Exit(ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED) from interrupt


def _tell_usage(error: Any) -> None:
    """Print what is wrong with the line in one or two lines, as all errors; the help where nothing was asked."""
    asked = error.ctx.command_path if error.ctx is not None else "qdeq"
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        return
    message = error.format_message().replace("Value error, ", "").replace("?.", "?")
    end = "" if message.endswith(("?", ".")) else "."
    typer.echo(f"error: {message}{end}{_meant(error)}\nTry `{asked} --help`.", err=True)


def _meant(error: Any) -> str:
    """Return how to set what is no option, but a key of the experiment."""
    name = getattr(error, "option_name", None)
    if name == "--resume":
        return " The run's folder stands behind it: qdeq train --resume RUN"
    takes = error.ctx is not None and any("--set" in option.opts for option in error.ctx.command.params)
    if name is None or not takes:
        return ""
    from qdeq.spec.messages import key_meant

    key = key_meant(name.lstrip("-").replace("-", "_"))
    return f" Did you mean --set {key}=VALUE?" if key else ""


def _own(words: Sequence[str]) -> list[str]:
    """Return the words before ``--``, behind which nothing is an option."""
    words = list(words)
    return words[: words.index("--")] if "--" in words else words


def _trace(ctx: Any) -> None:
    if ctx.params.get("debug"):
        traceback.print_exc()


@contextmanager
def _no_color(asked: bool) -> Iterator[None]:
    before = os.environ.get("NO_COLOR")
    if asked:
        os.environ["NO_COLOR"] = "1"
    try:
        yield
    finally:
        if asked and before is None:
            del os.environ["NO_COLOR"]
        elif asked and before is not None:
            os.environ["NO_COLOR"] = before
