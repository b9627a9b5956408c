"""Running a sweep: which cell is next, which again, and when it is over."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from qdeq.errors import plural
from qdeq.sweeps.cells import Cell, Sweep
from qdeq.sweeps.folder import SweepFolder
from qdeq.sweeps.pool import Pool, ray_pool
from qdeq.sweeps.preflight import check_cells
from qdeq.sweeps.progress import SweepPlan, SweepProgress
from qdeq.sweeps.result import CellResult, SweepResult
from qdeq.sweeps.worker import Outcome, Task
from qdeq.training.signals import Terminated

POLL_SECONDS = 0.5
"""How often the running cells are looked at."""

BUSY_SECONDS = 2.0
"""How often cells that another sweep is running are looked at."""


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a sweep: the cells that were running have kept their checkpoints."""


class SweepTerminated(SweepInterrupted):
    """SIGTERM ended a sweep, likewise."""


def run_sweep(
    sweep: Sweep,
    out: str | Path,
    *,
    address: str | None = None,
    workers: int | None = None,
    progress: SweepProgress | None = None,
) -> SweepResult:
    """Run the cells of a sweep that are not finished, each in a process of its own.

    What is finished stays as it is; what was cut short is gone on with from its checkpoint; what fails, or loses its
    worker, is tried again. Nothing is run before all cells have been found good.

    Args:
        sweep: The sweep.
        out: Its folder; made if need be. On a cluster all machines have to see it under this path.
        address: Of a Ray cluster; None to start Ray on this machine.
        workers: Cells at a time; None for as many as there are CPUs.
        progress: Watches; silent by default.

    Returns:
        What was found, failed cells among it.

    Raises:
        BudgetError: A cell costs money, and its budget is missing or too small.
        PluginError: Ray is not installed.
        SweepInterrupted: Ctrl-C, or SIGTERM; the running cells were stopped, and can be gone on with.
        QdeqError: A cell cannot be run, the folder cannot be used, or Ray cannot be started.
    """
    folder = SweepFolder(Path(out).absolute())
    progress = progress or SweepProgress()
    found = SweepResult.collect(sweep, folder)
    left = [result.cell for result in found.cells if result.state != "finished"]
    for note in check_cells(left, sweep.source):
        progress.noted(note)
    folder.create(sweep)
    if not left:
        folder.write(folder.cells, found.cell_lines().encode())
        return found
    with ExitStack() as stack:
        terminated = stack.enter_context(_terminable())
        stack.callback(progress.closed)
        try:
            pool = stack.enter_context(ray_pool(address, workers, sweep.spec.cpus))
            progress.started(SweepPlan(sweep.spec.name, len(found.cells), len(found.cells) - len(left), pool.workers))
            run = SweepRun(sweep, folder, pool, progress, found)
            try:
                return run.run()
            except KeyboardInterrupt:
                progress.noted(f"stopping {plural(len(run.running), 'cell')}, which write their checkpoints")
                pool.stop()
                raise
        except KeyboardInterrupt:
            kind = SweepTerminated if terminated else SweepInterrupted
            raise kind(
                f"stopped; {folder.path} keeps all that was done\nThe same command goes on from there."
            ) from None


@contextmanager
def _terminable() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt at SIGTERM within the block, and put the signal on the list, which Ray does not lose."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield noted
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        raise Terminated

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGTERM, previous)


