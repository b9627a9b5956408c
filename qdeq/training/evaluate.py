"""Evaluation: a split through a model, and a saved run's validation and test split again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from qdeq.backends import ShotKey
from qdeq.data import Split
from qdeq.seeds import derive_seed
from qdeq.spec import ExperimentSpec
from qdeq.training.checkpoints import Checkpoint
from qdeq.training.diagnostics import diagnose
from qdeq.training.metrics import Metrics, Outcomes
from qdeq.training.saved import json_head, load_run
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
        data = {
            **json_head(self.spec, self.checkpoint),
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
        QdeqError: As :func:`~qdeq.training.saved.load_run`.
    """
    run = load_run(path, checkpoint=checkpoint, device=device)
    with run.working():
        validation, test = (evaluate(run.model, split, run.spec) for split in (run.splits.validation, run.splits.test))
        return RunEvaluation(run.spec, run.checkpoint, validation, test)
