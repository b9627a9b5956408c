"""Everything that is compared, measured on one backend."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdeq.adjoints import AdjointRecord, UnrolledAdjoint, attach
from qdeq.backends import Backend, ShotKey
from qdeq.backends.executions import count_executions
from qdeq.builders import build_data, build_model
from qdeq.compare.result import Cost
from qdeq.errors import ConvergenceWarning
from qdeq.injection import upsample
from qdeq.jacobians import jacobian
from qdeq.models import QDEQClassifier
from qdeq.seeds import torch_generator
from qdeq.solvers import Status, solve
from qdeq.spec import ExperimentSpec
from qdeq.training.evaluate import shot_key


@dataclass(frozen=True, eq=False)
class Subject:
    """What every backend is measured on: an experiment in float64, samples, and a state.

    Attributes:
        spec: The experiment.
        features: ``[B, I]``, the first training images.
        labels: ``[B]``.
        num_classes: K.
        state: ``[B, n]``, uniform in (-1, 1).
    """

    spec: ExperimentSpec
    features: Tensor
    labels: Tensor
    num_classes: int
    state: Tensor

    @classmethod
    def of(cls, spec: ExperimentSpec, samples: int) -> Subject:
        """Take the first ``samples`` training images of the experiment (all of them, if there are fewer)."""
        spec = spec.model_copy(update={"training": spec.training.model_copy(update={"precision": "float64"})})
        splits = build_data(spec)
        device = spec.training.device
        features = splits.train.features[:samples].to(device=device, dtype=torch.float64)
        generator = torch_generator(spec.seed, "compare", "state")
        state = 2 * torch.rand(len(features), spec.model.qubits, generator=generator, dtype=torch.float64) - 1
        labels = splits.train.labels[:samples].to(device)
        return cls(spec, features, labels, len(splits.class_names), state.to(device))

    def model(self, backend: Backend) -> QDEQClassifier:
        """Return the classifier with its first weights, the same on every backend."""
        return build_model(self.spec.model_copy(update={"backend": backend}), self.num_classes)

    def key(self, purpose: str, step: int = 0) -> ShotKey | None:
        """Return the key of the samples' shots; None where expectations are exact."""
        return shot_key(self.spec, purpose, step, torch.arange(len(self.features)))


@dataclass(frozen=True, eq=False)
class Measurement:
    """One backend's values; the tensors' names are the quantities of :data:`qdeq.compare.result.QUANTITIES`.

    Attributes:
        function_y0: ``[B, n]``, f at y0 = 0.
        function: ``[B, n]``, f at the subject's state.
        jacobian: ``[B, n, n]``, ``∂f/∂y`` there.
        gradient_weights: ``[P]``, of the mean loss.
        gradient_data: ``[B, I]``, of the mean loss.
        state: ``[B, n]``, the equilibrium, or the last direct layer's output.
        residual: ``[B]``, ``||f(y) - y||`` there.
        losses: ``[S]``, at the steps of a short training.
        cost: What it took.
    """

    function_y0: Tensor
    function: Tensor
    jacobian: Tensor
    gradient_weights: Tensor
    gradient_data: Tensor
    state: Tensor
    residual: Tensor
    losses: Tensor
    cost: Cost


