"""The folder of a run: which files lie where, and when one may be written over."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qdeq.billing.budget import LEDGER_NAME
from qdeq.errors import CheckpointError, SpecError, TrainingError, printable
from qdeq.files import replace_file
from qdeq.spec import ExperimentSpec, load_spec, read_yaml
from qdeq.training.checkpoints import Checkpoint, load_checkpoint
from qdeq.training.formats import spec_base, spec_hash_0_1_0, spec_text

if sys.platform != "win32":
    import fcntl

_NAMED = 5  # of several runs
_LOCK = ".lock"
_STATE = re.compile(r"step-\d+\.safetensors")


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
    def report(self) -> Path:
        """The page of ``qdeq report``, where that has been run."""
        return self.path / "report.html"

    @property
    def ledger(self) -> Path:
        """What was paid for, where the backend costs money. It stays when a run is replaced: nothing is paid twice."""
        return self.path / LEDGER_NAME

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's own folder."""
        return self.path / "tensorboard"

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: its summary is written last of all."""
        return self.summary.is_file()

    @property
    def resumable(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return bool(self.states())

    @property
    def has_weights(self) -> bool:
        """Whether there is any checkpoint."""
        return self.resumable or self.checkpoint("best").is_file()

    def state(self, step: int) -> Path:
        """Return where the checkpoint with all that a run needs to go on from after ``step`` lies."""
        return self._checkpoints / f"step-{step:08d}.safetensors"

    def states(self) -> list[Path]:
        """Return the checkpoints to go on from, the oldest first."""
        return sorted(path for path in self._checkpoints.glob("step-*.safetensors") if _STATE.fullmatch(path.name))

    def checkpoint(self, which: str) -> Path:
        """Return the checkpoint ``"best"``, ``"last"`` (the newest that a run can go on from) or another by its name.

        Raises:
            CheckpointError: That is not the name of a checkpoint.
        """
        if which == "last" and (states := self.states()):
            return states[-1]
        if not re.fullmatch(r"best|last|step-\d+", which):
            raise CheckpointError(f"{which!r} names no checkpoint\nGive best, last, or one like step-00000120.")
        return self._checkpoints / f"{which}.safetensors"

    def load(self, which: str) -> Checkpoint:
        """Read a checkpoint by its name, as :meth:`checkpoint` has it.

        Raises:
            CheckpointError: It is not there, and the message says what is; or it is damaged.
        """
        path = self.checkpoint(which)
        if path.is_file():
            return load_checkpoint(path)
        if there := sorted(file.stem for file in self._checkpoints.glob("*.safetensors")):
            raise CheckpointError(f"{path}: there is no such checkpoint\nGive --checkpoint {' or '.join(there)}.")
        if self.finished:
            raise self.gone()
        raise CheckpointError(
            f"{path}: there is no such checkpoint; the run is unfinished and has none to look at\n"
            f"Train it with qdeq train --resume {self.path} first."
        )

    def check_spec(self, saved: Checkpoint, spec: ExperimentSpec) -> None:
        """Refuse a checkpoint of another experiment.

        Raises:
            CheckpointError: It was trained from another spec.
        """
        saved.check_spec(spec, spec_hash_0_1_0(read_yaml(self.spec)) if saved.record is None else None)

    def gone(self) -> CheckpointError:
        """Return what is wrong with a finished run without a checkpoint."""
        return CheckpointError(
            f"{self.path}: the run is finished, but its checkpoints are gone (there is none in {self._checkpoints})\n"
            f"Bring them back, or train again: qdeq train {self.spec} --out {self.path} --force"
        )

    def newest(self, note: Callable[[str], None]) -> Checkpoint | None:
        """Return the newest checkpoint to go on from that is whole; None if there is none.

        A damaged one is put aside, under its name with ``.damaged`` behind it, and the one before it is tried.

        Args:
            note: Told of every damaged one.
        """
        for path in reversed(self.states()):
            try:
                return load_checkpoint(path)
            except CheckpointError as error:
                aside = path.rename(path.with_name(f"{path.name}.damaged"))
                note(f"warning: {str(error).splitlines()[0]}; kept as {aside.name}, and the one before it is used")
        return None

    def prune(self, kept: int) -> None:
        """Remove all but the newest checkpoints to go on from."""
        for path in self.states()[:-kept]:
            path.unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other processes from writing the run within the block; the lock of a dead process is none.

        Raises:
            TrainingError: Another process is writing it; or one of its files is a link, which leads out of it.
        """
        for path in (self.path / _LOCK, self.spec, self.metrics, self.summary, self.curves, self._checkpoints):
            if path.is_symlink():
                raise TrainingError(
                    f"{path}: is a link, and a run writes into its own folder alone\n"
                    "Give another folder with --out DIR; that may be a link as a whole."
                )
        if sys.platform == "win32":
            yield
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / _LOCK).open("a")
        except OSError as error:
            raise _unwritable(self.path, error) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise TrainingError(
                    f"{self.path}: another process is writing this run\n"
                    "Wait until it has ended, or give another folder with --out DIR."
                ) from error
            for left in self._checkpoints.glob(".*.safetensors.*"):  # by a process that died while it wrote
                left.unlink(missing_ok=True)
            yield

    @property
    def _checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def check(self, *, force: bool = False) -> None:
        """Refuse a folder that is in use. Nothing is written.

        Raises:
            TrainingError: It is no folder, or is not empty; a run may be replaced with ``force``, anything else not.
        """
        if self.path.exists() and not self.path.is_dir():
            raise TrainingError(f"{self.path}: is a file, and a run needs a folder\nGive another one with --out DIR.")
        if not self.path.exists() or not any(path.name != _LOCK for path in self.path.iterdir()):
            return
        if not self.spec.exists():
            raise TrainingError(
                f"{self.path}: is not empty and holds no qdeq run (no spec.yaml), so it is never written to\n"
                "Give another folder with --out DIR."
            )
        # a run that ended before its first checkpoint holds nothing to lose
        if not force and (self.finished or self.has_weights):
            other = "" if self.finished else f"go on with it by qdeq train --resume {self.path}, "
            raise TrainingError(
                f"{self.path}: already holds a run\n"
                f"Give another folder with --out DIR, {other}or replace it with --force."
            )

    def create(self, spec: ExperimentSpec, *, force: bool = False) -> None:
        """Make the folder and write the spec. An old run's files are removed; a user's own files among them stay.

        Raises:
            TrainingError: See :meth:`check`; or the folder cannot be written.
        """
        self.check(force=force)
        try:
            pictures = (self.curves, self.stability, self.report)
            weights = (self.checkpoint("best"), *self._checkpoints.glob("step-*.safetensors*"))
            for old in (self.summary, self.metrics, *pictures, *weights):
                old.unlink(missing_ok=True)
            if self.tensorboard.is_dir():
                shutil.rmtree(self.tensorboard)
            self._checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.write_spec(spec)

    def write_spec(self, spec: ExperimentSpec) -> None:
        """Write the resolved spec, whole or not at all.

        Raises:
            TrainingError: It cannot be written.
        """
        try:
            replace_file(self.spec, spec_text(spec.to_yaml()))
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def load_spec(self, overrides: Sequence[str] = ()) -> ExperimentSpec:
        """Read the spec of a run.

        Args:
            overrides: Assignments ``"a.b=value"`` to it.

        Raises:
            CheckpointError: There is no run here.
            SpecError: Its spec is damaged.
        """
        if not self.spec.is_file():
            what = "holds no qdeq run (no spec.yaml)" if self.path.is_dir() else "there is no such run"
            inside = sorted(str(file.parent) for file in self.path.glob(f"*/{self.spec.name}"))
            remedy = "Give the output folder of `qdeq train`, such as runs/digits."
            if inside:
                more = f" and {len(inside) - _NAMED} more" if len(inside) > _NAMED else ""
                remedy = f"Give a run that lies in it: {', '.join(map(printable, inside[:_NAMED]))}{more}."
            raise CheckpointError(f"{self.path}: {what}\n{remedy}")
        try:
            return load_spec(self.spec, overrides, base=spec_base(self.spec))
        except SpecError as error:
            if overrides or len(str(error).splitlines()) > 1:
                raise
            raise SpecError(f"{error}\nUndo what was changed in the run's spec, or train again.") from error


def _unwritable(path: Path, error: OSError) -> TrainingError:
    where = error.filename or path
    return TrainingError(f"{where}: cannot be written ({error.strerror})\nGive another folder with --out DIR.")
