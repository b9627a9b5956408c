"""The honest classical row: logistic regression on the very features and splits of the other rows."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

from qdeq.data import FeatureSplits

MAX_ITERATIONS = 1000
WHAT = f"scikit-learn's LogisticRegression as it comes (C = 1, L2), at most {MAX_ITERATIONS:,} iterations"


@dataclass(frozen=True)
class Classical:
    """A fitted logistic regression.

    Attributes:
        test_accuracy: Share of test images that are right.
        validation_accuracy: Likewise; nothing was chosen by it.
        parameters: Weights and biases.
        seconds: To fit.
        converged: Whether the fit came to its end.
    """

    test_accuracy: float
    validation_accuracy: float
    parameters: int
    seconds: float
    converged: bool


def fit_classical(splits: FeatureSplits) -> Classical:
    """Fit on the training features, as they are.

    It has no random numbers: a seed changes its figures only where it changes the split.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    begin = time.perf_counter()
    model = LogisticRegression(max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is part of the result
        model.fit(splits.train.features.numpy(), splits.train.labels.numpy())
    seconds = time.perf_counter() - begin
    validation, test = (
        float(model.score(split.features.numpy(), split.labels.numpy())) for split in (splits.validation, splits.test)
    )
    return Classical(
        test_accuracy=test,
        validation_accuracy=validation,
        parameters=int(model.coef_.size + model.intercept_.size),
        seconds=seconds,
        converged=bool((model.n_iter_ < MAX_ITERATIONS).all()),
    )
