"""The equilibria of a run, for a terminal and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from qdeq.reports.curves import AXIS, FAINT, INK, LIMIT, TRAIN
from qdeq.reports.tables import percent
from qdeq.solvers import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qdeq.training.stability import RunStability

SHOWN = 8
"""How many images with several equilibria are named."""

ATTRACTING, REPELLING = TRAIN, "#d1602f"


def stability_table(result: RunStability) -> RenderableType:
    """Return the figures over all images, how many equilibria they have, and the images that have several."""
    info, own, others = result.checkpoint.info, result.stability, result.equilibria
    count, starts = others.label.shape
    head = Text.assemble(
        (result.spec.name, "bold"),
        f": {count} of {result.of} test images, checkpoint {result.checkpoint.path.stem} (epoch {info.epoch}, "
        f"step {info.step}), {starts} starts each",
    )
    parts: list[RenderableType] = [head, Text("")]
    table = _table("where the run's own solve from y0 = 0 ended, in y-space")
    for column in ("", "smallest", "median", "mean", "largest"):
        table.add_column(column, justify="right" if column else "left")
    for name, row, form in (
        ("spectral radius of J", own.spectral_radius, ".3f"),
        ("||J||_2", own.norm, ".3f"),
        ("||(1 - J)^-1||_2", own.sensitivity, ".3f"),
        ("relative residual", result.residual, ".1e"),
    ):
        values = row.double().numpy()
        figures = (values.min(), np.median(values), values.mean(), values.max())
        table.add_row(name, *(format(figure, form) for figure in figures))
    shares = Table.grid(padding=(0, 2))
    converged = result.status == Status.CONVERGED
    shares.add_row("solves that converged", _share(converged))
    shares.add_row("attracting, spectral radius < 1", _share(own.attracting & converged))
    shares.add_row("certified contraction, ||J||_2 < 1", _share(result.certified))
    parts += [table, Text(""), shares, Text(""), _count_table(result)]
    named = _several(result)
    parts += [Text(""), *named] if named else []
    return Group(*parts)


def _count_table(result: RunStability) -> Table:
    others = result.equilibria
    table = _table("equilibria found, from all starts")
    for column in ("equilibria", "images", "of them attracting"):
        table.add_column(column, justify="right")
    for number in sorted(set(others.count.tolist())):
        rows = others.count == number
        attracting = int(others.attracting[rows].sum())
        table.add_row(str(number), f"{int(rows.sum()):,}", f"{attracting:,} of {number * int(rows.sum()):,}")
    table.caption = f"{int(others.failed.sum()):,} of {others.label.numel():,} solves did not converge"
    table.caption_justify = "left"
    return table


def _several(result: RunStability) -> list[Text]:
    """Name the first images with several equilibria: the radius of each, and how many starts led there."""
    others = result.equilibria
    rows = (others.count > 1).nonzero().squeeze(1).tolist()
    lines = []
    for row in rows[:SHOWN]:
        found = [
            f"radius {others.stability.spectral_radius[row, label]:.3f} ({starts} start{'s' if starts > 1 else ''}"
            f"{', y0 = 0 among them' if label == 0 else ''})"
            for label, starts in others.starts(row).items()
        ]
        lines.append(Text(f"image {int(result.images[row])}: {'; '.join(found)}"))
    if len(rows) > SHOWN:
        lines.append(Text(f"... and {len(rows) - SHOWN} more; --json has them all"))
    return lines


def _share(samples: Tensor) -> str:
    return percent(float(samples.double().mean()))


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, show_edge=False, pad_edge=False
    )


def plot_stability(result: RunStability, picture: Path) -> None:
    """Draw histograms of a run's equilibria into a file, whose ending names the format."""
    draw_stability(result).savefig(picture, dpi=130)


def draw_stability(result: RunStability) -> Figure:
    """Return a figure with histograms of the spectral radius and of ``||J||_2``, and the number of equilibria."""
    # a Figure of its own, not pyplot: no global state and no window system
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(13.5, 4.0), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
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
    axes.hist(finite, bins=np.linspace(0, highest, 31).tolist(), color=TRAIN, edgecolor="white", linewidth=0.5)
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


def _finish(axes: Axes, title: str, unit: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_xlabel(unit, color=INK)
    axes.set_ylabel("test images", color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(AXIS)
    axes.tick_params(colors=INK, length=3)
