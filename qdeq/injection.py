"""The state's way back into the circuit: ``f(y, x) = q(x + s W y)``.

W repeats each of the n measured values I/n times in a row (nearest-neighbour up-sampling), so that y, in the
n-dimensional measurement space, lives in the I-dimensional input space of q.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from qdeq.errors import CircuitError
from qdeq.wrappers import Wrapper


def upsample(y: Tensor, size: int) -> Tensor:
    """Return ``W y``: each of the n entries of ``y [B, n]`` repeated ``size / n`` times in a row, ``[B, size]``.

    Raises:
        CircuitError: ``size`` is no multiple of n.
    """
    if size % y.shape[1]:
        raise CircuitError(
            f"a state of {y.shape[1]} entries cannot be fed back into {size} features\n"
            "The number of features has to be a multiple of the state's entries."
        )
    return y.repeat_interleave(size // y.shape[1], dim=1)


def upsample_transposed(v: Tensor, size: int) -> Tensor:
    """Return ``v W``, sums over runs of ``I / size`` entries of the last dimension: ``[..., I]`` to ``[..., size]``."""
    return v.unflatten(-1, (size, -1)).sum(-1)


@dataclass(frozen=True, eq=False)
class InjectedFunction(Wrapper):
    """``f(y, x) = q(x + s W y)`` for any q.

    Attributes:
        inner: q, from ``[B, I]`` to ``[B, n]``.
        scale: s, a number or a scalar tensor; taken as it is now.
    """

    scale: Tensor | float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.scale, Tensor):  # an optimiser may change the parameter before the backward pass
            object.__setattr__(self, "scale", self.scale.clone())

    def arguments(self, y: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
        """Return ``x + s W y`` ``[B, I]``; x is the first row."""
        x = rows[0]
        return (x + self.scale * upsample(y, x.shape[1]),)

    def chain(self, inner: Tensor, y: Tensor, *rows: Tensor) -> Tensor:
        """Return ``∂f/∂y = s (∂q/∂v) W`` ``[B, n, n]``."""
        return self.scale * upsample_transposed(inner, y.shape[1])
