"""OpenQASM 3, in two dialects: the standard one, and the one that Braket's simulators and devices read.

There is no text that both accept: Braket's parser cannot open ``stdgates.inc`` and has names of its own. Neither text
holds a ``gate`` definition, a modifier or a measurement: what a dialect lacks is written as its decomposition from the
gate table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal, get_args

from qdeq.circuit import Circuit
from qdeq.errors import CircuitError, did_you_mean
from qdeq.operations import Channel, Gate, Input, Weight

Dialect = Literal["openqasm3", "braket"]

_SAME = {name: name.lower() for name in ("X", "Y", "Z", "H", "S", "T", "RX", "RY", "RZ", "CZ", "CY", "SWAP")}
# U3 has no entry: the standard's u3 differs from the table's by exp(-i(φ+λ)/2), about which importers disagree, and
# Braket's remote simulators refuse U.
_NAMES: dict[Dialect, dict[str, str]] = {
    "openqasm3": {
        **_SAME,
        "I": "id",
        "Sdg": "sdg",
        "Tdg": "tdg",
        "SX": "sx",
        "PhaseShift": "p",
        "CNOT": "cx",
        "CRX": "crx",
        "CRY": "cry",
        "CRZ": "crz",
        "Toffoli": "ccx",
    },
    "braket": {
        **_SAME,
        "I": "i",
        "Sdg": "si",
        "Tdg": "ti",
        "SX": "v",
        "PhaseShift": "phaseshift",
        "CNOT": "cnot",
        "RXX": "xx",
        "RYY": "yy",
        "RZZ": "zz",
        "Toffoli": "ccnot",
    },
}

BRAKET_CHANNELS = {
    "Depolarizing": "depolarizing",
    "TwoQubitDepolarizing": "two_qubit_depolarizing",
    "AmplitudeDamping": "amplitude_damping",
    "PhaseDamping": "phase_damping",
    "BitFlip": "bit_flip",
}
"""What Braket calls the channels of the table, in its pragmas."""
BRAKET_NAMES: Mapping[str, str] = _NAMES["braket"]
"""What Braket calls the gates of the table that it has."""


def to_qasm(circuit: Circuit, dialect: Dialect = "openqasm3") -> str:
    """Return a bound circuit as OpenQASM 3 text.

    The unitary of the text is the circuit's, global phase included, to rounding; angles are written with all their
    digits. Amplitude encoding is written as its preparation from RY and CNOT gates. Qubit i is ``q[i]``; no measurement
    is written.

    Args:
        circuit: A circuit without free inputs or weights.
        dialect: ``"openqasm3"`` is the standard with ``stdgates.inc``. ``"braket"`` uses Braket's gate names, no
            include and no ``ctrl``, ``U`` or ``gphase``, and puts ``i`` on unused qubits, which Braket would drop.

    Raises:
        CircuitError: Inputs or weights are free, the dialect is unknown, or it cannot say what noise there is: the
            standard has none, and Braket's has channels, as pragmas, but no readout errors.
    """
    if dialect not in get_args(Dialect):
        known = ", ".join(get_args(Dialect))
        raise CircuitError(f"unknown dialect {dialect!r}; known: {known}.{did_you_mean(dialect, get_args(Dialect))}")
    _check_bound(circuit)
    if circuit.readout or (circuit.noisy and dialect == "openqasm3"):
        what = "readout errors" if circuit.readout else "noise; use dialect: braket"
        raise CircuitError(f"the dialect {dialect} has no {what}")
    prepared = circuit.prepared()
    gates, body = prepared.gates, prepared.body
    if dialect == "braket":
        used = {qubit for gate in gates for qubit in gate.qubits}
        body = (*(Gate("I", qubit) for qubit in range(circuit.num_qubits) if qubit not in used), *body)
    header = ["OPENQASM 3.0;", 'include "stdgates.inc";'] if dialect == "openqasm3" else ["OPENQASM 3.0;"]
    lines = [line for operation in body for line in _lines(operation, _NAMES[dialect])]
    return "\n".join([*header, f"qubit[{circuit.num_qubits}] q;", *lines]) + "\n"


def _check_bound(circuit: Circuit) -> None:
    angles = {type(angle) for gate in circuit.gates for angle in gate.angles}
    encoded = circuit.encoding is not None and circuit.encoding.values is None
    free = {"inputs": encoded or Input in angles, "weights": Weight in angles}
    named = [what for what, is_free in free.items() if is_free]
    if named:
        sizes = {"inputs": circuit.num_inputs, "weights": circuit.num_weights}
        counts = " and ".join(f"{sizes[what]} {what}" for what in named)
        remedy = ", ".join(f"{what}=..." for what in named)
        raise CircuitError(f"OpenQASM needs numbers, but {counts} are free; call circuit.bind({remedy}) first")


def _lines(gate: Gate | Channel, names: dict[str, str]) -> list[str]:
    if isinstance(gate, Channel):
        return [channel_pragma(gate)]
    if gate.name not in names:
        return [line for part in gate.decompose() for line in _lines(part, names)]
    return [statement(names[gate.name], gate.qubits, [repr(angle) for angle in gate.angles])]


def channel_pragma(channel: Channel) -> str:
    """Return Braket's pragma for a channel."""
    return noise_pragma(BRAKET_CHANNELS[channel.name], channel.qubits, [channel.probability])


def noise_pragma(name: str, qubits: Sequence[int], values: Sequence[float]) -> str:
    """Return Braket's pragma for noise; its grammar knows no exponents."""
    listed = ", ".join(format(Decimal(repr(value)), "f") for value in values)
    return f"#pragma braket noise {name}({listed}) {', '.join(f'q[{qubit}]' for qubit in qubits)}"


def statement(name: str, qubits: Sequence[int], angles: Sequence[str] = ()) -> str:
    """Return one statement; angles are numbers or names of parameters, as text."""
    listed = f"({', '.join(angles)})" if angles else ""
    return f"{name}{listed} {', '.join(f'q[{qubit}]' for qubit in qubits)};"
