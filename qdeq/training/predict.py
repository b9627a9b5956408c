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

from qdeq.data.files import as_path
from qdeq.data.pictures import read_images
from qdeq.errors import DataError
from qdeq.training.checkpoints import Checkpoint
from qdeq.training.classify import Predictions
from qdeq.training.metrics import STATUS_NAMES, finite
from qdeq.training.saved import json_head, load_run

if TYPE_CHECKING:
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
    split, and batched as in an evaluation; the data themselves are not needed. Under shots, the image at position i of
    all files has the shots that the test image i has in an evaluation.

    Args:
        path: The output folder of a run.
        files: Images, as :func:`~qdeq.data.pictures.read_images` reads them.
        checkpoint: ``"best"`` (lowest validation loss) or ``"last"``.
        device: Another device than the one it was trained on.

    Raises:
        QdeqError: As :func:`~qdeq.training.saved.load_run`. A file that cannot be read, or holds pixels far
            outside the training images' range, is part of the result.
    """
    run = load_run(path, checkpoint=checkpoint, device=device, tolerate_failures=True)
    places: list[tuple[str, int, bool]] = []
    features: list[Tensor] = []
    failed: dict[str, str] = {}
    for file in _names(files):
        try:
            read = read_images(file)
            features.append(run.features(read, file))
        except DataError as error:
            failed[file] = str(error)
            continue
        channels = read.flatten(2)
        blank = (channels.amin(dim=2) == channels.amax(dim=2)).all(dim=1).tolist()
        places += [(file, index, same) for index, same in enumerate(blank)]
    images = _images(run.classify(torch.cat(features)), places) if features else ()
    return RunPredictions(run.spec, run.checkpoint, run.class_names, images, failed)


def _names(files: Sequence[str | Path]) -> list[str]:
    """Return the files' names, and refuse what is none: an array is a sequence, too."""
    instead = "Give a list of files; for an array: load_run(path).predict(array)."
    if isinstance(files, str | Path):
        raise DataError(f"predict_run takes several files, not one path\nGive a list: [{str(files)!r}].")
    if not isinstance(files, Sequence):
        as_path(files, "predict_run", instead)
    return [str(as_path(file, "predict_run", instead)) for file in files]


def _images(found: Predictions, places: Sequence[tuple[str, int, bool]]) -> tuple[ImagePrediction, ...]:
    probabilities, converged = found.probabilities, found.converged
    return tuple(
        ImagePrediction(
            file=file,
            index=index,
            label=found.class_names[int(best)],
            probability=finite(probabilities[row, best]),
            converged=None if converged is None else bool(converged[row]),
            status=None if found.status is None else STATUS_NAMES[int(found.status[row])],
            residual=None if found.residual is None else finite(found.residual[row]),
            blank=blank,
            probabilities=tuple(map(finite, probabilities[row].tolist())),
        )
        for row, ((file, index, blank), best) in enumerate(zip(places, found.indices, strict=True))
    )
