"""Drawings of circuits: as text for terminals and documentation, as a matplotlib figure for papers and reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Patch

from qdeq.circuit import Circuit
from qdeq.operations import AmplitudeEncoding, Angle, Channel, Gate, Input, Operation, ReadoutError, Weight

_STATE = "|v⟩"
_Drawn = Operation | ReadoutError


def draw_text(circuit: Circuit, *, max_width: int = 120) -> str:
    """Return the circuit as text: one line a qubit, time from left to right, connectors in the lines between.

    Noise is ``~name(probability)``; a readout error is ``~M(probability)`` at the end, or
    ``~M(zero to one, one to zero)``.

    Args:
        circuit: Any circuit, bound or not.
        max_width: Columns that do not fit this many characters go into further blocks. A single column that is wider
            stands alone in its block.

    Example:
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
    for column in _columns(circuit):
        cells = _text_column(column, len(rows))
        if len(lines[0]) > empty and len(lines[0]) + len(cells[0]) > max_width:
            blocks.append(lines)
            lines = [start + _wire(row) for row, start in enumerate(starts)]
        lines = [line + cell for line, cell in zip(lines, cells, strict=True)]
    blocks.append(lines)
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks)


def _wire(row: int) -> str:
    return " " if row % 2 else "─"


def _text_column(operations: list[_Drawn], num_rows: int) -> list[str]:
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
        top, bottom = _span(operation)
        for row in range(2 * top, 2 * bottom + 1):
            labels[row] = "│" if row % 2 else "┼"
        for position, qubit in enumerate(_qubits(operation)):
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
        return "{}({})".format(*_noise_label(gate))
    if position < gate.type.num_controls:
        return "●"
    if gate.name in ("CNOT", "Toffoli"):
        return "⊕"
    angles = ",".join(_angle(angle) for angle in gate.angles)
    return f"{gate.type.symbol}({angles})" if angles else gate.type.symbol


def _angle(angle: Angle) -> str:
    return str(angle) if isinstance(angle, Input | Weight) else f"{angle:.3g}"


def _noise_label(noise: Channel | ReadoutError) -> tuple[str, str]:
    """Return name and probabilities."""
    if isinstance(noise, Channel):
        return f"~{noise.type.symbol}", f"{noise.probability:.3g}"
    flips = (noise.zero_to_one, noise.one_to_zero)
    return "~M", ",".join(f"{flip:.3g}" for flip in (flips[:1] if flips[0] == flips[1] else flips))


def _qubits(operation: Gate | Channel | ReadoutError) -> tuple[int, ...]:
    return (operation.qubit,) if isinstance(operation, ReadoutError) else operation.qubits


def _span(operation: Gate | Channel | ReadoutError) -> tuple[int, int]:
    return min(_qubits(operation)), max(_qubits(operation))


def _columns(circuit: Circuit) -> list[list[_Drawn]]:
    """Pack the operations to the left, gates whose vertical spans overlap in different columns."""
    columns: list[list[_Drawn]] = []
    level = [0] * circuit.num_qubits
    for operation in (*circuit.operations, *circuit.readout):
        if isinstance(operation, AmplitudeEncoding):
            top, bottom = 0, circuit.num_qubits - 1
        else:
            top, bottom = _span(operation)
        at = max(level[top : bottom + 1])
        level[top : bottom + 1] = [at + 1] * (bottom + 1 - top)
        if at == len(columns):
            columns.append([])
        columns[at].append(operation)
    return columns


# -- matplotlib -------------------------------------------------------------------------------------------------------

_INCH = 0.52
"""Inches a unit of the drawing; a wire has height 1."""
_ROW_UNITS = 26.0
"""A row of the figure is folded at this width, in units."""
_FONT = 9.0


@dataclass(frozen=True)
class _Style:
    label: str
    face: str
    edge: str


_STYLES = {
    (True, False): _Style("input", "#d6e8f8", "#1f6aa5"),
    (False, True): _Style("weight", "#fde5c8", "#c2660c"),
    (True, True): _Style("input and weight", "#e9dcf5", "#7446a6"),
    (False, False): _Style("fixed", "#eceff2", "#56626e"),
}
_NOISE = _Style("noise", "#fbe1e3", "#b0343f")


def draw_figure(circuit: Circuit) -> Figure:
    """Return the circuit as a matplotlib figure; long circuits are folded into rows.

    Boxes hold a gate's symbol above its angles, and their colour tells inputs, weights and fixed gates apart. The
    figure is made without pyplot, so nothing has to be closed.
    """
    bands = list(_bands(_columns(circuit)))
    band_height = circuit.num_qubits + 0.8
    left, right = -1.0, max(3.0, *(sum(widths) for _, widths in bands)) + 0.5
    height = len(bands) * band_height + 0.9
    figure = Figure(figsize=((right - left) * _INCH, height * _INCH), dpi=150)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left, right), ylim=(height - 0.9, -0.9))
    axes.set_axis_off()
    for number, (columns, widths) in enumerate(bands):
        first = number * band_height
        end = right - 0.3 if number < len(bands) - 1 else max(1.0, sum(widths)) + 0.2
        for qubit in range(circuit.num_qubits):
            axes.plot((-0.35, end), (first + qubit,) * 2, color="#9aa5b1", lw=0.9, zorder=0)
            axes.text(
                -0.5, first + qubit, f"$q_{{{qubit}}}$", ha="right", va="center", fontsize=_FONT + 1, color="#222222"
            )
        x = 0.0
        for column, width in zip(columns, widths, strict=True):
            for operation in column:
                _Painter(axes, x + width / 2, first).operation(operation, circuit.num_qubits, width)
            x += width
    used = dict.fromkeys(_style(operation) for operation in (*circuit.operations, *circuit.readout))
    handles = [
        Patch(facecolor=style.face, edgecolor=style.edge, label=style.label)
        for style in (*_STYLES.values(), _NOISE)
        if style in used
    ]
    if handles:
        figure.legend(
            handles=handles,
            loc="lower left",
            ncols=5,
            frameon=False,
            fontsize=_FONT,
            handlelength=1.2,
            handleheight=1.1,
        )
    return figure


