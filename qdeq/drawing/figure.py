"""Circuits as matplotlib figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Patch

from qdeq.circuit import Circuit
from qdeq.drawing.layout import Drawn, angle_label, columns_of, noise_label, qubits_of, span
from qdeq.operations import AmplitudeEncoding, Gate, Input, Weight

_STATE = "|v⟩"
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
    bands = list(_bands(columns_of(circuit)))
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


def _bands(columns: list[list[Drawn]]) -> Iterator[tuple[list[list[Drawn]], list[float]]]:
    """Fold the columns into rows of the figure; yield the columns of each with their widths."""
    band: list[list[Drawn]] = []
    widths: list[float] = []
    for column in columns:
        width = max(_width(operation) for operation in column)
        if band and sum(widths) + width > _ROW_UNITS:
            yield band, widths
            band, widths = [], []
        band.append(column)
        widths.append(width)
    yield band, widths


def _width(operation: Drawn) -> float:
    symbol, *angles = _box_lines(operation)
    return max(1.0, 0.17 * len(symbol) + 0.4, *(0.13 * len(line) + 0.4 for line in angles))


def _box_lines(operation: Drawn) -> tuple[str, ...]:
    if isinstance(operation, AmplitudeEncoding):
        return (_STATE,)
    if not isinstance(operation, Gate):
        return noise_label(operation)
    angles = ", ".join(angle_label(angle) for angle in operation.angles)
    return (operation.type.symbol, angles) if angles else (operation.type.symbol,)


def _style(operation: Drawn) -> _Style:
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

    def operation(self, operation: Drawn, num_qubits: int, width: float) -> None:
        style = _style(operation)
        if isinstance(operation, AmplitudeEncoding):
            self._box(0, num_qubits - 1, width, _box_lines(operation), style)
            return
        top, bottom = span(operation)
        if top < bottom:
            self.axes.plot((self.x,) * 2, (self.y + top, self.y + bottom), color=style.edge, lw=1.3, zorder=1)
        if not isinstance(operation, Gate):
            for qubit in qubits_of(operation):
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
