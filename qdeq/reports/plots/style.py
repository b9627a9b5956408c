"""What all pictures have in common: colours, frames, and how they become files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, AXIS, FAINT, LIMIT = "#333333", "#999999", "#e4e4e4", "#b3261e"
BLUE, ORANGE = "#2f6f9f", "#d1602f"
"""Where there are two things, or one: training and validation, say."""

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", INK)
"""Where there are several: Okabe and Ito's palette, which colour-blind readers can tell apart."""

LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
MARKERS = "osD^vP*X"
"""The second way to tell several apart; neither has as many as the palette, so that pairs repeat late."""

_DPI = 130


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure [inches] that makes room for its own labels."""
    # a Figure of its own, not pyplot: no global state and no window system
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))


def title(axes: Axes, text: str) -> None:
    """Put a title above the left end of the axes."""
    axes.set_title(text, loc="left", fontsize=11, fontweight="bold", color=INK)


def frame(axes: Axes, grid: Literal["both", "x", "y"] = "both", *, left: bool = True) -> None:
    """Draw faint rules behind the data, and no more of a frame than the axes.

    Args:
        axes: To be framed.
        grid: Across which axes there are rules.
        left: Whether there is an axis on the left; else its labels are names of lines.
    """
    axes.grid(axis=grid, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"] if left else ["top", "right", "left"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(AXIS)
    axes.tick_params(colors=INK, length=3)
    if not left:
        axes.tick_params(axis="y", length=0, labelsize=9)


def figure_png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=_DPI, format="png")
    return picture.getvalue()
