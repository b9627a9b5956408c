"""Gate fusion: a circuit of weights and constants as a few dense blocks, each on at most a handful of qubits.

All matrices of all blocks are built by one broadcast expression and multiplied up pairwise, so that the number of
PyTorch calls grows with the logarithm of the depth only. States are propagated reversibly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from qdeq.backends.summation import outer
from qdeq.backends.torch.blocks import plan_blocks
from qdeq.circuit import Gate

MAX_BLOCK_QUBITS = 4
"""Blocks of 16 x 16: of 3, 4, 5 and 6 qubits, 3 and 4 were the fastest at ten qubits, on one CPU thread."""

PIECE = 1 << 14
"""Most elements of factors that are multiplied up at once, and kept for the backward pass."""

_Piece = tuple[slice, slice]


class FusedCircuit:
    """A circuit without inputs, planned once (see :mod:`qdeq.backends.torch.blocks`) and run at any weights.

    Args:
        gates: Gates whose angles are numbers or weights.
        num_qubits: n.
        max_block_qubits: Largest block.
    """

    def __init__(self, gates: Sequence[Gate], num_qubits: int, max_block_qubits: int = MAX_BLOCK_QUBITS) -> None:
        self.num_qubits = num_qubits
        self._plan = plan_blocks(gates, num_qubits, max_block_qubits)
        self.blocks = self._plan.qubits
        self._orders, self._final = _axis_orders(self.blocks, num_qubits)
        self._cache: dict[tuple[torch.dtype, torch.device], tuple[Tensor, ...]] = {}

    def matrices(self, weights: Tensor) -> Tensor:
        """Return the blocks' unitaries ``[K, D, D]`` at the weights ``[P]``, differentiable.

        Factors beyond :data:`PIECE` are made again in the backward pass, so that memory does not grow with the depth.
        """
        if not self.blocks:
            return weights.new_zeros(0)
        if self._plan.which.size * self._plan.table[0, 0].size <= PIECE:
            return self.product(weights, (slice(None), slice(None)))
        result: Tensor = _LongProduct.apply(weights, self)
        return result

    def pieces(self) -> list[list[_Piece]]:
        """Return groups of blocks, and for each group its pieces, in the order in which they are multiplied up."""
        blocks, length = self._plan.which.shape
        limit = max(1, PIECE // self._plan.table[0, 0].size)
        width, depth = max(1, limit // length), min(limit, length)
        return [
            [(slice(first, first + width), slice(start, start + depth)) for start in range(0, length, depth)]
            for first in range(0, blocks, width)
        ]

    def product(self, weights: Tensor, piece: _Piece) -> Tensor:
        """Return the products ``[K', D, D]`` of some factors of some blocks: all at once, then pairwise."""
        table, *columns = self._on(weights)
        which, index, scale, offset = (column[piece] for column in columns)
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
        """Return the plan's tables in the precision and on the device of the weights."""
        place = (weights.dtype, weights.device)
        if place not in self._cache:
            plan = self._plan
            kind = torch.complex64 if weights.dtype == torch.float32 else torch.complex128
            with torch.inference_mode(False):  # what is kept has to serve training too
                self._cache[place] = (
                    torch.from_numpy(plan.table).to(dtype=kind, device=weights.device),
                    *(
                        torch.from_numpy(part).to(dtype=torch.long, device=weights.device)
                        for part in (plan.which, plan.index)
                    ),
                    *(torch.from_numpy(part).to(weights) for part in (plan.scale, plan.offset)),
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


class _LongProduct(torch.autograd.Function):
    """Multiply blocks up piece by piece; backward, make each piece again from the weights instead of having kept it."""

    @staticmethod
    def forward(ctx, weights, fused):  # type: ignore[no-untyped-def]
        rows, before = [], []
        for group in fused.pieces():
            product = None
            for piece in group:
                before.append(product)
                factor = fused.product(weights, piece)
                product = factor if product is None else factor @ product
            rows.append(product)
        ctx.fused, ctx.before = fused, before
        ctx.save_for_backward(weights)
        return torch.cat(rows)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (weights,) = ctx.saved_tensors
        fused, before = ctx.fused, list(ctx.before)
        if torch.is_grad_enabled():  # a second derivative is wanted: let PyTorch record the whole product
            whole = fused.product(weights, (slice(None), slice(None)))
            return torch.autograd.grad(whole, weights, gradient, create_graph=True)[0], None
        total = torch.zeros_like(weights)
        for group in reversed(fused.pieces()):
            cotangent = gradient[group[0][0]]
            for piece in reversed(group):
                earlier = before.pop()
                with torch.enable_grad():
                    leaf = weights.detach().requires_grad_()
                    factor = fused.product(leaf, piece)
                at_factor = cotangent if earlier is None else cotangent @ earlier.mH
                total += torch.autograd.grad(factor, leaf, at_factor)[0]
                if earlier is not None:
                    cotangent = factor.detach().mH @ cotangent
        return total, None


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
        products = torch.empty_like(matrices)  # as a list they would keep the allocator from reusing what lies between
        for k in reversed(range(len(fused.blocks))):
            cotangent = fused.front(cotangent, k)
            if k == 0 and not ctx.needs_input_grad[0]:  # the start is known, and its cotangent not asked for
                products[k] = outer(cotangent, fused.front(fused.arrange(start, 0), 0))
                break
            inverse = matrices[k].mH
            state = inverse @ fused.front(state, k)
            products[k] = outer(cotangent, state)
            state, cotangent = fused.restore(state, k), fused.restore(inverse @ cotangent, k)
        gradient_in = cotangent.reshape(-1, columns) if ctx.needs_input_grad[0] else None
        return gradient_in, products, None


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
