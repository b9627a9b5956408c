"""A comparison of backends, for a terminal or a log, and as a picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qdeq.compare.result import MEANINGS, QUANTITIES, BackendResult, Comparison, Difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, AXIS, FAINT, LIMIT = "#333333", "#999999", "#e4e4e4", "#b3261e"
COLOURS = ("#2f6f9f", "#d1602f", "#3d8b5f", "#8a5aa8", "#b8952d", "#5b6b73", "#c24f7c", "#1f9e9e")
MARKERS = "osD^vP*X"
LABEL_WIDTH = 26
EQUAL = 1e-18
"""Where the picture puts a difference of zero, which a logarithmic axis does not have."""


def comparison_table(comparison: Comparison) -> RenderableType:
    """Return differences, costs, what failed and why, and the notes."""
    verdict = (
        Text("all within tolerance", "bold green") if comparison.passed else Text("NOT within tolerance", "bold red")
    )
    if comparison.passed and not comparison.compared:
        verdict = Text("nothing was compared", "bold yellow")
    shots = "exact" if comparison.shots is None else f"{comparison.shots} shots"
    images = f"{comparison.samples} image{'' if comparison.samples == 1 else 's'}"
    head = Text.assemble(
        (comparison.experiment, "bold"), f": {comparison.qubits} qubits, {images}, float64, {shots}: ", verdict
    )
    parts: list[RenderableType] = [head, Text(""), _difference_table(comparison), Text("")]
    parts += [_failure(result, difference) for result in comparison.results for difference in result.failures]
    parts += [
        Text(f"{result.label}: {result.outcome}: {result.reason}", "red" if result.outcome == "failed" else "yellow")
        for result in comparison.results
        if result.reason
    ]
    if len(parts) > 4:
        parts.append(Text(""))
    parts += [_cost_table(comparison), Text("")]
    return Group(*parts, *(Text(note, "dim") for note in (_legend(), *comparison.notes, _versions(comparison))))


def _difference_table(comparison: Comparison) -> Table:
    unit = "" if comparison.shots is None else ", in standard errors"
    table = _table(f"largest difference from native{unit}")
    table.add_column("backend", overflow="fold")
    for name in QUANTITIES.values():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name, differences in tolerance_rows(comparison):
        table.add_row(Text(name, "dim"), *(Text(_short(each.tolerance, each), "dim") for each in differences), "")
    table.add_section()
    for result in comparison.results[1:]:
        if not result.differences:
            table.add_row(result.label, *[Text("-", "dim")] * len(QUANTITIES), Text(result.outcome, "yellow"))
            continue
        cells = [_cell(difference) for difference in result.differences]
        table.add_row(result.label, *cells, Text("pass", "green") if result.passed else Text("FAIL", "bold red"))
    return table


def tolerance_rows(comparison: Comparison) -> list[tuple[str, Sequence[Difference]]]:
    """Return the tolerances of each precision, as the differences of the first backend that has it."""
    found: dict[str, Sequence[Difference]] = {}
    for result in comparison.compared:
        found.setdefault(
            f"tolerance, {result.precision}" if comparison.shots is None else "tolerance", result.differences
        )
    return list(found.items())


def _cell(difference: Difference) -> Text:
    text = _short(difference.value, difference)
    return Text(text) if difference.passed else Text(f"{text}!", "bold red")


def _short(value: float, difference: Difference) -> str:
    if difference.unit == "standard errors":
        return f"{value:.1f}"
    return "0" if value == 0 else f"{value:.0e}"


def _failure(result: BackendResult, difference: Difference) -> Text:
    unit = "" if difference.unit == "absolute" else " standard errors"
    names = {"gradient_weights": ("weight",), "losses": ("step",)}.get(
        difference.quantity, ("sample", "entry", "column")
    )
    where = ", ".join(f"{name} {index}" for name, index in zip(names, difference.where, strict=False))
    return Text.assemble(
        (f"{result.label}: {QUANTITIES[difference.quantity]}", "bold red"),
        f" ({MEANINGS[difference.quantity]}) differs by {difference.value:.2g}{unit} at {where}; "
        f"the tolerance is {difference.tolerance:.2g}.",
    )


def _cost_table(comparison: Comparison) -> Table:
    table = _table("cost")
    for name, justify in (
        ("backend", "left"),
        ("converged", "right"),
        ("steps", "right"),
        ("evals", "right"),
        ("residual", "right"),
        ("runs: f", "right"),
        ("solve", "right"),
        ("step", "right"),
        ("s/step", "right"),
    ):
        table.add_column(name, justify=justify, no_wrap=justify == "right", overflow="fold")  # type: ignore[arg-type]
    if comparison.shots is not None:
        table.add_column("same shots", justify="right")
    for result in comparison.results:
        cost = result.cost
        if cost is None:
            continue
        converged = "fixed" if cost.converged is None else f"{cost.converged}/{comparison.samples}"
        if cost.noise_limited:
            converged += f", noise {cost.noise_limited}"
        runs = (f"{cost.executions[key]:,}" for key in ("function", "solve", "training_step"))
        row = [
            result.label + (" (native)" if result.outcome == "native" else ""),
            converged,
            f"{cost.steps:.1f}",
            f"{cost.evaluations:.1f}",
            f"{cost.residual:.0e}",
            *runs,
            f"{cost.seconds:.3f}",
        ]
        if comparison.shots is not None:
            row.append({None: "", True: "yes", False: "no"}[result.same_shots])
        table.add_row(*row)
    return table


def _legend() -> str:
    return (
        "y0 = 0, y random; L: loss; y*: equilibrium from y0 (∂f/∂y at y, dL at the native y*). Steps and evaluations "
        "(evals): mean of a sample's solve; residual: the worst sample's. Runs: circuits for f of all samples, for the "
        "solve, for a training step (and its seconds); a compiled f runs its circuits once per step and none in the "
        "solve, and the native one counts none of its own."
    )


def _versions(comparison: Comparison) -> str:
    found = {result.version.partition("+")[0]: None for result in comparison.results if result.version}
    return f"Ran: {', '.join(found)}."


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, show_edge=False, pad_edge=False,
        padding=(0, 1, 0, 0),
    )  # fmt: skip


def plot_comparison(comparison: Comparison, picture: Path) -> None:
    """Draw a comparison into a file, whose ending names the format."""
    draw_comparison(comparison).savefig(picture, dpi=130)


def draw_comparison(comparison: Comparison) -> Figure:
    """Return a figure of the differences, by quantity and backend with their tolerances, and of seconds per step."""
    # a Figure of its own, not pyplot: no global state and no window system
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    styles = {
        result.label: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, result in enumerate(comparison.compared)
    }
    height = 5.4 + 0.22 * max(0, len(styles) - 5)
    figure = Figure(figsize=(11.5, height), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
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


def _finish(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_xlabel(unit, color=INK)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(AXIS)
    axes.tick_params(colors=INK, length=3)
