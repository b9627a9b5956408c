"""What every solver is given: f at fixed weights, its samples, and y0 = 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from qdeq.builders import build_data, build_model
from qdeq.errors import DataError, SpecError
from qdeq.models import QDEQClassifier
from qdeq.spec import ExperimentSpec
from qdeq.training.environment import check_device
from qdeq.training.folder import RunFolder
from qdeq.training.record import RunRecord

USUAL_SAMPLES = 256
"""Samples of a study that names no number, where there are so many."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A fixed-point problem for each of B samples.

    Attributes:
        spec: The experiment.
        weights: Where the weights are from, for a sentence.
        images: What the samples are, for a sentence.
        f: ``f(y, *rows)`` on ``[B, n]``.
        rows: The samples' own arguments of f, the batch first.
        y0: ``[B, n]``, zeros.
    """

    spec: ExperimentSpec
    weights: str
    images: str
    f: Callable[..., Tensor]
    rows: tuple[Tensor, ...]
    y0: Tensor

    @classmethod
    def of_spec(cls, spec: ExperimentSpec, samples: int | None = None) -> Subject:
        """Take an experiment's first weights and its first test images.

        Args:
            spec: The experiment.
            samples: How many images; by default 256, or all of fewer.

        Raises:
            DataError: There are fewer images, or the data cannot be had.
            SpecError: The experiment is one with shots.
            TrainingError: There is no such device.
        """
        return cls._of(spec, samples, f"untrained, seed {spec.seed}", lambda model: None)

    @classmethod
    def of_run(
        cls,
        run: str | Path,
        samples: int | None = None,
        *,
        checkpoint: str = "best",
        overrides: Sequence[str] = (),
    ) -> Subject:
        """Take a trained run's weights and its first test images.

        Args:
            run: The output folder of a training.
            samples: As for :meth:`of_spec`.
            checkpoint: ``"best"`` (lowest validation loss) or ``"last"``.
            overrides: Assignments ``"a.b=value"`` to the run's spec; those to the model are refused.

        Raises:
            CheckpointError: There is no run or no such checkpoint, or it is damaged or of another experiment.
            SpecError: The run's spec is damaged, or an assignment is wrong or concerns the model.
            DataError: The data are not those that the run was trained on, and no others were named.
        """
        folder = RunFolder(Path(run))
        trained = folder.load_spec()
        saved = folder.load(checkpoint)
        folder.check_spec(saved, trained)
        spec = folder.load_spec(overrides)
        if spec.model != trained.model or spec.data.classes != trained.data.classes:
            raise SpecError(
                f"{folder.path}: its weights belong to the model and the classes that it was trained with\n"
                "Leave model.* and data.classes as they are, or give an experiment file in place of the run."
            )

        weights = f"epoch {saved.info.epoch} of {folder.path.name}"
        own_data = spec.data == trained.data  # else others were asked for
        return cls._of(
            spec,
            samples,
            weights,
            saved.restore,
            saved_in=trained.training.precision,
            record=saved.record if own_data else None,
        )

    @classmethod
    def _of(
        cls,
        spec: ExperimentSpec,
        samples: int | None,
        weights: str,
        restore: Callable[[QDEQClassifier], None],
        saved_in: str | None = None,
        record: RunRecord | None = None,
    ) -> Subject:
        if spec.shots is not None:
            raise SpecError(f"shots: {spec.shots}: a study of solvers needs exact expectations; --set shots=null")
        check_device(spec.training.device)
        splits = build_data(spec)
        if record is not None:
            record.check(splits)
        features = splits.test.features[: samples or USUAL_SAMPLES]
        if samples is not None and len(features) < samples:
            raise DataError(f"{samples} samples: there are {len(features)} test images of {splits.name}")
        model = build_model(_in_precision(spec, saved_in or spec.training.precision), len(splits.class_names)).eval()
        restore(model)
        model = model.to(getattr(torch, spec.training.precision))
        features = features.to(model.weights)
        with torch.no_grad():
            f, rows = model.function.at(model.weights).inject(features, model.state_scale, model.state_size)
        y0 = features.new_zeros(len(features), model.state_size)
        return cls(spec, weights, f"test images of {splits.name}", f, rows, y0)


def _in_precision(spec: ExperimentSpec, precision: str) -> ExperimentSpec:
    return spec.model_copy(update={"training": spec.training.model_copy(update={"precision": precision})})
