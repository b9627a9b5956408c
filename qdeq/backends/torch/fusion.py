"""Gate fusion: a circuit of weights and constants as a few dense blocks, each on at most a handful of qubits.

A gate with one angle is a trigonometric matrix, ``C0 + C1 cos(mθ) + C2 sin(mθ)``; gates without a weight are folded
into the constants of their neighbours. All matrices of all blocks are therefore built by one broadcast expression, and
multiplied up pairwise, so that the number of PyTorch calls grows with the logarithm of the depth only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from qdeq.circuit import Gate, Weight
from qdeq.gates import GATES

MAX_BLOCK_QUBITS = 4
"""Blocks of 16 x 16: of 3, 4, 5 and 6 qubits, 3 and 4 were the fastest at ten qubits, on one CPU thread."""

MAX_KEPT = 1 << 16
"""Most elements of a circuit's factors that are kept for the backward pass; beyond, pieces are made again there."""
PIECE = 32
"""Factors of a block in one such piece."""

BEAM = 4
"""Partial partitions that the search for few blocks keeps."""
MAX_SEARCH = 100_000
"""Sets of qubits times gates up to which it tries every set for a block; beyond, those with the first gate's qubits."""

_Cut = tuple[tuple[int, ...], tuple[int, ...]]


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


@dataclass
class _Draft:
    """One block while it is being planned: its qubits, and the factors met so far, constants folded in."""

    qubits: list[int]
    leading: np.ndarray  # constants before the first weight
    factors: list[np.ndarray] = field(default_factory=list)  # [3, D, D] each
    angles: list[tuple[int, float, float]] = field(
        default_factory=list
    )  # index, scale, offset: mθ = scale w[index] + offset

    def add(self, gate: Gate) -> None:
        positions = [self.qubits.index(qubit) for qubit in gate.qubits]
        size = len(self.qubits)
        weighted = [angle for angle in gate.angles if isinstance(angle, Weight)]
        if not weighted:
            matrix = embed(gate.type.matrix(*gate.angles).numpy(), positions, size)  # type: ignore[arg-type]
            if self.factors:
                self.factors[-1] = matrix @ self.factors[-1]
            else:
                self.leading = matrix @ self.leading
            return
        multiplier, parts = trigonometric(gate.name)
        factor = np.stack([embed(part, positions, size) for part in parts])
        self.factors.append(factor if self.factors else factor @ self.leading)
        angle = weighted[0]
        self.angles.append((angle.index, multiplier * angle.scale, multiplier * angle.offset))


