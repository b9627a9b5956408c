"""The plan of a fused circuit: which gates make a block, and of what factors its matrix is multiplied up.

A gate with one angle is a trigonometric matrix, ``C0 + C1 cos(mθ) + C2 sin(mθ)``; gates without a weight are folded
into the constants of their neighbours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from qdeq.circuit import Gate, Weight
from qdeq.gates import GATES

BEAM = 4
"""Partial partitions that the search for few blocks keeps."""
MAX_SEARCH = 100_000
"""Sets of qubits times gates up to which it tries every set for a block; beyond, those with the first gate's qubits."""

_Cut = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Blocks:
    """K blocks of up to L factors each; shorter ones are filled up with identities.

    Attributes:
        qubits: Each block's qubits.
        table: The distinct factors, ``[U, 3, D, D]``: C0, C1, C2. The layers of an ansatz repeat them, so the table
            does not grow with the depth.
        which: ``[K, L]``, the row of the table.
        index: ``[K, L]``, the weight that a factor's angle ``mθ = scale * weight + offset`` takes.
        scale: ``[K, L]``.
        offset: ``[K, L]``.
    """

    qubits: tuple[tuple[int, ...], ...]
    table: np.ndarray
    which: np.ndarray
    index: np.ndarray
    scale: np.ndarray
    offset: np.ndarray


def plan_blocks(gates: Sequence[Gate], num_qubits: int, max_qubits: int) -> Blocks:
    """Fuse gates into blocks.

    Args:
        gates: Gates whose angles are numbers or weights.
        num_qubits: n.
        max_qubits: Largest block, unless a gate is larger.
    """
    split = [part for gate in gates for part in (gate.decompose() if len(gate.angles) > 1 else (gate,))]
    size = max(min(num_qubits, max_qubits), *(len(gate.qubits) for gate in split), 1)
    table = _Table(2**size)
    drafts = []
    for qubits, members in _partition(split, num_qubits, size):
        draft = _Draft(qubits, table)
        for gate in members:
            draft.add(gate)
        draft.finish()
        drafts.append(draft)
    length = max((len(draft.factors) for draft in drafts), default=0)
    which, index, scale, offset = (np.zeros((len(drafts), length)) for _ in range(4))
    for k, draft in enumerate(drafts):
        for at, factor in enumerate(draft.factors):
            which[k, at] = factor
            index[k, at], scale[k, at], offset[k, at] = draft.angles[at]
    return Blocks(tuple(tuple(draft.qubits) for draft in drafts), np.stack(table.rows), which, index, scale, offset)


def embed(matrix: np.ndarray, positions: Sequence[int], size: int) -> np.ndarray:
    """Return a gate's matrix acting on ``positions`` of a register of ``size`` qubits, ``[2^size, 2^size]``."""
    count = len(positions)
    identity = np.eye(2**size, dtype=complex).reshape([2] * size + [2**size])
    moved = np.moveaxis(identity, positions, range(count))
    product = (matrix @ moved.reshape(2**count, -1)).reshape(moved.shape)
    return np.moveaxis(product, range(count), positions).reshape(2**size, 2**size)


@cache
def trigonometric(name: str) -> tuple[float, np.ndarray]:
    """Return m and ``[C0, C1, C2]`` with ``matrix(θ) = C0 + C1 cos(mθ) + C2 sin(mθ)``, read off the gate table.

    Raises:
        ValueError: The gate's matrix has no such form.
    """
    row = GATES[name]

    def at(angle: float) -> np.ndarray:
        return row.matrix(angle).numpy()

    for multiplier in (0.5, 1.0):
        start, half, quarter = at(0.0), at(math.pi / multiplier), at(math.pi / (2 * multiplier))
        constant = (start + half) / 2
        parts = np.stack([constant, (start - half) / 2, quarter - constant])
        probe = 0.7
        value = parts[0] + parts[1] * math.cos(multiplier * probe) + parts[2] * math.sin(multiplier * probe)
        if np.allclose(value, at(probe), atol=1e-12):
            return multiplier, parts
    raise ValueError(f"{name} is not trigonometric in its angle")


