"""metrics.jsonl: one JSON object a line, for every step and every epoch; readable while it is written."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeq.errors import CheckpointError, TrainingError
from qdeq.training.metrics import EpochRecord, StepRecord


@dataclass(frozen=True)
class Elapsed:
    """Wall-clock time that a log tells of [s].

    Attributes:
        steps: Of the training steps.
        total: Of steps and validations.
    """

    steps: float = 0.0
    total: float = 0.0


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the records of a metrics.jsonl; a last line that is not whole is still being written, and left out.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    return [record for _, record in _records(path)]


def cut_log(path: Path, step: int, epoch: int) -> Elapsed:
    """Shorten a metrics.jsonl to what was known after ``step`` steps and ``epoch`` whole epochs.

    A resumed run begins with this: what a run wrote after its last checkpoint will be written again.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    length, steps, epochs, open_epoch = 0, 0.0, 0.0, 0.0
    for end, record in _records(path):
        if (record["step"] > step) if record["kind"] == "step" else (record["epoch"] > epoch):
            break
        length, seconds = end, record["time"]["seconds"]
        if record["kind"] == "step":
            steps, open_epoch = steps + seconds, open_epoch + seconds
        else:
            epochs, open_epoch = epochs + seconds, 0.0
    os.truncate(path, length)
    return Elapsed(steps, epochs + open_epoch)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the records, each with the length of the file up to its end."""
    try:
        content = path.read_bytes()
        end = 0
        while newline := content.find(b"\n", end) + 1:
            record = json.loads(content[end:newline])
            whole = {"step": [record], "epoch": [record.get("train"), record.get("validation")]}[record["kind"]]
            numbers = [record["step"], record["epoch"], record["time"]["seconds"]]
            numbers += [figures["loss"] for figures in whole if figures["loss"] is not None]
            if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
                raise ValueError("no record")
            end = newline
            yield end, record
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: missing or damaged\nMove it away to go on without it: the checkpoints do not need it."
        ) from error


class MetricsWriter:
    """Append records to a metrics.jsonl, each one handed to the system as a whole before the next step.

    Args:
        path: The file; what is in it stays.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._writing():
            self._file = path.open("ab", buffering=0)

    def write(self, record: StepRecord | EpochRecord) -> None:
        """Write one line.

        Raises:
            TrainingError: The disk is full, or the file cannot be written for another reason.
        """
        line = (json.dumps(record.to_dict(), allow_nan=False) + "\n").encode()
        with self._writing():
            while line:
                line = line[self._file.write(line) :]

    def sync(self) -> None:
        """Put everything on disk: before a checkpoint, so that a power cut cannot leave a log behind its checkpoint."""
        with self._writing():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what the system says of the file into an error with a remedy."""
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{self._path}: cannot be written ({error.strerror})\n"
                f"Make room, then go on with qdeq train --resume {self._path.parent}"
            ) from error
