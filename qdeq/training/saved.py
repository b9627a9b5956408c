"""A saved run, loaded: to predict with, to look at, to evaluate again. Its checkpoint has all that prediction takes.

>>> run = load_run("runs/one")  # doctest: +SKIP
>>> run.predict(images).labels  # doctest: +SKIP
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdeq.builders import build_data, build_model
from qdeq.data import FeatureSplits
from qdeq.data.files import as_path, expanded
from qdeq.data.pictures import array_images
from qdeq.errors import CheckpointError, DataError, DataWarning, printable
from qdeq.spec import ExperimentSpec
from qdeq.training.checkpoints import Checkpoint, load_checkpoint
from qdeq.training.classify import Predictions, classify
from qdeq.training.environment import check_device, cpu_threads
from qdeq.training.folder import RunFolder
from qdeq.training.record import RunRecord
from qdeq.training.spending import last_spent, prepare

if TYPE_CHECKING:
    from torch import Tensor

    from qdeq.models import QDEQClassifier


@dataclass(eq=False)
class SavedRun:
    """A saved run, loaded. Made by :func:`load_run`.

    Attributes:
        folder: The run's folder; of a checkpoint that lies alone, the folder that it lies in.
        spec: The experiment.
        checkpoint: Whose weights the model has.
        record: What the run knows of itself: class names, feature map, digests, machine.
        model: With its weights, in evaluation mode.
    """

    folder: RunFolder
    spec: ExperimentSpec
    checkpoint: Checkpoint
    record: RunRecord
    model: QDEQClassifier

    @property
    def class_names(self) -> tuple[str, ...]:
        """K names; output k of the model is the class ``class_names[k]``."""
        return self.record.class_names

    def predict(self, images: Any) -> Predictions:
        """Classify images; no data set is needed.

        They are made into features as the run's own images were, and batched as in an evaluation. Under shots, image i
        has the shots that the test image i has in an evaluation.

        Args:
            images: An array of NumPy or PyTorch: one image ``[H, W]``, or several ``[N, H, W]``, ``[N, H, W, C]`` or
                ``[N, C, H, W]``, C = 1 or 3; integers from 0 to 255, or floating-point numbers on the scale of the
                training images, by convention 0 to 1. What :func:`~qdeq.data.pictures.read_images` returns is one.

        Raises:
            DataError: It is a path, or no array of images, or pixels are far outside the training images' range.
        """
        return self.classify(self.features(array_images(images), "the array"))

    def features(self, images: Tensor, what: str) -> Tensor:
        """Return the features ``[N, n²]`` of images ``[N, C, H, W]``, as the run's own images were made into them.

        Args:
            images: uint8 or float32.
            what: They are called so in messages.

        Raises:
            DataError: Pixels are far outside the training images' range.

        Warns:
            DataWarning: They look as if they were on a smaller scale.
        """
        if refusal := self.record.pixels.refusal(images):
            raise DataError(f"{what}: {refusal}")
        if doubt := self.record.pixels.doubt(images):
            warnings.warn(f"{what}: {doubt}", DataWarning, stacklevel=3)
        return self.record.feature_map(images)

    def classify(self, features: Tensor) -> Predictions:
        """Classify features ``[N, n²]``."""
        with self.working():
            return classify(self.model, features, self.spec, self.class_names)

    @cached_property
    def splits(self) -> FeatureSplits:
        """The run's data, loaded when they are asked for.

        Raises:
            DataError: They are not there, or are not those that the run was trained on.
        """
        splits = build_data(self.spec)
        self.record.check(splits)
        return splits

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let the model run circuits within the block: as many threads as in training, and what they cost accounted.

        Raises:
            BudgetError: The backend costs money, and the run has no budget.
            LedgerError: The run's ledger is gone, or another one.
            BackendError: Credentials, region, device or storage are not as a task needs them.
        """
        purchase = prepare(self.spec, self.model, self.record.sizes, self.folder.ledger, whole=False)
        if purchase is not None:
            purchase.check_spent(last_spent(self.folder))
        account = nullcontext() if purchase is None else purchase.account(lambda message: None)
        # as in training: the last digit depends on it
        with account, cpu_threads(self.spec.training.threads, self.spec.model.qubits):
            yield


def load_run(
    path: str | Path, *, checkpoint: str = "best", device: str | None = None, tolerate_failures: bool = False
) -> SavedRun:
    """Load a saved run. Neither its data nor the folder that it was trained in are needed.

    Args:
        path: The output folder of a run; or one checkpoint, wherever it lies.
        checkpoint: ``"best"`` (lowest validation loss) or ``"last"``, of a folder.
        device: Another device than the one it was trained on.
        tolerate_failures: Whether a failed solve is a finding, also in a run with ``on_failure: raise``.

    Raises:
        CheckpointError: There is no run or no such checkpoint, or it is damaged or of another experiment.
        SpecError: The run's spec is damaged.
        DataError: It was trained by qdeq 0.1.0, whose runs need their data, and these are not there.
    """
    place = expanded(
        as_path(path, "load_run", "Load the run by its folder, then give the array to its method predict.")
    )
    folder, spec, saved = _open_file(place) if place.is_file() else _open_folder(place, checkpoint)
    if device is not None:
        spec = spec.model_copy(update={"training": spec.training.model_copy(update={"device": device})})
    check_device(spec.training.device)
    record = saved.record or RunRecord.of(spec, build_data(spec))
    model = build_model(spec, len(record.class_names)).eval()
    saved.restore(model)
    if tolerate_failures and model.equilibrium.on_failure == "raise":
        model.equilibrium.on_failure = "warn"
    return SavedRun(folder, spec, saved, record, model)


def _open_folder(path: Path, checkpoint: str) -> tuple[RunFolder, ExperimentSpec, Checkpoint]:
    folder = RunFolder(path)
    spec = folder.load_spec()
    saved = folder.load(checkpoint)
    folder.check_spec(saved, spec)
    return folder, spec, saved


def _open_file(path: Path) -> tuple[RunFolder, ExperimentSpec, Checkpoint]:
    saved = load_checkpoint(path)
    if saved.record is None:
        raise CheckpointError(
            f"{path}: was written by qdeq {printable(saved.info.qdeq_version)}, whose checkpoints do not say what they "
            "are of\nGive the folder of its run."
        )
    spec, threads = saved.record.spec, saved.record.machine.threads
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"threads": threads})})
    return RunFolder(path.parent), spec, saved


def json_head(spec: ExperimentSpec, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what the JSON of every result of a saved run begins with: whose it is."""
    info = checkpoint.info
    return {
        "format_version": 1,
        "name": spec.name,
        "spec_hash": spec.content_hash,
        "checkpoint": {"file": checkpoint.path.stem, "epoch": info.epoch, "step": info.step},
    }
