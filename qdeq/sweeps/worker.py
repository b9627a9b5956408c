"""What a worker process does: one cell, from its checkpoint if it has one.

Plain data go in and out, and PyTorch is imported inside, after the number of threads is settled.
"""

from __future__ import annotations

import os
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qdeq._version import __version__
from qdeq.errors import BudgetError, QdeqError, TrainingError

if TYPE_CHECKING:
    from qdeq.spec import ExperimentSpec
    from qdeq.sweeps.record import CellRecord

State = Literal["finished", "failed", "interrupted", "lost", "busy"]


@dataclass(frozen=True)
class Task:
    """A cell, as it is sent to a worker.

    Attributes:
        spec: The experiment as data.
        spec_hash: Its content hash, which the worker has to arrive at too.
        folder: Of the run, absolute.
        cpus: Threads.
        home: The working folder of who sends it, which relative paths in the experiment start from.
        environment: Variables to set.
    """

    spec: dict[str, Any]
    spec_hash: str
    folder: str
    cpus: int
    home: str
    environment: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """How a cell's run ended.

    Attributes:
        state: ``interrupted``: it was asked to stop; ``lost``: its worker is gone; ``busy``: another process runs it.
        error: What is wrong, or who runs it.
        final: Whether running it again is of no use.
    """

    state: State
    error: str = ""
    final: bool = False


def run_task(data: dict[str, Any]) -> dict[str, Any]:
    """Run a cell; a :class:`Task` and its :class:`Outcome` as plain data."""
    task = Task(**data)
    os.environ.update(task.environment)
    os.environ["OMP_NUM_THREADS"] = str(task.cpus)
    if os.path.isdir(task.home):
        os.chdir(task.home)
    return asdict(run_cell(task))


def run_cell(task: Task) -> Outcome:
    """Run a cell in this process, begin to end or from its checkpoint, and put on record how that went."""
    from qdeq.sweeps.record import CellBusy, CellRecord

    folder = Path(task.folder)
    try:
        if not folder.parent.is_dir():
            raise TrainingError(
                f"{folder.parent}: is not there on the worker's machine\n"
                "Give --out a folder on a file system that all machines of the cluster share."
            )
        record = CellRecord(record_path(folder))
        with record.held():
            return _run(task, folder, record)
    except CellBusy as busy:
        return Outcome("busy", str(busy))
    except QdeqError as error:
        return Outcome("failed", str(error))


def record_path(folder: Path) -> Path:
    """Return where the record of the cell in a folder lies: beside it."""
    return folder.with_name(f"{folder.name}.jsonl")


def _run(task: Task, folder: Path, record: CellRecord) -> Outcome:
    """Run the cell; the lock is held, so that whatever lies in the folder is nobody's work at this moment."""
    from threadpoolctl import threadpool_limits

    try:
        import torch

        from qdeq.spec import parse_spec
        from qdeq.training import RunFolder, resume, train

        torch.set_num_threads(task.cpus)
        threadpool_limits(limits=task.cpus)  # NumPy's too, which Ray may have imported before this began
        spec = _checked(parse_spec(task.spec, folder.name), task)
        run = RunFolder(folder)
        if run.finished:
            return Outcome("finished")
        if run.resumable:
            record.write("resumed", checkpoint=run.states()[-1].stem)
            resume(folder, budget=spec.budget)
        else:
            record.write("started")
            train(spec, folder, force=True)
    except KeyboardInterrupt as interrupt:  # SIGTERM among them
        record.write("interrupted", message=str(interrupt))
        return Outcome("interrupted", str(interrupt))
    except Exception as error:
        expected = isinstance(error, QdeqError)
        text = str(error) if expected else f"{type(error).__name__}: {error}"
        record.write("failed", error=text, traceback=None if expected else traceback.format_exc())
        # a budget that is used up is used up at the next attempt too
        return Outcome("failed", text, final=isinstance(error, BudgetError))
    record.write("finished")
    return Outcome("finished")


def _checked(spec: ExperimentSpec, task: Task) -> ExperimentSpec:
    if spec.content_hash != task.spec_hash:
        raise TrainingError(
            f"the worker reads the experiment differently (its qdeq is {__version__})\n"
            "Install the same version of qdeq, and the same plug-ins, on all machines of the cluster."
        )
    return spec