class _Table:
    """Distinct factors ``[3, D, D]``, the identity first."""

    def __init__(self, dim: int) -> None:
        self.rows: list[np.ndarray] = []
        self._numbers: dict[bytes, int] = {}
        self.number(np.stack([np.eye(dim), np.zeros((dim, dim)), np.zeros((dim, dim))]).astype(complex))

    def number(self, factor: np.ndarray) -> int:
        """Return the row of a factor, which is entered if it is new."""
        factor = factor + 0.0  # -0.0 is 0.0
        row = self._numbers.setdefault(factor.tobytes(), len(self.rows))
        if row == len(self.rows):
            self.rows.append(factor)
        return row


@dataclass
class _Draft:
    """One block while it is being planned."""

    qubits: list[int]
    table: _Table
    factors: list[int] = field(default_factory=list)  # finished ones
    angles: list[tuple[int, float, float]] = field(default_factory=list)  # index, scale, offset
    open: np.ndarray | None = None  # the factor that constants are still folded into: [3, D, D], or [D, D] so far

    def add(self, gate: Gate) -> None:
        """Multiply a gate in."""
        positions = [self.qubits.index(qubit) for qubit in gate.qubits]
        size = len(self.qubits)
        weighted = [angle for angle in gate.angles if isinstance(angle, Weight)]
        if not weighted:
            matrix = embed(gate.type.matrix(*gate.angles).numpy(), positions, size)  # type: ignore[arg-type]
            self.open = matrix if self.open is None else matrix @ self.open
            return
        multiplier, parts = trigonometric(gate.name)
        factor = np.stack([embed(part, positions, size) for part in parts])
        if self.angles:
            self.finish()
        elif self.open is not None:  # constants before the first weight
            factor = factor @ self.open
        self.open = factor
        (angle,) = weighted
        self.angles.append((angle.index, multiplier * angle.scale, multiplier * angle.offset))

    def finish(self) -> None:
        """Enter the open factor into the table."""
        assert self.open is not None
        if not self.angles:  # constants only: a factor that no angle moves
            self.open = np.stack([self.open, 0 * self.open, 0 * self.open])
            self.angles.append((0, 0.0, 0.0))
        self.factors.append(self.table.number(self.open))
        self.open = None


def _partition(gates: Sequence[Gate], num_qubits: int, size: int) -> list[tuple[list[int], list[Gate]]]:
    """Cover the gates by few blocks of ``size`` qubits, in an equivalent order: a beam search.

    A state of the search is the gates that remain; the best are those with the fewest. Ten qubits and the paper's
    ansatz make 6 blocks; taking the fullest block each time, with a greedy choice of its qubits, made 9.
    """
    masks = [sum(1 << qubit for qubit in gate.qubits) for gate in gates]
    every_set = math.comb(num_qubits, size) * len(gates) <= MAX_SEARCH
    beam: list[tuple[tuple[int, ...], tuple[_Cut, ...]]] = [(tuple(range(len(gates))), ())]
    while beam[0][0]:
        found: dict[tuple[int, ...], tuple[_Cut, ...]] = {}
        for remaining, cuts in beam:
            base = () if every_set else gates[remaining[0]].qubits
            others = [qubit for qubit in range(num_qubits) if qubit not in base]
            for extra in itertools.combinations(others, size - len(base)):
                taken, kept = _absorb(remaining, masks, sum(1 << qubit for qubit in (*base, *extra)))
                if taken:
                    found.setdefault(kept, (*cuts, (tuple(sorted((*base, *extra))), taken)))
        beam = sorted(found.items(), key=lambda state: len(state[0]))[:BEAM]
    return [(list(qubits), [gates[position] for position in taken]) for qubits, taken in beam[0][1]]


def _absorb(remaining: Sequence[int], masks: Sequence[int], inside: int) -> _Cut:
    """Split off the gates that can be moved to the front together and act on the qubits ``inside`` only.

    Qubits are bits. Returns the positions of those gates, and of all others.
    """
    blocked = 0
    taken, kept = [], []
    for at, position in enumerate(remaining):
        mask = masks[position]
        if mask & ~inside or mask & blocked:
            kept.append(position)
            blocked |= mask
            if blocked & inside == inside:
                kept.extend(remaining[at + 1 :])
                break
        else:
            taken.append(position)
    return tuple(taken), tuple(kept)
