"""A sweep as a picture: every seed's figure, their mean with its 95 % interval, and the paired differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qdeq.reports.plots.seeds import SeedLine, draw_seeds
from qdeq.reports.plots.style import INK, new_figure
from qdeq.reports.sweeps import Row, difference_rows, variant_rows
from qdeq.sweeps.figures import is_share, title
from qdeq.sweeps.result import SweepResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
WIDTH, ROW_HEIGHT, HEAD = 4.4, 0.42, 1.1
"""Of a panel, of a line in it, and of what stands around the lines [inches]."""
MOST_ROWS = 60
"""A panel is no higher than for so many lines."""

Kind = Callable[[SweepResult, str], Sequence[Row]]


def draw_sweep(result: SweepResult) -> Figure:
    """Return a figure with a panel for each metric and, below it, one for its paired differences."""
    metrics = result.sweep.spec.metrics
    columns = min(COLUMNS, len(metrics))
    lines = -(-len(metrics) // columns)
    kinds: list[Kind] = [variant_rows, *([difference_rows] if result.sweep.pairs else [])]
    heights = [HEAD + ROW_HEIGHT * min(MOST_ROWS, len(kind(result, metrics[0]))) for kind in kinds] * lines
    figure = new_figure(WIDTH * columns + 1.5, sum(heights))
    axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    for position in range(lines * columns):
        block, column = divmod(position, columns)
        for offset, kind in enumerate(kinds):
            panel = axes[block * len(kinds) + offset, column]
            if position >= len(metrics):
                panel.set_visible(False)
                continue
            metric = metrics[position]
            shown = [SeedLine(row.name, _seeds(result, row, metric), row.spread) for row in kind(result, metric)]
            differences = kind is difference_rows
            factor = 100 if is_share(metric) else 1
            draw_seeds(panel, shown, factor=factor, zero=differences, named=column == 0)
            panel.set_title("paired differences" if differences else title(metric), loc="left", fontsize=10, color=INK)
    figure.suptitle(f"{result.sweep.spec.name}: each seed, mean and 95 % interval", fontsize=10, color=INK)
    return figure


def _seeds(result: SweepResult, row: Row, metric: str) -> list[float]:
    """Return what a line is the mean of."""
    first = result.values(row.first, metric)
    if row.second is None:
        return list(first.values())
    second = result.values(row.second, metric)
    return [first[seed] - second[seed] for seed in first if seed in second]
