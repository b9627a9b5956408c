"""Dropout of the state within a solve: one mask for each sample, the same at every evaluation of f."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qdeq.jacobians import jacobian
from qdeq.seeds import Share, draw


def keep_mask(
    like: Tensor, probability: float, generator: torch.Generator | None = None, share: Share | None = None
) -> Tensor:
    """Return a mask of the shape of ``like``: 0 with the given probability, else ``1 / (1 - probability)``."""
    kept = draw(torch.rand, like, generator, share) >= probability
    return kept.to(like) / (1 - probability)


class MaskedState:
    """``g(y, m, *rows) = f(m y, *rows)`` with a mask m ``[B, n]`` that stays with its sample.

    A mask that is drawn once leaves g a function, which has an equilibrium, where a new one at every evaluation would
    leave noise without one. It is f's first row, so that forward solve, adjoint and Jacobian penalty have the same.

    Y. Gal and Z. Ghahramani, NeurIPS 2016, for recurrent networks; S. Bai et al., NeurIPS 2019, for equilibria.

    Args:
        function: f; ``f(y, *rows)`` on ``[b, n]``, differentiable or with a ``jacobian`` of its own.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function: Any = function

    @property
    def shots(self) -> int | None:
        """Shots of an evaluation; None for exact ones."""
        return getattr(self._function, "shots", None)

    @property
    def settings(self) -> int:
        """Measurements of so many shots that an evaluation takes."""
        return getattr(self._function, "settings", 1)

    def at_shots(self, shots: int) -> MaskedState:
        """Return the function with another number of shots."""
        return MaskedState(self._function.at_shots(shots))

    def at_evaluation(self, number: int) -> MaskedState:
        """Return the function with the shot streams of another evaluation; itself where f has none."""
        inner = self._function
        return MaskedState(inner.at_evaluation(number)) if hasattr(inner, "at_evaluation") else self

    def __call__(self, y: Tensor, mask: Tensor, *rows: Tensor) -> Tensor:
        """Return g ``[b, n]`` at y ``[b, n]``."""
        value: Tensor = self._function(mask * y, *rows)
        return value

    def measure(self, y: Tensor, mask: Tensor, *rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return g and its standard errors, each ``[b, n]``, without a graph."""
        value, error = self._function.measure(mask * y, *rows)
        return value, error

    def jacobian(self, y: Tensor, mask: Tensor, *rows: Tensor, create_graph: bool = False) -> Tensor:
        """Return ``∂g/∂y = J(m y) diag(m)`` ``[b, n, n]``."""
        return jacobian(self._function, mask * y, rows, create_graph=create_graph) * mask[:, None]
