"""The state's way back into the circuit: ``f(y, x) = q(x + s W y)``.

W repeats each of the n measured values I/n times in a row (nearest-neighbour up-sampling), so that y, in the
n-dimensional measurement space, lives in the I-dimensional input space of q.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from qdeq.errors import CircuitError


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


class InjectedFunction:
    """``f(y, x) = q(x + s W y)`` for any q with a Jacobian.

    Args:
        function: q, from ``[B, I]`` to ``[B, n]``, with ``jacobian(inputs, create_graph=...)``.
        scale: s, a number or a scalar tensor.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], scale: Tensor | float = 1.0) -> None:
        self._function: Any = function
        self._scale = scale

    @property
    def shots(self) -> int | None:
        """Shots of an evaluation; None where q is not measured."""
        return getattr(self._function, "shots", None)

    @property
    def settings(self) -> int:
        """Measurements of so many shots that an evaluation takes."""
        return getattr(self._function, "settings", 1)

    def at_shots(self, shots: int) -> InjectedFunction:
        """Return the function with another number of shots."""
        return InjectedFunction(self._function.at_shots(shots), self._scale)

    def __call__(self, y: Tensor, x: Tensor) -> Tensor:
        """Return f ``[B, n]`` at state y ``[B, n]`` and features x ``[B, I]``."""
        return self._function(x + self._scale * upsample(y, x.shape[1]))

    def measure(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f and its standard errors, each ``[B, n]``, without a graph."""
        value, error = self._function.measure(x + self._scale * upsample(y, x.shape[1]))
        return value, error

    def jacobian(self, y: Tensor, x: Tensor, *, create_graph: bool = False) -> Tensor:
        """Return ``∂f/∂y`` ``[B, n, n]``."""
        inputs = x + self._scale * upsample(y, x.shape[1])
        inner: Tensor = self._function.jacobian(inputs, create_graph=create_graph)
        return self._scale * upsample_transposed(inner, y.shape[1])
