"""What a run says of itself before its first step: how much there is to do, on which data, by which circuits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeq.backends.adapter import CircuitBackend
from qdeq.backends.planner import plan_step
from qdeq.errors import plural
from qdeq.training.progress import Plan, Progress

if TYPE_CHECKING:
    from qdeq.data import FeatureSplits
    from qdeq.models import QDEQClassifier
    from qdeq.spec import ExperimentSpec
    from qdeq.training.team import Team


def announce(
    progress: Progress,
    spec: ExperimentSpec,
    model: QDEQClassifier,
    splits: FeatureSplits,
    *,
    team: Team,
    per_epoch: int,
    done: int,
) -> None:
    """Tell whoever watches.

    Args:
        progress: Watches.
        spec: The experiment.
        model: Its model.
        splits: The data.
        team: Who trains together.
        per_epoch: Steps in an epoch.
        done: Steps that were made before the run was resumed.
    """
    options = spec.training
    plan = Plan(spec.name, options.epochs, options.epochs * per_epoch, per_epoch, options.warmup_steps, done)
    progress.started(plan)
    sizes = (len(split.labels) for split in (splits.train, splits.validation, splits.test))
    progress.noted(f"data: {splits.name}, {' + '.join(f'{size:,}' for size in sizes)} images")
    for note in splits.notes:
        progress.noted(f"warning: {note}")
    if options.batch_size > (images := len(splits.train.labels)):
        progress.noted(f"training.batch_size is {options.batch_size:,}: a batch is all {images:,} training images")
    if team.size > 1:
        progress.noted(f"{team.size} processes share every batch")
    if spec.model.mode != "implicit":
        return
    backend = model.function.backend
    if isinstance(backend, CircuitBackend):
        evaluations = model.equilibrium.most_evaluations(spec.shots)
        batch = min(options.batch_size, len(splits.train.labels))
        planned = plan_step(backend, model.circuit, batch, evaluations, shots=spec.shots)
        progress.noted(f"circuits on {backend.name}: {planned}")
    fixed = model.equilibrium.fixed_steps
    why = "" if spec.shots is None else f"{spec.shots} shots: "
    if fixed is not None:
        progress.noted(f"{why}every solve takes {plural(fixed, 'step')}, without a test of convergence")
    elif spec.shots is not None:
        progress.noted(f"{why}a solve ends where its residual cannot be told from their noise")
