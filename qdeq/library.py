"""Encoders and ansätze, the paper's among them, as functions that return circuits.

An encoder uses inputs ``0 .. features-1`` and no weights; an ansatz uses weights from 0 and no inputs, so that
``encoder + ansatz`` is a model's circuit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qdeq.circuit import MAX_INDEX, MAX_QUBITS, AmplitudeEncoding, Circuit, Gate, Input, Weight
from qdeq.errors import CircuitError
from qdeq.gates import GATES
from qdeq.numbers import whole

PAPER_SEED = 1111
PAPER_RANDOM_GATES = 50
PAPER_AXES = ("RY", "RZ", "RX", "RY")


def amplitude_encoder(num_qubits: int, num_features: int | None = None) -> Circuit:
    """Encode ``num_features`` (default ``n²``) inputs in the amplitudes; ``n² <= 2^n`` needs n >= 4."""
    features = _features(num_qubits, num_features)
    if num_features is None and features > 2**num_qubits:
        raise CircuitError(
            f"{features} features do not fit the {2**num_qubits} amplitudes of {num_qubits} qubits; "
            "give num_features, use at least 4 qubits, or angle_encoder"
        )
    return Circuit(num_qubits, (AmplitudeEncoding(features),))


def angle_encoder(
    num_qubits: int, num_features: int | None = None, axes: Sequence[str] = ("RY", "RZ", "RX")
) -> Circuit:
    """Encode input i as a rotation of qubit ``i % n``, about axis ``axes[i // n]`` (the axes repeat).

    With 4 qubits and 16 features this is the paper's ``4x4_ryzxy`` layout: RY, RZ, RX, RY.
    """
    features = _features(num_qubits, num_features)
    return Circuit(
        num_qubits,
        tuple(Gate(axes[(i // num_qubits) % len(axes)], i % num_qubits, Input(i)) for i in range(features)),
    )


def paper_angle_encoder(num_qubits: int) -> Circuit:
    """Return the paper's angle encoder for 4 or 10 qubits (reference code martaskrt/qdeq).

    The 10-qubit layout turns each qubit ten times about one axis, so the circuit sees seven sums of ten features; use
    :func:`angle_encoder` for one that sees them all.
    """
    _check_sizes(num_qubits)
    if num_qubits == 4:
        return angle_encoder(4, 16, PAPER_AXES)
    if num_qubits == 10:
        axes = ("RY", "RX", "RZ")
        return Circuit(10, tuple(Gate(axes[(i // 10) % 3], i // 10, Input(i)) for i in range(100)))
    raise CircuitError(f"the paper has angle encoders for 4 and 10 qubits, not {num_qubits}; use the encoding 'angle'")


def paper_ansatz(num_qubits: int, layers: int = 1, *, train_blocks: bool = True) -> Circuit:
    """Return the paper's ansatz: a random layer of 50 gates, then entangling blocks.

    The random layer is drawn by numpy's legacy generator from seed 1111, gate by gate, as the reference does. Block b
    puts RX on qubit 2b, RY on 2b+1, RZ on 2b+3 and CRX from 2b to 2b+2; after all of these, H on 2b+3, SX on 2b+2 and a
    CNOT from 2b+3 to 2b. There are as many blocks as fit (2b+3 < n).

    Args:
        num_qubits: At least 2; the paper has 4 and 10.
        layers: Repetitions of the whole, each with weights of its own.
        train_blocks: False for fixed angles in the blocks, uniform in (-π, π) from the same generator: the reference
            code draws them and does not train them.
    """
    _check_sizes(num_qubits, layers)
    if num_qubits < 2:
        raise CircuitError(f"the paper's ansatz needs at least 2 qubits, not {num_qubits}")
    weights = _Numbering()
    draws = np.random.RandomState(PAPER_SEED)  # the reference's legacy stream
    names = ("RX", "RY", "RZ", "CNOT")
    gates = []
    for _ in range(PAPER_RANDOM_GATES):
        name = draws.choice(names, p=[0.25] * 4).item()  # without p the legacy stream differs
        row = GATES[name]
        qubits = draws.choice(range(num_qubits), size=row.num_qubits, replace=False).tolist()
        gates.append(Gate(name, qubits, [weights.next() for _ in row.parameters]))
    blocks = range((num_qubits - 2) // 2)
    for b in blocks:
        for name, qubits in (("RX", 2 * b), ("RY", 2 * b + 1), ("RZ", 2 * b + 3), ("CRX", (2 * b, 2 * b + 2))):
            angle = weights.next() if train_blocks else draws.uniform(-np.pi, np.pi)
            gates.append(Gate(name, qubits, angle))
    for b in blocks:
        gates.append(Gate("H", 2 * b + 3))
        gates.append(Gate("SX", 2 * b + 2))
        gates.append(Gate("CNOT", (2 * b + 3, 2 * b)))
    return _repeat(Circuit(num_qubits, tuple(gates)), layers)


def hardware_efficient(num_qubits: int, layers: int = 1) -> Circuit:
    """Return layers of RY and RZ on every qubit and a line of CZ (Kandala et al. 2017)."""
    _check_sizes(num_qubits, layers)
    gates = [
        Gate(name, qubit, Weight(2 * qubit + part))
        for qubit in range(num_qubits)
        for part, name in enumerate(("RY", "RZ"))
    ]
    gates += [Gate("CZ", (qubit, qubit + 1)) for qubit in range(num_qubits - 1)]
    return _repeat(Circuit(num_qubits, tuple(gates)), layers)


def strongly_entangling(num_qubits: int, layers: int = 1) -> Circuit:
    """Return layers of RZ RY RZ on every qubit and a ring of CNOT of growing range (Schuld et al. 2020)."""
    _check_sizes(num_qubits, layers)
    weights = _Numbering()
    gates = []
    for layer in range(layers):
        for qubit in range(num_qubits):
            gates += [Gate(name, qubit, weights.next()) for name in ("RZ", "RY", "RZ")]
        if num_qubits > 1:
            reach = layer % (num_qubits - 1) + 1
            gates += [Gate("CNOT", (qubit, (qubit + reach) % num_qubits)) for qubit in range(num_qubits)]
    return Circuit(num_qubits, tuple(gates))


def data_reuploading(num_qubits: int, layers: int = 1, num_features: int | None = None) -> Circuit:
    """Return layers that each encode all inputs as angles and then apply a hardware-efficient layer.

    A. Pérez-Salinas et al., "Data re-uploading for a universal quantum classifier", Quantum 4 (2020). The result is a
    whole model circuit: encoder and ansatz in one.
    """
    _check_sizes(num_qubits, layers)
    return _repeat(angle_encoder(num_qubits, num_features) + hardware_efficient(num_qubits), layers)


class _Numbering:
    def __init__(self) -> None:
        self._count = 0

    def next(self) -> Weight:
        self._count += 1
        return Weight(self._count - 1)


def _check_sizes(num_qubits: int, layers: int = 1) -> None:
    whole(num_qubits, "num_qubits", 1, MAX_QUBITS)
    whole(layers, "layers of an ansatz", 1)


def _features(num_qubits: int, num_features: int | None) -> int:
    """Return the number of inputs that an encoder has: n² where none is given."""
    _check_sizes(num_qubits)
    return num_qubits**2 if num_features is None else whole(num_features, "num_features", 0, MAX_INDEX)


def _repeat(circuit: Circuit, layers: int) -> Circuit:
    """Return the circuit ``layers`` times over, each time with weights of its own."""
    repeated = circuit
    for layer in range(1, layers):
        repeated = repeated + circuit.shift_weights(layer * circuit.num_weights)
    return repeated
