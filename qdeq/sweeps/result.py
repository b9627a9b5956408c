"""What a sweep found: its cells, and their figures over the seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from qdeq._version import __version__
from qdeq.sweeps.cells import Cell, Sweep
from qdeq.sweeps.figures import figure
from qdeq.sweeps.folder import SweepFolder
from qdeq.sweeps.statistics import LEVEL, Spread, paired, spread
from qdeq.training import RunSummary


@dataclass(frozen=True)
class CellResult:
    """What became of a cell.

    Attributes:
        cell: The cell.
        state: ``open`` where it was not finished, and has not failed for good.
        folder: Its run folder.
        summary: Its figures; None where it is not finished.
        attempts: How often this sweep ran it; 0 where it was finished before.
        error: Why it failed.
    """

    cell: Cell
    state: Literal["finished", "failed", "open"]
    folder: Path
    summary: RunSummary | None = None
    attempts: int = 0
    error: str = ""

    @property
    def failure(self) -> str:
        """Why the cell failed for good, with its name and how often it was tried."""
        times = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        return f"{self.cell}: failed in {times}: {self.error}"

    def to_data(self, metrics: Sequence[str]) -> dict[str, Any]:
        """Return the line of cells.jsonl."""
        found = self.summary
        return {
            "variant": self.cell.variant,
            "seed": self.cell.seed,
            "state": self.state,
            "folder": f"cells/{self.cell.name}",
            "spec_hash": self.cell.spec.content_hash,
            "attempts": self.attempts,
            "error": self.error or None,
            "figures": None if found is None else {metric: figure(found, metric) for metric in metrics},
        }


@dataclass(frozen=True)
class SweepResult:
    """A sweep's cells, and what they say together.

    Attributes:
        sweep: The sweep.
        folder: Where its files lie.
        cells: In the order of the sweep.
    """

    sweep: Sweep
    folder: SweepFolder
    cells: tuple[CellResult, ...]

    @classmethod
    def collect(
        cls, sweep: Sweep, folder: SweepFolder, known: Callable[[Cell], CellResult | None] = lambda cell: None
    ) -> SweepResult:
        """Read what lies in a folder; nothing is run.

        Args:
            sweep: The sweep.
            folder: Its folder.
            known: Returns what is known of a cell, so that its files need not be read.
        """
        return cls(sweep, folder, tuple(known(cell) or _read(cell, folder) for cell in sweep.cells))

    @property
    def failed(self) -> list[CellResult]:
        """Cells that failed for good."""
        return [result for result in self.cells if result.state == "failed"]

    @property
    def complete(self) -> bool:
        """Whether all cells are finished."""
        return all(result.state == "finished" for result in self.cells)

    def values(self, variant: str, metric: str) -> dict[int, float]:
        """Return a figure by seed, for the cells that are finished and have it."""
        found = {}
        for summary, seed in self._finished.get(variant, ()):
            value = figure(summary, metric)
            if value is not None:
                found[seed] = value
        return found

    def of(self, variant: str, metric: str) -> Spread | None:
        """Return a figure of a variant over its seeds; None where no cell has it."""
        return spread(list(self.values(variant, metric).values()))

    def difference(self, pair: tuple[str, str], metric: str) -> Spread | None:
        """Return the first variant's figure less the second's, paired by seed; None where no seed has both."""
        return paired(self.values(pair[0], metric), self.values(pair[1], metric))

    @cached_property
    def _finished(self) -> dict[str, list[tuple[RunSummary, int]]]:
        found: dict[str, list[tuple[RunSummary, int]]] = {}
        for result in self.cells:
            if result.summary is not None:
                found.setdefault(result.cell.variant, []).append((result.summary, result.cell.seed))
        return found

    def to_data(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        metrics = self.sweep.spec.metrics

        def figures(get: Callable[[str], Spread | None]) -> dict[str, Any]:
            return {metric: None if (found := get(metric)) is None else asdict(found) for metric in metrics}

        return {
            "format_version": 1,
            "name": self.sweep.spec.name,
            "qdeq_version": __version__,
            "folder": str(self.folder.path),
            "level": LEVEL,
            "seeds": self.sweep.spec.seeds,
            "metrics": metrics,
            "variants": [
                {"variant": variant, "figures": figures(lambda metric, v=variant: self.of(v, metric))}  # type: ignore[misc]
                for variant in self.sweep.variants
            ],
            "differences": [
                {
                    "first": pair[0],
                    "second": pair[1],
                    "figures": figures(lambda metric, p=pair: self.difference(p, metric)),  # type: ignore[misc]
                }
                for pair in self.sweep.pairs
            ],
            "cells": [result.to_data(metrics) for result in self.cells],
        }

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(self.to_data(), indent=2, allow_nan=False)

    def cell_lines(self) -> str:
        """Return cells.jsonl: one JSON object a cell."""
        metrics = self.sweep.spec.metrics
        return "".join(json.dumps(result.to_data(metrics), allow_nan=False) + "\n" for result in self.cells)


def _read(cell: Cell, folder: SweepFolder) -> CellResult:
    summary = folder.summary(cell)
    return CellResult(cell, "open" if summary is None else "finished", folder.run(cell), summary)
