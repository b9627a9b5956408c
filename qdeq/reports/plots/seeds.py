"""Figures over seeds as lines of a panel: every seed's, their mean, and its 95 % interval."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdeq.reports.plots.style import AXIS, BLUE, LIMIT, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from qdeq.sweeps import Spread

_LABEL_WIDTH = 26


@dataclass(frozen=True)
class SeedLine:
    """A line of the panel.

    Attributes:
        name: Stands to its left.
        seeds: The figure of each seed, or of each pair of runs with the same seed.
        spread: Of the seeds; None for no seeds.
        colour: Of mean and interval.
    """

    name: str
    seeds: Sequence[float]
    spread: Spread | None
    colour: str = BLUE


def draw_seeds(
    axes: Axes, lines: Sequence[SeedLine], *, factor: float = 1.0, zero: bool = False, named: bool = True
) -> None:
    """Draw the lines, the first one on top.

    Args:
        axes: The panel.
        lines: What it shows.
        factor: By which all figures are multiplied, such as 100 for per cent.
        zero: Whether 0 is marked, as differences have it.
        named: Whether the lines have their names; not where the panel to the left has the same ones.
    """
    if zero:
        axes.axvline(0, color=LIMIT, linewidth=1, zorder=1)
    for place, line in enumerate(lines):
        axes.plot(
            [factor * value for value in line.seeds], [place + 0.18] * len(line.seeds), "o", color=AXIS, markersize=4
        )
        spread = line.spread
        if spread is None:
            continue
        axes.plot(factor * spread.mean, place - 0.08, "D", color=line.colour, markersize=6, zorder=3)
        if spread.low is not None and spread.high is not None:
            ends = [factor * spread.low, factor * spread.high]
            axes.plot(ends, [place - 0.08] * 2, "-", color=line.colour, linewidth=2, zorder=2)
    names = [textwrap.fill(line.name, _LABEL_WIDTH, break_long_words=False) if named else "" for line in lines]
    axes.set_yticks(range(len(lines)), names)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.margins(x=0.08)
    frame(axes, "x", left=False)
