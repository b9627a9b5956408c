"""The final figures of a run: what summary.json holds and the final table shows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from qdeq._version import __version__
from qdeq.errors import CheckpointError, TrainingError, printable
from qdeq.files import replace_file
from qdeq.training.machine import Machine
from qdeq.training.metrics import Metrics
from qdeq.training.record import Continuation, Start

FORMAT_VERSION = 2
_WITHOUT_MACHINE = 1  # that of qdeq 0.1.0


@dataclass(frozen=True)
class RunSummary:
    """The figures of a finished run.

    Attributes:
        name: Of the experiment.
        spec_hash: ``ExperimentSpec.content_hash``.
        qdeq_version: The version that ran it.
        seed: Root of its random streams.
        backend: Name of the backend and version of its software.
        epochs: Epochs trained.
        steps: Steps trained.
        best_epoch: Epoch of the best checkpoint: the lowest validation loss.
        best_step: Step of the best checkpoint.
        parameters: Trained parameters.
        train: The last epoch's training figures.
        validation: The best checkpoint's, on the validation split.
        test: The best checkpoint's, on the test split.
        solves: Samples solved for in training.
        failed: Solves that failed in training, by name of their status.
        adjoint_failed: Backward solves that missed their tolerance in training.
        device: Where it ran.
        processes: How many shared the work, when it ended.
        seconds: Wall-clock time of training and evaluation.
        samples_per_second: Training throughput, validation left out.
        memory: Peak memory [MiB]: ``process_mib``, and on a GPU ``device_mib``.
        folder: Where the files are.
        machine: What it ran on when it ended, with the number of threads; None in what qdeq 0.1.0 wrote.
        start: Whose weights it started from; None for random ones.
        continued: How it went on otherwise than it began, the first time first.
        dataset: What its data were, whatever the spec calls them: ``mnist (not the published files)``; None in what
            qdeq 0.1.0 wrote.
        unwritten: A line for each file that could not be written, and that the run can do without: the picture, say.
    """

    name: str
    spec_hash: str
    qdeq_version: str
    seed: int
    backend: str
    epochs: int
    steps: int
    best_epoch: int
    best_step: int
    parameters: int
    train: Metrics
    validation: Metrics
    test: Metrics
    solves: int
    failed: dict[str, int]
    adjoint_failed: int
    device: str
    processes: int
    seconds: float
    samples_per_second: float
    memory: dict[str, float]
    folder: Path
    machine: Machine | None = None
    start: Start | None = None
    continued: tuple[Continuation, ...] = ()
    dataset: str | None = None
    unwritten: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return summary.json. What differs between two equal runs stands under ``time`` and ``memory`` alone."""
        data = asdict(self)
        del data["folder"], data["unwritten"]  # a run may be moved; and what is missing is seen
        data["time"] = {key: data.pop(key) for key in ("seconds", "samples_per_second")}
        data["memory"] = data.pop("memory")
        return json.dumps({"format_version": FORMAT_VERSION, **data}, indent=2, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write summary.json, whole or not at all: it says that the run is finished.

        Raises:
            TrainingError: It cannot be written.
        """
        try:
            replace_file(path, self.to_json())
        except OSError as error:
            raise TrainingError(
                f"{path}: cannot be written ({error.strerror})\n"
                f"Make room, then go on with qdeq train --resume {path.parent}"
            ) from error

    @classmethod
    def read(cls, path: Path) -> RunSummary:
        """Read a summary.json.

        Raises:
            CheckpointError: It is missing or damaged.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            version = data.pop("format_version")
            if version not in (_WITHOUT_MACHINE, FORMAT_VERSION):
                raise CheckpointError(
                    f"{path}: has format version {printable(str(version))}, and qdeq {__version__} reads "
                    f"{_WITHOUT_MACHINE} and {FORMAT_VERSION}\nUse the version of qdeq that trained the run."
                )
            read: RunSummary = TypeAdapter(cls).validate_python({**data.pop("time"), **data, "folder": path.parent})
            return read
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{path}: missing or damaged\nTrain the run to its end to have it.") from error
