"""A saved run, evaluated again: on its own validation and test images, or on other data, where these are named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from qdeq.builders import build_data
from qdeq.data import RawDataset, Split, load_dataset
from qdeq.errors import DataError, SpecError, printable
from qdeq.spec import ExperimentSpec, parse_spec
from qdeq.spec.places import anchor
from qdeq.spec.text import assign
from qdeq.training.checkpoints import Checkpoint
from qdeq.training.evaluate import evaluate
from qdeq.training.metrics import Metrics
from qdeq.training.saved import SavedRun, json_head, load_run


@dataclass(frozen=True, eq=False)
class RunEvaluation:
    """A saved run, evaluated again.

    Attributes:
        spec: The run's.
        checkpoint: Whose weights were used.
        validation: On its validation images; None on other data.
        test: On its test images; on other data, on those of them that are for tests, or all.
        data: The data set's name.
        own: Whether these are the data that the run was trained with; None where that is not known.
    """

    spec: ExperimentSpec
    checkpoint: Checkpoint
    validation: Metrics | None
    test: Metrics
    data: str
    own: bool | None

    def to_json(self) -> str:
        """Return the figures as JSON, under the names of :class:`~qdeq.training.metrics.Metrics`."""
        data = {
            **json_head(self.spec, self.checkpoint),
            "data": {"name": self.data, "own": self.own},
            "validation": None if self.validation is None else asdict(self.validation),
            "test": asdict(self.test),
        }
        return json.dumps(data, indent=2, allow_nan=False)


def evaluate_run(
    path: str | Path,
    *,
    checkpoint: str = "best",
    device: str | None = None,
    data: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> RunEvaluation:
    """Evaluate a saved run: on its validation and test split, or on data that are named.

    Named data with the content that the run was trained with are its own, wherever they lie. Others are taken as the
    run takes images: with its classes, its feature map and its normalisation.

    Args:
        path: The output folder of a run.
        checkpoint: ``"best"`` (lowest validation loss) or ``"last"``.
        device: Another device than the one it was trained on.
        data: An ``.npz`` file, or the folder (``root``) that the run's data set lies in now.
        overrides: Assignments ``"data.dataset...=value"`` to the run's spec.

    Raises:
        DataError: The data are not there; or changed, and no others were named; or do not fit the run.
        QdeqError: As :func:`~qdeq.training.saved.load_run`.
    """
    run = load_run(path, checkpoint=checkpoint, device=device)
    if data is None and not overrides:
        own = None if run.checkpoint.record is None else True
        return _own(run, own)
    spec = named_data(run.spec, data, overrides)
    raw = load_dataset(spec.data.dataset)
    if _are_own(run, spec):
        run.spec = spec
        return _own(run, True)
    with run.working():
        test = evaluate(run.model, _labelled(run, raw), run.spec)
    return RunEvaluation(run.spec, run.checkpoint, None, test, raw.name, False)


def _own(run: SavedRun, own: bool | None) -> RunEvaluation:
    splits = run.splits
    with run.working():
        validation, test = (evaluate(run.model, split, run.spec) for split in (splits.validation, splits.test))
    return RunEvaluation(run.spec, run.checkpoint, validation, test, splits.name, own)


def named_data(spec: ExperimentSpec, data: str | Path | None, overrides: Sequence[str]) -> ExperimentSpec:
    """Return a spec with other data, or the same ones at another place.

    Args:
        spec: A run's.
        data: An ``.npz`` file, or the folder (``root``) that the run's data set lies in.
        overrides: Assignments ``"data.dataset...=value"``.

    Raises:
        SpecError: An assignment is wrong, or to something else.
        DataError: The data set does not lie in a folder.
    """
    content = spec.model_dump(mode="json")
    if data is not None:
        place = Path(data).expanduser().absolute()
        known = content["data"]["dataset"]
        if place.is_dir() and "root" not in known:
            raise DataError(f"{place}: is a folder, and the data set {known['name']} is none\nGive an .npz file.")
        named = {**known, "root": str(place)} if place.is_dir() else {"name": "npz", "path": str(place)}
        content["data"]["dataset"] = named
    for override in overrides:
        if not override.startswith("data.dataset"):
            raise SpecError(
                f"--set {printable(override)}: only data.dataset can be set here; a run keeps all else\n"
                "Name the data: --data PATH, or --set data.dataset.KEY=VALUE."
            )
        assign(content, override)
    anchor(content, Path.cwd())
    return parse_spec(content, "the run's experiment", overrides)


def _are_own(run: SavedRun, spec: ExperimentSpec) -> bool:
    """Return whether data are those that the run was trained with, wherever they lie."""
    try:
        splits = build_data(spec)
    except DataError:
        return False  # they cannot even be split as the run's own were
    return not run.record.changed(splits)


def _labelled(run: SavedRun, raw: RawDataset) -> Split:
    """Return the features of other data's images for tests, or of all of them, with the run's labels.

    Raises:
        DataError: A label is none of the run's classes, or pixels are far outside the training images' range.
    """
    images = raw.test or raw.train
    position = {name: index for index, name in enumerate(run.class_names)}
    labels = torch.tensor([position.get(name, -1) for name in images.class_names])[images.labels]
    rows = (labels >= 0).nonzero().squeeze(1)
    unknown = images.labels[labels < 0].unique().tolist()
    if unknown and (run.spec.data.classes is None or not len(rows)):
        names = ", ".join(repr(images.class_names[label]) for label in unknown[:5])
        raise DataError(
            f"{raw.name}: {int((labels < 0).sum())} images are of classes that the run does not know ({names}); "
            f"it knows {', '.join(map(repr, run.class_names[:20]))}\nLeave them out."
        )
    return Split(run.features(images.images[rows], raw.name), labels[rows])
