"""The step size over a run: a function of the step and of where the schedule began; there is nothing else to save."""

from __future__ import annotations

import math

from qdeq.spec import TrainingSpec


def learning_rate(training: TrainingSpec, step: int, steps: int, begin: int = 0) -> float:
    """Return the step size of a training step.

    ``cosine`` is I. Loshchilov and F. Hutter, ICLR 2017, equation 5, without restarts.

    Args:
        training: The options.
        step: From 1.
        steps: Of the whole run.
        begin: Steps before the schedule: a run that is continued begins one anew.
    """
    if training.schedule == "constant":
        return training.learning_rate
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - 1 - begin) / (steps - begin)))