def measure(
    subject: Subject, backend: Backend, *, steps: int, at: Tensor | None = None, stream: str = "compare"
) -> Measurement:
    """Measure a backend.

    Args:
        subject: Experiment and samples.
        backend: What runs the circuits.
        steps: Training steps.
        at: ``[B, n]``, where the loss is differentiated; the backend's own equilibrium by default. One point for all
            backends leaves the derivative's own error, without that of the solve.
        stream: Names the shots; another name gives independent ones.
    """
    model = subject.model(backend).eval()
    executions = {}
    y0 = torch.zeros_like(subject.state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the counts below say it
        with torch.no_grad():
            f, rows = injected(model, subject, subject.features, stream)
            with count_executions() as count:
                function_y0 = f(y0, *rows)
            executions["function"] = count.executed
            function = f(subject.state, *rows)
            with count_executions() as count:
                matrix = jacobian(f, subject.state, rows)
            executions["jacobian"] = count.executed
            with count_executions() as count:
                state, residual, solved = _solve(model, f, y0, rows)
            executions["solve"] = count.executed
        with count_executions() as count:
            gradients = _gradients(model, subject, state if at is None else at, stream)
        executions["gradient"] = count.executed
        losses, seconds, executions["training_step"] = short_training(subject.model(backend), subject, steps, stream)
    worst = residual.max().item()
    cost = Cost(**solved, residual=worst, executions=executions, seconds=seconds, losses=tuple(losses.tolist()))
    return Measurement(function_y0, function, matrix, *gradients, state, residual, losses, cost)


def injected(model: QDEQClassifier, subject: Subject, features: Tensor, stream: str):  # type: ignore[no-untyped-def]
    """Return ``f(y, *rows)`` and its rows, as the model makes them."""
    frozen = model.function.at(model.weights, shots=model.shots, key=subject.key(stream))
    return frozen.inject(features, model.state_scale, model.state_size)


def _solve(model, f, y0, rows):  # type: ignore[no-untyped-def]
    """Return state, residual, and what the solve did, as :class:`Cost` has it."""
    if model.layers is not None:
        found = model.equilibrium.direct(f, y0, rows, layers=model.layers)
        taken = float(model.layers)
        return (
            found.value,
            found.residual,
            {"converged": None, "noise_limited": 0, "steps": taken, "evaluations": taken},
        )
    solution = solve(model.equilibrium.solver, model.equilibrium.as_solved(f), y0, rows)
    counts = solution.counts()
    return (
        solution.value,
        solution.residual,
        {
            "converged": None if model.equilibrium.fixed_steps is not None else counts[Status.CONVERGED],
            "noise_limited": counts[Status.NOISE_LIMITED],
            "steps": solution.steps.double().mean().item(),
            "evaluations": solution.evaluations.double().mean().item(),
        },
    )


def _gradients(model: QDEQClassifier, subject: Subject, at: Tensor, stream: str) -> tuple[Tensor, Tensor]:
    """Return the gradients of the mean loss, without dropout, in the circuit's weights and in the data."""
    features = subject.features.clone().requires_grad_()
    f, rows = injected(model, subject, features, stream)
    if model.layers is not None:
        value = model.equilibrium.direct(f, torch.zeros_like(at), rows, layers=model.layers).value
    elif isinstance(model.equilibrium.adjoint, UnrolledAdjoint):  # of the backend's own steps, not at a given state
        value = model.equilibrium(f, torch.zeros_like(at), rows).value
    else:
        value = attach(f, at, rows, model.equilibrium.adjoint, "warn", AdjointRecord())
    logits = model.readout(torch.relu(upsample(value, features.shape[1])))
    to_weights, to_data = torch.autograd.grad(F.cross_entropy(logits, subject.labels), (model.weights, features))
    return to_weights, to_data


def short_training(model: QDEQClassifier, subject: Subject, steps: int, stream: str) -> tuple[Tensor, float, int]:
    """Train on the samples as the trainer does, without warm-up; return losses, seconds and executions of a step."""
    options, seed = subject.spec.training, subject.spec.seed
    parameters = [parameter for parameter in model.train().parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=options.learning_rate)
    losses, seconds, executed = [], [], 0
    for step in range(1, steps + 1):
        begin = time.perf_counter()
        with count_executions() as count:
            generator = torch_generator(seed, "step", step, device=subject.features.device)
            prediction = model(subject.features, generator=generator, key=subject.key(f"{stream}/train", step))
            loss = F.cross_entropy(prediction.logits, subject.labels)
            penalty = prediction.equilibrium.penalty
            total = loss if penalty is None else loss + options.jacobian_weight * penalty
            optimizer.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(parameters, options.clip or math.inf)
            optimizer.step()
        losses.append(loss.detach())
        seconds.append(time.perf_counter() - begin)
        executed = count.executed
    return torch.stack(losses), statistics.median(seconds[1:] or seconds), executed
