"""A whole experiment: its sections, what they demand of each other, and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

import yaml
from pydantic import Field, model_validator

from qdeq.backends import get_backend
from qdeq.billing.budget import Budget
from qdeq.noise import NoiseModel
from qdeq.solvers import CompositeSolver, get_solver
from qdeq.spec.fields import Count, Positive, Section, adjoint_options, resolved
from qdeq.spec.places import without_places
from qdeq.spec.sections import DataSpec, ModelSpec, TrainingSpec
from qdeq.spec.solver import SolverSpec

ASIDE = (  # options of training that no figure of the run depends on
    "device",
    "threads",
    "tensorboard",
    "diagnostics",
    "checkpoint_steps",
    "checkpoint_minutes",
    "checkpoints_kept",
)


class ExperimentSpec(Section):
    """A whole experiment."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        "experiment", description="Name of the experiment: letters, digits, dot, dash, underscore."
    )
    seed: Count = Field(0, description="Root of all random streams of the run.")
    data: DataSpec = Field(default_factory=DataSpec, description="Images and features.")
    model: ModelSpec = Field(default_factory=ModelSpec, description="Circuit and mode.")
    backend: Annotated[dict[str, Any], resolved(get_backend)] = Field(
        default="torch",
        validate_default=True,
        description="Backend: a name, or a mapping with name and options; `qdeq backends` lists them.",
    )
    shots: Positive | None = Field(None, description="Measurements per circuit; null for exact expectations.")
    noise: NoiseModel | None = Field(None, description="Noise of gates and of the measurement; null for none.")
    solver: SolverSpec = Field(default_factory=SolverSpec, description="Forward solver: a name, or a mapping.")
    adjoint: Annotated[dict[str, Any], resolved(adjoint_options)] = Field(
        default="dense",
        validate_default=True,
        description="How the equilibrium gets its gradient: dense, gmres or a registered solver (exact), phantom or "
        "jacobian-free (biased), unrolled (that of the solver's steps); a name, or a mapping with options.",
    )
    training: TrainingSpec = Field(default_factory=TrainingSpec, description="Optimisation.")
    budget: Budget | None = Field(
        None, description="What may be spent; a backend that costs money does not run without."
    )

    @model_validator(mode="after")
    def _consistent(self) -> ExperimentSpec:
        if self.data.features == "paper" and self.model.qubits not in (4, 10):
            raise ValueError("data.features: paper is for 4 or 10 qubits; use features: pool")
        if self.shots is not None and self.training.jacobian_weight:
            raise ValueError("training.jacobian_weight has to be 0 under shots: its derivative is not measured")
        if self.noise is not None:
            self._check_noise(self.noise)
        first = self.solver.first_shots
        if first is not None and (self.shots is None or first > self.shots):
            raise ValueError(f"solver.first_shots is {first}, and shots is {self.shots}: it needs at least as many")
        if first is not None and self.adjoint["name"] == "unrolled":
            raise ValueError("adjoint: unrolled repeats a solve with all shots; leave solver.first_shots out")
        if self.model.mode == "direct" and (self.training.warmup_steps or self.training.jacobian_weight):
            raise ValueError("training.warmup_steps and training.jacobian_weight need model.mode: implicit")
        if self.model.mode == "direct" and self.training.warm_start:
            raise ValueError("training.warm_start needs model.mode: implicit; direct layers always start from 0")
        if self.adjoint["name"] == "unrolled" and self.solver.fallback:
            raise ValueError("adjoint: unrolled follows one solver; leave solver.fallback out, or use adjoint: dense")
        if self.adjoint["name"] == "unrolled":
            solver, name = get_solver(self.solver.choice()), self.solver.name
            if isinstance(solver, CompositeSolver):
                raise ValueError(f"adjoint: unrolled follows one solver; name one in place of {name}")
            if not solver.differentiable:
                raise ValueError(f"adjoint: unrolled cannot follow {name}, whose steps leave PyTorch; use dense")
        return self

    def _check_noise(self, noise: NoiseModel) -> None:
        if noise.encoder and self.model.encoding == "amplitude":
            raise ValueError("noise.encoder needs rotations by inputs; use model.encoding: angle, or encoder: false")
        outside = [qubit for qubit in noise.named_qubits if qubit >= self.model.qubits]
        if outside:
            raise ValueError(f"noise names qubit {outside[0]}, and model.qubits is {self.model.qubits}")

    def to_yaml(self) -> str:
        """Return the spec with every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def identity(self) -> dict[str, Any]:
        """Return the resolved spec, as JSON has it, without what changes no figure: device, budget and the like."""
        data = self.model_dump(mode="json")
        for where in ASIDE:
            del data["training"][where]
        del data["budget"]
        return data

    @property
    def content_hash(self) -> str:
        """SHA-256 of :meth:`identity`, in hexadecimal, without places: where files lie is no part of an experiment."""
        return hashlib.sha256(json.dumps(without_places(self.identity()), sort_keys=True).encode()).hexdigest()

    def differences(self, other: ExperimentSpec) -> dict[str, tuple[Any, Any]]:
        """Return the keys in which another experiment differs, with both values; places count for nothing.

        Args:
            other: The other one.
        """
        mine, others = (_flat(without_places(spec.identity())) for spec in (self, other))
        return {key: (mine.get(key), others.get(key)) for key in {**mine, **others} if mine.get(key) != others.get(key)}


def _flat(data: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    """Return what mappings within mappings hold, by keys with dots."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= _flat(value, f"{head}{key}.") if isinstance(value, Mapping) else {f"{head}{key}": value}
    return found
