"""What a row asks of a device: the depth of its circuit, and how many circuits a training step runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qdeq.backends import get_backend
from qdeq.backends.analysis import analyse
from qdeq.backends.planner import plan_step
from qdeq.backends.probing import num_probes
from qdeq.backends.shifts import shifted_circuits
from qdeq.builders import build_circuit
from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.spec import ExperimentSpec


@dataclass(frozen=True)
class Costs:
    """Of one row.

    Attributes:
        depth: Layers of gates of one circuit, without the state's preparation (amplitudes, or rotations by inputs).
        prepared_depth: The same with it, amplitudes by RY and CNOT gates (Möttönen et al. 2005).
        step_circuits: Circuits of a training step where each sample, evaluation and shift is one, which is what a
            device that samples needs; for a full batch, at the mean number of evaluations of the last epoch. All
            rotations follow shift rules, amplitudes the bilinear one.
        compiled_circuits: Circuits of a training step where f is compiled from exact expectations at known states: the
            same whatever the batch, the solver's steps and the layers. None where f cannot be compiled.
    """

    depth: int
    prepared_depth: int
    step_circuits: int | None
    compiled_circuits: int | None


def row_costs(spec: ExperimentSpec, evaluations: float | None) -> Costs:
    """Return what a row costs.

    Args:
        spec: Its experiment.
        evaluations: Mean evaluations of f in a solve; not looked at for direct layers. None where it is not known.
    """
    circuit = build_circuit(spec.model)
    batch, layers = spec.training.batch_size, spec.model.layers
    steps = None
    if layers is not None or evaluations is not None:
        steps = plan_step(
            get_backend("torch"), circuit, batch, round(evaluations or 0), shots=1, layers=layers
        ).executions
    analysis = analyse(circuit)
    compiled = None
    if analysis is not None:
        compiled = num_probes(analysis) * (1 + len(shifted_circuits(circuit, Weight).circuits))
    return Costs(_without_inputs(circuit).depth(), circuit.depth(preparation=True), steps, compiled)


def _without_inputs(circuit: Circuit) -> Circuit:
    kept = [gate for gate in circuit.gates if not _encodes(gate)]
    return replace(circuit, operations=tuple(kept))


def _encodes(gate: Gate) -> bool:
    return any(isinstance(angle, Input) for angle in gate.angles)