def _bands(columns: list[list[_Drawn]]) -> Iterator[tuple[list[list[_Drawn]], list[float]]]:
    """Fold the columns into rows of the figure; yield the columns of each with their widths."""
    band: list[list[_Drawn]] = []
    widths: list[float] = []
    for column in columns:
        width = max(_width(operation) for operation in column)
        if band and sum(widths) + width > _ROW_UNITS:
            yield band, widths
            band, widths = [], []
        band.append(column)
        widths.append(width)
    yield band, widths


def _width(operation: _Drawn) -> float:
    symbol, *angles = _box_lines(operation)
    return max(1.0, 0.17 * len(symbol) + 0.4, *(0.13 * len(line) + 0.4 for line in angles))


def _box_lines(operation: _Drawn) -> tuple[str, ...]:
    if isinstance(operation, AmplitudeEncoding):
        return (_STATE,)
    if not isinstance(operation, Gate):
        return _noise_label(operation)
    angles = ", ".join(_angle(angle) for angle in operation.angles)
    return (operation.type.symbol, angles) if angles else (operation.type.symbol,)


def _style(operation: _Drawn) -> _Style:
    if isinstance(operation, AmplitudeEncoding):
        return _STYLES[operation.values is None, False]
    if not isinstance(operation, Gate):
        return _NOISE
    kinds = {type(angle) for angle in operation.angles}
    return _STYLES[Input in kinds, Weight in kinds]


class _Painter:
    """Paints the operations of one column, whose middle is at x and whose first wire is at y."""

    def __init__(self, axes: Axes, x: float, y: float) -> None:
        self.axes, self.x, self.y = axes, x, y

    def operation(self, operation: _Drawn, num_qubits: int, width: float) -> None:
        style = _style(operation)
        if isinstance(operation, AmplitudeEncoding):
            self._box(0, num_qubits - 1, width, _box_lines(operation), style)
            return
        top, bottom = _span(operation)
        if top < bottom:
            self.axes.plot((self.x,) * 2, (self.y + top, self.y + bottom), color=style.edge, lw=1.3, zorder=1)
        if not isinstance(operation, Gate):
            for qubit in _qubits(operation):
                self._box(qubit, qubit, width, _box_lines(operation), style)
            return
        controls = operation.type.num_controls
        for qubit in operation.qubits[:controls]:
            self.axes.add_patch(Circle((self.x, self.y + qubit), 0.11, color=style.edge, lw=0, zorder=3))
        for qubit in operation.qubits[controls:]:
            if operation.name in ("CNOT", "Toffoli"):
                self._plus(qubit, style)
            elif operation.name == "SWAP":
                self._cross(qubit, style)
            else:
                self._box(qubit, qubit, width, _box_lines(operation), style)

    def _box(self, top: int, bottom: int, width: float, lines: tuple[str, ...], style: _Style) -> None:
        half = (width - 0.24) / 2
        self.axes.add_patch(
            FancyBboxPatch(
                (self.x - half, self.y + top - 0.37),
                2 * half,
                bottom - top + 0.74,
                boxstyle="round,pad=0,rounding_size=0.08",
                facecolor=style.face,
                edgecolor=style.edge,
                lw=1.0,
                zorder=2,
            )
        )
        middle = self.y + (top + bottom) / 2
        if len(lines) == 1:
            self._text(middle, lines[0], _FONT)
        else:
            self._text(middle - 0.15, lines[0], _FONT - 0.5)
            self._text(middle + 0.18, lines[1], _FONT - 2)

    def _text(self, y: float, text: str, size: float) -> None:
        self.axes.text(self.x, y, text, ha="center", va="center", fontsize=size, color="#1c232b", zorder=4)

    def _plus(self, qubit: int, style: _Style) -> None:
        y, radius = self.y + qubit, 0.22
        self.axes.add_patch(Circle((self.x, y), radius, facecolor="white", edgecolor=style.edge, lw=1.3, zorder=2))
        self.axes.plot((self.x - radius, self.x + radius), (y, y), color=style.edge, lw=1.3, zorder=3)
        self.axes.plot((self.x, self.x), (y - radius, y + radius), color=style.edge, lw=1.3, zorder=3)

    def _cross(self, qubit: int, style: _Style) -> None:
        y, arm = self.y + qubit, 0.15
        for rise in (arm, -arm):
            self.axes.plot((self.x - arm, self.x + arm), (y - rise, y + rise), color=style.edge, lw=1.6, zorder=3)
