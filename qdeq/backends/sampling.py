"""Finite shots from exact probabilities, with one random stream per sample and measurement group.

Every local simulator is sampled here, so that shots are the same on all of them and never depend on the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from qdeq.backends.executions import record_shots
from qdeq.errors import BackendError, CircuitError, UnsupportedError
from qdeq.numbers import whole
from qdeq.observables import MeasurementGroup, Observable, measurement_groups


def number_of_shots(shots: int | None) -> int | None:
    """Return a number of shots as a plain integer; None for exact expectations.

    Raises:
        UnsupportedError: It is no whole number, or less than 1.
    """
    what = "shots (None or null for exact expectations)"
    return None if shots is None else whole(shots, what, 1, error=UnsupportedError)


@dataclass(frozen=True)
class ShotKey:
    """Names a random stream: the same key gives the same shots, whatever else is in the batch.

    Attributes:
        seed: The run's seed.
        step: Training step.
        evaluation: Which evaluation of the function within the step.
        samples: A number for each row of the batch that stays with the sample; the row's position by default.

    Raises:
        CircuitError: One of them is no whole number, or negative.
    """

    seed: int
    step: int = 0
    evaluation: int = 0
    samples: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("seed", "step", "evaluation"):
            object.__setattr__(self, name, whole(getattr(self, name), f"{name} of ShotKey", 0))
        if self.samples is not None and not all(type(sample) is int for sample in self.samples):
            names = tuple(whole(sample, "sample of ShotKey", 0) for sample in self.samples)
            object.__setattr__(self, "samples", names)

    def select(self, rows: Sequence[int]) -> ShotKey:
        """Return the key for some rows of the batch."""
        return replace(self, samples=tuple(rows if self.samples is None else [self.samples[row] for row in rows]))

    def check(self, batch: int) -> None:
        """Raise a :class:`~qdeq.errors.CircuitError` unless the key names as many samples as the batch has."""
        if self.samples is not None and len(self.samples) != batch:
            raise CircuitError(f"the shot key names {len(self.samples)} samples, but the batch has {batch}")

    def stream(self, row: int, group: int, part: int = 0) -> str:
        """Return the name of the stream for one row, one measurement group and one circuit of the evaluation."""
        sample = row if self.samples is None else self.samples[row]
        return f"{self.seed}/{sample}/{self.step}/{self.evaluation}/{part}/{group}"

    def generator(self, row: int, group: int, part: int = 0) -> np.random.Generator:
        """Return the generator at the start of a :meth:`stream`."""
        digest = hashlib.blake2b(self.stream(row, group, part).encode(), digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "big")))


def mean_and_variance(
    counts: np.ndarray, outcomes: np.ndarray, group: MeasurementGroup, shots: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the estimate of each observable, and the variance of that estimate; each ``[B, O]``.

    Args:
        counts: ``[B, M]``, how often each of M outcomes was measured.
        outcomes: ``[M, O]``, what one shot with this outcome adds to each observable.
        group: What was measured.
        shots: Sum of a row of the counts.
    """
    mean = counts @ outcomes / shots
    if shots == 1:  # one measurement does not show its own spread: bound it by that of a fair coin
        return mean, np.broadcast_to(np.abs(group.coefficients).sum(axis=1) ** 2, mean.shape)
    return mean, np.maximum(counts @ outcomes**2 / shots - mean**2, 0.0) / (shots - 1)


def least_error(observables: Sequence[Observable], shots: int) -> Tensor:
    """Return the standard error ``[O]`` (float64) that an estimate has though all N shots gave one outcome.

    Another may still have a probability p, of up to 6.9 / N where not to see it has one, ``(1 - p)^N``, of 0.1 % or
    more. With ``c = Σ |coefficients|`` the mean is then off by ``2 c p``, which is 3.4 times ``4 c / N``; and 3.3
    standard errors are passed with a probability of 0.1 %.
    """
    parts = [4 * np.abs(group.coefficients).sum(axis=1) / shots for group in measurement_groups(observables)]
    return torch.from_numpy(np.sqrt(np.square(parts).sum(axis=0)))


def sample_expectations(
    probabilities: Callable[[MeasurementGroup], Tensor],
    observables: Sequence[Observable],
    num_qubits: int,
    shots: int,
    key: ShotKey,
    part: int = 0,
) -> tuple[Tensor, Tensor]:
    """Estimate expectations from ``shots`` measurements per sample and measurement group.

    Args:
        probabilities: Maps a group to the exact outcome probabilities ``[B, 2^n]`` in its basis.
        observables: The O observables.
        num_qubits: n.
        shots: Number of measurements per sample and group.
        key: Names the random streams.
        part: Tells apart the circuits of one evaluation.

    Returns:
        Means and their standard errors, each ``[B, O]`` in float64.

    Raises:
        CircuitError: The key names another number of samples than the batch has.
        BackendError: A sample's probabilities are not finite.
        UnsupportedError: The shots are no whole number.
    """
    shots = whole(shots, "shots", 1, error=UnsupportedError)  # numpy's multinomial would round them down
    total: np.ndarray | None = None
    variance: np.ndarray | None = None
    for number, group in enumerate(measurement_groups(observables)):
        exact = probabilities(group).detach().double().cpu().numpy()
        key.check(len(exact))
        record_shots(shots * len(exact))
        exact = exact / exact.sum(axis=1, keepdims=True)
        unusable = np.flatnonzero(~np.isfinite(exact).all(axis=1))
        if len(unusable):
            raise BackendError(
                f"sample {unusable[0]} of the batch cannot be measured: its outcome probabilities are not finite.\n"
                "Check its inputs, and the weights, for NaN and inf."
            )
        counts = np.zeros(exact.shape, dtype=np.int64)
        for row, p in enumerate(exact):
            counts[row] = key.generator(row, number, part).multinomial(shots, p)
        outcomes = group.signs(num_qubits) @ group.coefficients.T  # [2^n, O]: what one shot adds to each observable
        mean, spread = mean_and_variance(counts, outcomes, group, shots)
        total = mean if total is None else total + mean
        variance = spread if variance is None else variance + spread
    assert total is not None  # check_observables has seen at least one
    assert variance is not None
    return torch.from_numpy(total), torch.from_numpy(np.sqrt(variance))
