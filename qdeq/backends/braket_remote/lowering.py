"""Gates in terms of those that a device lists.

The gate table's decompositions come first. Where they do not reach what the device has, rules follow that are exact up
to a global phase, which no measurement of a whole circuit sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from math import pi

from qdeq.circuit import Circuit
from qdeq.errors import UnsupportedError, printable
from qdeq.gates import GATES, Affine, Part
from qdeq.operations import Channel, Gate, affine
from qdeq.qasm import BRAKET_NAMES

_WHOLE = Affine(0)
_BOTH = (("H", (0,), ()), ("H", (1,), ()))
UP_TO_PHASE: Mapping[str, tuple[tuple[Part, ...], ...]] = {
    "I": ((("RZ", (0,), (0.0,)),), (("RX", (0,), (0.0,)),)),
    "X": ((("RX", (0,), (pi,)),),),
    "Y": ((("RY", (0,), (pi,)),),),
    "Z": ((("RZ", (0,), (pi,)),),),
    "H": (
        (("RZ", (0,), (pi / 2,)), ("RX", (0,), (pi / 2,)), ("RZ", (0,), (pi / 2,))),
        (("RY", (0,), (pi / 2,)), ("X", (0,), ())),
    ),
    "SX": ((("RX", (0,), (pi / 2,)),),),
    "PhaseShift": ((("RZ", (0,), (_WHOLE,)),),),
    "RX": ((("RZ", (0,), (pi / 2,)), ("RY", (0,), (_WHOLE,)), ("RZ", (0,), (-pi / 2,))),),
    "RY": ((("RZ", (0,), (-pi / 2,)), ("RX", (0,), (_WHOLE,)), ("RZ", (0,), (pi / 2,))),),
    "RZ": ((("RX", (0,), (-pi / 2,)), ("RY", (0,), (_WHOLE,)), ("RX", (0,), (pi / 2,))),),
    "CNOT": ((("H", (1,), ()), ("CZ", (0, 1), ()), ("H", (1,), ())),),
    "CZ": ((("RZZ", (0, 1), (-pi / 2,)), ("RZ", (0,), (pi / 2,)), ("RZ", (1,), (pi / 2,))),),
    "RZZ": ((*_BOTH, ("RXX", (0, 1), (_WHOLE,)), *_BOTH),),
}
"""More ways to write a gate, in the order in which they are tried."""


def lower(circuit: Circuit, operations: frozenset[str], device: str) -> Circuit:
    """Return the circuit in gates that a device has, its angles bound or not.

    Args:
        circuit: Without an amplitude encoding.
        operations: What the device lists, in Braket's names.
        device: Its name, for messages.

    Raises:
        UnsupportedError: A gate cannot be written with these.
    """
    gates: list[Gate | Channel] = []
    pending = [(operation, frozenset[str]()) for operation in reversed(circuit.body)]  # with what it is a part of
    while pending:
        gate, above = pending.pop()
        if isinstance(gate, Channel):
            gates.append(gate)
            continue
        rule = _rule(gate.name, operations, above)
        if rule is None:
            listed = printable(", ".join(sorted(operations)))
            raise UnsupportedError(
                f"{device} has no gates that {gate.name} can be written with; it lists {listed}\n"
                "Use another device; `backend: braket-sv1` has every gate."
            )
        if not rule:
            gates.append(gate)
        pending += reversed([(_applied(part, gate), above | {gate.name}) for part in rule])
    return replace(circuit, operations=tuple(gates))


@lru_cache(maxsize=1024)
def _rule(name: str, operations: frozenset[str], above: frozenset[str]) -> tuple[Part, ...] | None:
    """Return the parts to write a gate with: none where the device has it; None where there is no way to."""
    if BRAKET_NAMES.get(name) in operations:
        return ()
    above |= {name}
    for parts in (GATES[name].decomposition, *UP_TO_PHASE.get(name, ())):
        if parts and all(part not in above and _rule(part, operations, above) is not None for part, _, _ in parts):
            return parts
    return None


def _applied(part: Part, gate: Gate) -> Gate:
    name, positions, angles = part
    values = [
        angle if isinstance(angle, float) else affine(gate.angles[angle.index], angle.scale, angle.offset)
        for angle in angles
    ]
    return Gate(name, [gate.qubits[position] for position in positions], values)
