"""Runs: from a spec to a folder with a trained model; and from a folder whose run was cut short to its end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from qdeq.billing.budget import Budget
from qdeq.builders import build_data, build_model
from qdeq.errors import CheckpointError, plural
from qdeq.spec import ExperimentSpec
from qdeq.training.continuing import check_changes, start_weights, take_up
from qdeq.training.environment import check_device, check_memory, check_tensorboard, cpu_threads, with_threads
from qdeq.training.folder import RunFolder
from qdeq.training.log import read_log
from qdeq.training.progress import Progress
from qdeq.training.record import RunRecord
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


def resume(
    path: str | Path,
    *,
    budget: Budget | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> RunSummary:
    """Go on with a run from its newest whole checkpoint.

    On the same machine with the same number of threads it ends bit for bit as if never cut short. A run without a
    checkpoint to go on from begins again, with a warning; one that is finished stays as it is, unless it is given more
    to do.

    Args:
        path: The run's folder.
        budget: A new budget, where the run's own is used up.
        overrides: Assignments ``"a.b=value"``: places of the data; surroundings, such as ``training.threads=2``; and
            what a run may go on with otherwise, even one that is finished: ``training.epochs``, ``schedule``,
            ``learning_rate``, ``clip``. The schedule then begins anew, over the epochs left; the summary says so.
        progress: Watches; silent by default.

    Returns:
        The final figures.

    Raises:
        CheckpointError: There is no run, or its checkpoint is another experiment's or trained on other images; or it
            is finished, and its checkpoints are gone.
        TrainingError: Another process is writing the run; a change that it cannot go on with; and as :func:`train`.
        DataError: The data are not there, or are others.
    """
    folder = RunFolder(Path(path))
    began = folder.load_spec()
    spec = folder.load_spec(overrides) if overrides else began
    if budget is not None:
        spec = spec.model_copy(update={"budget": budget})
    changes = check_changes(folder.path, began, spec)
    progress = progress or Progress()
    if folder.finished and not folder.has_weights:
        raise folder.gone()
    if folder.finished and not changes:
        folder.check_spec(folder.load("last" if folder.resumable else "best"), spec)
        progress.noted(f"{folder.path}: finished before; nothing is left to do")
        return RunSummary.read(folder.summary)
    with assemble(spec.training.device) as team:
        return _run(spec, folder, team, progress, began=began)


def _run(
    spec: ExperimentSpec,
    folder: RunFolder,
    team: Team,
    progress: Progress,
    *,
    force: bool = False,
    began: ExperimentSpec | None = None,
) -> RunSummary:
    """Run to the end: from the beginning; or, where ``began`` is the spec of a run in the folder, from where it is."""
    given = with_threads(spec)
    device = own_device(given.training.device)
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
    record = RunRecord.of(spec, splits, start_weights(spec, model) if began is None else None)
    purchase = prepare(spec, model, record.sizes, folder.ledger)
    with ExitStack() as stack:
        stack.enter_context(terminable())
        saved = None
        if team.leads:
            stack.enter_context(folder.writing())
            saved = folder.newest(progress.noted) if began is not None else None
            if began is not None and saved is None:
                progress.noted(f"warning: {folder.path}: starts from the beginning: {_why_anew(folder)}")
                record = replace(record, start=start_weights(spec, model))
            if saved is None:
                folder.create(given, force=force or began is not None)
        team.wait()
        if began is not None and not team.leads:
            saved = folder.newest(progress.noted)
        if purchase is not None:
            purchase.check_spent(spent_before(saved))
            stack.enter_context(purchase.account(progress.noted))
        stack.enter_context(cpu_threads(spec.training.threads, spec.model.qubits))
        if saved is None:
            if record.start is not None:
                progress.noted(f"starts from {record.start}")
            return Trainer(spec, model, splits, record, folder, progress, team).run()
        assert began is not None
        record, changed = take_up(record, saved, splits, folder, began, spec, progress.noted)
        trainer = Trainer(spec, model, splits, record, folder, progress, team)
        team.wait()  # all have read the checkpoint, which may now be replaced
        trainer.resume(saved, given if changed else None)
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
