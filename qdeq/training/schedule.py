"""The step size over a run: a function of the step alone, so that there is nothing to save."""

from __future__ import annotations

import math

from qdeq.spec import TrainingSpec


def learning_rate(training: TrainingSpec, step: int, steps: int) -> float:
    """Return the step size of a training step.

    ``cosine`` is I. Loshchilov and F. Hutter, ICLR 2017, equation 5, without restarts.

    Args:
        training: The options.
        step: From 1.
        steps: Of the whole run.
    """
    if training.schedule == "constant":
        return training.learning_rate
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
