"""How a run may go on otherwise than it began, and what of its surroundings may change without a word in the spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdeq.data.files import expanded
from qdeq.errors import CheckpointError, TrainingError, plural, printable
from qdeq.spec import ExperimentSpec
from qdeq.training.checkpoints import Checkpoint, load_checkpoint
from qdeq.training.folder import RunFolder
from qdeq.training.formats import images_digest_0_1_0
from qdeq.training.record import Continuation, RunRecord, Start
from qdeq.training.summary import RunSummary

if TYPE_CHECKING:
    from qdeq.data import FeatureSplits
    from qdeq.models import QDEQClassifier

CONTINUES = ("training.epochs", "training.schedule", "training.learning_rate", "training.clip")
"""What a run may go on with otherwise: nothing of its state depends on it."""


def check_changes(run: Path, began: ExperimentSpec, spec: ExperimentSpec) -> Mapping[str, tuple[Any, Any]]:
    """Return in what a run is to go on otherwise, by key the values before and after.

    Args:
        run: Its folder.
        began: Its spec.
        spec: What it is to go on with.

    Raises:
        TrainingError: A run cannot go on with that.
    """
    changes = began.differences(spec)
    for key, (before, after) in changes.items():
        if key not in CONTINUES:
            raise TrainingError(
                f"{run}: a run goes on as it began, so {key}={printable(str(after))} does not go with --resume "
                f"(it is {printable(str(before))})\nOnly {', '.join(CONTINUES)}, surroundings and places may change. "
                f"Start another run from its weights: --set training.init_from={run} --out DIR."
            )
    return changes


def take_up(
    record: RunRecord,
    saved: Checkpoint,
    splits: FeatureSplits,
    folder: RunFolder,
    began: ExperimentSpec,
    spec: ExperimentSpec,
    note: Callable[[str], None],
) -> tuple[RunRecord, bool]:
    """Return the record of a run that goes on from a checkpoint, and whether it does so otherwise than it began.

    Args:
        record: Of the run as it would begin here.
        saved: Where it goes on from.
        splits: The data as they are now.
        folder: The run.
        began: The spec that the run's folder has.
        spec: What it goes on with.
        note: Told of what is not as it was.

    Raises:
        CheckpointError: The checkpoint is another experiment's, or was trained on other images.
        TrainingError: There would be nothing to do.
    """
    if saved.record is None:
        folder.check_spec(saved, began)
        changes = began.differences(spec)
        if (saved.state or {}).get("images") != images_digest_0_1_0(*splits.train):
            note(
                f"warning: {saved.path}: the training images seem to be others than those that the run began with "
                "(qdeq 0.1.0 kept no digest that is the same on every machine)"
            )
    else:
        # of the checkpoint's own spec: a run that was killed while it was given another one takes it up here
        changes = saved.record.spec.differences(spec)
        if set(changes) - set(CONTINUES):
            saved.check_spec(spec)
        if "train" in saved.record.changed(splits):
            raise CheckpointError(
                f"{saved.path}: the run began with other training images than those that are there now\n"
                "Give it the same data (where they moved: --set data.dataset.path=PATH, or root=FOLDER), or train anew."
            )
        if other := saved.record.machine.differences(record.machine):
            note(f"warning: goes on with {', '.join(other)}: last digits will not be those of an unbroken run")
        record = replace(record, start=saved.record.start, continued=saved.record.continued)
    if not changes:
        return record, False
    done = _continuation(changes, folder, saved, spec.training.epochs)
    note(f"is continued {done}")
    return replace(record, continued=(*record.continued, done)), True


def _continuation(
    changes: Mapping[str, tuple[Any, Any]], folder: RunFolder, saved: Checkpoint, epochs: int
) -> Continuation:
    if saved.info.epoch >= epochs:
        raise TrainingError(
            f"{folder.path}: has trained {plural(saved.info.epoch, 'epoch')}, so with training.epochs={epochs} nothing "
            f"is left to do\nGive more, such as --set training.epochs={2 * saved.info.epoch}."
        )
    accuracy = RunSummary.read(folder.summary).test.accuracy if folder.finished else None
    return Continuation(epoch=saved.info.epoch, step=saved.info.step, changes=dict(changes), accuracy=accuracy)


def start_weights(spec: ExperimentSpec, model: QDEQClassifier) -> Start | None:
    """Give a model the weights that its experiment starts from, and return whose they are; None for random ones.

    Raises:
        CheckpointError: There is no such checkpoint, or it does not fit the model.
    """
    if spec.training.init_from is None:
        return None
    place = expanded(spec.training.init_from)
    try:
        saved = RunFolder(place).load("best") if place.is_dir() else load_checkpoint(place)
        saved.restore(model)
    except CheckpointError as error:
        what = str(error).partition("\n")[0]
        raise CheckpointError(
            f"training.init_from: {what}\nGive a run of the same model and number of classes, or leave it out."
        ) from error
    name = None if saved.record is None else str(saved.record.identity["name"])
    return Start(name, saved.path.stem, saved.info.epoch, saved.info.step, saved.info.digest)
