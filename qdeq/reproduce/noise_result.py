"""What trained models do under noise, as values that tables, pictures and JSON are made of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from qdeq._version import __version__
from qdeq.reproduce.result import Reproduction
from qdeq.sweeps import Spread, spread

Kind = Literal["depolarising", "shots"]

FIGURES = ("accuracy", "agreement", "residual", "noiseless_residual", "circuits", "shots", "failed")
"""Of a measurement, which are averaged over seeds."""


@dataclass(frozen=True)
class Measurement:
    """One trained model under one level of noise, on the same images as all others.

    Attributes:
        row: As the paper calls it.
        seed: Of its training.
        kind: Whether ``level`` is the depolarising probability after every gate, or the shots of a circuit.
        level: 0 for no noise; None for exact expectations.
        images: How many.
        accuracy: Share of images that are right.
        agreement: Share of images that have the label which the same weights give without noise.
        residual: Mean of ``||g(y) - y|| / ||g(y)||`` at the returned y, where g is what the noisy circuit
            expects, without shots: how far y is from an equilibrium of what the device does.
        noiseless_residual: The same with the circuit's own f: how far y is from an equilibrium of the model.
        circuits: Mean number of circuits that a prediction runs, one after the other.
        shots: Mean number of shots of a prediction; None where expectations are exact.
        failed: Share of solves that neither converged nor ended in the noise of the shots; None for direct layers, and
            0 for a fixed number of steps, which is no claim.
    """

    row: str
    seed: int
    kind: Kind
    level: float | None
    images: int
    accuracy: float
    agreement: float
    residual: float
    noiseless_residual: float
    circuits: float
    shots: float | None
    failed: float | None


@dataclass(frozen=True)
class NoiseStudy:
    """All measurements of a noise table.

    Attributes:
        trained: The table of its training.
        measurements: In the order of kind, level, row and seed.
    """

    trained: Reproduction
    measurements: tuple[Measurement, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows: those of the table, IMPLICIT twice (see :func:`measure_run`)."""
        return tuple(dict.fromkeys(each.row for each in self.measurements))

    def levels(self, kind: Kind) -> list[float | None]:
        """Return the levels of a kind, from the least noise or the fewest shots; exact expectations come last."""
        found = {each.level for each in self.measurements if each.kind == kind}
        return sorted(found, key=lambda level: (level is None, level or 0))

    def values(self, row: str, kind: Kind, level: float | None, figure: str) -> dict[int, float]:
        """Return a figure by seed."""
        found = self._found.get((row, kind, level), [])
        return {each.seed: value for each in found if (value := getattr(each, figure)) is not None}

    def of(self, row: str, kind: Kind, level: float | None, figure: str) -> Spread | None:
        """Return a figure over the seeds; None where it was not measured."""
        return spread(list(self.values(row, kind, level, figure).values()))

    @cached_property
    def _found(self) -> dict[tuple[str, Kind, float | None], list[Measurement]]:
        found: dict[tuple[str, Kind, float | None], list[Measurement]] = {}
        for each in self.measurements:
            found.setdefault((each.row, each.kind, each.level), []).append(each)
        return found

    def to_data(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        kinds: tuple[Kind, ...] = ("depolarising", "shots")
        return {
            "format_version": 1,
            "qdeq_version": __version__,
            "trained": self.trained.to_data(),
            "levels": {kind: self.levels(kind) for kind in kinds},
            "figures": [
                {
                    "row": row,
                    "kind": kind,
                    "level": level,
                    **{
                        figure: None if (found := self.of(row, kind, level, figure)) is None else asdict(found)
                        for figure in FIGURES
                    },
                }
                for kind in kinds
                for level in self.levels(kind)
                for row in self.rows
            ],
            "measurements": [asdict(each) for each in self.measurements],
        }

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(self.to_data(), indent=2, ensure_ascii=False, allow_nan=False)
