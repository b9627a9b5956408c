"""What a model says of features: probabilities and classes, and how the equilibria behind them were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qdeq.solvers import Status
from qdeq.training.evaluate import BATCH, shot_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qdeq.models import QDEQClassifier
    from qdeq.spec import ExperimentSpec


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a run says of N images; all tensors are on the host.

    Attributes:
        class_names: K names.
        logits: ``[N, K]``.
        status: ``[N]``, how each solve ended, as :class:`~qdeq.solvers.Status` counts; None for direct layers.
        residual: ``[N]``, ``||f(y) - y||_2 / ||f(y)||_2`` at the states; None where it is not known.
    """

    class_names: tuple[str, ...]
    logits: Tensor
    status: Tensor | None
    residual: Tensor | None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.logits)

    @property
    def probabilities(self) -> Tensor:
        """``[N, K]``, by softmax; column k is that of ``class_names[k]``."""
        return self.logits.softmax(dim=1)

    @property
    def indices(self) -> Tensor:
        """``[N]``, int64: the class of the largest logit, by its position in ``class_names``."""
        return self.logits.argmax(dim=1)

    @property
    def labels(self) -> tuple[str, ...]:
        """N names: the class of the largest logit."""
        return tuple(self.class_names[index] for index in self.indices.tolist())

    @property
    def converged(self) -> Tensor | None:
        """``[N]``, whether the equilibrium was found to the solver's tolerance; None where that is not tested."""
        if self.status is None or (self.status == Status.FIXED_STEPS).all():
            return None
        return self.status == Status.CONVERGED


def classify(model: QDEQClassifier, features: Tensor, spec: ExperimentSpec, class_names: Sequence[str]) -> Predictions:
    """Return what a model says of features, batched as in an evaluation and with its shots.

    Args:
        model: Left in evaluation mode.
        features: ``[N, n²]``, N >= 1.
        spec: The experiment.
        class_names: K names.
    """
    like = next(model.parameters())
    model.eval()
    logits, status, residual = [], [], []
    with torch.no_grad():
        for rows in torch.arange(len(features)).split(BATCH):
            found = model(features[rows].to(like), key=shot_key(spec, "evaluate", 0, rows))
            logits.append(found.logits.cpu())
            if found.equilibrium.status is not None:
                status.append(found.equilibrium.status.cpu())
            if found.equilibrium.relative_residual is not None:
                residual.append(found.equilibrium.relative_residual.cpu())
    return Predictions(
        class_names=tuple(class_names),
        logits=torch.cat(logits),
        status=torch.cat(status) if status else None,
        residual=torch.cat(residual) if residual else None,
    )
