"""Circuits as text; it loads nothing beyond the circuit."""

from __future__ import annotations

from qdeq.circuit import Circuit
from qdeq.drawing.layout import Drawn, angle_label, columns_of, noise_label, qubits_of, span
from qdeq.operations import AmplitudeEncoding, Channel, Gate, ReadoutError

_STATE = "|v⟩"


def draw_text(circuit: Circuit, *, max_width: int = 120) -> str:
    """Return the circuit as text: one line a qubit, time from left to right, connectors in the lines between.

    Noise is ``~name(probability)``; a readout error is ``~M(probability)`` at the end, or
    ``~M(zero to one, one to zero)``.

    Args:
        circuit: Any circuit, bound or not.
        max_width: Columns that do not fit this many characters go into further blocks. A single column that is wider
            stands alone in its block.

    Example:
        >>> from qdeq.circuit import Input, Weight
        >>> print(draw_text(Circuit(3, [Gate("RY", 1, Input(0)), Gate("CRX", (0, 2), Weight(0))])))
        0: ──────────●────
                     │
        1: ─RY(x0)───┼────
                     │
        2: ────────RX(θ0)─
    """
    names = [f"{qubit}: " for qubit in range(circuit.num_qubits)]
    margin = max(len(name) for name in names)
    rows = [name.rjust(margin) if row % 2 == 0 else "" for name in names for row in (0, 1)][:-1]
    starts = [name.ljust(margin) for name in rows]
    blocks: list[list[str]] = []
    lines = [start + _wire(row) for row, start in enumerate(starts)]
    empty = len(lines[0])
    for column in columns_of(circuit):
        cells = _text_column(column, len(rows))
        if len(lines[0]) > empty and len(lines[0]) + len(cells[0]) > max_width:
            blocks.append(lines)
            lines = [start + _wire(row) for row, start in enumerate(starts)]
        lines = [line + cell for line, cell in zip(lines, cells, strict=True)]
    blocks.append(lines)
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks)


def _wire(row: int) -> str:
    return " " if row % 2 else "─"


def _text_column(operations: list[Drawn], num_rows: int) -> list[str]:
    """Return one cell a row (qubits on even rows), all of one width, with a piece of wire to their right."""
    labels: dict[int, str] = {}
    for operation in operations:
        if isinstance(operation, AmplitudeEncoding):
            labels = {
                row: f"┤{' ' * len(_STATE)}├" if row % 2 == 0 else f"│{' ' * len(_STATE)}│" for row in range(num_rows)
            }
            middle = (num_rows - 1) // 4 * 2
            labels[middle] = f"┤{_STATE}├"
            break
        top, bottom = span(operation)
        for row in range(2 * top, 2 * bottom + 1):
            labels[row] = "│" if row % 2 else "┼"
        for position, qubit in enumerate(qubits_of(operation)):
            labels[2 * qubit] = _text_label(operation, position)
    width = max(len(label) for label in labels.values())
    cells = []
    for row in range(num_rows):
        wire, label = _wire(row), labels.get(row, "")
        left = (width - len(label)) // 2
        cells.append(wire * left + label + wire * (width - len(label) - left + 1))
    return cells


def _text_label(gate: Gate | Channel | ReadoutError, position: int) -> str:
    if not isinstance(gate, Gate):
        return "{}({})".format(*noise_label(gate))
    if position < gate.type.num_controls:
        return "●"
    if gate.name in ("CNOT", "Toffoli"):
        return "⊕"
    angles = ",".join(angle_label(angle) for angle in gate.angles)
    return f"{gate.type.symbol}({angles})" if angles else gate.type.symbol
