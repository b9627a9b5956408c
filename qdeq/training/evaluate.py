"""Evaluation: a split through a model, and a saved run again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from qdeq.backends import ShotKey
from qdeq.builders import build_data, build_model
from qdeq.data import FeatureSplits, Split
from qdeq.seeds import derive_seed
from qdeq.spec import ExperimentSpec
from qdeq.training.checkpoints import Checkpoint, load_checkpoint
from qdeq.training.diagnostics import diagnose
from qdeq.training.environment import check_device, cpu_threads
from qdeq.training.folder import RunFolder
from qdeq.training.metrics import Metrics, Outcomes
from qdeq.training.spending import prepare
from qdeq.training.team import ALONE, Team

if TYPE_CHECKING:
    from qdeq.models import QDEQClassifier

BATCH = 256
"""Images evaluated together; it has to be the same in training and later for figures equal to the last digit."""


@dataclass(frozen=True, eq=False)
class RunEvaluation:
    """A saved run, evaluated again."""

    spec: ExperimentSpec
    checkpoint: Checkpoint
    validation: Metrics
    test: Metrics

    def to_json(self) -> str:
        """Return the figures as JSON, under the names of :class:`~qdeq.training.metrics.Metrics`."""
        info = self.checkpoint.info
        data = {
            "format_version": 1,
            "name": self.spec.name,
            "spec_hash": self.spec.content_hash,
            "checkpoint": {"file": self.checkpoint.path.stem, "epoch": info.epoch, "step": info.step},
            "validation": asdict(self.validation),
            "test": asdict(self.test),
        }
        return json.dumps(data, indent=2, allow_nan=False)


def shot_key(spec: ExperimentSpec, purpose: str, step: int, samples: Tensor) -> ShotKey | None:
    """Return the key of a batch's shots; None where expectations are exact.

    Args:
        spec: The experiment.
        purpose: ``"train"`` or ``"evaluate"``: streams that have nothing in common.
        step: Training step.
        samples: The samples' positions in their split, ``[B]``.
    """
    if spec.shots is None:
        return None
    return ShotKey(derive_seed(spec.seed, "shots", purpose), step=step, samples=tuple(samples.tolist()))


def evaluate(model: QDEQClassifier, split: Split, spec: ExperimentSpec, team: Team = ALONE) -> Metrics:
    """Return the figures of a split, on the model's device, in its mode and without dropout.

    Every solve starts from 0, so that the result is a function of the image, also where training starts warm. Under
    shots every evaluation of a split draws the same streams, so that epochs can be compared. Processes of a team share
    the images, and all of them return the figures of the whole split.
    """
    like = next(model.parameters())
    was_training = model.training
    model.eval()
    parts = []
    try:
        with torch.no_grad():
            for whole in torch.arange(len(split.labels)).split(BATCH):
                share = team.share(len(whole))
                rows = whole[share.start : share.stop]
                features, labels = split.features[rows], split.labels[rows]
                prediction = model(features.to(like), key=shot_key(spec, "evaluate", 0, rows))
                targets = labels.to(like.device)
                losses = F.cross_entropy(prediction.logits, targets, reduction="none")
                outcomes = Outcomes.of(prediction, targets, losses, diagnose(prediction, spec)).to_tensor()
                parts.append(Outcomes.from_tensor(team.rows(outcomes.T.to(like.device), len(whole)).T.cpu()))
    finally:
        model.train(was_training)
    return Outcomes.join(parts).metrics()


def evaluate_run(path: str | Path, *, checkpoint: str = "best", device: str | None = None) -> RunEvaluation:
    """Evaluate a saved run on its validation and test split.

    Args:
        path: The output folder of a run.
        checkpoint: ``"best"`` (lowest validation loss) or ``"last"``.
        device: Another device than the one it was trained on.

    Raises:
        QdeqError: As :func:`load_run`.
    """
    run = load_run(path, checkpoint=checkpoint, device=device)
    with run.working():
        validation, test = (evaluate(run.model, split, run.spec) for split in (run.splits.validation, run.splits.test))
        return RunEvaluation(run.spec, run.checkpoint, validation, test)


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
            BackendError: Credentials, region, device or storage are not as a task needs them.
        """
        purchase = prepare(self.spec, self.model, self.splits, whole=False)
        account = nullcontext() if purchase is None else purchase.account(self.folder.ledger, lambda message: None)
        # as in training: the last digit depends on it
        with account, cpu_threads(self.spec.training.threads, self.spec.model.qubits):
            yield


def load_run(path: str | Path, *, checkpoint: str = "best", device: str | None = None) -> LoadedRun:
    """Load a saved run.

    Args:
        path: The output folder of a run.
        checkpoint: ``"best"`` (lowest validation loss) or ``"last"``.
        device: Another device than the one it was trained on.

    Raises:
        CheckpointError: There is no run or no such checkpoint, or it is damaged or of another experiment.
        SpecError: The run's spec is damaged.
        DataError: The data are no longer there.
    """
    folder = RunFolder(Path(path))
    spec = folder.load_spec()
    if device is not None:
        spec = spec.model_copy(update={"training": spec.training.model_copy(update={"device": device})})
    saved = load_checkpoint(folder.checkpoint(checkpoint))
    saved.check_spec(spec)
    check_device(spec.training.device)
    splits = build_data(spec)
    model = build_model(spec, len(splits.class_names))
    saved.restore(model)
    return LoadedRun(folder, spec, saved, model, splits)
