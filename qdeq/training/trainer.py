"""Training: from a spec to a folder with a trained model, its metrics and its curves."""

from __future__ import annotations

import math
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdeq._version import __version__
from qdeq.backends.adapter import CircuitBackend
from qdeq.backends.planner import plan_step
from qdeq.builders import build_data, build_model
from qdeq.data import FeatureSplits
from qdeq.errors import BudgetReached, ConvergenceError, TrainingError
from qdeq.reports.curves import plot_curves
from qdeq.seeds import torch_generator
from qdeq.solvers import Status
from qdeq.spec import ExperimentSpec
from qdeq.training.checkpoints import CheckpointInfo, load_checkpoint, save_checkpoint
from qdeq.training.diagnostics import diagnose
from qdeq.training.environment import (
    check_device,
    check_tensorboard,
    convergence_warnings_once,
    cpu_threads,
    deferred_interrupt,
    peak_memory,
)
from qdeq.training.evaluate import evaluate, shot_key
from qdeq.training.folder import RunFolder
from qdeq.training.metrics import EpochRecord, Metrics, MetricsWriter, Outcomes, StepRecord, finite
from qdeq.training.progress import Plan, Progress
from qdeq.training.spending import prepare
from qdeq.training.summary import RunSummary
from qdeq.training.tensorboard import TensorBoardLog

if TYPE_CHECKING:
    from qdeq.equilibrium import Equilibrated
    from qdeq.models import Prediction, QDEQClassifier


