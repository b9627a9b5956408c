"""The folder of a sweep: which files lie where, and what can be told from them while cells run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from qdeq.errors import CheckpointError, TrainingError
from qdeq.files import replace_file
from qdeq.sweeps.cells import Cell, Sweep
from qdeq.sweeps.record import CellRecord
from qdeq.sweeps.worker import record_path
from qdeq.training import RunFolder, RunSummary

_TAIL = 1 << 14  # bytes; the end of a metrics file, with a whole line in it


@dataclass(frozen=True)
class SweepFolder:
    """Where a sweep's files lie.

    Args:
        path: The folder; it need not exist.
    """

    path: Path

    @property
    def spec(self) -> Path:
        """The sweep's file, with every default written out."""
        return self.path / "sweep.yaml"

    @property
    def cells(self) -> Path:
        """One JSON object a cell: what became of it, and its figures."""
        return self.path / "cells.jsonl"

    def table(self, ending: str) -> Path:
        """Return the table as ``md``, ``csv`` or ``png``."""
        return self.path / f"table.{ending}"

    def run(self, cell: Cell) -> Path:
        """Return the run folder of a cell."""
        return self.path / "cells" / cell.name

    def record(self, cell: Cell) -> CellRecord:
        """Return the record of a cell."""
        return CellRecord(record_path(self.run(cell)))

    def create(self, sweep: Sweep) -> None:
        """Make the folder; cells that lie there already stay.

        Raises:
            TrainingError: It is taken by something else, or cannot be written.
        """
        if self.path.is_dir() and any(self.path.iterdir()) and not self.spec.exists():
            raise TrainingError(
                f"{self.path}: is not empty and holds no sweep (no sweep.yaml), so it is never written to\n"
                "Give another folder with --out DIR."
            )
        try:
            (self.path / "cells").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"{self.path}: cannot be made ({error.strerror})\nGive another folder with --out DIR."
            ) from error
        self.write(self.spec, sweep.spec.to_yaml().encode())

    def write(self, file: Path, content: bytes) -> None:
        """Write a file of the sweep; a reader, or another sweep in the same folder, sees it whole.

        Raises:
            TrainingError: It cannot be written.
        """
        try:
            replace_file(file, content)
        except OSError as error:
            raise TrainingError(
                f"{file}: cannot be written ({error.strerror})\nMake room, and run it again."
            ) from error

    def summary(self, cell: Cell) -> RunSummary | None:
        """Return the figures of a cell; None where it is not finished.

        Raises:
            TrainingError: The folder holds the run of another experiment.
        """
        run = RunFolder(self.run(cell))
        if not run.finished:
            return None
        try:
            summary = RunSummary.read(run.summary)
        except CheckpointError:
            return None  # not whole: the cell is gone on with from its checkpoint
        if summary.spec_hash != cell.spec.content_hash:
            raise TrainingError(f"{run.path}: holds another experiment's run\nMove it away, and run the sweep again.")
        return summary

    def progress(self, cell: Cell) -> float:
        """Return the part of a running cell's epochs that is done, from the last line of its metrics."""
        try:
            with RunFolder(self.run(cell)).metrics.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
                lines = file.read().splitlines()
            last = json.loads(lines[-1])
            epochs = last["epoch"] - (last["kind"] == "step")
        except (OSError, ValueError, LookupError, TypeError):  # not begun, or a line that is being written
            return 0.0
        return min(1.0, epochs / cell.spec.training.epochs)
