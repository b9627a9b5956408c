"""A comparison of backends as a picture."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

from qdeq.compare.result import QUANTITIES, Comparison
from qdeq.reports.comparison import tolerance_rows
from qdeq.reports.plots.style import FAINT, INK, LIMIT, MARKERS, PALETTE, frame, new_figure, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_WIDTH = 26
EQUAL = 1e-18
"""Where the picture puts a difference of zero, which a logarithmic axis does not have."""


def draw_comparison(comparison: Comparison) -> Figure:
    """Return a figure of the differences, by quantity and backend with their tolerances, and of seconds per step."""
    styles = {
        result.label: {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
        for i, result in enumerate(comparison.compared)
    }
    height = 5.4 + 0.22 * max(0, len(styles) - 5)
    figure = new_figure(11.5, height)
    differences, seconds = figure.subplots(1, 2, width_ratios=(2.4, 1))
    _draw_differences(differences, comparison, styles)
    _draw_seconds(seconds, comparison, styles)
    handles, names = differences.get_legend_handles_labels()
    names = [textwrap.fill(name, LABEL_WIDTH, break_long_words=False) for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=min(5, len(names)), frameon=False, fontsize=9)
    return figure


def _draw_differences(axes: Axes, comparison: Comparison, styles: dict[str, dict[str, Any]]) -> None:
    count = len(styles)
    for number, result in enumerate(comparison.compared):
        shift = 0.0 if count == 1 else 0.56 * (number / (count - 1) - 0.5)
        rows = [row + shift for row in range(len(QUANTITIES))]
        floor = EQUAL if comparison.shots is None else 0.0
        values = [each.value if math.isfinite(each.value) else math.nan for each in result.differences]
        shown = [max(value, floor) for value in values]
        axes.plot(
            shown, rows, linestyle="", markersize=6, label=result.label, clip_on=False, zorder=3, **styles[result.label]
        )
        failed = [(x, y) for x, y, each in zip(shown, rows, result.differences, strict=True) if not each.passed]
        if failed:
            axes.plot(*zip(*failed, strict=True), "o", markersize=13, markerfacecolor="none", color=LIMIT, zorder=2)
    for position, (name, allowed) in enumerate(tolerance_rows(comparison)):
        line = ("-", ":")[position % 2]
        for row, each in enumerate(allowed):
            axes.plot([each.tolerance] * 2, [row - 0.42, row + 0.42], line, color=LIMIT, linewidth=1.6,
                      label=name if row == 0 else None)  # fmt: skip
    if comparison.shots is None:
        axes.set_xscale("log")
        axes.set_xlim(left=EQUAL / 3)
        ticks = [10.0**power for power in range(-15, 1, 3)]
        axes.set_xticks([EQUAL, *ticks], ["equal", *(f"$10^{{{round(math.log10(tick))}}}$" for tick in ticks)])
        axes.minorticks_off()
        axes.set_xlim(right=max(axes.get_xlim()[1], 1.0))
    else:
        axes.set_xlim(left=-0.5)
    unit = "absolute" if comparison.shots is None else "standard errors"
    axes.set_yticks(range(len(QUANTITIES)), list(QUANTITIES.values()))
    axes.set_ylim(len(QUANTITIES) - 0.5, -0.5)
    for row in range(1, len(QUANTITIES)):
        axes.axhline(row - 0.5, color=FAINT, linewidth=0.8)
    _finish(axes, "Largest difference from the native backend", unit)


def _draw_seconds(axes: Axes, comparison: Comparison, styles: dict[str, dict[str, Any]]) -> None:
    measured = [result for result in comparison.results if result.cost is not None]
    for row, result in enumerate(measured):
        assert result.cost is not None
        colour = styles.get(result.label, {"color": INK})["color"]
        axes.plot([result.cost.seconds], [row], "o", color=colour, markersize=8)
        axes.annotate(f"{result.cost.seconds:.2g} s", (result.cost.seconds, row), xytext=(8, 0), color=INK, fontsize=9,
                      textcoords="offset points", va="center")  # fmt: skip
    names = [result.label + (" (native)" if result.outcome == "native" else "") for result in measured]
    axes.set_yticks(range(len(measured)), [textwrap.fill(name, LABEL_WIDTH) for name in names], fontsize=9)
    axes.set_ylim(len(measured) - 0.5, -0.5)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.5, high * 4)  # room for the figures
    _finish(axes, "Training step", f"seconds for {comparison.samples} images")


def _finish(axes: Axes, text: str, unit: str) -> None:
    title(axes, text)
    axes.set_xlabel(unit, color=INK)
    frame(axes, "x")
