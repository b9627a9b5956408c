"""``qdeq ledger``: what was paid for."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from qdeq.cli.app import AsJson, app, examples, make_console
from qdeq.errors import LedgerError


@app.command(
    epilog=examples(
        "qdeq ledger runs/sv1",
        "qdeq ledger runs/sv1 --tasks",
        "qdeq ledger runs/sv1 --json | jq '[.entries[].cost] | add'",
    )
)
def ledger(
    path: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, or a ledger's file.", show_default=False)
    ],
    tasks: Annotated[bool, typer.Option("--tasks", help="List every task, not only those in flight.")] = False,
    as_json: AsJson = False,
) -> None:
    """List and sum what a ledger holds: tasks, shots and cost by device and state. Nothing is sent.

    Every result is read and checked: a ledger with a damaged one is refused, as it is by a run, and the rows are named.
    """
    from qdeq.billing.budget import LEDGER_NAME
    from qdeq.billing.ledger import Ledger
    from qdeq.billing.prices import NANO

    file = path / LEDGER_NAME if path.is_dir() else path
    if not file.is_file():
        raise LedgerError(f"{file}: there is no ledger\nGive the folder of a run that cost money, or budget.ledger.")
    with closing(Ledger(file)) as book:
        book.verify()
        if as_json:
            rows = [asdict(entry) for entry in book.entries()]
            for row in rows:
                del row["fresh"]
                row.update({name: row[name] / NANO for name in ("reserved", "cost")})
                row["result"] = row["result"] and json.loads(row["result"])
            typer.echo(json.dumps({"format_version": 1, "file": str(file), "entries": rows}, indent=2))
            return
        from qdeq.reports.ledgers import ledger_table

        make_console().print(ledger_table(book, tasks=tasks))
