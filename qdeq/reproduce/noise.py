"""Models that were trained exactly, under depolarising noise and under finite shots.

Is a shallow equilibrium better on noisy hardware? The weights stay as they were trained; what changes is the circuit
that evaluates them. Noise and shots come apart: under noise expectations are exact, under shots gates are perfect.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qdeq.builders import build_model
from qdeq.data import Split
from qdeq.errors import ConvergenceWarning, SpecError
from qdeq.injection import upsample
from qdeq.noise import NoiseModel
from qdeq.reproduce.noise_result import Kind, Measurement, NoiseStudy
from qdeq.reproduce.result import Reproduction
from qdeq.seeds import torch_generator
from qdeq.solvers import Status
from qdeq.spec import ExperimentSpec
from qdeq.training.environment import cpu_threads
from qdeq.training.evaluate import BATCH, shot_key
from qdeq.training.saved import SavedRun, load_run

FIXED_STEPS = 5
"""Of the second way in which an equilibrium is evaluated."""


def study_noise(trained: Reproduction, note: Callable[[str], None] = lambda message: None) -> NoiseStudy:
    """Evaluate the finished runs of a table under its levels of noise.

    Args:
        trained: A table with levels of noise, after training.
        note: Told which run is measured.

    Raises:
        SpecError: The table has no levels of noise.
    """
    noise = trained.table.noise
    if noise is None:
        raise SpecError(f"{trained.table.name} has no levels of noise")
    found: list[Measurement] = []
    for result in trained.result.cells:
        if result.state == "finished":
            note(f"{result.cell}: under noise and shots")
            run = load_run(result.folder)
            found += measure_run(run, result.cell.variant, noise.rates, noise.shots, noise.images)
    found.sort(key=lambda each: (each.kind, each.level is None, each.level or 0))
    return NoiseStudy(trained, tuple(found))


def measure_run(
    run: SavedRun, row: str, rates: Sequence[float], shots: Sequence[int], images: int
) -> list[Measurement]:
    """Evaluate one trained run at every level; an equilibrium by its own solver, and by a fixed number of its steps.

    Args:
        run: The run.
        row: What it is called.
        rates: Depolarising probabilities after every gate.
        shots: Measurements of a circuit.
        images: At most so many test images, the same for all runs on the same data.
    """
    test = run.splits.test
    order = torch.randperm(len(test.labels), generator=torch_generator(0, "noise", "images"))
    rows = order[:images].sort().values
    subset = Split(test.features[rows], test.labels[rows])
    spec = run.spec
    levels: list[tuple[Kind, float | None, dict[str, Any]]] = [
        *(("depolarising", rate, {"noise": NoiseModel(depolarizing=rate)}) for rate in rates),
        *(("shots", number, {"shots": number}) for number in shots),
        ("shots", None, {}),
    ]
    with warnings.catch_warnings(), cpu_threads(spec.training.threads, spec.model.qubits):
        warnings.simplefilter("ignore", ConvergenceWarning)  # failed solves are counted
        exact = _predict(run, spec, subset)
        return [
            _measured(run, name, kind, level, _predict(run, way.model_copy(update=change), subset), exact)
            for name, way in _ways(row, spec).items()
            for kind, level, change in levels
        ]


def _ways(row: str, spec: ExperimentSpec) -> dict[str, ExperimentSpec]:
    """Return how a run predicts: as it was trained, and an equilibrium also by a fixed number of steps.

    A solve ends where its residual is lost in noise: with few shots after one step, which says as much about the rule
    as about equilibria.
    """
    if spec.model.layers is not None:
        return {row: spec}
    fixed = spec.model_copy(update={"solver": spec.solver.model_copy(update={"fixed_steps": FIXED_STEPS})})
    return {row: spec, f"{row}, {FIXED_STEPS} steps": fixed}


@dataclass(frozen=True, eq=False)
class _Outcome:
    """One value an image: right or not, label, residuals, circuits, shots, and whether its solve failed."""

    right: Tensor
    label: Tensor
    residual: Tensor
    noiseless: Tensor
    circuits: Tensor
    shots: Tensor | None
    failed: Tensor | None


def _predict(run: SavedRun, spec: ExperimentSpec, split: Split) -> _Outcome:
    """Classify the images as the spec's circuit does, with the run's weights."""
    model, meant, own = (_model(run, each) for each in (spec, spec.model_copy(update={"shots": None}), run.spec))
    parts = []
    with torch.no_grad():
        for rows in torch.arange(len(split.labels)).split(BATCH):
            features = split.features[rows].to(model.weights)
            labels = split.labels[rows].to(features.device)
            prediction = model(features, key=shot_key(spec, "evaluate", 0, rows))
            found = prediction.equilibrium
            chosen = prediction.logits.argmax(dim=1)
            shots = (
                None if spec.shots is None else found.evaluations * spec.shots if found.shots is None else found.shots
            )
            failed = None
            if found.status is not None:
                good = torch.tensor([status for status in Status if not status.failed], device=features.device)
                failed = ~torch.isin(found.status, good.to(found.status))
            parts.append(
                _Outcome(
                    chosen == labels,
                    chosen,
                    _residual(meant, found.value, features),
                    _residual(own, found.value, features),
                    found.evaluations,
                    shots,
                    failed,
                )
            )
    return _join(parts)


def _model(run: SavedRun, spec: ExperimentSpec) -> Any:
    model = build_model(spec, len(run.class_names))
    run.checkpoint.restore(model)
    if model.equilibrium.on_failure == "raise":
        model.equilibrium.on_failure = "warn"
    return model.eval()


def _residual(model: Any, y: Tensor, features: Tensor) -> Tensor:
    """Return ``||f(y) - y|| / ||f(y)||`` ``[B]`` by the model's exact expectations."""
    value = model.function.at(model.weights)(features + model.state_scale * upsample(y, features.shape[1]))
    residual: Tensor = (value - y).norm(dim=1) / value.norm(dim=1)
    return residual


def _join(parts: Sequence[_Outcome]) -> _Outcome:
    names = list(_Outcome.__dataclass_fields__)
    columns = [[getattr(part, name) for part in parts] for name in names]
    joined: list[Any] = [None if column[0] is None else torch.cat(column) for column in columns]
    return _Outcome(*joined)


def _measured(
    run: SavedRun, row: str, kind: Kind, level: float | None, found: _Outcome, exact: _Outcome
) -> Measurement:
    def mean(values: Tensor | None) -> float | None:
        if values is None:
            return None
        values = values.double()
        return float(values[values.isfinite()].mean())  # a residual is not, where f(y) is 0

    figures = {
        "accuracy": mean(found.right),
        "agreement": mean(found.label == exact.label),
        "residual": mean(found.residual),
        "noiseless_residual": mean(found.noiseless),
        "circuits": mean(found.circuits),
        "shots": mean(found.shots),
        "failed": mean(found.failed),
    }
    return Measurement(row, run.spec.seed, kind, level, len(found.right), **figures)  # type: ignore[arg-type]
