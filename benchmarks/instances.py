"""Fixed-point problems y = f(y) for the benchmark of solvers: four qubits, both encodings, untrained and trained."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from qdeq.builders import build_data, build_model
from qdeq.data import FeatureSplits
from qdeq.models import QDEQClassifier
from qdeq.seeds import torch_generator
from qdeq.spec import ExperimentSpec, load_spec
from qdeq.training import RunFolder, load_checkpoint, train

CONFIGS = Path(__file__).parents[1] / "configs"
ENCODINGS = ("amplitude", "angle")
UNTRAINED_MODELS, TRAINED_MODELS = 25, 5
"""Draws of the weights, and trainings, that a group's instances are spread over."""
EPOCHS = {"mnist": 5, "digits": 60}
"""Of a training: a few seconds."""


@dataclass(frozen=True, eq=False)
class Group:
    """Instances of one encoding and one kind of weights.

    Attributes:
        encoding: ``"amplitude"`` or ``"angle"``.
        trained: Whether the weights are.
        models: In float64.
        features: ``[b, 16]`` of each model, float64.
    """

    encoding: str
    trained: bool
    models: list[QDEQClassifier]
    features: list[Tensor]

    @property
    def name(self) -> str:
        """For a table's head."""
        return f"{self.encoding}, {'trained' if self.trained else 'untrained'}"

    def problems(self, precision: str) -> Iterator[tuple[object, Tensor, tuple[Tensor, ...]]]:
        """Yield f, y0 = 0 ``[b, 4]`` and the rows of f for each model."""
        for model, features in zip(self.models, self.features, strict=True):
            dtype = getattr(torch, precision)
            model, x = copy.deepcopy(model).to(dtype), features.to(dtype)  # exact: they were float32 to begin with
            with torch.no_grad():
                f, rows = model.function.at(model.weights).inject(x, model.state_scale, model.state_size)
            yield f, x.new_zeros(len(x), model.state_size), rows


def spec_of(encoding: str, seed: int) -> ExperimentSpec:
    """Return the shipped experiment: MNIST-4 where ``QDEQ_DATA`` is set, and digits otherwise."""
    if os.environ.get("QDEQ_DATA"):
        return load_spec(CONFIGS / f"mnist4-{encoding}.yaml", [f"seed={seed}", f"training.epochs={EPOCHS['mnist']}"])
    changes = [f"seed={seed}", f"model.encoding={encoding}", f"training.epochs={EPOCHS['digits']}"]
    return load_spec(CONFIGS / "digits.yaml", changes)


def draw(instances: int, seed: int, *, models: tuple[int, int] = (UNTRAINED_MODELS, TRAINED_MODELS)) -> list[Group]:
    """Draw a quarter of the instances for each encoding and kind of weights; the same seed gives the same ones.

    Args:
        instances: How many in all.
        seed: Of weights, trainings and images.
        models: Draws of the weights, and trainings, for each encoding.
    """
    groups = []
    for encoding in ENCODINGS:
        splits = build_data(spec_of(encoding, seed))
        for trained, count in zip((False, True), models, strict=True):
            per_model = [instances // 4 // count + (number < instances // 4 % count) for number in range(count)]
            group = Group(encoding, trained, [], [])
            for number, images in enumerate(per_model):
                spec = spec_of(encoding, 1000 * seed + number)
                group.models.append(_model(spec, splits, trained).double().eval())
                generator = torch_generator(seed, "instances", encoding, str(trained), number)
                chosen = torch.randperm(len(splits.test.labels), generator=generator)[:images]
                group.features.append(splits.test.features[chosen].double())
            groups.append(group)
    return groups


def _model(spec: ExperimentSpec, splits: FeatureSplits, trained: bool) -> QDEQClassifier:
    model = build_model(spec, len(splits.class_names))
    if trained:
        with tempfile.TemporaryDirectory() as folder:
            train(spec, folder)
            load_checkpoint(RunFolder(Path(folder)).checkpoint("best")).restore(model)
    return model
