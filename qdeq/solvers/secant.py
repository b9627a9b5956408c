"""The matrix that a quasi-Newton solver keeps: an approximation of ``(1 - J)^{-1}`` that begins as 1 and gains terms.

Dense where that is no larger than the terms would be, else as the terms themselves. Everything is a sum of products and
no matrix product, whose rounding may depend on the size of the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Dense(NamedTuple):
    """P ``[b, N, N]``, and the number of terms that it has gained."""

    p: Tensor
    terms: int

    def times(self, x: Tensor) -> Tensor:
        """Return ``P x`` ``[b, N]``."""
        return (self.p * x[:, None]).sum(dim=2)

    def transposed_times(self, x: Tensor) -> Tensor:
        """Return ``P^T x`` ``[b, N]``."""
        return (self.p * x[:, :, None]).sum(dim=1)

    def plus(self, u: Tensor, v: Tensor) -> Dense:
        """Return ``P + u v^T``."""
        return Dense(torch.addcmul(self.p, u[:, :, None], v[:, None]), self.terms + 1)


class LowRank(NamedTuple):
    """``P = 1 + Σ u_i v_i^T`` with u and v ``[b, k, N]``, oldest first."""

    u: Tensor
    v: Tensor

    @property
    def terms(self) -> int:
        """Number of terms."""
        return self.u.shape[1]

    def times(self, x: Tensor) -> Tensor:
        """Return ``P x`` ``[b, N]``."""
        return x + _outer_sum(self.u, self.v, x)

    def transposed_times(self, x: Tensor) -> Tensor:
        """Return ``P^T x`` ``[b, N]``."""
        return x + _outer_sum(self.v, self.u, x)

    def plus(self, u: Tensor, v: Tensor) -> LowRank:
        """Return ``P + u v^T``."""
        return LowRank(torch.cat([self.u, u[:, None]], dim=1), torch.cat([self.v, v[:, None]], dim=1))


Inverse = Dense | LowRank


def one(like: Tensor, memory: int) -> Inverse:
    """Return P = 1 for samples ``[b, N]``, to gain up to ``memory`` terms."""
    batch, size = like.shape
    if size <= memory:
        return Dense(torch.eye(size, dtype=like.dtype, device=like.device).expand(batch, -1, -1), 0)
    empty = like.new_empty((batch, 0, size))
    return LowRank(empty, empty)


def _outer_sum(u: Tensor, v: Tensor, x: Tensor) -> Tensor:
    weight = (v * x[:, None]).sum(dim=2, keepdim=True)
    return (u * weight).sum(dim=1)
