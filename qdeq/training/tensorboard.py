"""The same figures for TensorBoard, where the extra is installed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from qdeq.training.metrics import EpochRecord, StepRecord

_LEFT_OUT = ("step", "epoch", "samples", "layers")


class TensorBoardLog:
    """Write records as scalars: ``step/...``, ``train/...`` and ``validation/...``, all over the number of steps.

    Args:
        path: Folder of the files.
        step: Steps done before; what is there of later ones is dropped.

    Raises:
        OSError: The files cannot be made.
    """

    def __init__(self, path: Path, step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter  # here, because the package is an extra

        self._hook, threading.excepthook = threading.excepthook, self._thread_failed
        try:
            self._writer: Any = SummaryWriter(log_dir=str(path), purge_step=step + 1 if step else None)
        except OSError:
            threading.excepthook = self._hook
            raise

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        """Show no traceback of a full disk: TensorBoard's thread has it raised at the next write, too."""
        ours = failure.thread is not None and type(failure.thread).__module__.startswith("tensorboard.")
        if not (ours and issubclass(failure.exc_type, OSError)):
            self._hook(failure)

    def write(self, record: StepRecord | EpochRecord) -> None:
        """Write one record.

        Raises:
            OSError: This one, or one before, cannot be written.
        """
        data = record.to_dict()
        if isinstance(record, StepRecord):
            groups = {"step": data}
        else:
            groups = {"train": data["train"], "validation": data["validation"]}
        for group, figures in groups.items():
            for key, value in figures.items():
                if key not in _LEFT_OUT and isinstance(value, int | float):
                    self._writer.add_scalar(f"{group}/{key}", value, record.step)
            for status, count in figures["failed"].items():
                self._writer.add_scalar(f"{group}/failed/{status}", count, record.step)

    def close(self) -> None:
        """Write what is left.

        Raises:
            OSError: It cannot be written.
        """
        try:
            self._writer.close()
        finally:
            threading.excepthook = self._hook
