"""What a saved run says of images that nobody has labelled."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qdeq.data import FeatureMap
from qdeq.data.pictures import read_images
from qdeq.errors import DataError
from qdeq.solvers import Status
from qdeq.training.checkpoints import Checkpoint
from qdeq.training.evaluate import BATCH, shot_key
from qdeq.training.metrics import STATUS_NAMES, finite
from qdeq.training.saved import json_head, load_run

if TYPE_CHECKING:
    from qdeq.models import Prediction, QDEQClassifier
    from qdeq.spec import ExperimentSpec


@dataclass(frozen=True)
class ImagePrediction:
    """What a run says of one image.

    Attributes:
        file: The file that it is from.
        index: Its position in the file, from 0.
        label: The class of the largest logit.
        probability: Of that class, by softmax; None where it is not finite.
        converged: Whether its equilibrium was found to the solver's tolerance; None for direct layers, or a fixed
            number of steps.
        status: How the solve ended, such as ``max_steps``; None for direct layers.
        residual: ``||f(y) - y||_2 / ||f(y)||_2`` at the state that the class rests on; None where it is not known.
        blank: Whether all its pixels have the same value: then there is nothing to see, whatever the class.
        probabilities: Of all classes, in the order of ``class_names``.
    """

    file: str
    index: int
    label: str
    probability: float | None
    converged: bool | None
    status: str | None
    residual: float | None
    blank: bool
    probabilities: tuple[float | None, ...]


@dataclass(frozen=True)
class RunPredictions:
    """What a run says of images.

    Attributes:
        spec: The run's.
        checkpoint: Whose weights were used.
        class_names: K names.
        images: In the order of the files.
        failed: Files that cannot be read, with the reason.
    """

    spec: ExperimentSpec
    checkpoint: Checkpoint
    class_names: tuple[str, ...]
    images: tuple[ImagePrediction, ...]
    failed: dict[str, str]

    def to_json(self) -> str:
        """Return everything as JSON. null stands for what is not finite or was not measured."""
        data = {
            **json_head(self.spec, self.checkpoint),
            "class_names": self.class_names,
            "images": [asdict(image) for image in self.images],
            "failed": [{"file": file, "error": reason} for file, reason in self.failed.items()],
        }
        return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)

    def to_csv(self) -> str:
        """Return a line for each image, with the probabilities of all classes behind it."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = ("file", "index", "label", "probability", "converged", "status", "residual", "blank")
        writer.writerow([*columns, *(f"p({name})" for name in self.class_names)])
        for image in self.images:
            writer.writerow([*(getattr(image, column) for column in columns), *image.probabilities])
        return text.getvalue()


def predict_run(
    path: str | Path, files: Sequence[str | Path], *, checkpoint: str = "best", device: str | None = None
) -> RunPredictions:
    """Classify images with a saved run.

    They are made into features as the run's own images were, with the mean and standard deviation of its training
    split, and batched as in an evaluation. Under shots, the image at position i of all files has the shots that the
    test image i has in an evaluation.

    Args:
        path: The output folder of a run.
        files: Images, as :func:`~qdeq.data.pictures.read_images` reads them.
        checkpoint: ``"best"`` (lowest validation loss) or ``"last"``.
        device: Another device than the one it was trained on.

    Raises:
        QdeqError: As :func:`~qdeq.training.saved.load_run`. A file that cannot be read is part of the result.
    """
    run = load_run(path, checkpoint=checkpoint, device=device, tolerate_failures=True)
    spec, splits = run.spec, run.splits
    mean, std = splits.normalisation
    features_of = FeatureMap(size=spec.model.qubits, kind=spec.data.features, mean=mean, std=std)
    places: list[tuple[str, int, bool]] = []
    features: list[Tensor] = []
    failed: dict[str, str] = {}
    for file in map(str, files):
        try:
            read = read_images(file)
            features.append(features_of(read))
        except DataError as error:
            failed[file] = str(error)
        else:
            channels = read.flatten(2)
            blank = (channels.amin(dim=2) == channels.amax(dim=2)).all(dim=1).tolist()
            places += [(file, index, same) for index, same in enumerate(blank)]
    with run.working():
        images = _predict(run.model, torch.cat(features), places, spec, splits.class_names) if features else []
    return RunPredictions(spec, run.checkpoint, splits.class_names, tuple(images), failed)


def _predict(
    model: QDEQClassifier,
    features: Tensor,
    places: Sequence[tuple[str, int, bool]],
    spec: ExperimentSpec,
    class_names: Sequence[str],
) -> list[ImagePrediction]:
    like = next(model.parameters())
    model.eval()
    images: list[ImagePrediction] = []
    with torch.no_grad():
        for rows in torch.arange(len(features)).split(BATCH):
            found = model(features[rows].to(like), key=shot_key(spec, "evaluate", 0, rows))
            for row, place in enumerate(places[int(rows[0]) : int(rows[-1]) + 1]):
                images.append(_image(found, row, place, class_names))
    return images


def _image(found: Prediction, row: int, place: tuple[str, int, bool], class_names: Sequence[str]) -> ImagePrediction:
    file, index, blank = place
    probabilities = found.logits[row].softmax(dim=0).tolist()
    best = int(found.logits[row].argmax())
    status, residual = found.equilibrium.status, found.equilibrium.relative_residual
    ended = None if status is None else int(status[row])
    return ImagePrediction(
        file=file,
        index=index,
        label=class_names[best],
        probability=finite(probabilities[best]),
        converged=None if ended in (None, int(Status.FIXED_STEPS)) else ended == Status.CONVERGED,
        status=None if ended is None else STATUS_NAMES[ended],
        residual=None if residual is None else finite(residual[row]),
        blank=blank,
        probabilities=tuple(map(finite, probabilities)),
    )