_FAILED = torch.tensor([status for status in Status if status.failed])


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C: the last checkpoint was written, and the message names it."""


def train(
    spec: ExperimentSpec, out: str | Path, *, force: bool = False, progress: Progress | None = None
) -> RunSummary:
    """Run an experiment. Nothing is written before spec, device, data and model have been found good.

    Args:
        spec: The experiment.
        out: The run's folder; made, or empty.
        force: Replace a run that lies there.
        progress: Watches; silent by default.

    Returns:
        The final figures, which are those of the best checkpoint (lowest validation loss).

    Raises:
        TrainingError: The folder is taken, the device or an extra is not there, or the loss is not finite.
        QdeqError: The data or the circuit cannot be had, or a solve failed under ``on_failure: raise``.
        BudgetError: The backend costs money, and the budget is missing or too small.
        BudgetReached: The next task would pass the budget; the last checkpoint was written.
        TrainingInterrupted: Ctrl-C; likewise.
    """
    folder = RunFolder(Path(out))
    folder.check(force=force)
    check_device(spec.training.device)
    if spec.training.tensorboard:
        check_tensorboard()
    splits = build_data(spec)
    model = build_model(spec, len(splits.class_names))
    progress = progress or Progress()
    purchase = prepare(spec, model, splits)
    folder.create(spec, force=force)
    with ExitStack() as stack:
        if purchase is not None:
            stack.enter_context(purchase.account(folder.ledger, progress.noted))
        stack.enter_context(cpu_threads(spec.training.threads, spec.model.qubits))
        return Trainer(spec, model, splits, folder, progress).run()


class Trainer:
    """One run of one model. :func:`train` makes everything that it takes.

    Args:
        spec: The experiment.
        model: With its first weights, on the spec's device.
        splits: The data.
        folder: Made, with the spec in it.
        progress: Watches.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        model: QDEQClassifier,
        splits: FeatureSplits,
        folder: RunFolder,
        progress: Progress,
    ) -> None:
        self.spec = spec
        self.model = model
        self.splits = splits
        self.folder = folder
        self.progress = progress
        self.device = torch.device(spec.training.device)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=spec.training.learning_rate, fused=True)
        like = self.parameters[0]
        self.features, self.labels = splits.train.features.to(like), splits.train.labels.to(like.device)
        # one row a training image, in the split's order: with the weights, all that a warm start needs to be resumed
        self.warm_states: Tensor | None = None
        if spec.training.warm_start:
            self.warm_states = like.new_zeros(len(self.labels), model.state_size)
        self.step = 0
        self.epochs_done = 0
        self.best: EpochRecord | None = None
        self._failed: Counter[str] = Counter()
        self._adjoint_failed = 0
        self._solves = 0
        self._saved_step = -1

    def run(self) -> RunSummary:
        """Train, evaluate the best checkpoint, and write the summary and the curves."""
        options = self.spec.training
        per_epoch = math.ceil(len(self.labels) / options.batch_size)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        started = time.perf_counter()
        stepping = 0.0
        with ExitStack() as stack:
            stack.callback(self.progress.closed)
            self._writers: list[MetricsWriter | TensorBoardLog] = [MetricsWriter(self.folder.metrics)]
            if options.tensorboard:
                self._writers.append(TensorBoardLog(self.folder.tensorboard))
            for writer in self._writers:
                stack.callback(writer.close)
            stack.enter_context(convergence_warnings_once(self._note))
            try:
                plan = Plan(self.spec.name, options.epochs, options.epochs * per_epoch, per_epoch, options.warmup_steps)
                self.progress.started(plan)
                sizes = (len(split.labels) for split in (self.splits.train, self.splits.validation, self.splits.test))
                self.progress.noted(f"data: {self.splits.name}, {' + '.join(f'{size:,}' for size in sizes)} images")
                backend = self.model.function.backend
                if isinstance(backend, CircuitBackend) and self.spec.model.mode == "implicit":
                    evaluations = self.model.equilibrium.most_evaluations(self.spec.shots)
                    batch = min(options.batch_size, len(self.labels))
                    planned = plan_step(backend, self.model.circuit, batch, evaluations, shots=self.spec.shots)
                    self.progress.noted(f"circuits on {backend.name}: {planned}")
                steps = self.model.equilibrium.fixed_steps
                if (steps or self.spec.shots) and self.spec.model.mode == "implicit":
                    why = "" if self.spec.shots is None else f"{self.spec.shots} shots: "
                    how = "a solve ends where its residual cannot be told from their noise"
                    if steps is not None:
                        how = f"every solve takes {steps} steps, without a test of convergence"
                    self.progress.noted(why + how)
                for epoch in range(1, options.epochs + 1):
                    begin = time.perf_counter()
                    trained = self._train_epoch(epoch)
                    stepping += time.perf_counter() - begin
                    self._finish_epoch(epoch, trained, begin)
                return self._summarise(trained, started, stepping)
            except ConvergenceError as error:
                raise ConvergenceError(f"after step {self.step}: {error}") from error
            except BudgetReached as reached:
                kept = self._keep_last()
                again = "--force begins it again, and leaves the ledger as it is"
                raise BudgetReached(f"stopped after step {self.step}: {reached}\nkept: {kept}; {again}") from reached
            except KeyboardInterrupt as interrupt:
                raise self._interrupted() from interrupt

    def _train_epoch(self, epoch: int) -> Metrics:
        """Train on every image once, the last batch being as small as it comes out."""
        self.model.train()
        count = len(self.labels)
        order = torch.randperm(count, generator=torch_generator(self.spec.seed, "sampler", epoch)).to(self.device)
        outcomes = []
        for batch, rows in enumerate(order.split(self.spec.training.batch_size)):
            begin = time.perf_counter()
            outcome, record = self._train_step(epoch, batch, rows, begin)
            outcomes.append(outcome)
            self._write(record)
            self.progress.stepped(record)
        return Outcomes.join(outcomes).metrics()

    def _train_step(self, epoch: int, batch: int, rows: Tensor, begin: float) -> tuple[Outcomes, StepRecord]:
        options = self.spec.training
        step = self.step + 1
        x, labels = self.features[rows], self.labels[rows]
        key = shot_key(self.spec, "train", step, rows)
        # keyed by the step: a resumed run draws what an uninterrupted one would have drawn
        generator = torch_generator(self.spec.seed, "step", step)
        if step <= options.warmup_steps:
            layers: int | None = options.warmup_layers
            prediction = self.model(x, layers=layers, generator=generator, key=key)
        else:
            layers = self.spec.model.layers
            y0 = None if self.warm_states is None else self.warm_states[rows]
            prediction = self.model(x, y0=y0, generator=generator, key=key)
            self._keep_states(rows, prediction.equilibrium)
        stability = diagnose(prediction, self.spec, batch)  # before the weights move
        losses = F.cross_entropy(prediction.logits, labels, reduction="none")
        total, penalty = losses.mean(), prediction.equilibrium.penalty
        if penalty is not None:
            total = total + options.jacobian_weight * penalty
        if not math.isfinite(total.item()):
            raise self._not_finite(step, epoch, f"the loss is {total.item()}")
        self.optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, options.clip or math.inf).item()
        if not math.isfinite(norm):
            raise self._not_finite(step, epoch, f"the gradient's norm is {norm}")
        with deferred_interrupt():
            self.optimizer.step()
            self.step = step
        outcome = Outcomes.of(prediction, labels, losses, stability)
        metrics = outcome.metrics()
        adjoint_residual, adjoint_failed = _adjoint(prediction)
        self._solves += 0 if metrics.converged is None else metrics.samples
        self._failed.update(metrics.failed)
        self._adjoint_failed += adjoint_failed
        record = StepRecord(
            step=step,
            epoch=epoch,
            layers=layers,
            metrics=metrics,
            penalty=None if penalty is None else penalty.item(),
            gradient_norm=norm,
            adjoint_residual=adjoint_residual,
            adjoint_failed=adjoint_failed,
            seconds=time.perf_counter() - begin,
        )
        return outcome, record

    def _keep_states(self, rows: Tensor, found: Equilibrated) -> None:
        """Remember where the images' solves ended; one that failed starts from 0 again."""
        if self.warm_states is not None and found.status is not None:
            failed = torch.isin(found.status, _FAILED.to(found.status))
            self.warm_states[rows] = found.value.detach().masked_fill(failed[:, None], 0.0)

    def _finish_epoch(self, epoch: int, trained: Metrics, begin: float) -> None:
        """Validate, write both checkpoints, and tell."""
        validation = evaluate(self.model, self.splits.validation, self.spec)
        loss, lowest = validation.loss, self.best.validation.loss if self.best else None
        best = self.best is None or (loss is not None and (lowest is None or loss < lowest))
        record = EpochRecord(epoch, self.step, trained, validation, best, time.perf_counter() - begin)
        with deferred_interrupt():
            self.epochs_done = epoch
            self._save("last", loss)
            self._saved_step = self.step
            if best:
                self._save("best", loss)
                self.best = record
            self._write(record)
        self.progress.finished_epoch(record)

    def _summarise(self, trained: Metrics, started: float, stepping: float) -> RunSummary:
        assert self.best is not None
        load_checkpoint(self.folder.checkpoint("best")).restore(self.model)
        validation, test = (
            evaluate(self.model, split, self.spec) for split in (self.splits.validation, self.splits.test)
        )
        backend = self.model.function.backend
        summary = RunSummary(
            name=self.spec.name,
            spec_hash=self.spec.content_hash,
            qdeq_version=__version__,
            seed=self.spec.seed,
            backend=f"{self.spec.backend['name']} ({getattr(backend, 'version', 'unknown version')})",
            epochs=self.epochs_done,
            steps=self.step,
            best_epoch=self.best.epoch,
            best_step=self.best.step,
            parameters=sum(parameter.numel() for parameter in self.parameters),
            train=trained,
            validation=validation,
            test=test,
            solves=self._solves,
            failed=dict(self._failed),
            adjoint_failed=self._adjoint_failed,
            device=str(self.device),
            seconds=time.perf_counter() - started,
            samples_per_second=len(self.labels) * self.epochs_done / stepping,
            memory=peak_memory(self.device),
            folder=self.folder.path,
        )
        self.folder.summary.write_text(summary.to_json(), encoding="utf-8")
        plot_curves(self.folder.metrics, self.folder.curves)
        return summary

    def _save(self, which: str, validation_loss: float | None) -> None:
        info = CheckpointInfo(self.step, self.epochs_done, validation_loss, self.spec.content_hash)
        save_checkpoint(self.folder.checkpoint(which), self.model, info)

    def _write(self, record: StepRecord | EpochRecord) -> None:
        for writer in self._writers:
            writer.write(record)

    def _note(self, message: str) -> None:
        self.progress.noted(f"after step {self.step}: {message}")

    def _keep_last(self) -> Path:
        """Save the weights as they are, and return where."""
        if self._saved_step != self.step:
            with deferred_interrupt():
                self._save("last", None)
        return self.folder.checkpoint("last")

    def _interrupted(self) -> TrainingInterrupted:
        kept, path = self._keep_last(), self.folder.path
        return TrainingInterrupted(
            f"interrupted after step {self.step} ({self.epochs_done} epochs done); kept: {kept}\n"
            f"Evaluate it with: qdeq eval {path} --checkpoint last"
        )

    def _not_finite(self, step: int, epoch: int, what: str) -> TrainingError:
        last = self.folder.checkpoint("last")
        kept = f"kept: {last} (epoch {self.epochs_done})" if self.epochs_done else "no checkpoint was written yet"
        rate = self.spec.training.learning_rate
        return TrainingError(
            f"step {step} (epoch {epoch}): {what}, so training stops; {kept}\n"
            f"Lower training.learning_rate (now {rate:g}) or training.clip, try training.precision: float64, "
            "and look for images that are not finite."
        )


def _adjoint(prediction: Prediction) -> tuple[float | None, int]:
    """Return the worst relative residual of the backward solve, where there is one, and how many samples failed."""
    record = prediction.equilibrium.adjoint
    if record is None or record.failed is None:
        return None, 0
    residual = None if record.residual is None else finite(record.residual.max().item())
    return residual, int(record.failed.sum())
