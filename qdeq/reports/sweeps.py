"""A sweep's figures over the seeds, for a terminal or a log, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from qdeq.errors import plural
from qdeq.reports.tables import ABSENT, MINUS, markdown_table, plain_table
from qdeq.sweeps.figures import is_share, title
from qdeq.sweeps.result import SweepResult
from qdeq.sweeps.statistics import Spread

COLUMNS = ("seeds", "mean", "standard deviation", "95 % interval")


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: A variant, or ``a − b``.
        first: The variant.
        second: The one it is compared with; None in a table of variants.
        spread: Its figures; None where no seed has any.
    """

    name: str
    first: str
    second: str | None
    spread: Spread | None


def variant_rows(result: SweepResult, metric: str) -> list[Row]:
    """Return a line for each variant."""
    return [Row(variant, variant, None, result.of(variant, metric)) for variant in result.sweep.variants]


def difference_rows(result: SweepResult, metric: str) -> list[Row]:
    """Return a line for each comparison."""
    return [Row(f"{a} {MINUS} {b}", a, b, result.difference((a, b), metric)) for a, b in result.sweep.pairs]


def sweep_table(result: SweepResult) -> RenderableType:
    """Return a table for each metric, then what is not finished and why, and how to read it."""
    parts: list[RenderableType] = []
    for metric in result.sweep.spec.metrics:
        table = plain_table(title(metric))
        table.add_column("", overflow="fold", min_width=24)
        for column in COLUMNS:
            table.add_column(column, justify="right", no_wrap=True)
        for rows in (variant_rows(result, metric), difference_rows(result, metric)):
            for position, row in enumerate(rows):
                table.add_row(Text(row.name), *cells(row, metric), end_section=position == len(rows) - 1)
        parts += [table, Text("")]
    missing = [Text(line, "red") for line in _missing(result)]
    return Group(*parts, *missing, Text(_legend(result), "dim"))


def sweep_markdown(result: SweepResult) -> str:
    """Return the same as Markdown."""
    spec = result.sweep.spec
    seeds = ", ".join(map(str, spec.seeds))
    parts = [
        f"# {spec.name}",
        f"{plural(len(result.sweep.variants), 'variant')}, seeds {seeds}; {plural(len(result.cells), 'cell')}.",
    ]
    for metric in spec.metrics:
        parts += [f"## {title(metric)}", _markdown("variant", variant_rows(result, metric), metric)]
        if result.sweep.pairs:
            parts.append(_markdown("paired difference", difference_rows(result, metric), metric))
    return "\n\n".join([*parts, *_missing(result), _legend(result)]) + "\n"


def sweep_csv(result: SweepResult) -> str:
    """Return a line for each metric and variant, and for each metric and comparison; numbers with all their digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("metric", "variant", "less", "seeds", "mean", "standard_deviation", "low_95", "high_95"))
    for metric, row in _all_rows(result):
        found = row.spread
        figures = ("",) * 4 if found is None else (found.mean, found.deviation, found.low, found.high)
        writer.writerow((metric, row.first, row.second, found.n if found else 0, *figures))
    return text.getvalue()


def cells(row: Row, metric: str) -> tuple[str, str, str, str]:
    """Return a line's number of seeds, mean, standard deviation and interval as text; shares in per cent."""
    found = row.spread
    if found is None:
        return ("0", ABSENT, ABSENT, ABSENT)
    sign = row.second is not None
    mean = shown(found.mean, metric, sign=sign)
    if found.deviation is None or found.low is None or found.high is None:
        return (str(found.n), mean, ABSENT, ABSENT)
    ends = f"{shown(found.low, metric, sign=sign)} to {shown(found.high, metric, sign=sign)}"
    return (str(found.n), mean, shown(found.deviation, metric), ends)


def shown(value: float, metric: str, *, sign: bool = False) -> str:
    """Return a number as the tables have it."""
    return format(
        100 * value if is_share(metric) else value, f"{'+' if sign else ''}{'.2f' if is_share(metric) else '.4g'}"
    )


def headline(result: SweepResult) -> str:
    """Return what became of the cells, in one line."""
    finished = sum(cell.state == "finished" for cell in result.cells)
    failed = f", {len(result.failed)} failed" if result.failed else ""
    return f"{result.sweep.spec.name}: {finished} of {plural(len(result.cells), 'cell')} finished{failed}"


def _all_rows(result: SweepResult) -> Iterator[tuple[str, Row]]:
    for metric in result.sweep.spec.metrics:
        for row in (*variant_rows(result, metric), *difference_rows(result, metric)):
            yield metric, row


def _markdown(head: str, rows: Sequence[Row], metric: str) -> str:
    return markdown_table((head, *COLUMNS), [(row.name, *cells(row, metric)) for row in rows])


def _missing(result: SweepResult) -> list[str]:
    lines = [cell.failure for cell in result.failed]
    unfinished = sum(cell.state == "open" for cell in result.cells)
    return lines + ([f"Cells that are not finished: {unfinished}."] if unfinished else [])


def _legend(result: SweepResult) -> str:
    text = "95 % interval of the mean over the seeds: Student's t; it says nothing of other data or splits."
    if result.sweep.pairs:
        text += (
            f" a {MINUS} b: differences seed by seed, in the unit of the table; an interval that holds 0 leaves open "
            "which is larger. With several comparisons, one in twenty intervals misses by chance."
        )
    return text
