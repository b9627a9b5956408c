"""A study of solvers as a picture: residual against evaluations, and how many samples have converged by then."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qdeq.reports.plots.style import INK, LINES, PALETTE, frame, new_figure, title
from qdeq.study.measure import BAND
from qdeq.study.result import SolverStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_WIDTH = 34
TICKS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)


def draw_study(study: SolverStudy) -> Figure:
    """Return a figure of residuals (median and band over the samples) and of the samples converged, by evaluations."""
    figure = new_figure(11, 5.4)
    residuals, converged = figure.subplots(1, 2, width_ratios=(1.4, 1))
    styles = [
        {"color": PALETTE[i % len(PALETTE)], "linestyle": LINES[i % len(LINES)]} for i in range(len(study.studied))
    ]
    end = _end(study)
    _draw_residuals(residuals, study, styles, end)
    _draw_converged(converged, study, styles, end)
    subject = f"{study.name}: {study.samples} {study.images}; weights: {study.weights}"
    figure.suptitle(subject, fontsize=10, color=INK)
    handles, names = residuals.get_legend_handles_labels()
    columns = 6 if max(map(len, names)) <= 22 else 4
    names = [textwrap.fill(name, LABEL_WIDTH, break_long_words=False) for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=min(columns, len(names)), frameon=False, fontsize=9)
    return figure


def _end(study: SolverStudy) -> int:
    """Return where the axis of evaluations ends: where all but the slowest solver have done with most samples."""
    ends = sorted(result.reached[-1].p95 or len(result.curve.evaluations) for result in study.studied if result.curve)
    return max(12, ends[-2:][0])


def _draw_residuals(axes: Axes, study: SolverStudy, styles: Sequence[dict[str, Any]], end: int) -> None:
    bottom = study.tolerances[-1]
    for result, style in zip(study.studied, styles, strict=True):
        curve, solve = result.curve, result.solve
        assert curve is not None
        assert solve is not None
        low, median, high = (_shown(values, end, bottom) for values in (curve.low, curve.median, curve.high))
        low += [bottom] * (len(high) - len(low))
        axes.fill_between(curve.evaluations[: len(high)], low, high, color=style["color"], alpha=0.1, linewidth=0)
        name = f"{result.label} (and Jacobians)" if solve.jacobians else result.label
        axes.plot(curve.evaluations[: len(median)], median, label=name, linewidth=2.0, **style)
        if median[-1] == bottom:
            axes.plot(len(median), bottom, "o", color=style["color"], markersize=6, clip_on=False, zorder=4)
    axes.set_yscale("log")
    axes.set_ylim(bottom=bottom)
    axes.axhline(study.rtol, color=INK, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
    axes.annotate(f"rtol {study.rtol:g}", (0, study.rtol), xycoords=axes.get_yaxis_transform(), color=INK, fontsize=9,
                  xytext=(5, 4), textcoords="offset points")  # fmt: skip
    band = f"{100 * BAND[0]:.0f} to {100 * BAND[1]:.0f} %"
    _finish(axes, f"Residual: median and {band} of the samples", "best ||f(y) - y|| / ||f(y)|| so far", end)


def _shown(values: Sequence[float | None], end: int, bottom: float) -> list[float]:
    """Return the values up to the axis's end, or to the smallest tolerance: that is where the solves stop."""
    shown: list[float] = []
    for value in values[:end]:
        shown.append(math.nan if value is None else max(value, bottom))
        if shown[-1] == bottom:
            break
    return shown


def _draw_converged(axes: Axes, study: SolverStudy, styles: Sequence[dict[str, Any]], end: int) -> None:
    for result, style in zip(study.studied, styles, strict=True):
        assert result.solve is not None
        counts = range(1, end + 1)
        shares = [100 * sum(arrival <= count for arrival in result.solve.arrivals) / study.samples for count in counts]
        axes.step(counts, shares, where="post", linewidth=2.0, **style)
    axes.set_ylim(0, 103)
    _finish(axes, f"Converged to rtol {study.rtol:g}, atol {study.atol:g}", "samples [%]", end)


def _finish(axes: Axes, text: str, unit: str, end: int) -> None:
    title(axes, text)
    axes.set_xlabel("evaluations of f per sample", color=INK)
    axes.set_ylabel(unit, color=INK)
    axes.set_xscale("log")
    axes.set_xlim(1, end)
    axes.set_xticks([tick for tick in TICKS if tick <= end], [str(tick) for tick in TICKS if tick <= end])
    axes.xaxis.minorticks_off()
    frame(axes)
