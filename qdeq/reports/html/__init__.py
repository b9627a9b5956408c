"""The HTML page about a run, or about several beside each other: one file, without scripts and without requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qdeq.errors import TrainingError
from qdeq.files import replace_file
from qdeq.reports.html.headline import accuracy_interval
from qdeq.reports.html.material import RunMaterial, gather, labels_of
from qdeq.reports.html.page import page

__all__ = ["RunMaterial", "check_target", "gather_runs", "page", "report_data", "write_page"]

_OURS = '<meta name="generator" content="qdeq '
_HEAD = 4096
"""Characters of a file among which a page of ours says whose it is."""


def gather_runs(paths: Sequence[Path], *, checkpoint: str = "best", samples: int | None = None) -> list[RunMaterial]:
    """Collect what there is of each run, and give each a label of its own.

    Raises:
        QdeqError: As :func:`~qdeq.reports.html.material.gather`.
    """
    runs = [gather(path, "", checkpoint=checkpoint, samples=samples) for path in paths]
    for run, label in zip(runs, labels_of(paths, [run.spec.name for run in runs]), strict=True):
        run.label = label
    return runs


def write_page(runs: Sequence[RunMaterial], file: Path) -> None:
    """Write the page; only a page of qdeq's is ever written over.

    Raises:
        TrainingError: The file is something else, or cannot be written.
    """
    check_target(file)
    try:
        replace_file(file, page(runs))
    except OSError as error:
        raise _unwritable(file, error) from error


def check_target(file: Path) -> None:
    """Refuse a file that is not a page of qdeq's. Nothing is written.

    Raises:
        TrainingError: See :func:`write_page`.
    """
    try:
        if not file.exists():
            if not file.parent.is_dir():
                raise TrainingError(f"{file}: there is no folder {file.parent}\nMake it, or give another --out FILE.")
            return
        if file.is_dir():
            raise TrainingError(f"{file}: is a folder, and the page is a file\nGive {file}/report.html, say.")
        with file.open(encoding="utf-8", errors="replace") as opened:
            if _OURS in opened.read(_HEAD):
                return
    except OSError as error:
        raise _unwritable(file, error) from error
    raise TrainingError(f"{file}: is no report of qdeq's, so it is not written over\nGive another one with --out FILE.")


def _unwritable(file: Path, error: OSError) -> TrainingError:
    return TrainingError(f"{file}: cannot be written ({error.strerror})\nGive another one with --out FILE.")


def report_data(runs: Sequence[RunMaterial], file: Path) -> str:
    """Return the test figures of the page as JSON, with what it lacks."""
    return json.dumps({"format_version": 1, "file": str(file), "runs": [_data(run) for run in runs]}, indent=2)


def _data(run: RunMaterial) -> dict[str, Any]:
    from dataclasses import asdict

    info = run.checkpoint.info if run.checkpoint is not None else None
    test = run.test
    return {
        "name": run.spec.name,
        "folder": str(run.folder),
        "spec_hash": run.spec.content_hash,
        "finished": run.summary is not None,
        "checkpoint": info and {"epoch": info.epoch, "step": info.step},
        "test": None if test is None else asdict(test),
        "accuracy_interval": None if test is None else accuracy_interval(test),
        "solved_for": 0 if run.solves is None else len(run.solves.positions),
        "missing": run.missing,
    }
