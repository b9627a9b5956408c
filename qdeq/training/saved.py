"""A saved run, loaded with everything that looking at it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdeq.builders import build_data, build_model
from qdeq.data import FeatureSplits
from qdeq.spec import ExperimentSpec
from qdeq.training.checkpoints import Checkpoint
from qdeq.training.environment import check_device, cpu_threads
from qdeq.training.folder import RunFolder
from qdeq.training.spending import last_spent, prepare

if TYPE_CHECKING:
    from qdeq.models import QDEQClassifier


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A saved run: its folder, its spec, a checkpoint, the model with its weights, and the data."""

    folder: RunFolder
    spec: ExperimentSpec
    checkpoint: Checkpoint
    model: QDEQClassifier
    splits: FeatureSplits

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let the model run circuits within the block: as many threads as in training, and what they cost accounted.

        Raises:
            BudgetError: The backend costs money, and the run has no budget.
            LedgerError: The run's ledger is gone, or another one.
            BackendError: Credentials, region, device or storage are not as a task needs them.
        """
        purchase = prepare(self.spec, self.model, self.splits, self.folder.ledger, whole=False)
        if purchase is not None:
            purchase.check_spent(last_spent(self.folder))
        account = nullcontext() if purchase is None else purchase.account(lambda message: None)
        # as in training: the last digit depends on it
        with account, cpu_threads(self.spec.training.threads, self.spec.model.qubits):
            yield


def load_run(
    path: str | Path, *, checkpoint: str = "best", device: str | None = None, tolerate_failures: bool = False
) -> LoadedRun:
    """Load a saved run.

    Args:
        path: The output folder of a run.
        checkpoint: ``"best"`` (lowest validation loss) or ``"last"``.
        device: Another device than the one it was trained on.
        tolerate_failures: Whether a failed solve is a finding, also in a run with ``on_failure: raise``.

    Raises:
        CheckpointError: There is no run or no such checkpoint, or it is damaged or of another experiment.
        SpecError: The run's spec is damaged.
        DataError: The data are no longer there.
    """
    folder = RunFolder(Path(path))
    spec = folder.load_spec()
    if device is not None:
        spec = spec.model_copy(update={"training": spec.training.model_copy(update={"device": device})})
    saved = folder.load(checkpoint)
    saved.check_spec(spec)
    check_device(spec.training.device)
    splits = build_data(spec)
    model = build_model(spec, len(splits.class_names))
    saved.restore(model)
    if tolerate_failures and model.equilibrium.on_failure == "raise":
        model.equilibrium.on_failure = "warn"
    return LoadedRun(folder, spec, saved, model, splits)


def json_head(spec: ExperimentSpec, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what the JSON of every result of a saved run begins with: whose it is."""
    info = checkpoint.info
    return {
        "format_version": 1,
        "name": spec.name,
        "spec_hash": spec.content_hash,
        "checkpoint": {"file": checkpoint.path.stem, "epoch": info.epoch, "step": info.step},
    }
