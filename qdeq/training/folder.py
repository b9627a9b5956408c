"""The folder of a run: which files lie where, and when one may be written over."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from qdeq.budget import LEDGER_NAME
from qdeq.errors import CheckpointError, TrainingError
from qdeq.spec import ExperimentSpec, load_spec


@dataclass(frozen=True)
class RunFolder:
    """Where a run's files lie.

    Args:
        path: The folder; it need not exist.
    """

    path: Path

    @property
    def spec(self) -> Path:
        """The resolved spec."""
        return self.path / "spec.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: every step, every epoch."""
        return self.path / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        """The final figures."""
        return self.path / "summary.json"

    @property
    def curves(self) -> Path:
        """The plot."""
        return self.path / "curves.png"

    @property
    def stability(self) -> Path:
        """The picture of ``qdeq stability``, where that has been run."""
        return self.path / "stability.png"

    @property
    def ledger(self) -> Path:
        """What was paid for, where the backend costs money. It stays when a run is replaced: nothing is paid twice."""
        return self.path / LEDGER_NAME

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's own folder."""
        return self.path / "tensorboard"

    def checkpoint(self, which: str) -> Path:
        """``"best"`` or ``"last"``."""
        return self.path / "checkpoints" / f"{which}.safetensors"

    def check(self, *, force: bool = False) -> None:
        """Refuse a folder that is in use. Nothing is written.

        Raises:
            TrainingError: It is no folder, or is not empty; a run may be replaced with ``force``, anything else not.
        """
        if self.path.exists() and not self.path.is_dir():
            raise TrainingError(f"{self.path}: is a file, and a run needs a folder\nGive another one with --out DIR.")
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        if not self.spec.exists():
            raise TrainingError(
                f"{self.path}: is not empty and holds no qdeq run (no spec.yaml), so it is never written to\n"
                "Give another folder with --out DIR."
            )
        started = any(self.checkpoint(which).exists() for which in ("best", "last"))
        if not force and started:  # a run that ended before its first checkpoint holds nothing to lose
            raise TrainingError(
                f"{self.path}: already holds a run\nGive another folder with --out DIR, or replace it with --force."
            )

    def create(self, spec: ExperimentSpec, *, force: bool = False) -> None:
        """Make the folder and write the spec. An old run's files are removed; a user's own files among them stay.

        Raises:
            TrainingError: See :meth:`check`; or the folder cannot be written.
        """
        self.check(force=force)
        try:
            pictures, weights = (self.curves, self.stability), (self.checkpoint("best"), self.checkpoint("last"))
            for old in (self.summary, self.metrics, *pictures, *weights):
                old.unlink(missing_ok=True)
            if self.tensorboard.is_dir():
                shutil.rmtree(self.tensorboard)
            self.checkpoint("last").parent.mkdir(parents=True, exist_ok=True)
            self.spec.write_text(spec.to_yaml(), encoding="utf-8")
        except OSError as error:
            raise TrainingError(
                f"{error.filename or self.path}: cannot be written ({error.strerror})\n"
                "Give another folder with --out DIR."
            ) from error

    def load_spec(self) -> ExperimentSpec:
        """Read the spec of a run.

        Raises:
            CheckpointError: There is no run here.
            SpecError: Its spec is damaged.
        """
        if not self.spec.is_file():
            what = "holds no qdeq run (no spec.yaml)" if self.path.is_dir() else "there is no such run"
            raise CheckpointError(f"{self.path}: {what}\nGive the output folder of `qdeq train`, such as runs/digits.")
        return load_spec(self.spec)
