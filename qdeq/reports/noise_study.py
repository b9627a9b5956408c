"""Trained models under noise and shots, for a terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, fields

from rich.console import Group, RenderableType
from rich.text import Text

from qdeq.reports.tables import ABSENT, Block
from qdeq.reproduce.noise import FIXED_STEPS
from qdeq.reproduce.noise_result import Kind, Measurement, NoiseStudy

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
            found.append(Block(f"{title}: {what}", (HEADS[kind], *study.rows), lines))
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
        f"with few shots after one step; IMPLICIT, {FIXED_STEPS} steps takes {FIXED_STEPS} steps whatever it sees.",
    ]


def noise_table(study: NoiseStudy) -> RenderableType:
    """Return the tables for a terminal."""
    parts: list[RenderableType] = []
    for block in blocks(study):
        parts += [block.table(), Text("")]
    return Group(*parts, *(Text(f"- {line}") for line in remarks(study)))


def noise_markdown(study: NoiseStudy) -> str:
    """Return the same as Markdown."""
    parts = [f"# {study.trained.table.title}", *(block.markdown() for block in blocks(study))]
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in remarks(study))]) + "\n"


def noise_csv(study: NoiseStudy) -> str:
    """Return a line for each measurement, with all digits."""
    text = io.StringIO()
    names = [field.name for field in fields(Measurement)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(each) for each in study.measurements)
    return text.getvalue()
