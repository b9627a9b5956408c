"""The equilibria of a run, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from qdeq.reports.tables import percent, plain_table
from qdeq.solvers import Status

if TYPE_CHECKING:
    from qdeq.training.examine import RunStability

SHOWN = 8
"""How many images with several equilibria are named."""


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
    table = plain_table("where the run's own solve from y0 = 0 ended, in y-space")
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
    table = plain_table("equilibria found, from all starts")
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