class FusedCircuit:
    """The plan of a circuit without inputs; made once per circuit and size of block.

    Args:
        gates: Gates whose angles are numbers or weights.
        num_qubits: n.
        max_block_qubits: Largest block.
    """

    def __init__(self, gates: Sequence[Gate], num_qubits: int, max_block_qubits: int = MAX_BLOCK_QUBITS) -> None:
        self.num_qubits = num_qubits
        size = min(num_qubits, max_block_qubits)
        split = [part for gate in gates for part in (gate.decompose() if len(gate.angles) > 1 else (gate,))]
        drafts = []
        for qubits, members in _partition(split, num_qubits, max(size, *(len(gate.qubits) for gate in split), 1)):
            draft = _Draft(qubits, np.eye(2 ** len(qubits), dtype=complex))
            for gate in members:
                draft.add(gate)
            if not draft.factors:  # constants only: a factor that no angle moves
                draft.factors.append(np.stack([draft.leading, 0 * draft.leading, 0 * draft.leading]))
                draft.angles.append((0, 0.0, 0.0))
            drafts.append(draft)
        self.blocks = [tuple(draft.qubits) for draft in drafts]
        self._orders, self._final = _axis_orders(self.blocks, num_qubits)
        self._constants = self._stack(drafts)
        self._cache: dict[tuple[torch.dtype, torch.device], tuple[Tensor, ...]] = {}

    @staticmethod
    def _stack(drafts: Sequence[_Draft]) -> tuple[np.ndarray, ...]:
        """Return the distinct factors ``[U, 3, D, D]``, and for each block's each factor, ``[K, L]``, which it is.

        Its angle's index, scale and offset follow, ``[K, L]`` each. All blocks are padded with identities to one number
        of factors. The layers of an ansatz repeat their factors, so that the table does not grow with the depth.
        """
        if not drafts:
            return ()
        length, dim = max(len(draft.factors) for draft in drafts), len(drafts[0].leading)
        identity = np.zeros((3, dim, dim), dtype=complex)
        identity[0] = np.eye(dim)
        distinct = {identity.tobytes(): 0}
        table = [identity]
        which, index, scale, offset = (np.zeros((len(drafts), length)) for _ in range(4))
        for k, draft in enumerate(drafts):
            for at, factor in enumerate(draft.factors):
                factor = factor + 0.0  # -0.0 is 0.0
                which[k, at] = distinct.setdefault(factor.tobytes(), len(table))
                if which[k, at] == len(table):
                    table.append(factor)
                index[k, at], scale[k, at], offset[k, at] = draft.angles[at]
        return np.stack(table), which, index, scale, offset

    def matrices(self, weights: Tensor) -> Tensor:
        """Return the blocks' unitaries ``[K, D, D]`` at the weights ``[P]``, differentiable.

        A long circuit is multiplied up in pieces that are made again in the backward pass, instead of being kept.
        """
        if not self.blocks:
            return weights.new_zeros(0)
        table, which = self._on(weights)[:2]
        (blocks, length), dim = which.shape, table.shape[-1]
        if blocks * length * dim * dim <= MAX_KEPT:
            return self._product(weights, slice(None), slice(None))
        group = max(1, MAX_KEPT // (PIECE * dim * dim))
        rows = []
        for start in range(0, blocks, group):
            product: Tensor | None = None
            for first in range(0, length, PIECE):
                where = slice(start, start + group), slice(first, first + PIECE)
                piece = checkpoint(self._product, weights, *where, use_reentrant=False)
                product = piece if product is None else piece @ product
            rows.append(product)
        return torch.cat(rows)  # type: ignore[arg-type]

    def _product(self, weights: Tensor, blocks: slice, factors: slice) -> Tensor:
        """Return the products of some factors of some blocks: all at once, then pairwise."""
        table, *columns = self._on(weights)
        which, index, scale, offset = (column[blocks, factors] for column in columns)
        angles = weights[index] * scale + offset if len(weights) else offset
        cos, sin = torch.cos(angles)[..., None, None], torch.sin(angles)[..., None, None]
        constant, even_part, odd_part = table[which].unbind(2)
        product = constant + cos * even_part + sin * odd_part
        while product.shape[1] > 1:
            last = product[:, -1:] if product.shape[1] % 2 else None
            even = product.shape[1] // 2 * 2
            product = product[:, 1:even:2] @ product[:, 0:even:2]
            product = product if last is None else torch.cat([product, last], dim=1)
        return product[:, 0]

    def apply(self, state: Tensor, weights: Tensor) -> Tensor:
        """Run the circuit on states ``[2^n, C]`` (one a column); memory does not grow with the depth."""
        return self.propagate(state, self.matrices(weights)) if self.blocks else state

    def propagate(self, state: Tensor, matrices: Tensor) -> Tensor:
        """Run blocks made by :meth:`matrices` on states ``[2^n, C]``."""
        if state.shape[1] == 0:
            return state
        result: Tensor = _Propagation.apply(state, matrices, self)
        return result

    def _on(self, weights: Tensor) -> tuple[Tensor, ...]:
        place = (weights.dtype, weights.device)
        if place not in self._cache:
            table, which, index, scale, offset = self._constants
            kind = torch.complex64 if weights.dtype == torch.float32 else torch.complex128
            self._cache[place] = (
                torch.from_numpy(table).to(dtype=kind, device=weights.device),
                torch.from_numpy(which).to(dtype=torch.long, device=weights.device),
                torch.from_numpy(index).to(dtype=torch.long, device=weights.device),
                torch.from_numpy(scale).to(weights),
                torch.from_numpy(offset).to(weights),
            )
        return self._cache[place]

    def arrange(self, state: Tensor, block: int) -> Tensor:
        """Bring the qubits of a block to the front: from the layout after the block before to ``[D, 2^n C / D]``."""
        return self._permute(state, self._orders[block])

    def restore(self, state: Tensor, block: int) -> Tensor:
        """Undo :meth:`arrange`."""
        return self._permute(state, tuple(np.argsort(self._orders[block]).tolist()))

    def _permute(self, state: Tensor, order: Sequence[int]) -> Tensor:
        tensor = state.reshape(*(2,) * self.num_qubits, -1)
        return tensor.permute(*order, self.num_qubits)

    def last_order(self, state: Tensor) -> Tensor:
        """Bring a state ``[2^n, C]`` from the order of the qubits to the layout after the last block."""
        return self._permute(state, self._final)

    def restore_order(self, state: Tensor) -> Tensor:
        """Undo :meth:`last_order`."""
        return self._permute(state, tuple(np.argsort(self._final).tolist()))

    def front(self, tensor: Tensor, block: int) -> Tensor:
        """Return an arranged state as the matrix ``[D, 2^n C / D]`` that the block's unitary multiplies."""
        return tensor.reshape(2 ** len(self.blocks[block]), -1)


class _Propagation(torch.autograd.Function):
    """Run all blocks forward; backward, run them back from the final state instead of having kept every state.

    T. Jones, J. Gacon, "Efficient calculation of gradients in classical simulations of variational quantum algorithms",
    arXiv:2009.02823, with blocks for gates.
    """

    @staticmethod
    def forward(ctx, state, matrices, fused):  # type: ignore[no-untyped-def]
        columns = state.shape[1]
        current = state
        for k in range(len(fused.blocks)):
            current = matrices[k] @ fused.front(fused.arrange(current, k), k)
        final = fused.restore_order(current).reshape(-1, columns)
        ctx.fused = fused
        ctx.save_for_backward(None if ctx.needs_input_grad[0] else state, final, matrices)
        return final

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        start, final, matrices = ctx.saved_tensors
        fused, columns = ctx.fused, gradient.shape[1]
        state, cotangent = fused.last_order(final), fused.last_order(gradient)
        products = []
        for k in reversed(range(len(fused.blocks))):
            cotangent = fused.front(cotangent, k)
            if k == 0 and not ctx.needs_input_grad[0]:  # the start is known, and its cotangent not asked for
                products.append(cotangent @ fused.front(fused.arrange(start, 0), 0).mH)
                break
            inverse = matrices[k].mH
            state = inverse @ fused.front(state, k)
            products.append(cotangent @ state.mH)
            state, cotangent = fused.restore(state, k), fused.restore(inverse @ cotangent, k)
        gradient_in = cotangent.reshape(-1, columns) if ctx.needs_input_grad[0] else None
        return gradient_in, torch.stack(products[::-1]), None


def _axis_orders(blocks: Sequence[Sequence[int]], num_qubits: int) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
    """Return, for each block, the permutation of the axes as the block before left them; and the qubits' last order."""
    order = list(range(num_qubits))  # which qubit each axis holds
    permutations = []
    for qubits in blocks:
        rest = [qubit for qubit in order if qubit not in qubits]
        wanted = [*qubits, *rest]
        permutations.append(tuple(order.index(qubit) for qubit in wanted))
        order = wanted
    return permutations, tuple(order)


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
