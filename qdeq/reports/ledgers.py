"""Ledgers as tables."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qdeq.billing.account import LISTED
from qdeq.billing.entries import IN_FLIGHT, Entry
from qdeq.billing.ledger import Ledger
from qdeq.billing.prices import dollars
from qdeq.errors import printable


def ledger_table(ledger: Ledger, *, tasks: bool = False) -> RenderableType:
    """Return the sums of a ledger by device and state, the tasks in flight, and on request every task."""
    entries = ledger.entries()
    total = ledger.totals()
    sums = money_table("device", "state", "tasks", "shots", "billed", "held")
    order = sorted(entries, key=lambda entry: (entry.device, entry.state))
    for (device, state), group in groupby(order, key=lambda entry: (entry.device, entry.state)):
        rows = list(group)
        held = 0 if state in ("completed", "rejected") else sum(row.reserved for row in rows)
        figures = (f"{len(rows):,}", f"{sum(row.shots for row in rows):,}", dollars(sum(row.cost for row in rows)))
        sums.add_row(_short(device), state, *figures, dollars(held))
    said = (
        f"{ledger.path}: {total.tasks:,} tasks, {total.shots:,} shots, {dollars(total.cost)} counted against the budget"
    )
    parts: list[RenderableType] = [Text(said), sums]
    flying = [entry for entry in entries if entry.state in IN_FLIGHT]
    if flying and not tasks:
        unnamed = sum(entry.arn is None for entry in flying)
        said = f"\n{len(flying):,} in flight; the next run with this ledger takes their results"
        if unnamed:
            said += f"\n{unnamed:,} of them may be in flight: asked for, and not named by the service"
        parts += [Text(said), _task_table(flying[:LISTED])]
        if flying[LISTED:]:
            parts.append(Text(f"... and {len(flying) - LISTED:,} more; --tasks lists every task"))
    if tasks:
        parts += [Text(""), _task_table(entries)]
    return Group(*parts)


def _task_table(entries: list[Entry]) -> Table:
    table = money_table("made", "device", "state", "shots", "billed", "content", "task, or why it ended")
    for entry in entries:
        made = datetime.fromtimestamp(entry.created, UTC).strftime("%Y-%m-%d %H:%M:%S")
        what = printable(" ".join(filter(None, [entry.arn or f"token {entry.token}", entry.reason])), 600)
        cost = dollars(entry.cost) if entry.state == "completed" else f"({dollars(entry.reserved)})"
        name = _short(entry.device)
        table.add_row(made, name, entry.state, f"{entry.shots:,}", cost, entry.hash[:12], Text(what, overflow="fold"))
    return table


def _short(device: str) -> str:
    return printable(device.rpartition("/")[2], 40)


def money_table(*columns: str) -> Table:
    """Return an empty table whose columns of numbers are flush right."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        numeric = column in ("circuits", "tasks", "shots", "cost", "billed", "held")
        wraps = numeric or column.startswith("task,")  # bounds are long, and go on two lines
        table.add_column(column, justify="right" if numeric else "left", no_wrap=not wraps)
    return table
