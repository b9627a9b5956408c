"""Circuits as JSON text, there and back. The text may come from anybody: reading it raises CircuitError or nothing.

``{"format": "qdeq-circuit", "version": 1, "num_qubits": n, "operations": [...]}``, where an operation is
``[name, qubits, angles]`` or ``["AmplitudeEncoding", num_features, values or null]`` and an angle is a number or
``["input" | "weight", index, scale, offset]``. Noise is ``[name, qubits, probability]``; a circuit with readout errors
also has ``"readout": [[qubit, zero_to_one, one_to_zero], ...]``.
"""

from __future__ import annotations

import json
from typing import Any

from qdeq.channels import CHANNELS
from qdeq.circuit import Circuit
from qdeq.errors import CircuitError, printable
from qdeq.operations import AmplitudeEncoding, Angle, Channel, Gate, Input, Operation, ReadoutError, Weight

_LONGEST_NAME = 64
_KINDS: dict[str, type[Input] | type[Weight]] = {"input": Input, "weight": Weight}


def circuit_to_json(circuit: Circuit) -> str:
    """Return the circuit as JSON text without spaces; equal circuits give the same text."""
    data = {
        "format": "qdeq-circuit",
        "version": 1,
        "num_qubits": circuit.num_qubits,
        "operations": [_operation_to_data(operation) for operation in circuit.operations],
    }
    if circuit.readout:
        data["readout"] = [[error.qubit, error.zero_to_one, error.one_to_zero] for error in circuit.readout]
    return json.dumps(data, separators=(",", ":"))


def circuit_from_json(text: str) -> Circuit:
    """Read what :func:`circuit_to_json` wrote.

    Raises:
        CircuitError: The text is not a circuit.
    """
    try:
        data = json.loads(text, object_pairs_hook=_each_key_once, parse_constant=_no_constant)
    except (TypeError, ValueError, RecursionError) as error:
        raise CircuitError(f"not a circuit: invalid JSON ({printable(str(error))})") from error
    if not isinstance(data, dict) or data.get("format") != "qdeq-circuit" or data.get("version") != 1:
        raise CircuitError('not a circuit: expected {"format": "qdeq-circuit", "version": 1, ...}')
    operations = data.get("operations")
    keys = {"format", "version", "num_qubits", "operations"}
    if set(data) - {"readout"} != keys or not isinstance(operations, list):
        raise CircuitError("not a circuit: expected exactly format, version, num_qubits and a list of operations")
    return Circuit(
        data["num_qubits"],
        tuple(_operation_from_data(item, at) for at, item in enumerate(operations)),
        _readout_from_data(data.get("readout", [])),
    )


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _readout_from_data(data: Any) -> tuple[ReadoutError, ...]:
    if not isinstance(data, list) or any(not isinstance(item, list) or len(item) != 3 for item in data):
        raise CircuitError("not a circuit: readout must be a list of [qubit, zero_to_one, one_to_zero]")
    return tuple(ReadoutError(*item) for item in data)


def _operation_to_data(operation: Operation) -> list[Any]:
    if isinstance(operation, AmplitudeEncoding):
        values = None if operation.values is None else list(operation.values)
        return ["AmplitudeEncoding", operation.num_features, values]
    if isinstance(operation, Channel):
        return [operation.name, list(operation.qubits), operation.probability]
    return [operation.name, list(operation.qubits), [_angle_to_data(angle) for angle in operation.angles]]


def _angle_to_data(angle: Angle) -> float | list[Any]:
    if isinstance(angle, Input | Weight):
        return ["input" if isinstance(angle, Input) else "weight", angle.index, angle.scale, angle.offset]
    return angle


def _operation_from_data(data: Any, position: int) -> Operation:
    if not isinstance(data, list) or len(data) != 3:
        raise CircuitError(f"operation {position}: expected [name, qubits, angles]")
    name, first, second = data
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        raise CircuitError(f"operation {position}: a gate's name is a text of at most {_LONGEST_NAME} characters")
    if name == "AmplitudeEncoding":
        if second is not None and not isinstance(second, list):
            raise CircuitError(f"operation {position}: the values of AmplitudeEncoding must be a list or null")
        return AmplitudeEncoding(first, None if second is None else tuple(second))
    if name in CHANNELS and isinstance(first, list):
        return Channel(name, first, second)
    if not isinstance(first, list) or not isinstance(second, list):
        raise CircuitError(f"operation {position}: expected [name, qubits, angles]")
    return Gate(name, first, [_angle_from_data(angle, position) for angle in second])


def _angle_from_data(data: Any, position: int) -> Angle:
    if not isinstance(data, list):
        return data
    if len(data) != 4 or not isinstance(data[0], str) or data[0] not in _KINDS:
        raise CircuitError(f'operation {position}: an angle is a number or ["input" | "weight", index, scale, offset]')
    return _KINDS[data[0]](*data[1:])
