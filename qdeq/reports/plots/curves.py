"""The curves of a run, from its metrics.jsonl."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeq.reports.plots.style import BLUE, INK, LIMIT, ORANGE, frame, new_figure, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"train": BLUE, "validation": ORANGE}
WARMUP = "#f3efe2"


def draw_curves(records: Sequence[dict[str, Any]]) -> Figure:
    """Return a figure of loss, accuracy, residual and evaluations over the epochs.

    Where Jacobians were measured it has two more panels, their spectral radius and their norm.

    Args:
        records: The lines of a run's metrics.jsonl (see :func:`qdeq.training.read_log`).
    """
    steps = [record for record in records if record["kind"] == "step"]
    epochs = [record for record in records if record["kind"] == "epoch"]
    measured = any(epoch[split].get("jacobian_norm_max") is not None for epoch in epochs for split in COLOURS)
    columns = 3 if measured else 2
    figure = new_figure(5.25 * columns, 7.2)
    (loss, accuracy, *upper), (residual, evaluations, *lower) = figure.subplots(2, columns, sharex=True)
    panels = (loss, accuracy, residual, evaluations, *upper, *lower)
    per_epoch = max(1, len(steps) / max(1, steps[-1]["epoch"])) if steps else 1

    _line(loss, _over(steps, per_epoch), [record["loss"] for record in steps], BLUE, alpha=0.25, width=0.7)
    for split, colour in COLOURS.items():
        for axes, key, factor in ((loss, "loss", 1), (accuracy, "accuracy", 100), (evaluations, "evaluations", 1)):
            _line(axes, _numbers(epochs), _values(epochs, split, key, factor), colour)
        for axes, key in zip(
            (residual, *upper, *lower), ("residual", "spectral_radius", "jacobian_norm"), strict=False
        ):
            for which, style in (("mean", "-"), ("max", ":")):
                _line(axes, _numbers(epochs), _values(epochs, split, f"{key}_{which}"), colour, style=style)

    _finish(loss, "Loss", "cross entropy [nats]")
    _finish(accuracy, "Accuracy", "correct samples [%]")
    _finish(residual, "Residual of the equilibrium", "||f(y) - y|| / ||f(y)||, per sample")
    _finish(evaluations, "Solver effort", "evaluations of f per sample")
    _decades(residual)
    evaluations.set_ylim(bottom=0)
    if measured:
        _finish(upper[0], "Spectral radius of the Jacobian", "largest |eigenvalue| of ∂f/∂y")
        _finish(lower[0], "Norm of the Jacobian", "||∂f/∂y||_2, in y-space")
        _limit(upper[0], "attracting below")
        _limit(lower[0], "contraction certified below")
    for axes in panels:
        _mark(axes, steps, epochs, per_epoch)
    for axes in (residual, evaluations, *lower):
        axes.set_xlabel("epoch", color=INK)
        axes.xaxis.get_major_locator().set_params(integer=True)
    _name_best(accuracy, epochs)
    _legends(figure, [axes for axes in (residual, *upper, *lower) if axes.lines], warmup=bool(loss.patches))
    return figure


def _over(steps: Sequence[dict[str, Any]], per_epoch: float) -> list[float]:
    """Return where the steps stand on the axis of epochs."""
    return [step["step"] / per_epoch for step in steps]


def _numbers(epochs: Sequence[dict[str, Any]]) -> list[int]:
    return [epoch["epoch"] for epoch in epochs]


def _values(epochs: Sequence[dict[str, Any]], split: str, key: str, factor: float = 1) -> list[float | None]:
    values = [epoch[split][key] for epoch in epochs]
    return [None if value is None else factor * value for value in values]


def _line(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float | None],
    colour: str,
    *,
    style: str = "-",
    alpha: float = 1.0,
    width: float = 1.7,
) -> None:
    points = [(at, value) for at, value in zip(x, y, strict=True) if value is not None]
    if points:
        (drawn,) = axes.plot(*zip(*points, strict=True), style, color=colour, alpha=alpha, linewidth=width)
        if len(points) < 8:
            drawn.set(marker="o", markersize=4)


def _finish(axes: Axes, text: str, unit: str) -> None:
    title(axes, text)
    axes.set_ylabel(unit, color=INK)
    frame(axes)
    if not axes.lines:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=INK)


def _decades(axes: Axes) -> None:
    """Use a logarithmic scale that spans at least two decades, so that noise does not look like a trend."""
    data = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines] or [np.empty(0)])
    values = data[data > 0]
    if len(values):
        axes.set_yscale("log")
        low, high = math.log10(values.min()) - 0.2, math.log10(values.max()) + 0.2
        spare = max(0.0, 2 - (high - low)) / 2
        axes.set_ylim(10 ** (low - spare), 10 ** (high + spare))


def _limit(axes: Axes, name: str) -> None:
    """Draw the line at 1; the axis begins at 0, or is logarithmic where values far above 1 would flatten the rest."""
    axes.axhline(1, color=LIMIT, linewidth=1.1, zorder=1, label=name)
    if axes.get_ylim()[1] > 20:
        _decades(axes)
    else:
        axes.set_ylim(0, max(axes.get_ylim()[1], 1.1))


def _mark(axes: Axes, steps: Sequence[dict[str, Any]], epochs: Sequence[dict[str, Any]], per_epoch: float) -> None:
    """Shade the warm-up, and draw a line at the epoch of the best checkpoint."""
    direct = [step["step"] for step in steps if step["layers"] is not None]
    if direct and len(direct) < len(steps):
        axes.axvspan(0, direct[-1] / per_epoch, color=WARMUP, zorder=0, linewidth=0)
    best = [epoch["epoch"] for epoch in epochs if epoch["best"]]
    if best:
        axes.axvline(best[-1], color=INK, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)


def _name_best(axes: Axes, epochs: Sequence[dict[str, Any]]) -> None:
    best = [epoch for epoch in epochs if epoch["best"] and epoch["validation"]["accuracy"] is not None]
    if not best:
        return
    epoch, value = best[-1]["epoch"], 100 * best[-1]["validation"]["accuracy"]
    axes.plot([epoch], [value], "o", color=COLOURS["validation"], markersize=6, markeredgecolor="white")
    early = epoch < epochs[-1]["epoch"] / 2
    axes.annotate(
        f"best checkpoint\nepoch {epoch}: {value:.1f} %",
        (epoch, 0.06),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        xytext=(8 if early else -8, 0),
        ha="left" if early else "right",
        fontsize=9,
        color=INK,
    )


def _legends(figure: Figure, extremes: Sequence[Axes], *, warmup: bool) -> None:
    """One legend for all panels, and one for the two kinds of line where a panel has both."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Line2D([], [], color=colour, linewidth=2, label=split) for split, colour in COLOURS.items()]
    if warmup:
        handles.append(Patch(color=WARMUP, label="warm-up (direct layers)"))
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False, fontsize=10)
    for axes in extremes:
        limits, _ = axes.get_legend_handles_labels()
        worst = Line2D([], [], color=INK, linestyle=":", label="worst sample")
        mean = Line2D([], [], color=INK, label="mean")
        axes.legend(handles=[*limits, worst, mean], loc="best", frameon=False, fontsize=9)
