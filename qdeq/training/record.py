"""What a run knows of itself: all that prediction needs, and what tells its data and its machine from others.

It stands in the header of every checkpoint, so that one file is enough to predict with. The data are not in it, but
their digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter

from qdeq.data import FeatureMap, FeatureSplits, PixelScale
from qdeq.errors import DataError
from qdeq.spec import ExperimentSpec, parse_spec
from qdeq.training.machine import Machine

SPLITS = ("train", "validation", "test")
_SCHEDULE = {"training.epochs", "training.schedule", "training.learning_rate"}


@dataclass(frozen=True)
class Start:
    """Whose weights a run started from.

    Attributes:
        name: Of the experiment that trained them; None where its checkpoint does not say.
        checkpoint: Name of the file, such as ``best``.
        epoch: Epochs that they were trained.
        step: Steps that they were trained.
        digest: The checkpoint's own.
    """

    name: str | None
    checkpoint: str
    epoch: int
    step: int
    digest: str

    def __str__(self) -> str:
        """Return it in words."""
        whose = "" if self.name is None else f"{self.name}, "
        return f"the weights of {whose}{self.checkpoint}: epoch {self.epoch}, step {self.step} ({self.digest[:12]})"


@dataclass(frozen=True)
class Continuation:
    """A run went on otherwise than it began.

    Attributes:
        epoch: Epochs done before.
        step: Steps done before; a schedule begins anew here.
        changes: By key, the values before and after.
        accuracy: Test accuracy of the run as it was finished; None where it was not.
    """

    epoch: int
    step: int
    changes: Mapping[str, tuple[Any, Any]]
    accuracy: float | None

    def __str__(self) -> str:
        """Return it in words."""
        changed = ", ".join(f"{key} {before} -> {after}" for key, (before, after) in self.changes.items())
        before = "" if self.accuracy is None else f", where test accuracy was {100 * self.accuracy:.1f} %"
        return f"after epoch {self.epoch}{before}: {changed}"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run knows of itself.

    Attributes:
        identity: :meth:`ExperimentSpec.identity <qdeq.spec.ExperimentSpec.identity>` of its resolved spec.
        class_names: K names; output k is the class ``class_names[k]``.
        feature_map: How images become features, with its fitted numbers.
        pixels: The raw values of the training images.
        data: The data set's name.
        sizes: Images in each split.
        digests: SHA-256 of each split's raw images and labels.
        machine: What it was trained on, with the number of threads.
        start: Whose weights it started from; None for random ones.
        continued: How it went on otherwise than it began, the first time first.
    """

    identity: Mapping[str, Any]
    class_names: tuple[str, ...]
    feature_map: FeatureMap
    pixels: PixelScale
    data: str
    sizes: Mapping[str, int]
    digests: Mapping[str, str]
    machine: Machine
    start: Start | None = None
    continued: tuple[Continuation, ...] = ()

    @classmethod
    def of(cls, spec: ExperimentSpec, splits: FeatureSplits, start: Start | None = None) -> RunRecord:
        """Return the record of a run that begins here.

        Args:
            spec: Its resolved spec.
            splits: Its data.
            start: Whose weights it starts from.
        """
        return cls(
            identity=spec.identity(),
            class_names=splits.class_names,
            feature_map=splits.feature_map,
            pixels=splits.pixels,
            data=splits.name,
            sizes={name: len(split.labels) for name, split in zip(SPLITS, splits.parts, strict=True)},
            digests=dict(splits.digests),
            machine=Machine.here(spec),
            start=start,
        )

    @cached_property
    def spec(self) -> ExperimentSpec:
        """The experiment; device, budget and the like are the defaults.

        Raises:
            SpecError: It is none that this installation knows.
        """
        return parse_spec(dict(self.identity), "the experiment in the checkpoint")

    @property
    def schedule_begin(self) -> int:
        """Steps before the present schedule of the step size."""
        return max((each.step for each in self.continued if _SCHEDULE & each.changes.keys()), default=0)

    def changed(self, splits: FeatureSplits) -> list[str]:
        """Return the splits whose images or labels are not those of the run."""
        return [name for name in SPLITS if splits.digests[name] != self.digests[name]]

    def check(self, splits: FeatureSplits) -> None:
        """Refuse other data than the run's.

        Raises:
            DataError: Images or labels of a split changed.
        """
        if changed := self.changed(splits):
            raise DataError(
                f"{splits.name}: these are not the data of the run: images or labels of {' and '.join(changed)} differ "
                "from those that it was trained with\n"
                "Put the same data back; to evaluate on others, name them: qdeq eval RUN --data PATH."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> RunRecord:
        """Read what :meth:`to_dict` gave.

        Raises:
            ValueError: It is none.
        """
        made: RunRecord = TypeAdapter(cls).validate_python(data)
        if len(made.class_names) < 2 or made.sizes.keys() != set(SPLITS) or made.digests.keys() != set(SPLITS):
            raise ValueError("there are two class names or more, and sizes and digests of all splits")
        return made
