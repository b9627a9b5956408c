"""Dropout of the state within a solve: one mask for each sample, the same at every evaluation of f."""

from __future__ import annotations

import torch
from torch import Tensor

from qdeq.seeds import Share, draw
from qdeq.wrappers import Wrapper


def keep_mask(
    like: Tensor, probability: float, generator: torch.Generator | None = None, share: Share | None = None
) -> Tensor:
    """Return a mask of the shape of ``like``: 0 with the given probability, else ``1 / (1 - probability)``."""
    kept = draw(torch.rand, like, generator, share) >= probability
    return kept.to(like) / (1 - probability)


class MaskedState(Wrapper):
    """``g(y, m, *rows) = f(m y, *rows)`` with a mask m ``[B, n]`` that stays with its sample.

    A mask that is drawn once leaves g a function, which has an equilibrium, where a new one at every evaluation would
    leave noise without one. It is f's first row, so that forward solve, adjoint and Jacobian penalty have the same.

    Y. Gal and Z. Ghahramani, NeurIPS 2016, for recurrent networks; S. Bai et al., NeurIPS 2019, for equilibria.
    """

    def arguments(self, y: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
        """Return ``m y`` and f's own rows."""
        mask, *rest = rows
        return (mask * y, *rest)

    def chain(self, inner: Tensor, y: Tensor, *rows: Tensor) -> Tensor:
        """Return ``∂g/∂y = J(m y) diag(m)`` ``[b, n, n]``."""
        return inner * rows[0][:, None]
