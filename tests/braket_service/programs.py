"""A program as the service keeps it: gates with derivatives, and what the local simulators need."""

from __future__ import annotations

from dataclasses import dataclass, field

from braket.default_simulator.openqasm.program_context import ProgramContext

from .angles import Angle
from .observables import GradientRequest


@dataclass(frozen=True)
class Gate:
    """One gate with its angles and their derivatives."""

    name: str
    targets: tuple[int, ...]
    angles: tuple[Angle, ...]


@dataclass
class Program:
    """What a program says: for the local simulators in ``context``, for gradients in the rest."""

    context: ProgramContext = field(default_factory=ProgramContext)
    gates: list[Gate] = field(default_factory=list)
    inputs: dict[str, Angle] = field(default_factory=dict)
    gradient: GradientRequest | None = None
    qubit_count: int = 0
