"""``qdeq ledger``: what was paid for."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from qdeq.cli.app import AsJson, app, examples, make_console
from qdeq.errors import LedgerError, printable


@app.command(
    epilog=examples(
        "qdeq ledger runs/sv1",
        "qdeq ledger runs/sv1 --tasks",
        "qdeq ledger runs/sv1 --json | jq '[.entries[].cost] | add'",
        "qdeq ledger runs/sv1 --give-up 5e0c3c1c-9c1b-4a58-9e0f-0d2f6b1f7c55",
    )
)
def ledger(
    path: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, or a ledger's file.", show_default=False)
    ],
    tasks: Annotated[bool, typer.Option("--tasks", help="List every task, not only those in flight.")] = False,
    give_up: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK",
            help="Count a task as lost whose result never appears: its ARN or the end of it, its token, or the number "
            "of a damaged row. What was held for it stays counted, and another may take its place. Repeatable.",
            show_default=False,
        ),
    ] = None,
    lost: Annotated[
        bool,
        typer.Option(
            "--lost", help="The run's ledger is lost: make one that counts what its last checkpoint says was spent."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List and sum what a ledger holds: tasks, shots and cost by device and state. Nothing is sent.

    Every result is read and checked: a ledger with a damaged one is refused, as it is by a run, and the rows are named.
    """
    from qdeq.billing.ledger import Ledger
    from qdeq.billing.lost_tasks import give_up as lose
    from qdeq.billing.prices import NANO, dollars

    if lost:
        _replace_lost(path)
    file = _file(path)
    with closing(Ledger(file)) as book:
        for name in give_up or []:
            entry = lose(book, name)
            typer.echo(f"given up: {printable(entry.arn or entry.token)}; {dollars(entry.held)} stay counted", err=True)
        book.verify()
        if as_json:
            rows = [asdict(entry) for entry in book.entries()]
            for row in rows:
                del row["fresh"]
                row.update({name: row[name] / NANO for name in ("reserved", "cost")})
                row.update({name: row[name] and json.loads(row[name]) for name in ("result", "asked")})
            typer.echo(json.dumps({"format_version": 1, "file": str(file), "entries": rows}, indent=2))
            return
        from qdeq.reports.ledgers import ledger_table

        make_console().print(ledger_table(book, tasks=tasks))


def _file(path: Path) -> Path:
    """Return the ledger's file: that in a run's folder, or the one that its budget names.

    Raises:
        LedgerError: There is none.
    """
    from qdeq.billing.budget import LEDGER_NAME
    from qdeq.training.folder import RunFolder

    file = path
    if path.is_dir():
        file, run = path / LEDGER_NAME, RunFolder(path)
        if not file.is_file() and run.spec.is_file() and (budget := run.load_spec().budget) and budget.ledger:
            file = Path(budget.ledger)
    if not file.is_file():
        raise LedgerError(f"{file}: there is no ledger\nGive the folder of a run that cost money, or budget.ledger.")
    return file


def _replace_lost(path: Path) -> None:
    from qdeq.training.folder import RunFolder
    from qdeq.training.spending import replace_lost

    run = RunFolder(path)
    budget = run.load_spec().budget
    file, known = replace_lost(run, None if budget is None else budget.ledger)
    typer.echo(f"{file}: counts {known}, which the run's last checkpoint knows of", err=True)
