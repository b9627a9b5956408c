"""Evaluation: a split through a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from qdeq.backends import ShotKey
from qdeq.data import Split
from qdeq.seeds import derive_seed
from qdeq.spec import ExperimentSpec
from qdeq.training.diagnostics import diagnose
from qdeq.training.metrics import Metrics, Outcomes
from qdeq.training.team import ALONE, Team

if TYPE_CHECKING:
    from qdeq.models import QDEQClassifier

BATCH = 256
"""Images evaluated together; it has to be the same in training and later for figures equal to the last digit."""


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
