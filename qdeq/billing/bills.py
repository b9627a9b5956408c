"""Bills: steps and evaluations put together as a run puts them together, where results that are known cost nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from qdeq.billing.amounts import Amount, Bounds, Unit
from qdeq.billing.prices import Price
from qdeq.billing.rehearsal import rehearse
from qdeq.billing.solve_bounds import Length
from qdeq.data import FeatureSplits
from qdeq.spec import ExperimentSpec
from qdeq.training.evaluate import BATCH


@dataclass(frozen=True)
class Sizes:
    """Images in each split."""

    train: int
    validation: int
    test: int

    @classmethod
    def of(cls, splits: FeatureSplits) -> Sizes:
        """Return the sizes of loaded data."""
        return cls(*(len(split.labels) for split in (splits.train, splits.validation, splits.test)))


@dataclass(frozen=True)
class Bill:
    """What a training step of a full batch, the first epoch with its validation, and the whole run take."""

    step: Bounds
    epoch: Bounds
    total: Bounds


def bounded_bill(spec: ExperimentSpec, sizes: Sizes, price: Price) -> Bill:
    """Return the least and the most that an experiment takes, on a device of this price, with its way decided."""
    most = _Run(spec, sizes, price, "most").amounts()
    compiled = spec.backend["execution"] == "compiled"  # circuits are those of known states, whatever comes of them
    least = most if compiled else _Run(spec, sizes, price, "least").amounts()
    return Bill(*(Bounds(*pair) for pair in zip(least, most, strict=True)))


def typical_cost(spec: ExperimentSpec, sizes: Sizes, price: Price) -> int:
    """Return the upper price [nano-dollars] of an experiment whose solves are of usual length."""
    return _Run(spec, sizes, price, "typical").amounts()[2].high


class _Run:
    """A run as a sum of units, with what is known from before taken out.

    Circuits that all samples share depend on the weights alone. Every step begins at weights of its own, and the
    evaluation after an epoch stands at those of the next step; the last evaluations repeat the best epoch's.
    """

    def __init__(self, spec: ExperimentSpec, sizes: Sizes, price: Price, length: Length) -> None:
        self._sizes = sizes
        self._batch = min(spec.training.batch_size, sizes.train)
        self._per_epoch = math.ceil(sizes.train / spec.training.batch_size)
        self._epochs = spec.training.epochs
        self._warm_steps = min(spec.training.warmup_steps, self._epochs * self._per_epoch)
        self._evaluation = rehearse(spec, price, "evaluate", length)
        self._main = rehearse(spec, price, "train", length)
        self._warm = rehearse(spec, price, "warm-up", length) if self._warm_steps else self._main

    def amounts(self) -> tuple[Amount, Amount, Amount]:
        """Return what a step, the first epoch and the whole run take."""
        sizes, known = self._sizes, self._evaluation
        first, total = Amount(), Amount()
        for step in range(self._epochs * self._per_epoch):
            position = step % self._per_epoch
            images = min(self._batch, sizes.train - position * self._batch)
            taken = self._step(step, images)
            total += taken - (_new(known.shared) if step and not position else Amount())  # an evaluation stood there
            if position == self._per_epoch - 1:
                evaluated = _evaluation(known, sizes.validation)
                taken, total = taken + evaluated, total + evaluated
            if step < self._per_epoch:
                first += taken
        again, tested = _evaluation(known, sizes.validation), _evaluation(known, sizes.test)
        total += again - _new(again) + tested - _new(known.shared)  # at the best weights: only the test images are new
        return self._step(self._warm_steps, self._batch), first, total

    def _step(self, step: int, images: int) -> Amount:
        unit = self._warm if step < self._warm_steps else self._main
        return unit.shared + unit.each * images


def _evaluation(unit: Unit, images: int) -> Amount:
    """Return what an evaluation takes: what all samples share is asked for in every batch, and new in the first."""
    batches = math.ceil(images / BATCH)
    return unit.shared * batches + unit.each * images - _new(unit.shared) * (batches - 1)


def _new(amount: Amount) -> Amount:
    """Return an amount without the circuits that are asked for: what is saved where results are known."""
    return replace(amount, circuits=0)
