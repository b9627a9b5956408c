"""The circuit: an immutable, validated, hashable list of operations that every backend translates from.

Qubit 0 is the most significant bit. An angle is a number, an :class:`Input` (data or state, one value per sample) or a
:class:`Weight` (trainable, shared by the batch), the last two with a scale and an offset.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qdeq.errors import CircuitError
from qdeq.numbers import shown, whole
from qdeq.operations import (
    MAX_INDEX,
    MAX_QUBITS,
    AmplitudeEncoding,
    Angle,
    Channel,
    Gate,
    Input,
    Operation,
    ReadoutError,
    Weight,
)
from qdeq.preparation import prepare_real

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "MAX_INDEX",
    "MAX_QUBITS",
    "AmplitudeEncoding",
    "Angle",
    "Channel",
    "Circuit",
    "Gate",
    "Input",
    "Operation",
    "ReadoutError",
    "Weight",
]


@dataclass(frozen=True)
class Circuit:
    """An immutable circuit.

    Args:
        num_qubits: Size of the register.
        operations: Gates, and noise channels, in time order; an :class:`AmplitudeEncoding` may stand first.
        readout: Errors of the measurement at the end, at most one for a qubit.

    Raises:
        CircuitError: A gate acts outside the register, or the encoding does not stand first or does not fit.

    Example:
        >>> circuit = Circuit(2, [Gate("RX", 0, Input(0)), Gate("CRZ", (0, 1), Weight(0))])
        >>> circuit.depth(), circuit.num_inputs, circuit.num_weights
        (2, 1, 1)
    """

    num_qubits: int
    operations: tuple[Operation, ...] = ()
    readout: tuple[ReadoutError, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_qubits", whole(self.num_qubits, "num_qubits", 1, MAX_QUBITS))
        object.__setattr__(self, "operations", _several(self.operations, "operations", "Gate, Channel"))
        for position, operation in enumerate(self.operations):
            if isinstance(operation, AmplitudeEncoding):
                self._check_encoding(position, operation)
            elif isinstance(operation, Gate | Channel):
                if max(operation.qubits) >= self.num_qubits:
                    raise CircuitError(
                        f"operation {position}, {operation.name} on {list(operation.qubits)}: "
                        f"qubits run from 0 to {self.num_qubits - 1}"
                    )
            else:
                found = type(operation).__name__
                raise CircuitError(f"operation {position} is a {found}; use Gate, Channel or AmplitudeEncoding")
        errors = _several(self.readout, "readout", "ReadoutError")
        if not all(isinstance(error, ReadoutError) for error in errors):
            raise CircuitError(f"readout holds objects of ReadoutError, not {shown(list(errors))}")
        object.__setattr__(self, "readout", tuple(sorted(errors, key=lambda error: error.qubit)))
        measured = [error.qubit for error in self.readout]
        if len(set(measured)) != len(measured) or any(qubit >= self.num_qubits for qubit in measured):
            raise CircuitError(
                f"readout errors on the qubits {measured}: at most one each, and qubits run from 0 to "
                f"{self.num_qubits - 1}"
            )

    def _check_encoding(self, position: int, encoding: AmplitudeEncoding) -> None:
        if position:
            raise CircuitError(f"operation {position}: AmplitudeEncoding can only stand first in a circuit")
        if encoding.num_features > 2**self.num_qubits:
            raise CircuitError(
                f"{encoding.num_features} features do not fit "
                f"the {2**self.num_qubits} amplitudes of {self.num_qubits} qubits"
            )

    # -- content ------------------------------------------------------------------------------------------------------

    @property
    def encoding(self) -> AmplitudeEncoding | None:
        """The amplitude encoding that the circuit begins with, if it has one."""
        first = self.operations[0] if self.operations else None
        return first if isinstance(first, AmplitudeEncoding) else None

    @cached_property
    def gates(self) -> tuple[Gate, ...]:
        """The gates, without noise and amplitude encoding."""
        return tuple(operation for operation in self.operations if isinstance(operation, Gate))

    @cached_property
    def body(self) -> tuple[Gate | Channel, ...]:
        """All operations but the amplitude encoding: gates and noise, in time order."""
        return tuple(operation for operation in self.operations if not isinstance(operation, AmplitudeEncoding))

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """The noise on gates, in time order."""
        return tuple(operation for operation in self.operations if isinstance(operation, Channel))

    @property
    def noisy(self) -> bool:
        """Whether there is any noise, on gates or on the measurement."""
        return bool(self.channels or self.readout)

    @cached_property
    def num_inputs(self) -> int:
        """Length of the input vector: one more than the largest input index."""
        encoded = self.encoding.num_features if self.encoding and self.encoding.values is None else 0
        return max([encoded, *(angle.index + 1 for angle in self._angles() if isinstance(angle, Input))])

    @cached_property
    def num_weights(self) -> int:
        """Length of the weight vector: one more than the largest weight index."""
        return max([0, *(angle.index + 1 for angle in self._angles() if isinstance(angle, Weight))])

    def _angles(self) -> Iterator[Angle]:
        return (angle for gate in self.gates for angle in gate.angles)

    def __add__(self, other: Circuit) -> Circuit:
        """Run ``self``, then ``other``. Indices are kept: ``Weight(0)`` on both sides is one and the same weight.

        A readout error of either is one of the whole; both cannot have one on the same qubit.
        """
        if not isinstance(other, Circuit):
            return NotImplemented
        if other.num_qubits != self.num_qubits:
            raise CircuitError(f"cannot add circuits on {self.num_qubits} and {other.num_qubits} qubits")
        return Circuit(self.num_qubits, self.operations + other.operations, self.readout + other.readout)

    def shift_weights(self, by: int) -> Circuit:
        """Return the circuit with every weight index raised by ``by``, to follow another with weights of its own."""

        def shifted(angle: Angle) -> Angle:
            return replace(angle, index=angle.index + by) if isinstance(angle, Weight) else angle

        return self.map_angles(shifted)

    def bind(self, inputs: Sequence[float] | None = None, weights: Sequence[float] | None = None) -> Circuit:
        """Replace inputs, weights or both by numbers.

        Args:
            inputs: One value per input, or None to leave inputs as they are.
            weights: One value per weight, or None likewise.

        Raises:
            CircuitError: Too few or too many values, or one that is not finite.
        """
        for what, given, count in (("inputs", inputs, self.num_inputs), ("weights", weights, self.num_weights)):
            if given is not None and len(given) != count:
                raise CircuitError(f"the circuit takes {count} {what}, not {len(given)}")

        def bound(angle: Angle) -> Angle:
            if isinstance(angle, Input) and inputs is not None:
                return angle.value(inputs)
            if isinstance(angle, Weight) and weights is not None:
                return angle.value(weights)
            return angle

        circuit = self.map_angles(bound)
        if inputs is None or self.encoding is None or self.encoding.values is not None:
            return circuit
        encoding = replace(self.encoding, values=tuple(inputs[: self.encoding.num_features]))
        return replace(circuit, operations=(encoding, *circuit.body))

    def map_angles(self, change: Callable[[Angle], Angle]) -> Circuit:
        """Return the circuit with every angle of its gates changed."""
        operations = (
            Gate(operation.name, operation.qubits, [change(angle) for angle in operation.angles])
            if isinstance(operation, Gate)
            else operation
            for operation in self.operations
        )
        return replace(self, operations=tuple(operations))

    # -- size ---------------------------------------------------------------------------------------------------------

    def prepared(self) -> Circuit:
        """Return the circuit with its amplitude encoding written out as RY and CNOT gates (Möttönen et al. 2005).

        The angles are those of the bound vector, or zero while inputs are free: they do not change depth or counts.
        d features take ``2^k - 1`` RY and ``2^k - 2`` CNOT gates on the last ``k = ⌈log2 d⌉`` qubits (at least one).
        """
        if self.encoding is None:
            return self
        return replace(self, operations=(*_preparation(self.num_qubits, self.encoding), *self.body))

    def depth(self, *, preparation: bool = False) -> int:
        """Return the number of layers of gates on disjoint qubits.

        Args:
            preparation: Count amplitude encoding by its decomposition into RY and CNOT; otherwise it is left out.
        """
        circuit = self.prepared() if preparation else self
        level = [0] * self.num_qubits
        for gate in circuit.gates:
            top = 1 + max(level[qubit] for qubit in gate.qubits)
            for qubit in gate.qubits:
                level[qubit] = top
        return max(level)

    def gate_counts(self, *, preparation: bool = False) -> dict[str, int]:
        """Return how often each gate occurs, most frequent first; ``preparation`` as in :meth:`depth`."""
        circuit = self.prepared() if preparation else self
        return dict(Counter(gate.name for gate in circuit.gates).most_common())

    # -- forms --------------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """Return the circuit as JSON text; :meth:`from_json` reads it back to an equal circuit."""
        from qdeq.serialization import circuit_to_json

        return circuit_to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Circuit:
        """Read what :meth:`to_json` wrote.

        Raises:
            CircuitError: The text is not a circuit.
        """
        from qdeq.serialization import circuit_from_json

        return circuit_from_json(text)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the JSON text, in hexadecimal: equal for equal circuits, on every machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __hash__(self) -> int:
        return int(self.content_hash[:15], 16)

    def draw(self, *, max_width: int = 120) -> str:
        """Return a drawing as text, folded at ``max_width`` characters."""
        from qdeq.drawing.text import draw_text

        return draw_text(self, max_width=max_width)

    def figure(self) -> Figure:
        """Return a drawing as a matplotlib figure."""
        from qdeq.drawing.figure import draw_figure

        return draw_figure(self)

    def to_qasm(self, dialect: Literal["openqasm3", "braket"] = "openqasm3") -> str:
        """Return the bound circuit as OpenQASM 3; see :func:`qdeq.qasm.to_qasm`."""
        from qdeq.qasm import to_qasm

        return to_qasm(self, dialect=dialect)

    def __str__(self) -> str:
        return self.draw()


def _several(given: Any, what: str, kinds: str) -> tuple[Any, ...]:
    """Return the items of a circuit's list; a single item in place of the list is named."""
    if not isinstance(given, Iterable):
        raise CircuitError(f"{what} is a list of {kinds} objects, not {shown(given)}: put it in brackets, [...]")
    return tuple(given)


def _preparation(num_qubits: int, encoding: AmplitudeEncoding) -> list[Gate]:
    """Return the gates of the encoding: d features live on the last ``log2 d`` qubits, and the others stay ``|0>``."""
    width = max(1, (encoding.num_features - 1).bit_length())
    first = num_qubits - width
    padded = np.zeros(2**width)
    padded[: encoding.num_features] = encoding.values or 0.0
    return [Gate(name, [first + qubit for qubit in qubits], angles) for name, qubits, angles in prepare_real(padded)]
