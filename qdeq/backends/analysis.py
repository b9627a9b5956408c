"""Which circuits can be compiled: how the inputs enter, and which few columns the encoder's states span."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from qdeq.backends.product_form import ProductEncoding
from qdeq.circuit import Channel, Circuit, Gate, Input

MAX_PRODUCT = 4096
"""Largest ``prod(sizes)`` of a product form; beyond it, propagating the states themselves costs less."""
MAX_NOISY_PRODUCT = 4**10
"""The same for a circuit with noise, whose states are density matrices of 4^n entries."""
MAX_COLUMNS = 1024
"""Most columns that the ansatz is run on."""


@dataclass(frozen=True)
class Analysis:
    """How a circuit can be compiled.

    Attributes:
        ansatz: The gates, and noise, after the encoder; none has an input.
        amplitude: Number of encoded features, for amplitude encoding.
        product: The rotations of a product encoder, as ``(qubit, ((axis, gates), ...))`` for each moved qubit, where
            the gates of one axis in a row are given together.
    """

    ansatz: tuple[Gate | Channel, ...]
    amplitude: int | None = None
    product: tuple[tuple[int, tuple[tuple[str, tuple[Gate, ...]], ...]], ...] = ()

    @property
    def columns(self) -> int:
        """Number of columns that the encoder's states span."""
        return self.amplitude if self.amplitude is not None else 2 ** len(self.product)


@lru_cache(maxsize=256)
def analyse(circuit: Circuit) -> Analysis | None:
    """Return how the circuit can be compiled, or None where its inputs enter in another way."""
    moving = [gate for gate in circuit.gates if any(isinstance(angle, Input) for angle in gate.angles)]
    encoding = circuit.encoding
    if encoding is not None:
        free = encoding.values is None and not moving and encoding.num_features <= MAX_COLUMNS
        return Analysis(circuit.body, amplitude=encoding.num_features) if free else None
    touched: set[int] = set()
    rotations: dict[int, list[tuple[str, list[Gate]]]] = {}
    for gate in circuit.body:
        if isinstance(gate, Channel) or gate not in moving:
            touched.update(gate.qubits)
            continue
        if gate.name not in ("RX", "RY", "RZ") or gate.qubits[0] in touched:
            return None
        turns = rotations.setdefault(gate.qubits[0], [])
        if turns and turns[-1][0] == gate.name[1]:
            turns[-1][1].append(gate)
        elif turns or gate.name != "RZ":  # a first RZ only multiplies |0> by a phase
            turns.append((gate.name[1], [gate]))
    product = tuple(
        (qubit, tuple((axis, tuple(gates)) for axis, gates in turns))
        for qubit, turns in sorted(rotations.items())
        if turns
    )
    size = 1
    for _, sequence in product:
        size *= 3 if len(sequence) == 1 else 4
    if size > (MAX_NOISY_PRODUCT if circuit.channels else MAX_PRODUCT) or 2 ** len(product) > MAX_COLUMNS:
        return None
    return Analysis(tuple(operation for operation in circuit.body if operation not in moving), product=product)


def column_states(num_qubits: int, analysis: Analysis) -> list[int]:
    """Return the basis states, as numbers with qubit 0 the most significant bit, that the encoder's states combine."""
    if analysis.amplitude is not None:
        return list(range(analysis.amplitude))
    states = [0]
    for qubit, _ in analysis.product:
        states = [state | bit << (num_qubits - 1 - qubit) for state in states for bit in (0, 1)]
    return states


def basis_columns(num_qubits: int, analysis: Analysis, like: Tensor) -> Tensor:
    """Return :func:`column_states` as columns ``[2^n, d]``, complex, of the precision and on the device of ``like``."""
    states = column_states(num_qubits, analysis)
    kind = torch.complex64 if like.dtype == torch.float32 else torch.complex128
    columns = torch.zeros(2**num_qubits, len(states), dtype=kind, device=like.device)
    columns[states, range(len(states))] = 1
    return columns


def column_phases(analysis: Analysis) -> Tensor:
    """Return a phase ``[d]`` for each column: RX |0> = cos |0> + sin (-i |1>) is real in the basis |0>, -i |1>."""
    phases = torch.ones(1, dtype=torch.complex128)
    for _, turns in analysis.product:
        single_x = [axis for axis, _ in turns] == ["X"]
        phases = torch.kron(phases, torch.tensor([1, -1j if single_x else 1], dtype=torch.complex128))
    return phases


@lru_cache(maxsize=256)
def product_encoding(circuit: Circuit, dtype: torch.dtype, device: torch.device) -> ProductEncoding:
    """Return the angles of a circuit's product encoder as an affine function of the inputs."""
    analysis = analyse(circuit)
    assert analysis is not None
    order = ProductEncoding.columns([tuple(axis for axis, _ in turns) for _, turns in analysis.product])
    column = {rotation: number for number, rotation in enumerate(order)}
    slope = torch.zeros(circuit.num_inputs, len(order), dtype=torch.float64)
    offset = torch.zeros(len(order), dtype=torch.float64)
    qubits = []
    for position, (qubit, turns) in enumerate(analysis.product):
        for step, (_, gates) in enumerate(turns):
            for gate in gates:
                (angle,) = gate.angles
                assert isinstance(angle, Input)
                slope[angle.index, column[position, step]] += angle.scale
                offset[column[position, step]] += angle.offset
        qubits.append((qubit, tuple((axis, column[position, step]) for step, (axis, _) in enumerate(turns))))
    return ProductEncoding(slope.to(device, dtype), offset.to(device, dtype), tuple(qubits))
