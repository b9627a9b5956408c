"""A noise study as text, as CSV and as pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qdeq.reports.curves import AXIS, FAINT, INK
from qdeq.reports.solver_plot import COLOURS, STYLES
from qdeq.reports.tables import ABSENT
from qdeq.reproduce.noise import FIXED_STEPS, Kind, Measurement, NoiseStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Block = tuple[str, tuple[str, ...], list[tuple[str, ...]]]

TITLES: dict[Kind, str] = {
    "depolarising": "Depolarising noise after every gate, exact expectations",
    "shots": "Finite shots, perfect gates",
}
HEADS: dict[Kind, str] = {"depolarising": "p", "shots": "shots"}
WHATS = {
    "accuracy": ("test accuracy [%]", 100.0, ".1f"),
    "agreement": ("labels as without noise [%]", 100.0, ".1f"),
    "residual": ("residual of the noisy map, mean", 1.0, ".1e"),
    "noiseless_residual": ("residual of the noiseless map, mean", 1.0, ".1e"),
    "circuits": ("circuits a prediction", 1.0, ".1f"),
    "shots": ("shots a prediction", 1.0, ",.0f"),
}
_LEFT_OUT: dict[Kind, tuple[str, ...]] = {"depolarising": ("shots",), "shots": ("noiseless_residual",)}
"""Figures that there are none of, or that are another one's: without noise on gates both maps are the same."""

MARKERS = ("o", "s", "^", "D", "v", "P")


def blocks(study: NoiseStudy) -> list[Block]:
    """Return a table for each kind of noise and figure: a line for each level, a column for each row of the paper."""
    found = []
    for kind, title in TITLES.items():
        for figure, (what, factor, form) in WHATS.items():
            if figure in _LEFT_OUT[kind]:
                continue
            lines = []
            for level in study.levels(kind):
                cells = []
                for row in study.rows:
                    spread = study.of(row, kind, level, figure)
                    text = ABSENT if spread is None else format(factor * spread.mean, form)
                    if spread is not None and spread.deviation is not None and figure in ("accuracy", "agreement"):
                        text += f" ± {format(factor * spread.deviation, form)}"
                    cells.append(text)
                lines.append(("exact" if level is None else f"{level:g}", *cells))
            found.append((f"{title}: {what}", (HEADS[kind], *study.rows), lines))
    return found


def remarks(study: NoiseStudy) -> list[str]:
    """Return how to read it."""
    images = {each.images for each in study.measurements}
    count = ", ".join(f"{number:,}" for number in sorted(images)) or "no"
    seeds = len(study.trained.result.sweep.spec.seeds)
    return [
        f"Weights trained exactly ({study.trained.table.title}), {seeds} seeds; {count} test images, the same for all. "
        "Mean over the seeds ± their standard deviation.",
        "Residual of the noisy map: ||g(y) - y|| / ||g(y)|| with g the circuit as it is run, taken without shots; of "
        "the noiseless map: with the circuit without noise.",
        "A circuit is run once for each evaluation of f, one after the other; all values come from the same shots.",
        "State preparation has no noise. IMPLICIT ends under shots where they cannot tell its residual from 0, "
        f"with few shots at y = 0; IMPLICIT, {FIXED_STEPS} steps takes {FIXED_STEPS} steps whatever it sees.",
    ]


def noise_table(study: NoiseStudy) -> RenderableType:
    """Return the tables for a terminal."""
    parts: list[RenderableType] = []
    for title, columns, rows in blocks(study):
        table = Table(
            title=Text(title, "bold"), title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False,
            padding=(0, 2, 0, 0),
        )  # fmt: skip
        for column in columns:
            table.add_column(column, justify="right")
        for row in rows:
            table.add_row(*map(Text, row))
        parts += [table, Text("")]
    return Group(*parts, *(Text(f"- {line}") for line in remarks(study)))


def noise_markdown(study: NoiseStudy) -> str:
    """Return the same as Markdown."""
    parts = [f"# {study.trained.table.title}"]
    for title, columns, rows in blocks(study):
        lines = [columns, ("---:",) * len(columns), *rows]
        parts += [f"## {title}", "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in remarks(study))]) + "\n"


def noise_csv(study: NoiseStudy) -> str:
    """Return a line for each measurement, with all digits."""
    text = io.StringIO()
    names = [field.name for field in fields(Measurement)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(each) for each in study.measurements)
    return text.getvalue()


def draw_noise(study: NoiseStudy, figure: str = "accuracy") -> Figure:
    """Return a picture of two panels: a figure under depolarising noise, and under finite shots."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    what, factor, _ = WHATS[figure]
    picture = Figure(figsize=(11, 4.6), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    panels = picture.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, TITLES, strict=True):
        _draw(axes, study, kind, figure, factor)
        axes.set_title(TITLES[kind], loc="left", fontsize=11, fontweight="bold", color=INK)
        if factor == 1:
            axes.set_yscale("log")
    panels[0].set_ylabel(what, color=INK)
    panels[0].set_xlabel("depolarising probability p after a gate", color=INK)
    panels[1].set_xlabel("shots of a circuit", color=INK)
    handles, names = panels[0].get_legend_handles_labels()
    picture.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=10)
    title = f"{study.trained.table.title}: trained exactly; mean over seeds, each seed faint"
    picture.suptitle(title, fontsize=10, color=INK)
    return picture


def _draw(axes: Axes, study: NoiseStudy, kind: Kind, figure: str, factor: float) -> None:
    levels = study.levels(kind)
    places = _places(levels)
    for number, row in enumerate(study.rows):
        style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        means = [study.of(row, kind, level, figure) for level in levels]
        line = [(place, factor * mean.mean) for place, mean in zip(places, means, strict=True) if mean is not None]
        for place, level in zip(places, levels, strict=True):
            values = [factor * value for value in study.values(row, kind, level, figure).values()]
            axes.plot([place] * len(values), values, linestyle="", markersize=4, alpha=0.3, **style)
        axes.plot(
            *zip(*line, strict=True), label=row, linewidth=2, markersize=6, linestyle=STYLES[number % len(STYLES)],
            **style,
        )  # fmt: skip
    axes.set_xticks(places, ["exact" if level is None else f"{level:,g}" for level in levels])
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(AXIS)
    axes.tick_params(colors=INK, length=3)


def _places(levels: Sequence[float | None]) -> list[int]:
    """Return evenly spaced places: levels are about half a decade apart, and zero and exact have no logarithm."""
    return list(range(len(levels)))
