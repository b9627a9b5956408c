"""Several runs beside each other: their figures, and where their specs differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from qdeq.reports.html.curves import run_style
from qdeq.reports.html.facts import scroll
from qdeq.reports.html.headline import accuracy_interval, failed
from qdeq.reports.html.markup import Markup, tag
from qdeq.reports.html.material import RunMaterial
from qdeq.reports.tables import ABSENT, number, percent, residual
from qdeq.training.metrics import Metrics


@dataclass(frozen=True)
class Row:
    """A line of the comparison.

    Attributes:
        name: What it is.
        text: Of a run's test figures.
        value: What decides which is best; None where there is none.
        best: Whether the least or the most is best; None where neither is.
        of_images: Whether it can be compared only on the same test images.
    """

    name: str
    text: Callable[[Metrics], str]
    value: Callable[[Metrics], float | None]
    best: Literal["least", "most"] | None = None
    of_images: bool = False


ROWS = (
    Row("test accuracy", lambda m: percent(m.accuracy), lambda m: m.accuracy, "most", of_images=True),
    Row("95 % interval", lambda m: _interval(m), lambda m: None),
    Row("loss", lambda m: number(m.loss, ".3f"), lambda m: m.loss, "least", of_images=True),
    Row("residual, mean", lambda m: residual(m, m.residual_mean), lambda m: m.residual_mean, "least"),
    Row("residual, worst image", lambda m: residual(m, m.residual_max), lambda m: m.residual_max, "least"),
    Row("evaluations per image", lambda m: number(m.evaluations, ".2f"), lambda m: m.evaluations, "least"),
    Row("shots per image", lambda m: number(m.shots, ",.0f"), lambda m: m.shots, "least"),
    Row("failed solves", lambda m: failed(m), lambda m: None if m.converged is None else sum(m.failed.values()),
        "least"),
    Row("spectral radius, mean", lambda m: number(m.spectral_radius_mean, ".3f"), lambda m: m.spectral_radius_mean),
    Row("spectral radius, largest", lambda m: number(m.spectral_radius_max, ".3f"), lambda m: m.spectral_radius_max),
    Row("certified, ‖J‖₂ < 1", lambda m: percent(m.certified), lambda m: m.certified, "most"),
    Row("test images", lambda m: f"{m.samples:,}", lambda m: m.samples),
)  # fmt: skip


def comparison(runs: Sequence[RunMaterial]) -> Markup:
    """Return the runs' figures, the best of each line marked, and what to keep in mind."""
    tests = [run.test for run in runs]
    same = same_images(runs)
    rows = []
    for row in ROWS:
        values = [None if test is None else row.value(test) for test in tests]
        texts = [ABSENT if test is None else row.text(test) for test in tests]
        if all(text == ABSENT for text in texts):
            continue
        best = best_of(values, row.best) if same or not row.of_images else []
        rows.append(_line(row.name, texts, best))
    rows.append(_line("checkpoint's epoch", [_checkpoint(run) for run in runs], []))
    rows.append(_line("training time", [_time(run) for run in runs], []))
    head = tag("tr", tag("th", "", scope="col"), [_name(run, place) for place, run in enumerate(runs)])
    table = tag("table", tag("caption", "Test figures"), tag("thead", head), tag("tbody", rows), class_="comparison")
    note = "★ best of its line. Where 95 % intervals of the accuracy overlap, the order may be chance."
    if not same:
        note += " The runs were not tested on the same images, so their accuracies and losses are not ranked."
    return tag("div", scroll(table, "Test figures of all runs"), tag("p", note, class_="aside"))


def best_of(values: Sequence[float | None], which: Literal["least", "most"] | None) -> list[int]:
    """Return where the best values stand; none where all that are known are equal, or only one is known."""
    known = [value for value in values if value is not None]
    if which is None or len(set(known)) < 2:
        return []
    best = min(known) if which == "least" else max(known)
    return [place for place, value in enumerate(values) if value == best]


def same_images(runs: Sequence[RunMaterial]) -> bool:
    """Whether all runs have the same test images, by their specs and by the labels of those that were solved for."""
    settings = [(run.spec.data.dataset, run.spec.data.classes, run.spec.data.split_seed) for run in runs]
    if any(each != settings[0] for each in settings):
        return False
    solved = [run.solves for run in runs if run.solves is not None]
    return all(
        np.array_equal(each.positions, solved[0].positions) and np.array_equal(each.labels, solved[0].labels)
        for each in solved
    )


def differences(runs: Sequence[RunMaterial]) -> Markup:
    """Return the keys of the specs that differ, with each run's value."""
    flat = [flattened(run.spec.model_dump(mode="json")) for run in runs]
    keys = list(dict.fromkeys(key for each in flat for key in each if key != "name"))
    sections = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    keys.sort(key=lambda key: sections.index(key.partition(".")[0]))
    rows = []
    for key in keys:
        values = [each.get(key, ABSENT) for each in flat]
        if len(set(values)) > 1:
            rows.append(_line(key, values, []))
    if not rows:
        return tag("p", "The specs of all runs are the same.", class_="note")
    key = tag("th", "key", scope="col", class_="first")
    head = tag("tr", key, [_name(run, place) for place, run in enumerate(runs)])
    table = tag("table", tag("caption", "Settings that differ"), tag("thead", head), tag("tbody", rows),
                class_="comparison code")  # fmt: skip
    return scroll(table, "Settings that differ")


def flattened(data: Any, prefix: str = "") -> dict[str, str]:
    """Return a spec's data as dotted keys with their values in words; lists stay whole."""
    if isinstance(data, dict) and data:
        return {
            inner: text
            for key, value in data.items()
            for inner, text in flattened(value, f"{prefix}.{key}" if prefix else str(key)).items()
        }
    return {prefix: data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}


def _line(name: str, texts: Sequence[str], best: Sequence[int]) -> Markup:
    star = tag("span", "★", title="best", aria_label="best", role="img")
    cells = [
        tag("td", tag("strong", text, " ", star), class_="best") if place in best else tag("td", text)
        for place, text in enumerate(texts)
    ]
    return tag("tr", tag("th", name, scope="row"), cells)


def _name(run: RunMaterial, place: int) -> Markup:
    sign = tag("svg", tag("line", x1=1, x2=25, y1=6, y2=6, class_=f"line {run_style(place)}"), viewBox="0 0 26 12",
               class_="key", aria_hidden="true")  # fmt: skip
    return tag("th", sign, run.label, scope="col")


def _interval(test: Metrics) -> str:
    interval = accuracy_interval(test)
    return ABSENT if interval is None else f"{100 * interval[0]:.1f} – {100 * interval[1]:.1f} %"


def _checkpoint(run: RunMaterial) -> str:
    if run.checkpoint is None:
        return ABSENT
    name = run.checkpoint.path.stem
    return f"{run.checkpoint.info.epoch} ({name})" if name in ("best", "last") else str(run.checkpoint.info.epoch)


def _time(run: RunMaterial) -> str:
    return ABSENT if run.summary is None else f"{run.summary.seconds:,.1f} s"
