"""Curves over steps and epochs: of one run in detail, or of several on the same axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qdeq.reports.html.chart import Chart, Point
from qdeq.reports.html.markup import Markup, tag
from qdeq.reports.html.material import Record, RunMaterial, figure
from qdeq.reports.html.scales import Scale, linear, logarithmic

MOST_POINTS = 240
"""Of a curve over steps: with more steps, each point is the mean of several."""
MOST_HOVER = 60
"""Points of a curve that say what they are."""
FAR = 20.0
"""Times a limit of 1: with values from here on the axis does not show the limit."""
COLOURS = 6
"""Run colours that the page's style has; more runs begin again, with another kind of line."""


@dataclass(frozen=True)
class Quantity:
    """What a chart of curves is of.

    Attributes:
        title: Of the chart.
        key: Of a log's record.
        label: What it is, with its unit.
        form: Of a number, in words.
        factor: By which the figures are multiplied.
        log: Whether the axis is logarithmic.
        include: What the axis shows in any case.
        most: Where the axis ends at the latest.
        limit: A value with a meaning of its own, and its name.
        of_steps: Whether every step has it.
    """

    title: str
    key: str
    label: str
    form: str
    factor: float = 1.0
    log: bool = False
    include: tuple[float, ...] = ()
    most: float = math.inf
    limit: tuple[float, str] | None = None
    of_steps: bool = True


QUANTITIES = (
    Quantity("Loss", "loss", "cross entropy [nats]", ".3f"),
    Quantity("Accuracy", "accuracy", "right [%]", ".1f", factor=100, most=100.0),
    Quantity("Residual", "residual_mean", "‖f(y) − y‖ / ‖f(y)‖, mean", ".1e", log=True),
    Quantity("Evaluations", "evaluations", "of f, per image", ".2f", include=(0.0,)),
    Quantity("Spectral radius", "spectral_radius_mean", "of ∂f/∂y, mean", ".3f", include=(0.0, 1.05),
             limit=(1.0, "attracting below 1"), of_steps=False),
    Quantity("Norm of the Jacobian", "jacobian_norm_mean", "‖∂f/∂y‖₂, mean", ".3f", include=(0.0, 1.05),
             limit=(1.0, "certified below 1"), of_steps=False),
)  # fmt: skip


def run_style(position: int) -> str:
    """Return the CSS classes of a run's lines: a colour, and for the seventh run on another kind of line."""
    return f"c{position % COLOURS}" + (" alternate" if position >= COLOURS else "")


def curves(runs: Sequence[RunMaterial]) -> Markup:
    """Return the charts of all runs that have a log, and their figures as tables."""
    drawn = [(place, run) for place, run in enumerate(runs) if run.steps or run.epochs]
    notes = [tag("p", f"{run.label}: " if len(runs) > 1 else "", run.missing["curves"], class_="note")
             for run in runs if "curves" in run.missing]  # fmt: skip
    charts = [chart for each in QUANTITIES if (chart := _chart(each, drawn, alone=len(runs) == 1)) is not None]
    tables = [_table(run, named=len(runs) > 1) for _, run in drawn if run.epochs]
    return tag("div", notes, tag("div", charts, class_="grid charts"), tables)


def _chart(quantity: Quantity, runs: Sequence[tuple[int, RunMaterial]], *, alone: bool) -> Markup | None:
    lines = list(_lines(quantity, runs, alone=alone))
    values = [value for _, points, *_ in lines for _, value in points if value is not None]
    if not values:
        return None
    x = Scale(0.0, max(1.0, *(at for _, points, *_ in lines for at, _ in points)), whole=True)
    y = logarithmic(values) if quantity.log else linear(values, include=_included(quantity, values), most=quantity.most)
    told = "; ".join(text for *_, text in lines if text)
    chart = Chart(quantity.title, x, y, "epoch", quantity.label, f"{told}.", second=_steps(x, runs))
    warm = [(until, place) for place, run in runs if (until := _warmup(run)) is not None]
    for row, (until, place) in enumerate(warm):
        if alone:
            chart.shade(0.0, until)
        else:
            chart.strip(0.0, until, run_style(place), row)
    if quantity.limit is not None:
        chart.level(*quantity.limit)
    for style, points, hover, _ in lines:
        chart.line(points, style, hover)
    if alone and runs and (best := [epoch["epoch"] for epoch in runs[0][1].epochs if epoch.get("best")]):
        chart.mark(best[-1], "", "best")
    return chart.figure()


def _included(quantity: Quantity, values: Sequence[float]) -> tuple[float, ...]:
    """Return what the axis shows in any case: the limit not where values far above it would flatten the rest."""
    return (0.0,) if quantity.limit is not None and max(values) >= FAR else quantity.include


Line = tuple[str, list[Point], list[str], str]
"""Style, points, what is said of each point, and of the whole line."""


