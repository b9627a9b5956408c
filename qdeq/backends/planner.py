"""How many circuits a training step will run, said before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qdeq.backends.adapter import CircuitBackend
from qdeq.backends.analysis import analyse, column_states
from qdeq.backends.base import Backend
from qdeq.backends.choi import choi_fits
from qdeq.backends.probing import num_probes, probing_pays
from qdeq.backends.shifts import shifted_circuits
from qdeq.circuit import Circuit, Input, Weight


@dataclass(frozen=True)
class StepPlan:
    """The circuits of one training step.

    Attributes:
        how: ``"columns"`` (compiled from amplitudes), ``"probes"`` (compiled from expectations) or ``"circuits"`` (one
            for every sample, evaluation and shift).
        executions: Their number before duplicates are removed, for each measurement group where the backend gives
            probabilities. Exact when compiled; for ``"circuits"`` at the given number of evaluations.
    """

    how: Literal["columns", "probes", "circuits"]
    executions: int

    def __str__(self) -> str:
        ways = {
            "columns": "compiled, from the ansatz and its shifted angles",
            "probes": "compiled, from known states and shifted angles",
            "circuits": "at most, one for every sample, evaluation and shift",
        }
        return f"{self.executions:,} a training step ({ways[self.how]})"


def plan_step(
    backend: Backend,
    circuit: Circuit,
    batch: int,
    evaluations: int,
    *,
    shots: int | None = None,
    layers: int | None = None,
) -> StepPlan:
    """Count the circuits of a training step.

    Args:
        backend: What runs them; one that runs no circuits (:class:`CircuitBackend`) is counted as if it did.
        circuit: The model's circuit.
        batch: Samples in a step.
        evaluations: Evaluations of f in a solve; of no meaning for direct layers.
        shots: Measurements per circuit; None for exact.
        layers: Direct layers; None for the equilibrium.
    """
    analysis = analyse(circuit)
    shifts = len(shifted_circuits(circuit, Weight).circuits)
    if (
        isinstance(backend, CircuitBackend)
        and backend.execution != "circuits"
        and analysis is not None
        and shots is None
    ):
        if backend.gives == "amplitudes":
            ansatz = Circuit(circuit.num_qubits, analysis.ansatz)
            runs = 1 + len(shifted_circuits(ansatz, Weight, amplitudes=True).circuits)
            states = column_states(circuit.num_qubits, analysis)
            return StepPlan("columns", runs * (1 if choi_fits(backend, circuit.num_qubits, states) else len(states)))
        if backend.execution == "compiled" or probing_pays(circuit, analysis, batch):
            return StepPlan("probes", num_probes(analysis) * (1 + shifts))
    if layers is not None:  # each evaluated and shifted in its weights, and all but the first in their inputs
        inputs = len(shifted_circuits(circuit, Input).circuits)
        if circuit.encoding is not None:
            inputs += 2 * circuit.encoding.num_features + 1
        return StepPlan("circuits", batch * (layers * (1 + shifts) + (layers - 1) * inputs))
    # the recorded evaluation, and the Jacobian: shifted inputs, or two moved vectors and the value for each direction
    jacobian = len(shifted_circuits(circuit, Input).circuits)
    if circuit.encoding is not None:
        jacobian += 2 * circuit.num_qubits + 1
    return StepPlan("circuits", batch * (evaluations + 1 + jacobian + shifts))
