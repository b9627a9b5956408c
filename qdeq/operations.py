"""What a circuit consists of: angles, gates, noise, the amplitude encoding; immutable, checked when they are built."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from qdeq.channels import CHANNELS, ChannelType
from qdeq.errors import CircuitError, did_you_mean
from qdeq.gates import GATES, GateType
from qdeq.numbers import between, finite, shown, whole

MAX_QUBITS = 1024
"""Largest register that a circuit may have; what a backend can simulate is far less."""
MAX_INDEX = 2**20
"""Inputs and weights are numbered below this, so that a damaged file cannot ask for absurd arrays."""


@dataclass(frozen=True)
class Reference:
    """What :class:`Input` and :class:`Weight` share: an affine function of one entry of a vector."""

    index: int
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        kind = type(self).__name__
        object.__setattr__(self, "index", whole(self.index, f"index of {kind}", 0, MAX_INDEX - 1))
        object.__setattr__(self, "scale", finite(self.scale, f"scale of {kind}({self.index})"))
        object.__setattr__(self, "offset", finite(self.offset, f"offset of {kind}({self.index})"))

    def value(self, vector: Sequence[float]) -> float:
        """Return ``scale * vector[index] + offset``."""
        return self.scale * float(vector[self.index]) + self.offset

    def __str__(self) -> str:
        name = f"{'x' if isinstance(self, Input) else 'θ'}{self.index}"
        text = name if self.scale == 1 else f"-{name}" if self.scale == -1 else f"{self.scale:.3g}·{name}"
        return text if self.offset == 0 else f"{text}{self.offset:+.3g}"


@dataclass(frozen=True)
class Input(Reference):
    """The angle ``scale * v[index] + offset`` (radians) of the input vector v, which each sample has its own of."""


@dataclass(frozen=True)
class Weight(Reference):
    """The angle ``scale * θ[index] + offset`` (radians) of the trainable weights θ, which all samples share."""


Angle = float | Input | Weight


@dataclass(frozen=True)
class Gate:
    """One gate on some qubits.

    Args:
        name: A row of :data:`qdeq.gates.GATES`.
        qubits: The qubits it acts on, controls first; a bare integer for one qubit.
        angles: Its angles; a bare angle for one.

    Raises:
        CircuitError: Unknown gate, wrong number of qubits or angles, repeated qubit, angle that is not finite.
    """

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...] = ()

    def __init__(self, name: str, qubits: int | Iterable[int], angles: Angle | Iterable[Angle] = ()) -> None:
        row = GATES.get(name) if isinstance(name, str) else None
        if row is None:
            raise CircuitError(f"unknown gate {name!r}; known: {', '.join(GATES)}.{did_you_mean(name, GATES)}")
        wires = _wires(name, qubits, row.num_qubits)
        given = _listed(angles)
        if len(given) != len(row.parameters):
            wanted = ", ".join(row.parameters) or "none"
            raise CircuitError(
                f"{name} on {list(wires)} takes {len(row.parameters)} angles ({wanted}), not {len(given)}"
            )
        checked = tuple(
            angle if isinstance(angle, Input | Weight) else finite(angle, f"angle of {name} on {list(wires)}")
            for angle in given
        )
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "qubits", wires)
        object.__setattr__(self, "angles", checked)

    @property
    def type(self) -> GateType:
        """The gate's row of the table: matrix, shift rules, decomposition."""
        return GATES[self.name]

    def decompose(self) -> tuple[Gate, ...]:
        """Return the gates of the table's decomposition (equal, global phase included), or the gate itself."""
        parts = []
        for name, positions, angles in self.type.decomposition:
            resolved = tuple(
                part if isinstance(part, float) else affine(self.angles[part.index], part.scale, part.offset)
                for part in angles
            )
            parts.append(Gate(name, [self.qubits[position] for position in positions], resolved))
        return tuple(parts) or (self,)


@dataclass(frozen=True)
class Channel:
    """One noise channel on some qubits; see :class:`~qdeq.noise.NoiseModel` for a way to place many.

    Args:
        name: A row of :data:`qdeq.channels.CHANNELS`.
        qubits: The qubits it acts on; a bare integer for one qubit.
        probability: Its parameter.

    Raises:
        CircuitError: Unknown channel, wrong number of qubits, repeated qubit, parameter out of its range.
    """

    name: str
    qubits: tuple[int, ...]
    probability: float

    def __init__(self, name: str, qubits: int | Iterable[int], probability: float) -> None:
        row = CHANNELS.get(name) if isinstance(name, str) else None
        if row is None:
            raise CircuitError(f"unknown channel {name!r}; known: {', '.join(CHANNELS)}.{did_you_mean(name, CHANNELS)}")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "qubits", _wires(name, qubits, row.num_qubits))
        object.__setattr__(self, "probability", between(probability, f"{row.parameter} of {name}", row.most))

    @property
    def type(self) -> ChannelType:
        """The channel's row of the table: Kraus operators and range."""
        return CHANNELS[self.name]


@dataclass(frozen=True)
class ReadoutError:
    """How often the measurement of a qubit gives the other outcome.

    Attributes:
        qubit: The qubit.
        zero_to_one: Probability of 1 where 0 is right.
        one_to_zero: Probability of 0 where 1 is right.
    """

    qubit: int
    zero_to_one: float
    one_to_zero: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "qubit", whole(self.qubit, "qubit of ReadoutError", 0, MAX_QUBITS - 1))
        for name in ("zero_to_one", "one_to_zero"):
            object.__setattr__(self, name, between(getattr(self, name), f"{name} of ReadoutError", 0.5))


@dataclass(frozen=True)
class AmplitudeEncoding:
    """Prepare ``v / ||v||`` of the first ``num_features`` inputs, padded with zeros to ``2^n`` amplitudes.

    A zero vector prepares ``|0...0>``, with a zero derivative: amplitude encoding has no limit there, and a state has
    to be chosen.

    Args:
        num_features: Length d of v; inputs 0 to d-1 of the circuit.
        values: The vector itself once inputs are bound to numbers.
    """

    num_features: int
    values: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        count = whole(self.num_features, "num_features of AmplitudeEncoding", 1, MAX_INDEX)
        object.__setattr__(self, "num_features", count)
        if self.values is not None:
            values = tuple(finite(value, "value of AmplitudeEncoding") for value in self.values)
            if len(values) != count:
                raise CircuitError(f"AmplitudeEncoding of {count} features was given {len(values)} values")
            object.__setattr__(self, "values", values)


Operation = Gate | Channel | AmplitudeEncoding


def _wires(name: str, qubits: int | Iterable[int], count: int) -> tuple[int, ...]:
    wires = tuple(whole(qubit, f"qubit of {name}", 0, MAX_QUBITS - 1) for qubit in _listed(qubits))
    if len(wires) != count or len(set(wires)) != len(wires):
        raise CircuitError(f"{name} acts on {count} different qubits, not on {shown(list(wires))}")
    return wires


def _listed(value: object) -> tuple:
    """Return the items of an iterable, or the one value itself (a tensor without dimensions is one value)."""
    if isinstance(value, Iterable) and getattr(value, "ndim", None) != 0:
        return tuple(value)
    return (value,)


def affine(angle: Angle, scale: float, offset: float) -> Angle:
    """Return ``scale * angle + offset``, bound or not."""
    if isinstance(angle, Input | Weight):
        return replace(angle, scale=scale * angle.scale, offset=scale * angle.offset + offset)
    return scale * angle + offset
