"""Tasks whose results are wrong, or never appear: put aside, doubted, given up. What they may cost stays counted."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path

from qdeq.billing.entries import IN_FLIGHT, Entry
from qdeq.billing.ledger import COLUMNS, Ledger
from qdeq.billing.storage import IN_MEMORY
from qdeq.errors import LedgerError, printable


def put_aside(ledger: Ledger, entry: Entry, content: bytes, reason: str) -> Path | None:
    """Keep what the service sent for a task, and is not its result: the task stays in flight, to be fetched again.

    Returns:
        Where it lies now, for its owner alone; None where it cannot be written.
    """
    ledger.file.rows("UPDATE executions SET reason = ? WHERE token = ?", [reason, entry.token])
    if str(ledger.path) == IN_MEMORY:
        return None
    folder = ledger.path.with_name(f"{ledger.path.stem}-refused")
    file = folder / f"{entry.token}.json"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as opened:
            opened.write(content)
    except OSError:  # the bucket has it too
        return None
    return file


def doubt(ledger: Ledger, name: str) -> None:
    """Forget the result of this content hash: its task counts as before, and its result is fetched again."""
    ledger.file.rows(
        "UPDATE executions SET state = 'sent', reserved = max(reserved, cost), cost = 0, result = NULL,"
        " checksum = NULL, updated = ? WHERE hash = ? AND state = 'completed'",
        [time.time(), name],
    )


def way_out(ledger: Ledger, entry: Entry) -> str:
    """Return how to go on without a task's result."""
    name = entry.token if entry.arn is None else entry.arn.rpartition("/")[2]
    file = shlex.quote(str(ledger.path))
    return f"`qdeq ledger {file} --give-up {printable(name)}` counts it as lost and lets another take its place."


def give_up(ledger: Ledger, name: str) -> Entry:
    """Count a task as lost: it keeps what was held for it, and another one is made where it is wanted again.

    Args:
        ledger: Open.
        name: The task's ARN or the end of it, its token, or the number of a damaged row.

    Returns:
        The row as it was.

    Raises:
        LedgerError: There is none, or several; or it has ended, and its result is whole.
    """
    reason = "given up: another task may take its place"
    with ledger.file.transaction():
        found = ledger.file.rows(
            f"SELECT id, {COLUMNS} FROM executions WHERE ?1 IN (token, arn, CAST(id AS TEXT))"
            " OR substr(arn, -length(?1) - 1) = '/' || ?1",
            [name],
        )
        if len(found) != 1:
            raise LedgerError(
                f"{ledger.path}: {len(found) or 'no'} tasks are called {printable(name)}\n"
                "`qdeq ledger --tasks` lists them; give the ARN, or the token of one that has none."
            )
        row, entry = found[0][0], Entry(*found[0][1:])
        damaged = entry.state not in IN_FLIGHT and row in ledger.damaged_rows()
        if entry.state not in IN_FLIGHT and not damaged:
            raise LedgerError(
                f"{ledger.path}: the task {printable(name)} is not in flight: it is {entry.state}\n"
                "Only a task whose result never appears, or whose row is damaged, is given up."
            )
        ledger.file.rows(
            "UPDATE executions SET state = 'failed', reason = ?, reserved = max(reserved, CAST(cost AS INTEGER)),"
            " cost = 0, result = NULL, checksum = NULL, updated = ? WHERE id = ?",
            [reason, time.time(), row],
        )
    return entry
