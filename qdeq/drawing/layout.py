"""What every drawing shares: which operations stand in one column, on which qubits, under which labels."""

from __future__ import annotations

from qdeq.circuit import Circuit
from qdeq.operations import AmplitudeEncoding, Angle, Channel, Gate, Input, Operation, ReadoutError, Weight

Drawn = Operation | ReadoutError


def angle_label(angle: Angle) -> str:
    """Return a number, or the name of what stands for one."""
    return str(angle) if isinstance(angle, Input | Weight) else f"{angle:.3g}"


def noise_label(noise: Channel | ReadoutError) -> tuple[str, str]:
    """Return name and probabilities."""
    if isinstance(noise, Channel):
        return f"~{noise.type.symbol}", f"{noise.probability:.3g}"
    flips = (noise.zero_to_one, noise.one_to_zero)
    return "~M", ",".join(f"{flip:.3g}" for flip in (flips[:1] if flips[0] == flips[1] else flips))


def qubits_of(operation: Gate | Channel | ReadoutError) -> tuple[int, ...]:
    """Return the qubits that an operation acts on."""
    return (operation.qubit,) if isinstance(operation, ReadoutError) else operation.qubits


def span(operation: Gate | Channel | ReadoutError) -> tuple[int, int]:
    """Return the first and the last of its qubits."""
    return min(qubits_of(operation)), max(qubits_of(operation))


def columns_of(circuit: Circuit) -> list[list[Drawn]]:
    """Pack the operations to the left, gates whose vertical spans overlap in different columns."""
    columns: list[list[Drawn]] = []
    level = [0] * circuit.num_qubits
    for operation in (*circuit.operations, *circuit.readout):
        if isinstance(operation, AmplitudeEncoding):
            top, bottom = 0, circuit.num_qubits - 1
        else:
            top, bottom = span(operation)
        at = max(level[top : bottom + 1])
        level[top : bottom + 1] = [at + 1] * (bottom + 1 - top)
        if at == len(columns):
            columns.append([])
        columns[at].append(operation)
    return columns