def _lines(quantity: Quantity, runs: Sequence[tuple[int, RunMaterial]], *, alone: bool) -> Iterator[Line]:
    for place, run in runs:
        if alone and quantity.of_steps:
            yield f"{_split_style('train')} faint", _step_points(run, quantity), [], ""
        for split in ("train", "validation"):
            points = _epoch_points(run, quantity, split)
            if not any(value is not None for _, value in points):
                continue
            style = _split_style(split) if alone else f"{run_style(place)}{' dashed' if split == 'train' else ''}"
            name = split if alone else f"{run.label}, {split}"
            yield style, points, _hover(run, quantity, points, name), _told(name, quantity, points)


def _split_style(split: str) -> str:
    return {"train": "c0", "validation": "c1"}[split]


def _step_points(run: RunMaterial, quantity: Quantity) -> list[Point]:
    """Return the curve over steps, thinned by taking means."""
    values = [(step, figure(step, quantity.key)) for step in run.steps]
    found = [(float(step["step"]) / run.steps_per_epoch, value * quantity.factor) for step, value in values
             if value is not None]  # fmt: skip
    size = math.ceil(len(found) / MOST_POINTS) or 1
    blocks = [found[start : start + size] for start in range(0, len(found), size)]
    return [(_mean([x for x, _ in block]), _mean([value for _, value in block])) for block in blocks]


def _epoch_points(run: RunMaterial, quantity: Quantity, split: str) -> list[Point]:
    found = [(float(epoch["epoch"]), figure(epoch[split], quantity.key)) for epoch in run.epochs]
    return [(x, None if value is None else value * quantity.factor) for x, value in found]


def _hover(run: RunMaterial, quantity: Quantity, points: Sequence[Point], name: str) -> list[str]:
    """Return what is said of each point; empty where there are so many that none could be pointed at."""
    if len(points) > MOST_HOVER:
        return []
    return [
        f"{name}, epoch {epoch['epoch']}, step {epoch['step']:,}: {_said(quantity, value)}"
        for epoch, (_, value) in zip(run.epochs, points, strict=True)
    ]


def _told(name: str, quantity: Quantity, points: Sequence[Point]) -> str:
    known = [(x, value) for x, value in points if value is not None]
    (first, start), (last, end) = known[0], known[-1]
    said = f"{_said(quantity, end)} at epoch {last:g}"
    return f"{name} {said}" if first == last else f"{name} from {_said(quantity, start)} at epoch {first:g} to {said}"


def _said(quantity: Quantity, value: float | None) -> str:
    return "not measured" if value is None else format(value, quantity.form)


def _steps(x: Scale, runs: Sequence[tuple[int, RunMaterial]]) -> tuple[str, dict[float, str]]:
    """Return the steps that belong to the ticks of the epochs, where all runs have as many in an epoch."""
    per_epoch = {run.steps_per_epoch for _, run in runs}
    if len(per_epoch) > 1:
        return "", {}
    return "step", {value: f"{round(value * min(per_epoch)):,}" for value, _ in x.ticks()}


def _warmup(run: RunMaterial) -> float | None:
    """Return the epoch, with its fraction, at which the warm-up ended; None where there was none."""
    direct = [float(step["step"]) for step in run.steps if step.get("layers") is not None]
    if not direct or run.spec.model.mode == "direct":
        return None
    return direct[-1] / run.steps_per_epoch


def has_warmup(runs: Sequence[RunMaterial]) -> bool:
    """Whether any run began with direct layers."""
    return any(_warmup(run) for run in runs)


def _table(run: RunMaterial, *, named: bool) -> Markup:
    """Return the epochs as a table, closed at first."""
    head = [tag("th", text, scope="col") for text in ("epoch", "step")]
    shown = [
        (quantity, split)
        for quantity in QUANTITIES
        for split in ("train", "validation")
        if any(figure(epoch[split], quantity.key) is not None for epoch in run.epochs)
    ]
    head += [tag("th", f"{quantity.title.lower()}, {split}", scope="col") for quantity, split in shown]
    rows = [
        tag(
            "tr",
            tag("th", f"{epoch['epoch']}{' ★' if epoch.get('best') else ''}", scope="row"),
            tag("td", f"{epoch['step']:,}"),
            [tag("td", _cell(epoch, quantity, split)) for quantity, split in shown],
        )
        for epoch in run.epochs
    ]
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows))
    title = f"All epochs of {run.label} as a table" if named else "All epochs as a table"
    note = tag("p", "★ the lowest validation loss so far", class_="aside")
    box = tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=title)
    return tag("details", tag("summary", title), box, note)


def _cell(epoch: Record, quantity: Quantity, split: str) -> str:
    value = figure(epoch[split], quantity.key)
    return _said(quantity, None if value is None else value * quantity.factor) if value is not None else "-"


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """Return a legend.

    Args:
        entries: Style and name of each line; the style ``shade`` is a shaded area.
    """
    return tag("ul", [tag("li", _key(style), name) for style, name in entries], class_="legend")


def _key(style: str) -> Markup:
    sign: Any = tag("line", x1=1, x2=25, y1=6, y2=6, class_=f"line {style}")
    if style == "shade":
        sign = tag("rect", x=1, y=0, width=24, height=12, class_="shade")
    return tag("svg", sign, viewBox="0 0 26 12", class_="key", aria_hidden="true")


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
