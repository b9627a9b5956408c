"""What a page knows of a run: all that its folder gives, and a sentence for each thing that it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qdeq.backends.paid import PaidBackend
from qdeq.billing.bills import Sizes
from qdeq.billing.entries import Totals
from qdeq.billing.estimate import estimate
from qdeq.billing.ledger import Ledger
from qdeq.builders import build_circuit
from qdeq.circuit import Circuit
from qdeq.errors import CheckpointError, QdeqError, printable
from qdeq.reports.html.images import pictures_of
from qdeq.reports.html.solves import TestSolves, solve_test
from qdeq.spec import ExperimentSpec
from qdeq.training.checkpoints import Checkpoint
from qdeq.training.environment import check_device
from qdeq.training.folder import RunFolder
from qdeq.training.log import read_log
from qdeq.training.metrics import Metrics
from qdeq.training.saved import load_run
from qdeq.training.summary import RunSummary

Record = Mapping[str, Any]


@dataclass(eq=False, kw_only=True)
class RunMaterial:
    """A run, as far as it is known.

    Attributes:
        label: Its name, unlike that of every other run of the page.
        folder: Where it lies.
        spec: Its experiment.
        circuit: Of the spec.
        steps: Lines of its metrics.jsonl.
        epochs: Lines of its metrics.jsonl.
        summary: Its final figures; None if it is unfinished.
        checkpoint: Whose weights were used; None where there is none.
        class_names: Of the labels.
        solves: Its test images, solved for again.
        pictures: ``[B, C, h, w]``, the test images that were solved for.
        ledger: What was paid for.
        circuits: What its backend ran in a training step, in words.
        device: Where the test images were solved for.
        missing: Why there is no ``curves``, ``summary``, ``solves``, ``pictures`` or ``ledger``: sentences.
    """

    label: str
    folder: Path
    spec: ExperimentSpec
    circuit: Circuit
    steps: Sequence[Record] = ()
    epochs: Sequence[Record] = ()
    summary: RunSummary | None = None
    checkpoint: Checkpoint | None = None
    class_names: tuple[str, ...] = ()
    solves: TestSolves | None = None
    pictures: Tensor | None = None
    ledger: Totals | None = None
    circuits: str | None = None
    device: str = "cpu"
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def test(self) -> Metrics | None:
        """The test figures: as solved for again, else those of the summary, which are the best checkpoint's."""
        if self.solves is not None:
            return self.solves.metrics
        return self.summary.test if self.summary is not None else None

    @property
    def steps_per_epoch(self) -> float:
        """How many steps an epoch has; with no epoch finished, as many as were made."""
        if self.epochs:
            return max(1.0, self.epochs[-1]["step"] / max(1, self.epochs[-1]["epoch"]))
        return max(1.0, len(self.steps))


def gather(path: Path, label: str, *, checkpoint: str = "best", samples: int | None = None) -> RunMaterial:
    """Collect what there is of a run.

    A backend that costs money is not asked for anything: its run is described by what it wrote.

    Args:
        path: The run's folder.
        label: What it is called on the page.
        checkpoint: Whose weights are looked at.
        samples: At most so many test images are solved for; see :func:`~qdeq.reports.html.solves.solve_test`.

    Raises:
        CheckpointError: There is no run, or no such checkpoint, unless that is ``"best"``.
        SpecError: The run's spec is damaged.
    """
    folder = RunFolder(path)
    spec = folder.load_spec()
    run = RunMaterial(label=label, folder=path, spec=spec, circuit=build_circuit(spec.model, spec.noise))
    _read_log(run, folder)
    _read_summary(run, folder)
    _read_ledger(run, folder)
    try:
        run.checkpoint = folder.load(checkpoint)
    except CheckpointError as error:
        if checkpoint != "best":
            raise
        run.missing["solves"] = f"Nothing was solved for: {_line(error)}."
        return run
    try:
        _solve(run, checkpoint, samples)
    except QdeqError as error:
        run.missing["solves"] = f"The test images could not be solved for: {_line(error)}."
    return run


def _read_log(run: RunMaterial, folder: RunFolder) -> None:
    if not folder.metrics.is_file():
        run.missing["curves"] = "There are no curves: the run has made no step, or its metrics.jsonl is gone."
        return
    try:
        records = read_log(folder.metrics)
    except CheckpointError as error:
        run.missing["curves"] = f"There are no curves: {_line(error)}."
        return
    run.steps = [record for record in records if record["kind"] == "step"]
    whole = [record for record in records if record["kind"] == "epoch"]
    run.epochs = [each for each in whole if all(isinstance(each.get(split), dict) for split in ("train", "validation"))]
    if not records:
        run.missing["curves"] = "There are no curves yet: the run has not made its first step."


def _read_summary(run: RunMaterial, folder: RunFolder) -> None:
    if not folder.finished:
        done, wanted = len(run.epochs), run.spec.training.epochs
        run.missing["summary"] = f"The run is unfinished: {done:,} of {wanted:,} epochs so far, and no final figures."
        return
    try:
        run.summary = RunSummary.read(folder.summary)
    except CheckpointError:
        run.missing["summary"] = f"The final figures are missing: {folder.summary.name} is damaged."


def _read_ledger(run: RunMaterial, folder: RunFolder) -> None:
    named = run.spec.budget.ledger if run.spec.budget is not None else None
    file = folder.ledger if named is None else Path(named)
    if not file.is_file():
        if run.spec.budget is not None:
            run.missing["ledger"] = f"There is no ledger {printable(str(file))}, so what was paid is not known."
        return
    try:
        with closing(Ledger(file)) as book:
            run.ledger = book.totals()
    except QdeqError as error:
        run.missing["ledger"] = f"The ledger cannot be read: {_line(error)}."


def _solve(run: RunMaterial, checkpoint: str, samples: int | None) -> None:
    try:
        run.device = str(check_device(run.spec.training.device))
    except QdeqError:
        run.device = "cpu"  # a run that was trained on a GPU is looked at where there is none
    loaded = load_run(run.folder, checkpoint=checkpoint, device=run.device)
    run.class_names = loaded.class_names
    if isinstance(loaded.model.function.backend, PaidBackend):
        run.missing["solves"] = (
            f"The backend {run.spec.backend['name']} costs money, so nothing was solved for again: "
            "there are the figures that the run wrote, and no more."
        )
        return
    run.circuits = estimate(run.spec, Sizes(**loaded.record.sizes)).remark
    run.solves = solve_test(loaded, samples)
    chosen = loaded.splits.test_images[torch.from_numpy(run.solves.positions)]
    run.pictures = pictures_of(run.spec.data.dataset, chosen)


def labels_of(paths: Sequence[Path], names: Sequence[str]) -> list[str]:
    """Return a label for each run: its name, and its folder where others have the same name."""
    written = [printable(str(path)) for path in paths]
    return [name if names.count(name) == 1 else f"{name} ({path})" for name, path in zip(names, written, strict=True)]


def figure(record: Record, key: str) -> float | None:
    """Return a figure of a log's record; None for what is not there or is not a finite number."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _line(error: QdeqError) -> str:
    """Return an error as the part of a sentence."""
    return "; ".join(line.strip().rstrip(".") for line in str(error).splitlines() if line.strip())


def environment() -> dict[str, str]:
    """Return versions of what makes the page."""
    import platform

    import numpy

    return {
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "NumPy": numpy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }
