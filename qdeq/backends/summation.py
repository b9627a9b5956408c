"""Sums over the 2^n entries of a state that keep the accuracy of their precision, whatever n.

A matrix product adds its terms one after another, or nearly so: of 2^20 terms, float32 has lost four of its seven
digits, and how many depends on the batch, whose size chooses the routine. Here only runs of terms are added that way,
and the runs' sums in double precision. PyTorch's ``sum`` cascades and needs no help; its ``vector_norm`` does not.
"""

from __future__ import annotations

import torch
from torch import Tensor

RUN = 128
"""Most terms that a matrix product adds in one go: it errs by a few 1e-7 of their sum, all runs together by less."""
COLUMNS = 1 << 14
"""The same where both factors have 16 rows or so: such products add in panels, and short runs would cost time."""


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left @ right`` of ``[..., M, K]`` and ``[..., K, N]`` for any K, which is halved until runs are short.

    The runs' sums take at most an eighth of the memory of the larger factor.
    """
    size = left.shape[-1]
    longest = max(RUN, 8 * min(left.shape[-2], right.shape[-1]))
    runs = 1
    while size // runs > longest and size // runs % 2 == 0:
        runs *= 2
    if runs == 1:
        return left @ right
    parts = left.unflatten(-1, (runs, -1)).movedim(-2, -3) @ right.unflatten(-2, (runs, -1))
    return parts.sum(-3, dtype=_double(left)).to(left.dtype)


def outer(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left @ right†`` ``[M, N]`` of ``[M, K]`` and ``[N, K]``, dense blocks of several qubits, for any K."""
    if left.shape[1] <= COLUMNS:
        return left @ right.mH
    total = left.new_zeros(len(left), len(right), dtype=_double(left))
    for one, other in zip(left.split(COLUMNS, 1), right.split(COLUMNS, 1), strict=True):
        total = total + one @ other.mH
    return total.to(left.dtype)


def norms(vectors: Tensor) -> Tensor:
    """Return the Euclidean norms ``[..., 1]`` of real vectors ``[..., K]`` for any K."""
    return vectors.square().sum(-1, keepdim=True).sqrt()


def apply_matrices(matrices: Tensor, states: Tensor) -> Tensor:
    """Return ``Σ_j M_ij s_j`` ``[I, R, B]`` of states ``[J, R, B]``, each with a matrix of its own or all with one.

    Args:
        matrices: ``[B or 1, I, J]``; their gradient is a sum over R (and B), for any R and B.
        states: ``[J, R, B]``.
    """
    result: Tensor = _Applied.apply(matrices, states)
    return result


class _Applied(torch.autograd.Function):
    @staticmethod
    def forward(ctx, matrices, states):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(matrices, states)
        if len(matrices) == 1:
            return (matrices[0] @ states.flatten(1)).unflatten(1, states.shape[1:])
        return torch.einsum("bij,jrb->irb", matrices, states)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        matrices, states = ctx.saved_tensors
        to_matrices = to_states = None
        if ctx.needs_input_grad[1]:
            to_states = apply_matrices(matrices.mH, gradient)
        if ctx.needs_input_grad[0] and len(matrices) == 1:
            to_matrices = product(gradient.flatten(1), states.flatten(1).mH)[None]
        elif ctx.needs_input_grad[0]:
            to_matrices = product(gradient.permute(2, 0, 1), states.permute(2, 1, 0).conj())
        return to_matrices, to_states


def _double(like: Tensor) -> torch.dtype:
    return torch.complex128 if like.is_complex() else torch.float64