class SweepRun:
    """The cells of a sweep on their way through a pool.

    Args:
        sweep: The sweep.
        folder: Made.
        pool: Runs the cells.
        progress: Watches.
        found: What lay in the folder before.
    """

    def __init__(
        self, sweep: Sweep, folder: SweepFolder, pool: Pool, progress: SweepProgress, found: SweepResult
    ) -> None:
        self.sweep = sweep
        self.folder = folder
        self.pool = pool
        self.progress = progress
        self.results = {result.cell.name: result for result in found.cells}
        self.waiting = deque(result.cell for result in found.cells if result.state != "finished")
        self.running: dict[str, Cell] = {}
        self._attempts: Counter[str] = Counter()
        self._busy: set[str] = set()

    def run(self) -> SweepResult:
        """Run until no cell is left."""
        self._save()
        while self.waiting or self.running:
            while len(self.running) < self.pool.workers and self._start_next():
                pass
            if not self.running:
                if self.waiting:
                    time.sleep(BUSY_SECONDS)  # all that is left is another sweep's
                continue
            for name, outcome in self.pool.wait(POLL_SECONDS):
                self._take(self.running.pop(name), outcome)
            self.progress.moved({cell: self.folder.progress(cell) for cell in self.running.values()})
        return self._collected()

    def _start_next(self) -> bool:
        """Hand the next cell to the pool; return whether there was one, or one that another sweep has finished."""
        for cell in list(self.waiting):
            if self.folder.record(cell).busy():
                self._tell_busy(cell, self.folder.record(cell).owner())
                continue
            self.waiting.remove(cell)
            if (summary := self.folder.summary(cell)) is not None:
                self._end(CellResult(cell, "finished", self.folder.run(cell), summary, self._attempts[cell.name]))
                return True
            self.running[cell.name] = cell
            self.pool.submit(cell.name, self._task(cell), self._gpus(cell))
            return True
        return False

    def _take(self, cell: Cell, outcome: Outcome) -> None:
        """Take note of how a cell's run ended: for good, or to be run again."""
        if outcome.state == "busy":  # another sweep was quicker
            self._tell_busy(cell, outcome.error)
            self.waiting.append(cell)
            return
        self._attempts[cell.name] += 1
        error = outcome.error
        if outcome.state == "finished":
            summary = self.folder.summary(cell)
            if summary is not None:
                attempts = self._attempts[cell.name]
                self._end(CellResult(cell, "finished", self.folder.run(cell), summary, attempts))
                return
            error = (
                "the worker finished it, but its summary.json is not here, or not whole\n"
                "Give --out a folder on a file system that all machines share; remove a summary.json that is damaged."
            )
        self._try_again(cell, outcome, error or "it was stopped")

    def _try_again(self, cell: Cell, outcome: Outcome, error: str) -> None:
        attempts = self._attempts[cell.name]
        if attempts > self.sweep.spec.retries or outcome.final:
            self._end(CellResult(cell, "failed", self.folder.run(cell), None, attempts, error))
            return
        self.progress.noted(f"{cell}: {error.splitlines()[0]}; it is run again from its last checkpoint")
        if outcome.state == "failed":
            self.waiting.append(cell)  # the others first: whatever is wrong may pass
        else:
            self.waiting.appendleft(cell)

    def _tell_busy(self, cell: Cell, owner: str) -> None:
        if cell.name not in self._busy:
            self._busy.add(cell.name)
            self.progress.noted(f"{cell}: {owner} runs it already; its result is waited for")

    def _end(self, result: CellResult) -> None:
        self.results[result.cell.name] = result
        self._save()
        self.progress.ended(result)

    def _collected(self) -> SweepResult:
        return SweepResult(self.sweep, self.folder, tuple(self.results[cell.name] for cell in self.sweep.cells))

    def _save(self) -> None:
        self.folder.write(self.folder.cells, self._collected().cell_lines().encode())

    def _task(self, cell: Cell) -> Task:
        environment = {name: value for name, value in os.environ.items() if name.startswith("QDEQ_")}
        return Task(
            spec=cell.spec.model_dump(mode="json"),
            spec_hash=cell.spec.content_hash,
            folder=str(self.folder.run(cell)),
            cpus=self.sweep.spec.cpus,
            home=os.getcwd(),
            environment=environment,
        )

    def _gpus(self, cell: Cell) -> float:
        wanted = self.sweep.spec.gpus
        return float(cell.spec.training.device.startswith("cuda")) if wanted is None else wanted
