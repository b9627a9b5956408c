"""From a checked experiment spec to the objects that it describes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from qdeq import library
from qdeq.adjoints import Adjoint, get_adjoint
from qdeq.backends import get_backend
from qdeq.circuit import Circuit
from qdeq.data import FeatureSplits, load_dataset, prepare
from qdeq.equilibrium import Equilibrium
from qdeq.models import QDEQClassifier, QuantumFunction
from qdeq.noise import NoiseModel
from qdeq.seeds import torch_generator
from qdeq.solvers import get_solver
from qdeq.spec import ExperimentSpec, ModelSpec

ENCODERS = {
    "amplitude": library.amplitude_encoder,
    "angle": library.angle_encoder,
    "paper-angle": library.paper_angle_encoder,
}
ANSATZE: dict[str, Callable[[int, int], Circuit]] = {
    "paper": library.paper_ansatz,
    "paper-untrained-blocks": partial(library.paper_ansatz, train_blocks=False),
    "hardware-efficient": library.hardware_efficient,
    "strongly-entangling": library.strongly_entangling,
}


def build_data(spec: ExperimentSpec) -> FeatureSplits:
    """Load, split and pool the images."""
    data = spec.data
    return prepare(
        load_dataset(data.dataset),
        size=spec.model.qubits,
        classes=data.classes,
        feature_map=data.features,
        normalise=data.normalise,
        split_seed=data.split_seed,
        validation_fraction=data.validation_fraction,
        limit=data.limit,
    )


def build_circuit(model: ModelSpec, noise: NoiseModel | None = None) -> Circuit:
    """Return the circuit: encoder, then ansatz; with noise on its gates and its measurement where there is any."""
    circuit = ENCODERS[model.encoding](model.qubits) + ANSATZE[model.ansatz](model.qubits, model.ansatz_layers)
    return circuit if noise is None else noise.attach(circuit)


def build_adjoint(spec: ExperimentSpec) -> Adjoint:
    """Return how the equilibrium gets its gradient."""
    return get_adjoint(spec.adjoint)


def build_model(spec: ExperimentSpec, num_classes: int) -> QDEQClassifier:
    """Return the classifier with its first weights, on the spec's device and in its precision.

    Raises:
        UnsupportedError: The backend cannot run its circuit.
    """
    backend = get_backend(spec.backend)
    function = QuantumFunction(build_circuit(spec.model, spec.noise), backend=backend)
    model = QDEQClassifier(
        function,
        num_classes,
        equilibrium=Equilibrium(
            get_solver(spec.solver.choice()),
            adjoint=build_adjoint(spec),
            on_failure=spec.solver.on_failure,
            fallback=[get_solver(choice) for choice in spec.solver.fallback],
            jacobian_weight=spec.training.jacobian_weight,
            jacobian_estimate=spec.training.jacobian_estimate,
            fixed_steps=spec.solver.fixed_steps,
            first_shots=spec.solver.first_shots,
            shots_growth=spec.solver.shots_growth,
        ),
        layers=spec.model.layers,
        num_features=spec.model.qubits**2,
        state_scale=spec.model.state_scale,
        learn_state_scale=spec.model.learn_state_scale,
        dropout=spec.model.dropout,
        state_dropout=spec.model.state_dropout,
        shots=spec.shots,
        generator=torch_generator(spec.seed, "weights"),
    )
    backend.check(function.circuit, model.weights, function.observables, shots=spec.shots)
    return model.to(device=spec.training.device, dtype=getattr(torch, spec.training.precision))
