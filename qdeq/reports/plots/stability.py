"""The equilibria of a run as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from qdeq.reports.plots.style import BLUE, INK, LIMIT, ORANGE, frame, new_figure, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qdeq.training.examine import RunStability

ATTRACTING, REPELLING = BLUE, ORANGE


def draw_stability(result: RunStability) -> Figure:
    """Return a figure with histograms of the spectral radius and of ``||J||_2``, and the number of equilibria."""
    figure = new_figure(13.5, 4.0)
    radius, norm, numbers = figure.subplots(1, 3)
    _histogram(radius, result.stability.spectral_radius, "attracting below")
    _histogram(norm, result.stability.norm, "contraction certified below")
    _bars(numbers, result)
    _finish(radius, "Spectral radius", "largest |eigenvalue| of ∂f/∂y, at the equilibrium from y0 = 0")
    _finish(norm, "Norm", "||∂f/∂y||_2, in y-space, at the equilibrium from y0 = 0")
    starts = result.equilibria.label.shape[1]
    _finish(numbers, "Equilibria of an image", f"equilibria found from {starts} starts")
    return figure


def _histogram(axes: Axes, values: Tensor, limit: str) -> None:
    finite = values[values.isfinite()].numpy()
    highest = max(1.1, float(finite.max()) * 1.02) if len(finite) else 1.1
    axes.hist(finite, bins=np.linspace(0, highest, 31).tolist(), color=BLUE, edgecolor="white", linewidth=0.5)
    axes.axvline(1, color=LIMIT, linewidth=1.3, label=limit)
    axes.set_xlim(0, highest)
    lost = len(values) - len(finite)
    if lost:
        axes.plot([], [], " ", label=f"{lost} not finite")
    axes.legend(loc="best", frameon=False, fontsize=9)


def _bars(axes: Axes, result: RunStability) -> None:
    """Draw the number of images for each number of equilibria, split by whether all of these attract."""
    others = result.equilibria
    counts = np.arange(int(others.count.min()), int(others.count.max()) + 1)
    every = others.count == others.attracting
    both = [[int(((others.count == int(count)) & chosen).sum()) for count in counts] for chosen in (every, ~every)]
    axes.bar(counts, both[0], 0.6, color=ATTRACTING, label="all attracting")
    if any(both[1]):
        axes.bar(counts, both[1], 0.6, bottom=both[0], color=REPELLING, label="one or more not attracting")
    for count, number in zip(counts, np.sum(both, axis=0), strict=True):
        if number:
            axes.annotate(str(number), (count, number), xytext=(0, 3), textcoords="offset points", ha="center",
                          fontsize=9, color=INK)  # fmt: skip
    axes.set_xticks(counts)
    axes.set_xlim(counts[0] - 0.9, counts[-1] + 0.9)
    axes.margins(y=0.12)
    axes.legend(loc="best", frameon=False, fontsize=9)


def _finish(axes: Axes, text: str, unit: str) -> None:
    from matplotlib.ticker import MaxNLocator

    title(axes, text)
    axes.set_xlabel(unit, color=INK)
    axes.set_ylabel("test images", color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    frame(axes, "y")
