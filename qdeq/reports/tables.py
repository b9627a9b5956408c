"""What tables have in common: their looks on a terminal and as Markdown, and how numbers are written in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from qdeq.solvers import Status

if TYPE_CHECKING:
    from qdeq.training.metrics import Metrics

ABSENT = "-"
"""Stands for a figure that was not measured."""

MINUS = "−"


class Block(NamedTuple):
    """A table whose first column names its rows.

    Attributes:
        title: Above it.
        columns: Their heads.
        rows: As many cells as there are columns.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def table(self) -> Table:
        """Return it for a terminal."""
        table = plain_table(self.title)
        for position, column in enumerate(self.columns):
            table.add_column(column, justify="right" if position else "left", no_wrap=not position)
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def markdown(self) -> str:
        """Return it as Markdown, below a heading."""
        return f"## {self.title}\n\n{markdown_table(self.columns, self.rows)}"


def plain_table(title: str | None = None, *, gap: int = 2) -> Table:
    """Return an empty table with a line below its head and no other.

    Args:
        title: Above its left end.
        gap: Spaces between columns, and one more.
    """
    head = None if title is None else Text(title, "bold")
    return Table(
        title=head, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0)
    )


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown, its first column to the left and all others to the right."""
    lines = [columns, ("---", *("---:",) * (len(columns) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(share: float | None) -> str:
    """Return a share as ``91.2 %``."""
    if share is None:
        return ABSENT
    shown = 99.9 if 0.999 < share < 1 else 100 * share  # 100.0 % means all of them
    return f"{shown:.1f} %"


def number(value: float | None, form: str = ".4f") -> str:
    """Return a number, or a dash for none."""
    return ABSENT if value is None else format(value, form)


def residual(metrics: Metrics, value: float | None) -> str:
    """Return a residual; one that was measured but is not finite is said to be so."""
    if value is None and Status.NON_FINITE.name.lower() in metrics.failed:
        return "not finite"
    return number(value, ".1e")
