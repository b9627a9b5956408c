"""What a sweep tells whoever watches it. The base class is silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qdeq.sweeps.cells import Cell
    from qdeq.sweeps.result import CellResult


@dataclass(frozen=True)
class SweepPlan:
    """The size of a sweep, known before its first cell is run."""

    name: str
    cells: int
    finished: int
    workers: int


class SweepProgress:
    """Watches a sweep in silence. Override what you want to see."""

    def started(self, plan: SweepPlan) -> None:
        """Take note that the first cell is about to be run."""

    def moved(self, running: Mapping[Cell, float]) -> None:
        """Take note of the cells that are running, each with the part of its epochs that is done."""

    def ended(self, result: CellResult) -> None:
        """Take note of a cell that is finished, or has failed for good."""

    def noted(self, message: str) -> None:
        """Take note of one line for the user, such as a worker that died."""

    def closed(self) -> None:
        """Take note that the sweep is over, or that an exception ended it."""
