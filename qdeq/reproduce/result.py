"""What a table found: a line for each row, the paired differences, and what has to be said beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from qdeq._version import __version__
from qdeq.reproduce.classical import WHAT, Classical
from qdeq.reproduce.costs import Costs, row_costs
from qdeq.reproduce.table import IMPLICIT, Mode, PaperTable
from qdeq.sweeps import CellResult, Spread, SweepResult, paired, spread
from qdeq.sweeps.statistics import LEVEL

CLASSICAL = "logistic regression"

FIGURES = {
    "accuracy": "test.accuracy",
    "validation_accuracy": "validation.accuracy",
    "residual": "test.residual_mean",
    "worst_residual": "test.residual_max",
    "converged": "test.converged",
    "evaluations": "test.evaluations",
    "memory_mib": "memory.process_mib",
    "seconds": "seconds",
    "parameters": "parameters",
}
"""What a line shows, and where it stands in summary.json."""


@dataclass(frozen=True)
class Line:
    """One row of the table, over its seeds.

    Attributes:
        name: As the paper calls it.
        figures: By their names in :data:`FIGURES`; None where no seed has it.
        costs: None for a classical row.
    """

    name: str
    figures: dict[str, Spread | None]
    costs: Costs | None

    def __getitem__(self, figure: str) -> Spread | None:
        return self.figures.get(figure)


@dataclass(frozen=True)
class Difference:
    """Test accuracy of the first row less that of the second, paired by seed; None where no seed has both."""

    first: str
    second: str
    accuracy: Spread | None


@dataclass(frozen=True)
class Reproduction:
    """A table of the paper, run again.

    Attributes:
        table: The table.
        mode: Whose settings.
        changed: What was changed from outside, for a sentence each.
        result: Its sweep.
        classical: The classical row.
        data: Name of the data set, which says so where it is a sample.
        train_images: In the training split.
        test_images: In the test split.
    """

    table: PaperTable
    mode: Mode
    changed: tuple[str, ...]
    result: SweepResult
    classical: Classical
    data: str
    train_images: int
    test_images: int

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """All rows in the order of the paper, the classical one last."""
        specs = {cell.variant: cell.spec for cell in self.result.sweep.cells}
        found = []
        for name in self.result.sweep.variants:
            figures = {figure: self.result.of(name, path) for figure, path in FIGURES.items()}
            trained = self.result.of(name, "train.evaluations")
            found.append(Line(name, figures, row_costs(specs[name], None if trained is None else trained.mean)))
        fit = self.classical
        figures = {
            "accuracy": spread([fit.test_accuracy]),
            "validation_accuracy": spread([fit.validation_accuracy]),
            "seconds": spread([fit.seconds]),
            "parameters": spread([fit.parameters]),
        }
        return (*found, Line(CLASSICAL, figures, None))

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """IMPLICIT less each DIRECT row, and less the classical one."""
        pairs = self.result.sweep.pairs
        found = [Difference(*pair, self.result.difference(pair, "test.accuracy")) for pair in pairs]
        ours = self.result.values(IMPLICIT, "test.accuracy")
        classical = paired(ours, dict.fromkeys(ours, self.classical.test_accuracy))
        return (*found, Difference(IMPLICIT, CLASSICAL, classical))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of the figures has to know."""
        whole = self.train_images == self.table.train_images
        missing = [result for result in self.result.cells if result.state != "finished"]
        found = [f"Data: {self.data}, {self.train_images:,} training and {self.test_images:,} test images."]
        if not whole:
            found.append(
                f"NOT the whole data set, which has {self.table.train_images:,} training images: figures of a sample, "
                "not to be compared with the paper's."
            )
        found += [f"Changed: {change}." for change in self.changed]
        if missing:
            found.append(f"{len(missing)} of {len(self.result.cells)} runs are missing: {_named(missing)}.")
        found += [
            "Test figures are those of the epoch with the lowest validation loss. Intervals: Student's t over seeds of "
            "one split; with several comparisons, one in twenty misses by chance.",
            "Residual: ||f(y) - y|| / ||f(y)|| of each test image, their mean; of DIRECT at its last layer's output, "
            "which nothing asks to be an equilibrium.",
            "DIRECT k measures and encodes anew after every layer, so one circuit has the same depth in all rows; what "
            "differs is how many are run. Circuits of a training step: one for each sample, evaluation and shift, as a "
            "device that samples needs (without the Jacobian penalty); compiled: from exact expectations alone.",
            f"Logistic regression: {WHAT}; it has no random numbers, so that one fit stands for all seeds"
            f"{'' if self.classical.converged else '; IT DID NOT CONVERGE'}.",
        ]
        return tuple(found)

    def to_data(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        table = self.table
        return {
            "format_version": 1,
            "name": table.name,
            "title": table.title,
            "mode": self.mode,
            "changed": list(self.changed),
            "qdeq_version": __version__,
            "level": LEVEL,
            "data": {"name": self.data, "train_images": self.train_images, "test_images": self.test_images},
            "rows": [
                {
                    "row": line.name,
                    "figures": {figure: _data(found) for figure, found in line.figures.items()},
                    "costs": None if line.costs is None else asdict(line.costs),
                }
                for line in self.lines
            ],
            "differences": [
                {"first": each.first, "second": each.second, "accuracy": _data(each.accuracy)}
                for each in self.differences
            ],
            "classical": asdict(self.classical),
            "paper": {"citation": table.paper, "claims": table.claims, "measured": table.measured},
            "reproduced": table.reproduced if self.mode == "reference" else [],
            "not_reproduced": table.not_reproduced if self.mode == "reference" else [],
            "notes": list(self.notes),
            "sweep": self.result.to_data(),
        }

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(self.to_data(), indent=2, ensure_ascii=False, allow_nan=False)


def _data(found: Spread | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def _named(missing: Sequence[CellResult], most: int = 4) -> str:
    listed = ", ".join(str(result.cell) for result in missing[:most])
    return listed + (", ..." if len(missing) > most else "")
