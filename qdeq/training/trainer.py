"""The loop of training: steps, epochs, checkpoints, and a summary at the end."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from qdeq._version import __version__
from qdeq.data import FeatureSplits
from qdeq.errors import BudgetReached, ConvergenceError, TrainingError, plural
from qdeq.files import write_optional
from qdeq.reports.plots.curves import draw_curves
from qdeq.reports.plots.style import figure_png
from qdeq.seeds import torch_generator
from qdeq.spec import ExperimentSpec
from qdeq.training.announce import announce
from qdeq.training.environment import convergence_warnings_once, peak_memory
from qdeq.training.evaluate import evaluate
from qdeq.training.folder import RunFolder
from qdeq.training.log import Elapsed, cut_log, read_log
from qdeq.training.metrics import EpochRecord, Outcomes, StepRecord
from qdeq.training.progress import Progress
from qdeq.training.recorder import Recorder
from qdeq.training.schedule import learning_rate
from qdeq.training.signals import Terminated, TrainingInterrupted, TrainingTerminated, deferred_interrupt
from qdeq.training.state import TrainingState
from qdeq.training.step import NotFinite, compute_step
from qdeq.training.summary import RunSummary
from qdeq.training.team import ALONE, Team, WorkerLost

if TYPE_CHECKING:
    from qdeq.models import QDEQClassifier
    from qdeq.training.checkpoints import Checkpoint
    from qdeq.training.record import RunRecord


class Trainer:
    """One run of one model, from wherever its state is. :func:`qdeq.training.train` makes everything that it takes.

    Args:
        spec: The experiment.
        model: On the spec's device.
        splits: The data.
        record: What the run knows of itself.
        folder: Made, with the spec in it.
        progress: Watches.
        team: Who trains together.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        model: QDEQClassifier,
        splits: FeatureSplits,
        record: RunRecord,
        folder: RunFolder,
        progress: Progress,
        team: Team = ALONE,
    ) -> None:
        self.spec = spec
        self.model = model
        self.splits = splits
        self.folder = folder
        self.progress = progress
        self.team = team
        self.state = TrainingState(spec, model, splits.train, record)
        self.elapsed = Elapsed()
        like = self.state.parameters[0]
        self._features, self._labels = splits.train.features.to(like), splits.train.labels.to(like.device)
        self._per_epoch = math.ceil(len(self._labels) / spec.training.batch_size)
        self._recorder = Recorder(spec.training, self.state, folder, leads=team.leads)

    def resume(self, saved: Checkpoint, spec: ExperimentSpec | None = None) -> None:
        """Go on from a checkpoint of this run: the state is that of then, and so are the files.

        Args:
            saved: The checkpoint.
            spec: What the folder's spec becomes, where the run goes on otherwise than it began.

        Raises:
            CheckpointError: Its state does not fit, or the metrics are damaged.
        """
        self.state.restore(saved)
        self._recorder.on_disk()
        if not self.team.leads:
            return
        if self.folder.metrics.exists():
            self.elapsed = cut_log(self.folder.metrics, self.state.step, self.state.epoch)
        else:
            self._note(f"warning: {self.folder.metrics} is gone, and begins again from here")
        if self.state.best is not None:
            self.state.save_best(self.folder.checkpoint("best"))
        if spec is not None:  # in this order: wherever it is cut off, what is there can be taken up
            self.folder.summary.unlink(missing_ok=True)
            self.state.save(self.folder.state(self.state.step))
            self.folder.write_spec(spec)

    def run(self) -> RunSummary:
        """Train to the end, evaluate the best weights, and write the summary, then the curves."""
        device = self._labels.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        started, stepping = time.perf_counter(), 0.0
        with ExitStack() as stack:
            stack.callback(self.progress.closed)
            stack.enter_context(self._recorder.recording())
            stack.enter_context(convergence_warnings_once(self._note))
            try:
                announce(
                    self.progress, self.spec, self.model, self.splits, team=self.team, per_epoch=self._per_epoch,
                    done=self.state.step,
                )  # fmt: skip
                for epoch in range(self.state.epoch + 1, self.spec.training.epochs + 1):
                    begin = time.perf_counter()
                    self._train_epoch(epoch)
                    stepping += time.perf_counter() - begin
                    self._finish_epoch(epoch, begin)
                return self._summarise(started, stepping)
            except ConvergenceError as error:
                raise ConvergenceError(f"after step {self.state.step}: {error}") from error
            except WorkerLost as error:
                raise WorkerLost(f"after step {self.state.step}: {error}\n{self._recorder.kept()}") from error
            except NotFinite as error:
                raise self._not_finite(str(error)) from error
            except BudgetReached as reached:
                kept = self._recorder.kept("--set budget.KEY=VALUE")
                raise BudgetReached(f"stopped after step {self.state.step}: {reached}\n{kept}") from reached
            except KeyboardInterrupt as interrupt:
                kind, what = TrainingInterrupted, "interrupted"
                if isinstance(interrupt, Terminated):
                    kind, what = TrainingTerminated, "terminated"
                done = f"{what} after step {self.state.step} ({plural(self.state.epoch, 'epoch')} done)"
                raise kind(f"{done}\n{self._recorder.kept()}") from interrupt

    def _train_epoch(self, epoch: int) -> None:
        """Train on every image once, the last batch being as small as it comes out; from the batch that is next."""
        self.model.train()
        shuffled = torch.randperm(len(self._labels), generator=torch_generator(self.spec.seed, "sampler", epoch))
        batches = shuffled.to(self._labels.device).split(self.spec.training.batch_size)
        for batch in range(self.state.step - self.state.epoch * self._per_epoch, len(batches)):
            self.progress.stepped(self._train_step(epoch, batch, batches[batch]))

    def _train_step(self, epoch: int, batch: int, rows: torch.Tensor) -> StepRecord:
        begin, state = time.perf_counter(), self.state
        done = compute_step(
            self.spec,
            self.team,
            self.model,
            state.parameters,
            self._features[rows],
            self._labels[rows],
            step=state.step + 1,
            batch=batch,
            rows=rows,
            y0=None if state.warm_states is None else state.warm_states[rows],
        )
        steps = self._per_epoch * self.spec.training.epochs
        rate = learning_rate(self.spec.training, state.step + 1, steps, state.record.schedule_begin)
        with deferred_interrupt():  # all of a step, or nothing of it
            state.take_step(rate)
            state.outcomes.append(done.outcomes)
            if state.warm_states is not None and done.states is not None:
                state.warm_states[rows] = done.states
            metrics = done.outcomes.metrics()
            state.solves += 0 if metrics.converged is None else metrics.samples
            state.failed.update(metrics.failed)
            state.adjoint_failed += done.adjoint_failed
            record = StepRecord(
                step=state.step,
                epoch=epoch,
                layers=done.layers,
                metrics=metrics,
                penalty=done.penalty,
                gradient_norm=done.gradient_norm,
                adjoint_residual=done.adjoint_residual,
                adjoint_failed=done.adjoint_failed,
                seconds=time.perf_counter() - begin,
            )
            self._recorder.write(record)
            if self._recorder.due():
                self._recorder.save()
        return record

    def _finish_epoch(self, epoch: int, begin: float) -> None:
        """Validate, write the checkpoints, and tell."""
        state = self.state
        trained = Outcomes.join(state.outcomes).metrics()
        validation = evaluate(self.model, self.splits.validation, self.spec, self.team)
        loss, lowest = validation.loss, state.best.validation.loss if state.best else None
        best = state.best is None or (loss is not None and (lowest is None or loss < lowest))
        record = EpochRecord(epoch, state.step, trained, validation, best, time.perf_counter() - begin)
        with deferred_interrupt():
            state.epoch, state.last, state.outcomes = epoch, record, []
            if best:
                state.keep_best(record)
            self._recorder.write(record)
            self._recorder.save()
            if best and self.team.leads:
                state.save_best(self.folder.checkpoint("best"))
        self.progress.finished_epoch(record)

    def _summarise(self, started: float, stepping: float) -> RunSummary:
        state = self.state
        assert state.best is not None
        assert state.last is not None
        state.take_best()
        splits = (self.splits.validation, self.splits.test)
        validation, test = (evaluate(self.model, split, self.spec, self.team) for split in splits)
        backend = self.model.function.backend
        summary = RunSummary(
            name=self.spec.name,
            spec_hash=self.spec.content_hash,
            qdeq_version=__version__,
            seed=self.spec.seed,
            backend=f"{self.spec.backend['name']} ({getattr(backend, 'version', 'unknown version')})",
            epochs=state.epoch,
            steps=state.step,
            best_epoch=state.best.epoch,
            best_step=state.best.step,
            parameters=sum(parameter.numel() for parameter in state.parameters),
            train=state.last.train,
            validation=validation,
            test=test,
            solves=state.solves,
            failed=dict(state.failed),
            adjoint_failed=state.adjoint_failed,
            device=str(self._labels.device),
            processes=self.team.size,
            seconds=self.elapsed.total + time.perf_counter() - started,
            samples_per_second=len(self._labels) * state.epoch / (self.elapsed.steps + stepping),
            memory=peak_memory(self._labels.device),
            folder=self.folder.path,
            machine=state.record.machine,
            start=state.record.start,
            dataset=state.record.data,
            continued=state.record.continued,
        )
        if self.team.leads:
            summary.write(self.folder.summary)
            unwritten: list[str] = []
            write_optional({self.folder.curves: self._curves}, unwritten.append)
            summary = replace(summary, unwritten=(*self._recorder.unwritten, *unwritten))
        return summary

    def _curves(self) -> bytes:
        return figure_png(draw_curves(read_log(self.folder.metrics)))

    def _note(self, message: str) -> None:
        self.progress.noted(f"after step {self.state.step}: {message}")

    def _not_finite(self, what: str) -> TrainingError:
        state = self.state
        kept = "no checkpoint was written yet"
        if states := self.folder.states():
            kept = f"kept: {states[-1]}"
        rate = self.spec.training.learning_rate
        return TrainingError(
            f"step {state.step + 1} (epoch {state.epoch + 1}): {what}, so training stops; {kept}\n"
            f"Lower training.learning_rate (now {rate:g}) or training.clip, try training.precision: float64, "
            "and look for images that are not finite."
        )
