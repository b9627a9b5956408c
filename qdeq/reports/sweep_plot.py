"""A sweep as a picture: every seed's figure, their mean with its 95 % interval, and the paired differences."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qdeq.reports.curves import AXIS, FAINT, INK, LIMIT, TRAIN
from qdeq.reports.sweeps import Row, difference_rows, variant_rows
from qdeq.sweeps.figures import is_share, title
from qdeq.sweeps.result import SweepResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
WIDTH, ROW_HEIGHT, HEAD = 4.4, 0.42, 1.1
"""Of a panel, of a line in it, and of what stands around the lines [inches]."""
LABEL_WIDTH = 26
MOST_ROWS = 60
"""A panel is no higher than for so many lines."""


def plot_sweep(result: SweepResult, picture: Path) -> None:
    """Draw a sweep into a file, whose ending names the format."""
    draw_sweep(result).savefig(picture, dpi=130)


def draw_sweep(result: SweepResult) -> Figure:
    """Return a figure with a panel for each metric and, below it, one for its paired differences."""
    # a Figure of its own, not pyplot: no global state and no window system
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    metrics = result.sweep.spec.metrics
    columns = min(COLUMNS, len(metrics))
    lines = -(-len(metrics) // columns)
    kinds = [variant_rows, *([difference_rows] if result.sweep.pairs else [])]
    heights = [HEAD + ROW_HEIGHT * min(MOST_ROWS, len(kind(result, metrics[0]))) for kind in kinds] * lines
    figure = Figure(figsize=(WIDTH * columns + 1.5, sum(heights)), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    for position in range(lines * columns):
        block, column = divmod(position, columns)
        for offset, kind in enumerate(kinds):
            panel = axes[block * len(kinds) + offset, column]
            if position >= len(metrics):
                panel.set_visible(False)
                continue
            metric = metrics[position]
            rows = kind(result, metric)
            _draw(panel, rows, [_seeds(result, row, metric) for row in rows], metric, named=column == 0)
            panel.set_title(title(metric) if kind is variant_rows else "paired differences", **_TITLE)
    figure.suptitle(f"{result.sweep.spec.name}: each seed, mean and 95 % interval", fontsize=10, color=INK)
    return figure


_TITLE = {"loc": "left", "fontsize": 10, "color": INK}


def _seeds(result: SweepResult, row: Row, metric: str) -> list[float]:
    """Return what a line is the mean of."""
    first = result.values(row.first, metric)
    if row.second is None:
        return list(first.values())
    second = result.values(row.second, metric)
    return [first[seed] - second[seed] for seed in first if seed in second]


def _draw(axes: Axes, rows: Sequence[Row], seeds: Sequence[list[float]], metric: str, *, named: bool) -> None:
    factor = 100 if is_share(metric) else 1
    if rows[0].second is not None:
        axes.axvline(0, color=LIMIT, linewidth=1, zorder=1)
    for place, (row, values) in enumerate(zip(rows, seeds, strict=True)):
        axes.plot([factor * value for value in values], [place + 0.18] * len(values), "o", color=AXIS, markersize=4)
        if row.spread is None:
            continue
        axes.plot(factor * row.spread.mean, place - 0.08, "D", color=TRAIN, markersize=6, zorder=3)
        if row.spread.low is not None and row.spread.high is not None:
            ends = [factor * row.spread.low, factor * row.spread.high]
            axes.plot(ends, [place - 0.08] * 2, "-", color=TRAIN, linewidth=2, zorder=2)
    names = [textwrap.fill(row.name, LABEL_WIDTH, break_long_words=False) if named else "" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.08)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(AXIS)
    axes.tick_params(colors=INK, length=3, labelsize=9)
    axes.tick_params(axis="y", length=0)
