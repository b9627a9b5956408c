"""What a run tells whoever watches it. The base class is silent; a subclass shows, or stops a run by an exception."""

from __future__ import annotations

from dataclasses import dataclass

from qdeq.training.metrics import EpochRecord, StepRecord


@dataclass(frozen=True)
class Plan:
    """The size of a run, known before its first step; ``done`` steps were made before it was resumed."""

    name: str
    epochs: int
    steps: int
    steps_per_epoch: int
    warmup_steps: int
    done: int = 0


class Progress:
    """Watches a run in silence. Override what you want to see."""

    def started(self, plan: Plan) -> None:
        """Take note that the first step is about to be made."""

    def stepped(self, record: StepRecord) -> None:
        """Take note of a training step."""

    def finished_epoch(self, record: EpochRecord) -> None:
        """Take note of an epoch, its validation done and its checkpoints written."""

    def noted(self, message: str) -> None:
        """Take note of one line for the user, such as the first solve that failed."""

    def closed(self) -> None:
        """Take note that the last step was made, or that an exception ended the run."""
