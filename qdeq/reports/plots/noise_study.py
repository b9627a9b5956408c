"""Trained models under noise and shots as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qdeq.reports.noise_study import TITLES, WHATS
from qdeq.reports.plots.style import INK, LINES, MARKERS, PALETTE, frame, new_figure, title
from qdeq.reproduce.noise_result import Kind, NoiseStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_noise(study: NoiseStudy, figure: str = "accuracy") -> Figure:
    """Return a picture of two panels: a figure under depolarising noise, and under finite shots."""
    what, factor, _ = WHATS[figure]
    picture = new_figure(11, 4.6)
    panels = picture.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, TITLES, strict=True):
        _draw(axes, study, kind, figure, factor)
        title(axes, TITLES[kind])
        if factor == 1:
            axes.set_yscale("log")
    panels[0].set_ylabel(what, color=INK)
    panels[0].set_xlabel("depolarising probability p after a gate", color=INK)
    panels[1].set_xlabel("shots of a circuit", color=INK)
    handles, names = panels[0].get_legend_handles_labels()
    picture.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=10)
    heading = f"{study.trained.table.title}: trained exactly; mean over seeds, each seed faint"
    picture.suptitle(heading, fontsize=10, color=INK)
    return picture


def _draw(axes: Axes, study: NoiseStudy, kind: Kind, figure: str, factor: float) -> None:
    levels = study.levels(kind)
    places = _places(levels)
    for number, row in enumerate(study.rows):
        style: dict[str, Any] = {"color": PALETTE[number % len(PALETTE)], "marker": MARKERS[number % len(MARKERS)]}
        means = [study.of(row, kind, level, figure) for level in levels]
        line = [(place, factor * mean.mean) for place, mean in zip(places, means, strict=True) if mean is not None]
        for place, level in zip(places, levels, strict=True):
            values = [factor * value for value in study.values(row, kind, level, figure).values()]
            axes.plot([place] * len(values), values, linestyle="", markersize=4, alpha=0.3, **style)
        axes.plot(
            *zip(*line, strict=True), label=row, linewidth=2, markersize=6, linestyle=LINES[number % len(LINES)],
            **style,
        )  # fmt: skip
    axes.set_xticks(places, ["exact" if level is None else f"{level:,g}" for level in levels])
    frame(axes)


def _places(levels: Sequence[float | None]) -> list[int]:
    """Return evenly spaced places: levels are about half a decade apart, and zero and exact have no logarithm."""
    return list(range(len(levels)))
