"""What a run writes as it trains: log, TensorBoard's files, and the checkpoints to go on from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from qdeq.errors import CheckpointError, TrainingError
from qdeq.files import optional
from qdeq.training.folder import RunFolder
from qdeq.training.log import MetricsWriter
from qdeq.training.signals import deferred_interrupt
from qdeq.training.tensorboard import TensorBoardLog

if TYPE_CHECKING:
    from qdeq.spec import TrainingSpec
    from qdeq.training.metrics import EpochRecord, StepRecord
    from qdeq.training.state import TrainingState


class Recorder:
    """Writes a run's files; of a team the leader's, and no one else's.

    Args:
        options: When to write a checkpoint, and how many are kept.
        state: What checkpoints are of.
        folder: Made, with the spec in it.
        leads: Whether this process writes.
    """

    def __init__(self, options: TrainingSpec, state: TrainingState, folder: RunFolder, *, leads: bool) -> None:
        self._options = options
        self._state = state
        self._folder = folder
        self._leads = leads
        self._metrics: MetricsWriter | None = None
        self._board: TensorBoardLog | None = None
        self.unwritten: list[str] = []
        self._saved: tuple[int, int] | None = None
        self._saved_at = time.monotonic()

    def on_disk(self) -> None:
        """Take note that a checkpoint has this very state: it was read from there."""
        self._saved = (self._state.step, self._state.epoch)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Have the logs open within the block."""
        with ExitStack() as stack:
            if self._leads:
                self._metrics = MetricsWriter(self._folder.metrics)
                stack.callback(self._metrics.close)
                if self._options.tensorboard:
                    with self._board_optional():
                        self._board = TensorBoardLog(self._folder.tensorboard, self._state.step)
                    stack.callback(self._close_board)
            yield

    def write(self, record: StepRecord | EpochRecord) -> None:
        """Log a step or an epoch."""
        if self._metrics is not None:
            self._metrics.write(record)
        if self._board is not None:
            with self._board_optional():
                self._board.write(record)

    @contextmanager
    def _board_optional(self) -> Iterator[None]:
        """Go on without TensorBoard's files where they cannot be written."""
        before = len(self.unwritten)
        with optional(self._folder.tensorboard, self.unwritten.append):
            yield
        if len(self.unwritten) > before and self._board is not None:
            board, self._board = self._board, None
            with suppress(OSError):  # it is told already
                board.close()

    def _close_board(self) -> None:
        if self._board is not None:
            with self._board_optional():
                self._board.close()

    def due(self) -> bool:
        """Return whether a checkpoint is asked for between epochs."""
        steps, minutes = self._options.checkpoint_steps, self._options.checkpoint_minutes
        late = minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes
        return late or (steps is not None and self._state.step % steps == 0)

    def save(self) -> None:
        """Write a checkpoint to go on from, unless this very state has one, and drop the oldest."""
        now = (self._state.step, self._state.epoch)
        if self._metrics is None or now == self._saved:
            return
        self._metrics.sync()  # first, so that no power cut leaves a log that ends before its checkpoint
        self._state.save(self._folder.state(self._state.step))
        self._folder.prune(self._options.checkpoints_kept)
        self._saved, self._saved_at = now, time.monotonic()

    def kept(self, *options: str) -> str:
        """Save the state as it is, and say where, and how to go on.

        Args:
            options: That going on needs.
        """
        why = ""
        with deferred_interrupt():
            try:
                self.save()
            except (CheckpointError, TrainingError) as error:  # the disk may be why the run ends
                why = f"no new checkpoint: {str(error).splitlines()[0]}; "
        states = self._folder.states() if self._leads else []
        kept = f"kept: {states[-1]}; " if states else ""
        words = ("qdeq train --resume", str(self._folder.path), *options)
        return f"{why}{kept}go on with: {' '.join(words)}"
