"""A run's test images, solved for again with the weights of a checkpoint: outcomes, and the solves step by step."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from qdeq.errors import ConvergenceWarning
from qdeq.models import QDEQClassifier
from qdeq.seeds import torch_generator
from qdeq.solvers import Naive, Solution, solve, solve_in_turn
from qdeq.spec import ExperimentSpec
from qdeq.training.diagnostics import diagnose
from qdeq.training.environment import cpu_threads
from qdeq.training.evaluate import BATCH, shot_key
from qdeq.training.metrics import FloatArray, Metrics, Outcomes
from qdeq.training.saved import SavedRun

SLOW_SAMPLES = 256
"""Test images that are solved for where every evaluation runs circuits, unless more are asked for."""

TRACED = 128
"""At most so many solves are followed step by step."""

LOWER, UPPER = 0.1, 0.9
"""Quantiles between which a band of trajectories lies."""

IntArray = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Relative residuals of T solves after each number of evaluations of f.

    Attributes:
        residuals: ``[K, T]``, after 1 to K evaluations; a solve that has ended keeps its last one. inf where it was not
            finite.
        ended: ``[T]``, after how many evaluations each ended.
    """

    residuals: FloatArray
    ended: IntArray

    @classmethod
    def of(cls, solution: Solution) -> Trajectories:
        """Read a solution with its trace."""
        assert solution.trace_relative is not None
        assert solution.trace_evaluations is not None
        residual = solution.trace_relative.double().cpu().numpy()
        spent = solution.trace_evaluations.cpu().numpy()
        ended = spent.max(axis=0, initial=1)
        filled = np.full((int(ended.max(initial=1)), residual.shape[1]), np.nan)
        for iterate, samples in zip(*np.nonzero(spent), strict=True):
            filled[spent[iterate, samples] - 1, samples] = residual[iterate, samples]
        for row in range(1, len(filled)):
            filled[row] = np.where(np.isnan(filled[row]), filled[row - 1], filled[row])
        return cls(filled, ended)

    def quantile(self, share: float) -> FloatArray:
        """Return ``[K]``, a quantile over the solves that is one of their values, so that inf stays itself alone."""
        known = np.where(np.isnan(self.residuals), np.inf, self.residuals)
        return np.asarray(np.quantile(known, share, axis=1, method="inverted_cdf"))


@dataclass(frozen=True, eq=False)
class TestSolves:
    """B test images of a run.

    Attributes:
        positions: ``[B]``, in the test split, ascending.
        of: Images in the test split.
        features: ``[B, n, n]``, what the circuit is given.
        labels: ``[B]``.
        probabilities: ``[B, K]``.
        outcomes: One row an image.
        compiled: Whether f ran no circuits.
        trajectories: Of some of the solves; with direct layers, of the layers.
    """

    __test__ = False

    positions: IntArray
    of: int
    features: FloatArray
    labels: IntArray
    probabilities: FloatArray
    outcomes: Outcomes
    compiled: bool
    trajectories: Trajectories

    @property
    def predicted(self) -> IntArray:
        """``[B]``."""
        return self.probabilities.argmax(axis=1)

    @property
    def metrics(self) -> Metrics:
        """The figures of all B."""
        return self.outcomes.metrics()

    @property
    def complete(self) -> bool:
        """Whether these are all test images."""
        return len(self.positions) == self.of


def solve_test(run: SavedRun, samples: int | None = None) -> TestSolves:
    """Solve for a run's test images, each from 0, as an evaluation does: the same shots and the same order.

    Args:
        run: Loaded; its backend costs nothing.
        samples: At most so many images, drawn at random; by default all of them where f is compiled, and
            :data:`SLOW_SAMPLES` where it runs circuits.
    """
    spec, model, split = run.spec, run.model.eval(), run.splits.test
    if model.equilibrium.on_failure == "raise":
        model.equilibrium.on_failure = "warn"  # a failed solve is a finding here
    like = next(model.parameters())
    parts, logits = [], []
    with torch.no_grad(), warnings.catch_warnings(), cpu_threads(spec.training.threads, spec.model.qubits):
        warnings.simplefilter("ignore", ConvergenceWarning)  # each image's status is part of the result
        first = torch.zeros(1, dtype=torch.int64)
        compiled = model(split.features[first].to(like), key=shot_key(spec, "evaluate", 0, first)).compiled
        count = samples or (len(split.labels) if compiled else SLOW_SAMPLES)
        order = torch.randperm(len(split.labels), generator=torch_generator(0, "images"))
        images = order[:count].sort().values
        for rows in images.split(BATCH):
            prediction = model(split.features[rows].to(like), key=shot_key(spec, "evaluate", 0, rows))
            targets = split.labels[rows].to(like.device)
            losses = F.cross_entropy(prediction.logits, targets, reduction="none")
            parts.append(Outcomes.of(prediction, targets, losses, diagnose(prediction, spec)))
            logits.append(prediction.logits.double().cpu())
        trajectories = _follow(model, split.features, images[:TRACED], spec)
    n = spec.model.qubits
    return TestSolves(
        positions=images.numpy(),
        of=len(split.labels),
        features=split.features[images].double().reshape(-1, n, n).numpy(),
        labels=split.labels[images].numpy(),
        probabilities=torch.cat(logits).softmax(dim=1).numpy(),
        outcomes=Outcomes.join(parts),
        compiled=compiled,
        trajectories=trajectories,
    )


def _follow(model: QDEQClassifier, features: Tensor, rows: Tensor, spec: ExperimentSpec) -> Trajectories:
    """Solve again, with a trace; direct layers are so many steps of plain iteration."""
    x = features[rows].to(model.weights)
    frozen = model.function.at(model.weights, shots=spec.shots, key=shot_key(spec, "evaluate", 0, rows))
    f, args = frozen.inject(x, model.state_scale, model.state_size)
    y0 = x.new_zeros(len(x), model.state_size)
    layer = model.equilibrium
    if model.layers is not None:
        return Trajectories.of(solve(Naive(max_steps=model.layers, rtol=0, atol=0), f, y0, args, trace=True))
    if layer.fixed_steps is not None:
        return Trajectories.of(solve(layer.solver, f, y0, args, trace=True))
    solvers = (layer.solver, *layer.fallback)
    return Trajectories.of(solve_in_turn(solvers, layer.as_solved(f), y0, args, trace=True))
