"""A table of the paper as a picture: accuracy of every row and seed, and the paired differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdeq.reports.plots.seeds import SeedLine, draw_seeds
from qdeq.reports.plots.style import BLUE, INK, new_figure
from qdeq.reports.tables import MINUS
from qdeq.reproduce.result import CLASSICAL, Reproduction

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_reproduction(found: Reproduction) -> Figure:
    """Return a figure of two panels."""
    seeds = {name: found.result.values(name, "test.accuracy") for name in found.result.sweep.variants}
    rows = [
        SeedLine(line.name, list(seeds.get(line.name, {}).values()), line["accuracy"], _colour(line.name))
        for line in found.lines
    ]
    pairs = []
    for each in found.differences:
        first = seeds[each.first]
        second = seeds.get(each.second, dict.fromkeys(first, found.classical.test_accuracy))
        apart = [first[seed] - second[seed] for seed in first if seed in second]
        pairs.append(SeedLine(f"{MINUS} {each.second}", apart, each.accuracy, _colour(each.second)))
    figure = new_figure(11, 3.9)
    left, right = figure.subplots(1, 2)
    draw_seeds(left, rows, factor=100)
    draw_seeds(right, pairs, factor=100, zero=True)
    left.set_xlabel("test accuracy [%]", color=INK)
    right.set_xlabel("IMPLICIT less the row [percentage points]", color=INK)
    title = f"{found.table.title}, {found.mode}: each seed, mean and 95 % interval"
    figure.suptitle(title, fontsize=11, color=INK)
    return figure


def _colour(name: str) -> str:
    return INK if name == CLASSICAL else BLUE
