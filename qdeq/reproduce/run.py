"""Running a table: its data, its sweep, and the classical row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdeq.builders import build_data
from qdeq.reproduce.classical import fit_classical
from qdeq.reproduce.result import Reproduction
from qdeq.reproduce.table import Mode, PaperTable
from qdeq.sweeps import SweepProgress, run_sweep


def reproduce(
    table: PaperTable,
    out: str | Path,
    *,
    mode: Mode = "corrected",
    seeds: int | None = None,
    epochs: int | None = None,
    changes: Mapping[str, Any] | None = None,
    workers: int | None = None,
    progress: SweepProgress | None = None,
) -> Reproduction:
    """Run what is not finished of a table, and put its figures together.

    Args:
        table: The table.
        out: Folder of its sweep; what lies finished in it is not run again.
        mode: Whose settings: ``corrected``, ours, or ``reference``, those of the published code.
        seeds: How many, in place of the table's.
        epochs: Of every row, in place of the mode's.
        changes: To every row: keys with dots, such as ``{"data.limit": 600}``.
        workers: Runs at a time; None for as many as there are CPUs.
        progress: Watches; silent by default.

    Raises:
        QdeqError: As :func:`~qdeq.sweeps.run_sweep`; the table has no such mode, or its data cannot be had.
        SweepInterrupted: Ctrl-C, or SIGTERM; the same call goes on.
    """
    splits = build_data(table.data_spec(mode, changes))
    train_images = len(splits.train.labels)
    sweep = table.sweep(mode, seeds=seeds, epochs=epochs, changes=changes, train_images=train_images)
    result = run_sweep(sweep, out, workers=workers, progress=progress)
    changed = [f"{len(sweep.spec.seeds)} seeds in place of {table.seeds}"] if seeds not in (None, table.seeds) else []
    changed += [f"{key} is {value} in every row" for key, value in (changes or {}).items()]
    if epochs is not None:
        changed.append(f"training.epochs is {epochs} in every row")
    return Reproduction(
        table=table,
        mode=mode,
        changed=tuple(changed),
        result=result,
        classical=fit_classical(splits),
        data=splits.name,
        train_images=train_images,
        test_images=len(splits.test.labels),
    )
