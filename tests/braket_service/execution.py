"""Running a task's program with Braket's local simulators, and writing the result as the service writes it."""

from __future__ import annotations

import json
import warnings
from functools import cache
from typing import Any

import numpy as np
from braket.default_simulator import DensityMatrixSimulator, StateVectorSimulator
from braket.default_simulator.simulation import Simulation
from braket.ir import openqasm
from braket.tasks import GateModelQuantumTaskResult

from .gradient import adjoint_gradient
from .programs import Program

MAXIMUM_QUBITS = {StateVectorSimulator: 22, DensityMatrixSimulator: 11}
"""What a test's machine has the memory for: 64 MiB a state or matrix."""


@cache
def _properties(kind: type) -> Any:
    return kind().properties  # which parses them anew each time that it looks at them


def run(program: Program, source: str, shots: int, *, density: bool, seed: int) -> dict[str, Any]:
    """Return the parts of a GateModelTaskResult that a simulation gives, as plain JSON values.

    Raises:
        RuntimeError: The program has more qubits than a test's machine simulates.
    """
    if program.gradient is not None:
        return {"resultTypes": [adjoint_gradient(program)], "measuredQubits": list(range(program.qubit_count))}
    kind = DensityMatrixSimulator if density else StateVectorSimulator
    if program.context.circuit.num_qubits > MAXIMUM_QUBITS[kind]:
        raise RuntimeError(f"this test service simulates at most {MAXIMUM_QUBITS[kind]} qubits here")

    class Prepared(kind):  # type: ignore[misc, valid-type]
        """A local simulator that is given a program which was read before, and a seed."""

        properties = _properties(kind)

        def parse_program(self, *_: Any) -> Any:
            return program.context

        _parse_program_with_shots = parse_program

        def initialize_simulation(self, **settings: Any) -> Simulation:
            simulation = super().initialize_simulation(**settings)
            simulation._rng_generator = np.random.default_rng(seed)
            return simulation

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are running a noise-free circuit")
        result = Prepared().run(openqasm.Program(source=source), shots=shots)
    parts: dict[str, Any] = {"measuredQubits": [int(qubit) for qubit in result.measuredQubits]}
    if shots:
        parts["measurements"] = [[int(bit) for bit in row] for row in result.measurements]
    if result.resultTypes:
        values = GateModelQuantumTaskResult.from_object(result).result_types if shots else result.resultTypes
        parts["resultTypes"] = [
            {"type": json.loads(entry.type.json(exclude_none=True)), "value": _plain(entry.value)} for entry in values
        ]
    return parts


def result_json(
    parts: dict[str, Any], *, arn: str, request: dict[str, Any], created: str, ended: str, milliseconds: int
) -> str:
    """Return results.json: a GateModelTaskResult with the task's and the simulator's metadata."""
    metadata: dict[str, Any] = {
        "braketSchemaHeader": {"name": "braket.task_result.task_metadata", "version": "1"},
        "id": arn,
        "shots": request["shots"],
        "deviceId": request["deviceArn"],
        "createdAt": created,
        "endedAt": ended,
        "status": "COMPLETED",
    }
    if "deviceParameters" in request:
        metadata["deviceParameters"] = json.loads(request["deviceParameters"])
    additional: dict[str, Any] = {"action": json.loads(request["action"])}
    if "quantum-simulator" in request["deviceArn"]:
        additional["simulatorMetadata"] = {
            "braketSchemaHeader": {"name": "braket.task_result.simulator_metadata", "version": "1"},
            "executionDuration": milliseconds,
        }
    header = {"name": "braket.task_result.gate_model_task_result", "version": "1"}
    return json.dumps(
        {"braketSchemaHeader": header, **parts, "taskMetadata": metadata, "additionalMetadata": additional}
    )


def _plain(value: Any) -> Any:
    """Return numbers and arrays as JSON has them; a complex number is a pair."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, complex | np.complexfloating):
        return [float(value.real), float(value.imag)]
    return value.item() if isinstance(value, np.generic) else value
