"""A table of the paper as a picture: accuracy of every row and seed, and the paired differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeq.reports.curves import AXIS, FAINT, INK, LIMIT, TRAIN
from qdeq.reproduce.report import MINUS
from qdeq.reproduce.result import CLASSICAL, Reproduction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qdeq.sweeps import Spread

Mark = tuple[str, "Spread | None", list[float]]
"""A name, the figure over the seeds, and each seed's."""


def draw_reproduction(found: Reproduction) -> Figure:
    """Return a figure of two panels."""
    # a Figure of its own, not pyplot: no global state and no window system
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    seeds = {name: found.result.values(name, "test.accuracy") for name in found.result.sweep.variants}
    rows: list[Mark] = [(line.name, line["accuracy"], list(seeds.get(line.name, {}).values())) for line in found.lines]
    pairs: list[Mark] = []
    for each in found.differences:
        first = seeds[each.first]
        second = seeds.get(each.second, dict.fromkeys(first, found.classical.test_accuracy))
        each_seed = [first[seed] - second[seed] for seed in first if seed in second]
        pairs.append((f"{MINUS} {each.second}", each.accuracy, each_seed))
    figure = Figure(figsize=(11, 3.9), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
    left, right = figure.subplots(1, 2)
    _draw(left, rows)
    _draw(right, pairs)
    right.axvline(0, color=LIMIT, linewidth=1, zorder=1)
    left.set_xlabel("test accuracy [%]", color=INK)
    right.set_xlabel("IMPLICIT less the row [percentage points]", color=INK)
    title = f"{found.table.title}, {found.mode}: each seed, mean and 95 % interval"
    figure.suptitle(title, fontsize=11, color=INK)
    return figure


def _draw(axes: Axes, marks: list[Mark]) -> None:
    for place, (name, spread, seeds) in enumerate(marks):
        axes.plot([100 * value for value in seeds], [place + 0.2] * len(seeds), "o", color=AXIS, markersize=4)
        if spread is None:
            continue
        colour = INK if CLASSICAL in name else TRAIN
        axes.plot(100 * spread.mean, place - 0.08, "D", color=colour, markersize=6, zorder=3)
        if spread.low is not None and spread.high is not None:
            axes.plot([100 * spread.low, 100 * spread.high], [place - 0.08] * 2, "-", color=colour, linewidth=2)
    axes.set_yticks(range(len(marks)), [name for name, *_ in marks])
    axes.set_ylim(len(marks) - 0.5, -0.5)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.08)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(AXIS)
    axes.tick_params(colors=INK, length=3, labelsize=9)
    axes.tick_params(axis="y", length=0)
