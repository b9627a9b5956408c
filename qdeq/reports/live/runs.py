"""A run on the screen: live where there is a terminal, a line now and then where there is none."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from qdeq.errors import plural
from qdeq.reports.tables import number, percent, residual
from qdeq.training.progress import Plan, Progress

if TYPE_CHECKING:
    from qdeq.training.metrics import EpochRecord, Metrics, StepRecord

LINE_SECONDS = 3.0
"""Without a terminal, at most one line in so many seconds, but always the first and the last epoch."""

SILENT_SECONDS = 15.0
"""After so long without a line, the next step has one: an epoch of a large register takes minutes."""

RECORDED = ("CI", "JPY_PARENT_PID")
"""Environment variables of continuous integration and of Jupyter's kernels. Both may hand out a terminal, as ``!qdeq``
in a notebook gets, but keep what is written to it: a bar would be there a thousand times."""

_SMOOTHING = 0.9
_INDENT, _NARROW = 12, 40
"""Columns before the figures, and the width from which there are any."""


def make_progress(console: Console) -> Progress:
    """Return what suits the console."""
    return LiveDisplay(console) if can_move(console) else LineDisplay(console)


def can_move(console: Console) -> bool:
    """Return whether a bar may move on the console: on a terminal that someone watches."""
    recorded = any(os.environ.get(name, "").lower() not in ("", "0", "false") for name in RECORDED)
    return console.is_terminal and not console.is_dumb_terminal and not recorded


class LineDisplay(Progress):
    """One line for an epoch, but not too many of them: for logs, pipes and notebooks' outputs.

    Args:
        console: Where to write.
        seconds: Least time between two epochs' lines.
        silent_seconds: Time without a line, after which the next step has one.
    """

    def __init__(self, console: Console, seconds: float = LINE_SECONDS, silent_seconds: float = SILENT_SECONDS) -> None:
        self._console = console
        self._seconds = seconds
        self._silent_seconds = silent_seconds
        self._written = 0.0
        self._printed = time.monotonic()
        self._plan: Plan | None = None

    def started(self, plan: Plan) -> None:
        """Say how much there is to do."""
        self._plan = plan
        warm = f", the first {plan.warmup_steps:,} of them warm-up" if plan.warmup_steps else ""
        done = f", {plan.done:,} of them done before" if plan.done else ""
        self._print(f"{plan.name}: {plural(plan.epochs, 'epoch')}, {plural(plan.steps, 'step')}{warm}{done}")

    def stepped(self, record: StepRecord) -> None:
        """Write the step, if nothing was written for long."""
        if time.monotonic() - self._printed >= self._silent_seconds:
            of = f" of {self._plan.steps:,}" if self._plan else ""
            loss = number(record.metrics.loss, ".3f")
            self._print(f"epoch {record.epoch}, step {record.step:,}{of}: loss {loss}, {record.seconds:.2f} s a step")

    def finished_epoch(self, record: EpochRecord) -> None:
        """Write the epoch, if it is time."""
        now, ends = time.monotonic(), {1, self._plan.epochs if self._plan else 1}
        if record.epoch in ends or now - self._written >= self._seconds:
            self._written = now
            self._print(f"epoch {record.epoch}: {epoch_line(record)}")

    def noted(self, message: str) -> None:
        """Write the line."""
        self._print(message)

    def _print(self, line: str) -> None:
        self._printed = time.monotonic()
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


class LiveDisplay(Progress):
    """A bar over all steps, and below it the smoothed figures of training and those of the last validation.

    Args:
        console: A terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._now: list[str] = []
        self._validation: list[str] = []
        self._live = Live(console=console, refresh_per_second=8, transient=True, get_renderable=self._render)
        self._epochs = 0
        self._smooth: dict[str, float] = {}

    def started(self, plan: Plan) -> None:
        """Show the empty bar."""
        self._epochs = plan.epochs
        self._bar.update(self._task, total=plan.steps, completed=plan.done)
        self._live.start()

    def stepped(self, record: StepRecord) -> None:
        """Move the bar."""
        metrics = record.metrics
        rate = metrics.samples / max(record.seconds, 1e-9)
        what = "direct, " if record.layers is not None else ""
        figures = {
            "loss": number(self._average("loss", metrics.loss), ".3f"),
            "accuracy": percent(self._average("accuracy", metrics.accuracy)),
            "residual": residual(metrics, metrics.residual_mean),
            "evaluations": number(self._average("evaluations", metrics.evaluations), ".1f"),
            "samples/s": number(self._average("rate", rate), ",.0f"),
        }
        self._bar.update(self._task, completed=record.step, description=f"epoch {record.epoch}/{self._epochs}")
        self._now = [f"{what}training", *(f"{key} {value}" for key, value in figures.items())]

    def finished_epoch(self, record: EpochRecord) -> None:
        """Show the validation."""
        self._validation = ["validation", *_figures(record.validation), f"(epoch {record.epoch})"]

    def noted(self, message: str) -> None:
        """Write the line above the bar."""
        self._console.print(message, soft_wrap=True, markup=False, highlight=False)

    def closed(self) -> None:
        """Take the bar away."""
        self._live.stop()

    def _render(self) -> Group:
        rows = [Text(folded(*row, width=self._console.width)) for row in (self._now, self._validation) if row]
        return Group(self._bar.get_renderable(), *rows)

    def _average(self, key: str, value: float | None) -> float | None:
        if value is None:
            return None
        self._smooth[key] = _SMOOTHING * self._smooth.get(key, value) + (1 - _SMOOTHING) * value
        return self._smooth[key]


def folded(head: str, *figures: str, width: int) -> str:
    """Return figures behind a head, on as many lines as the width asks for; no figure is torn apart."""
    indent = " " * (_INDENT if width >= _NARROW else 0)
    lines = [head.ljust(len(indent))]
    for figure in figures:
        joined = lines[-1] + ("" if lines[-1].endswith(" ") else "  ") + figure
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(indent + figure)
    return "\n".join(line.rstrip() for line in lines)


def epoch_line(record: EpochRecord) -> str:
    """Return the figures of an epoch in one line."""
    rate = record.train.samples / max(record.seconds, 1e-9)
    best = ", best so far" if record.best else ""
    return (
        f"train loss {number(record.train.loss, '.3f')} accuracy {percent(record.train.accuracy)}, "
        f"validation {figures_line(record.validation)}, {rate:,.0f} samples/s{best}"
    )


def figures_line(metrics: Metrics) -> str:
    """Return loss, accuracy, residual and evaluations, and under shots the share of solves that noise ended."""
    return " ".join(_figures(metrics))


def _figures(metrics: Metrics) -> list[str]:
    failed = sum(metrics.failed.values())
    figures = {
        "loss": number(metrics.loss, ".3f"),
        "accuracy": percent(metrics.accuracy),
        "residual": residual(metrics, metrics.residual_mean),
        "evaluations": number(metrics.evaluations, ".1f"),
    }
    if metrics.noise_limited is not None:
        figures["limited by noise"] = percent(metrics.noise_limited)
    return [*(f"{key} {value}" for key, value in figures.items()), *([f"failed {failed}"] if failed else [])]
