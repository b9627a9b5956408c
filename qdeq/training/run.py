"""Runs: from a spec to a folder with a trained model; and from a folder whose run was cut short to its end."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from qdeq.billing.budget import Budget
from qdeq.builders import build_data, build_model
from qdeq.errors import CheckpointError, plural
from qdeq.spec import ExperimentSpec
from qdeq.training.environment import check_device, check_memory, check_tensorboard, cpu_threads
from qdeq.training.folder import RunFolder
from qdeq.training.log import read_log
from qdeq.training.progress import Progress
from qdeq.training.signals import terminable
from qdeq.training.spending import prepare, spent_before
from qdeq.training.summary import RunSummary
from qdeq.training.team import Team, assemble, own_device
from qdeq.training.trainer import Trainer


def train(
    spec: ExperimentSpec, out: str | Path, *, force: bool = False, progress: Progress | None = None
) -> RunSummary:
    """Run an experiment. Nothing is written before spec, device, data and model have been found good.

    Started by ``torchrun``, its processes share every batch, and the first one writes.

    Args:
        spec: The experiment.
        out: The run's folder; made, or empty.
        force: Replace a run that lies there.
        progress: Watches; silent by default.

    Returns:
        The final figures, which are those of the best checkpoint (lowest validation loss).

    Raises:
        TrainingError: The folder is taken, the device or an extra is not there, a batch does not fit the memory, the
            loss is not finite, or the disk is full.
        QdeqError: The data or the circuit cannot be had, or a solve failed under ``on_failure: raise``.
        BudgetError: The backend costs money, and the budget is missing or too small.
        BudgetReached: The next task would pass the budget; the last checkpoint was written.
        TrainingInterrupted: Ctrl-C; likewise.
        TrainingTerminated: SIGTERM; likewise.
    """
    folder = RunFolder(Path(out))
    with assemble(spec.training.device) as team:
        if team.leads:
            folder.check(force=force)
        return _run(spec, folder, team, progress or Progress(), force=force)


def resume(path: str | Path, *, budget: Budget | None = None, progress: Progress | None = None) -> RunSummary:
    """Go on with a run from its newest whole checkpoint; on one machine it ends bit for bit as if never cut short.

    A run without a checkpoint to go on from begins again, with a warning; one that is finished stays as it is.

    Args:
        path: The run's folder.
        budget: A new budget, where the run's own is used up.
        progress: Watches; silent by default.

    Returns:
        The final figures.

    Raises:
        CheckpointError: There is no run, or its checkpoint is another experiment's or trained on other images; or it
            is finished, and its checkpoints are gone.
        TrainingError: Another process is writing the run; and as :func:`train`.
    """
    folder = RunFolder(Path(path))
    spec = folder.load_spec()
    if budget is not None:
        spec = spec.model_copy(update={"budget": budget})
    progress = progress or Progress()
    if folder.finished:
        if not folder.has_weights:
            raise folder.gone()
        summary = RunSummary.read(folder.summary)
        if summary.spec_hash != spec.content_hash:
            raise CheckpointError(
                f"{folder.spec}: is not the experiment that this run finished (spec {summary.spec_hash[:12]}, "
                f"not {spec.content_hash[:12]})\nUndo what was changed in it, or train anew in another folder."
            )
        progress.noted(f"{folder.path}: finished before; nothing is left to do")
        return summary
    with assemble(spec.training.device) as team:
        return _run(spec, folder, team, progress, go_on=True)


def _run(
    spec: ExperimentSpec,
    folder: RunFolder,
    team: Team,
    progress: Progress,
    *,
    force: bool = False,
    go_on: bool = False,
) -> RunSummary:
    given, device = spec, own_device(spec.training.device)
    spec = given.model_copy(update={"training": given.training.model_copy(update={"device": device})})
    check_device(device)
    if spec.training.tensorboard:
        check_tensorboard()
    if not team.leads:
        progress = Progress()
        team.wait()  # the leader may have to download the data
    splits = build_data(spec)
    if team.leads:
        team.wait()
    model = build_model(spec, len(splits.class_names))
    check_memory(spec, model, min(spec.training.batch_size, len(splits.train.labels)) // team.size)
    purchase = prepare(spec, model, splits, folder.ledger)
    with ExitStack() as stack:
        stack.enter_context(terminable())
        saved = None
        if team.leads:
            stack.enter_context(folder.writing())
            saved = folder.newest(progress.noted) if go_on else None
            if go_on and saved is None:
                progress.noted(f"warning: {folder.path}: starts from the beginning: {_why_anew(folder)}")
            if saved is None:
                folder.create(given, force=force or go_on)
        team.wait()
        if go_on and not team.leads:
            saved = folder.newest(progress.noted)
        if purchase is not None:
            purchase.check_spent(spent_before(saved))
            stack.enter_context(purchase.account(progress.noted))
        stack.enter_context(cpu_threads(spec.training.threads, spec.model.qubits))
        trainer = Trainer(spec, model, splits, folder, progress, team)
        if saved is not None:
            trainer.resume(saved)
            progress.noted(f"goes on from {saved.path}, after step {saved.info.step:,}")
        return trainer.run()


def _why_anew(folder: RunFolder) -> str:
    """Return why a run that was asked to go on cannot: it has no checkpoint, or had some, as its log tells."""
    try:
        made = [record["step"] for record in read_log(folder.metrics)] if folder.metrics.is_file() else []
    except CheckpointError:
        made = []
    if not made:
        return "it ended before its first checkpoint"
    return f"of the {plural(made[-1], 'step')} in its log no whole checkpoint is left to go on from"
