"""A sweep on the screen: a bar over all cells where there is a terminal, a line for each cell where there is none."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from qdeq.errors import plural
from qdeq.reports.live.runs import can_move
from qdeq.reports.tables import percent
from qdeq.sweeps.cells import Cell
from qdeq.sweeps.progress import SweepPlan, SweepProgress
from qdeq.sweeps.result import CellResult

_SHOWN = 16
"""At most so many running cells are listed below the bar."""


def make_sweep_progress(console: Console) -> SweepProgress:
    """Return what suits the console."""
    return LiveSweepDisplay(console) if can_move(console) else SweepLines(console)


class SweepLines(SweepProgress):
    """One line for each cell that ends, and for each note: for logs, pipes and notebooks' outputs.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._done = 0
        self._cells = 0

    def started(self, plan: SweepPlan) -> None:
        """Say how much there is to do."""
        self._done, self._cells = plan.finished, plan.cells
        before = f", {plan.finished} of them finished before" if plan.finished else ""
        self._print(f"{plan.name}: {plural(plan.cells, 'cell')}{before}; {plan.workers} at a time")

    def ended(self, result: CellResult) -> None:
        """Write the cell."""
        self._done += 1
        self._print(f"[{self._done} of {self._cells}] {_ending(result)}")

    def noted(self, message: str) -> None:
        """Write the line."""
        self._print(message)

    def _print(self, line: str, style: str | None = None) -> None:
        self._console.print(line, soft_wrap=True, markup=False, highlight=False, style=style)


class LiveSweepDisplay(SweepLines):
    """The same lines above a bar over all cells, and below it the cells that are running.

    Args:
        console: A terminal.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TimeRemainingColumn())
        self._bar = Bar(*columns, console=console, expand=True)
        self._task = self._bar.add_task("starting", total=None)
        self._running: Mapping[Cell, float] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._render)

    def started(self, plan: SweepPlan) -> None:
        """Show the bar."""
        super().started(plan)
        self._bar.update(self._task, total=plan.cells, completed=plan.finished)
        self._move()
        self._live.start()

    def moved(self, running: Mapping[Cell, float]) -> None:
        """Move the bar."""
        self._running = running
        self._move()

    def ended(self, result: CellResult) -> None:
        """Write the cell above the bar."""
        super().ended(result)
        self._running = {cell: part for cell, part in self._running.items() if cell is not result.cell}
        self._move()

    def closed(self) -> None:
        """Take the bar away."""
        self._live.stop()

    def _move(self) -> None:
        self._bar.update(
            self._task,
            completed=self._done + sum(self._running.values()),
            description=f"{self._done} of {plural(self._cells, 'cell')}",
        )

    def _render(self) -> Group:
        listed = [Text(f"  {cell}: {part:.0%}") for cell, part in list(self._running.items())[:_SHOWN]]
        more = len(self._running) - len(listed)
        return Group(self._bar, *listed, *([Text(f"  and {more} more")] if more else []))


def _ending(result: CellResult) -> str:
    if result.summary is None:
        return result.failure
    accuracy = result.summary.test.accuracy
    found = "" if accuracy is None else f"test accuracy {percent(accuracy)}, "
    return f"{result.cell}: {found}{result.summary.seconds:.1f} s"
