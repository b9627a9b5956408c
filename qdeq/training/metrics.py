"""What is measured of a batch, an epoch or a split: one value a sample first, so that batches add up exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qdeq.solvers import Status
from qdeq.training.formats import METRICS_VERSION

if TYPE_CHECKING:
    from qdeq.models import Prediction
    from qdeq.stability import Stability

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

STATUS_NAMES = {int(status): status.name.lower() for status in Status}
"""How a solve ended, as files and reports write it, such as ``max_steps``."""


@dataclass(frozen=True)
class Metrics:
    """Figures of a set of samples. None where a figure was not measured, or is not finite.

    Attributes:
        samples: Number of samples.
        loss: Mean cross entropy [nats], without the Jacobian penalty.
        accuracy: Share of samples whose largest logit is their class.
        residual_mean: Mean of ``||f(y) - y||_2 / ||f(y)||_2`` over the samples where it is finite, in y-space.
        residual_max: The worst sample's.
        converged: Share of samples whose solve converged; None for direct layers.
        failed: Samples whose solve failed, by name of their status; only those that occur.
        evaluations: Mean number of evaluations of f that the forward solve spent on a sample.
        noise_limited: Share of samples whose residual ended lost in the noise of the shots; None where f is exact.
        shots: Mean number of shots that the forward solve spent on a sample; None where f is exact.
        spectral_radius_mean: Mean spectral radius of ``J = ∂f/∂y`` at the returned state, over the samples where J was
            measured (see :func:`~qdeq.training.diagnostics.diagnose`) and is finite, converged or not.
        spectral_radius_max: The largest.
        jacobian_norm_mean: Mean of ``||J||_2``, in y-space, over the same samples.
        jacobian_norm_max: The largest.
        certified: Share of those samples whose solve converged with ``||J||_2 < 1`` (see
            :attr:`~qdeq.stability.Stability.contracting`); None where no solve was tested for convergence.
    """

    samples: int
    loss: float | None
    accuracy: float | None
    residual_mean: float | None = None
    residual_max: float | None = None
    converged: float | None = None
    failed: dict[str, int] = field(default_factory=dict)
    evaluations: float | None = None
    noise_limited: float | None = None
    shots: float | None = None
    spectral_radius_mean: float | None = None
    spectral_radius_max: float | None = None
    jacobian_norm_mean: float | None = None
    jacobian_norm_max: float | None = None
    certified: float | None = None


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One row a sample, on the host: its loss, whether it was right, how its solve went, and the Jacobian there.

    All but the first three are NaN where they were not measured, and inf where they are not finite.
    """

    loss: FloatArray
    correct: FloatArray
    evaluations: FloatArray
    residual: FloatArray
    status: FloatArray
    shots: FloatArray
    spectral_radius: FloatArray
    jacobian_norm: FloatArray

    @classmethod
    def of(cls, prediction: Prediction, labels: Tensor, losses: Tensor, stability: Stability | None = None) -> Outcomes:
        """Collect a batch; one transfer from the device."""
        found = prediction.equilibrium
        unknown = torch.full_like(losses, math.nan)
        columns = (
            losses.detach(),
            prediction.logits.argmax(dim=1) == labels,
            found.evaluations,
            unknown if found.relative_residual is None else found.relative_residual,
            unknown if found.status is None else found.status,
            unknown if found.shots is None else found.shots,
        )
        rows = torch.stack([column.detach().to(torch.float64) for column in columns]).cpu().numpy()
        figures = np.full((2, len(losses)), np.nan)
        if stability is not None:
            figures[:] = stability.spectral_radius, stability.norm
        return cls(*rows, *figures)

    @classmethod
    def join(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Put batches together."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))

    @classmethod
    def from_tensor(cls, columns: Tensor) -> Outcomes:
        """Read what :meth:`to_tensor` wrote."""
        return cls(*columns.numpy())

    def to_tensor(self) -> Tensor:
        """Return all figures, ``[figures, samples]`` in float64."""
        return torch.from_numpy(np.stack([getattr(self, each.name) for each in fields(self)]))

    def metrics(self) -> Metrics:
        """Return the figures of all samples."""
        solved = self.status[~np.isnan(self.status)]
        counts = {status: int((solved == status).sum()) for status in Status}
        tested = solved[
            solved != Status.FIXED_STEPS
        ]  # a fixed number of steps is no claim of convergence, and no failure
        residual, radius, norm = map(_mean_and_max, (self.residual, self.spectral_radius, self.jacobian_norm))
        judged = ~np.isnan(self.jacobian_norm) & ~np.isnan(self.status) & (self.status != Status.FIXED_STEPS)
        shots = self.shots[~np.isnan(self.shots)]
        certified = (self.jacobian_norm < 1) & (self.status == Status.CONVERGED)
        return Metrics(
            samples=len(self.loss),
            loss=finite(self.loss.mean()),
            accuracy=finite(self.correct.mean()),
            residual_mean=residual[0],
            residual_max=residual[1],
            converged=counts[Status.CONVERGED] / len(tested) if len(tested) else None,
            failed={STATUS_NAMES[status]: n for status, n in counts.items() if n and status.failed},
            evaluations=finite(self.evaluations.mean()),
            noise_limited=counts[Status.NOISE_LIMITED] / len(tested) if len(tested) and len(shots) else None,
            shots=float(shots.mean()) if len(shots) else None,
            spectral_radius_mean=radius[0],
            spectral_radius_max=radius[1],
            jacobian_norm_mean=norm[0],
            jacobian_norm_max=norm[1],
            certified=float(certified[judged].mean()) if judged.any() else None,
        )


def _mean_and_max(values: FloatArray) -> tuple[float | None, float | None]:
    """Return the mean of what is finite, and the largest of what was measured; None where there is none."""
    measured = values[~np.isnan(values)]
    usable = measured[np.isfinite(measured)]
    return float(usable.mean()) if len(usable) else None, finite(measured.max()) if len(measured) else None


@dataclass(frozen=True)
class StepRecord:
    """One training step.

    Attributes:
        step: Steps are counted from 1.
        epoch: Epochs are counted from 1.
        layers: Direct layers that were trained; None for the equilibrium.
        metrics: Of the batch, before the update.
        penalty: ``||J||_F^2 / n``, mean over the batch, unweighted; None where it was not asked for.
        gradient_norm: Norm of the whole gradient before clipping.
        adjoint_residual: The worst sample's relative residual of the backward solve; None for direct layers.
        adjoint_failed: Samples whose backward solve missed its tolerance.
        seconds: Wall-clock time.
    """

    step: int
    epoch: int
    layers: int | None
    metrics: Metrics
    penalty: float | None
    gradient_norm: float
    adjoint_residual: float | None
    adjoint_failed: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the line of metrics.jsonl. What differs between two equal runs stands under ``time`` alone."""
        head = {
            "kind": "step",
            "format_version": METRICS_VERSION,
            "step": self.step,
            "epoch": self.epoch,
            "layers": self.layers,
        }
        tail = {
            "penalty": self.penalty,
            "gradient_norm": self.gradient_norm,
            "adjoint_residual_max": self.adjoint_residual,
            "adjoint_failed": self.adjoint_failed,
        }
        return {**head, **asdict(self.metrics), **tail, "time": {"seconds": self.seconds}}


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: its training steps together, and the validation split after it.

    Attributes:
        epoch: Counted from 1.
        step: Steps so far.
        train: Over the epoch's steps: dropout on, weights moving.
        validation: In the spec's mode, warm-up or not.
        best: Whether the validation loss is the lowest so far.
        seconds: Wall-clock time of steps and validation.
    """

    epoch: int
    step: int
    train: Metrics
    validation: Metrics
    best: bool
    seconds: float

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EpochRecord:
        """Read a line of metrics.jsonl."""
        train, validation = Metrics(**data["train"]), Metrics(**data["validation"])
        return cls(data["epoch"], data["step"], train, validation, data["best"], data["time"]["seconds"])

    def to_dict(self) -> dict[str, Any]:
        """Return the line of metrics.jsonl."""
        data = {
            "kind": "epoch",
            "format_version": METRICS_VERSION,
            "epoch": self.epoch,
            "step": self.step,
            "best": self.best,
        }
        both = {"train": asdict(self.train), "validation": asdict(self.validation)}
        return {**data, **both, "time": {"seconds": self.seconds}}


def finite(value: Any) -> float | None:
    """Return the number, or None: JSON has neither inf nor NaN."""
    return float(value) if math.isfinite(value) else None
