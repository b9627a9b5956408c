"""When a run measures the Jacobian at its equilibria."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeq.stability import Stability

if TYPE_CHECKING:
    from qdeq.models import Prediction
    from qdeq.spec import ExperimentSpec

STRIDE = 10
"""Under ``auto``, one training step in so many is measured: a few eigenvalue problems then cost next to nothing."""


def diagnose(prediction: Prediction, spec: ExperimentSpec, batch: int | None = None) -> Stability | None:
    """Return the stability of a batch's equilibria, or None where it is not to be measured.

    ``training.diagnostics: auto`` measures where f is compiled, so that the exact Jacobian takes no circuits: in every
    evaluation, and in the first training step of an epoch and every :data:`STRIDE`-th after it. ``always`` measures in
    every evaluation and step, at the price of n vector-Jacobian products or the circuits of a Jacobian; under shots its
    figures have sampling error, and are biased upwards. Direct layers have no equilibrium, and are never measured.

    Args:
        prediction: Of the batch.
        spec: The experiment.
        batch: Number of the training batch within its epoch, from 0; None in an evaluation.
    """
    wanted = spec.training.diagnostics
    if wanted == "never" or prediction.equilibrium.status is None:
        return None
    if wanted == "auto" and (not prediction.compiled or (batch or 0) % STRIDE):
        return None
    return Stability.of(prediction.jacobian())
