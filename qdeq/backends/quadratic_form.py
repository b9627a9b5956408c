"""The compiled function of amplitude encoding: ``f_o(v) = vᵀ A_o v / vᵀ v``, real symmetric d x d forms A_o.

The encoder is linear in v, so nothing else is left of a circuit's expectations once the weights are fixed. An
evaluation costs the same whatever the depth of the ansatz, which has been run once. Any backend that gives amplitudes
can make it, and any that gives expectations, by polarisation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from qdeq.backends.function import FrozenFunction, check_inputs, check_shape
from qdeq.functions import Function
from qdeq.injection import upsample, upsample_transposed


class QuadraticForm(FrozenFunction):
    """``f_o(v) = vᵀ A_o v / vᵀ v``, and ``(A_o)_00`` at v = 0 (see :class:`~qdeq.circuit.AmplitudeEncoding`).

    Args:
        forms: ``[O, d, d]``, real symmetric.
    """

    compiled = True

    def __init__(self, forms: Tensor) -> None:
        self._forms = forms
        self._size = forms.shape[1]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]``, of which the first d are encoded."""
        check_inputs(inputs, self._size, self._forms)
        v, _ = self._normalised(inputs)
        return (self._product(v) * v[:, None]).sum(-1) / v.square().sum(-1, keepdim=True)

    def jacobian(self, inputs: Tensor, *, create_graph: bool = False) -> Tensor:
        """Return ``∂f/∂v = 2 (A v - f v) / ||v||²``, shape ``[B, O, I]``."""
        check_inputs(inputs, self._size, self._forms)
        with torch.set_grad_enabled(create_graph):
            v, scale = self._normalised(inputs)
            square = v.square().sum(-1)[:, None, None]
            product = self._product(v)
            value = (product * v[:, None]).sum(-1, keepdim=True) / square
            rows = 2 * (product - value * v[:, None]) / (square * scale[..., None])
        return torch.nn.functional.pad(rows, (0, inputs.shape[1] - self._size))

    def inject(self, x: Tensor, scale: Tensor | float, size: int) -> tuple[Function, tuple[Tensor, ...]]:
        """Return ``f(y) = q(x + s W y)`` as a ratio of two quadratics in y: see :class:`_InjectedForm`."""
        check_shape(x, self._size)
        if x.shape[1] != self._size or self._size % size:
            return super().inject(x, scale, size)
        factor = x.new_tensor(scale) if not isinstance(scale, Tensor) else scale
        # q does not change when its argument is scaled: keep all squares representable
        unit = torch.maximum(x.detach().abs().amax(dim=1, keepdim=True), factor.detach().abs())
        broken = ~(
            unit < math.inf
        )  # 0 for now: backward, zero times NaN would reach the forms, which all samples share
        unit = unit.masked_fill(broken | (unit == 0), 1.0)
        x = x.masked_fill(broken, 0.0) / unit
        # x = rest + W center with rest orthogonal to W's columns: no difference of large squares is left
        center = upsample_transposed(x, size) / (self._size // size)
        rest = x - upsample(center, self._size)
        # the squared norm below the line is a quadratic form like those above it: one more of them, the last
        product = torch.cat([self._product(rest), rest[:, None]], dim=1)
        rows = (
            (product * rest[:, None]).sum(-1),
            2 * upsample_transposed(product, size),
            center,
            factor / unit,
            *([broken] if bool(broken.any()) else []),
        )
        middle = upsample_transposed(upsample_transposed(self._forms, size).mT, size)
        repeats = self._size // size
        norm = repeats * torch.eye(size, dtype=middle.dtype, device=middle.device)
        return _InjectedForm(torch.cat([middle, norm[None]]), self._forms[:, 0, 0]), rows

    def _product(self, v: Tensor) -> Tensor:
        """Return ``A_o v`` as ``[B, O, d]``."""
        return (v @ self._forms.reshape(-1, self._size).mT).unflatten(1, (-1, self._size))

    def _normalised(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return v divided by its largest entry (f stays the same), and that entry; ``e_0``, constant, for zero."""
        v = inputs[:, : self._size]
        largest = v.detach().abs().amax(dim=1, keepdim=True)
        empty = largest == 0
        ground = torch.zeros_like(v[:1])
        ground[:, 0] = 1.0
        # an infinite scale makes the derivative of the ground state's constant vanish
        return torch.where(empty, ground, v / torch.where(empty, 1.0, largest)), torch.where(empty, torch.inf, largest)


class _InjectedForm(Function):
    """The quadratic form of ``x + s W y = x_⊥ + W w`` with ``w = s y + m``, as a function of y.

    x_⊥ is the part of x that is orthogonal to W's columns and m the rest of it, the mean of each run. Numerators and
    squared norm are ``c + b·w + wᵀ Q w`` with ``Q = Wᵀ A_o W``, or ``Wᵀ W`` for the norm, which stands last. An
    evaluation costs O(n³) instead of O(d² n): nothing of the size of the features is left in the iteration. If some
    x are not finite, a further row says which.
    """

    frozen = True

    def __init__(self, middle: Tensor, ground: Tensor) -> None:
        self._middle = middle  # Q, [O + 1, n, n]
        self._ground = ground

    def __call__(self, y: Tensor, *rows: Tensor) -> Tensor:
        """Return f ``[B, O]`` at y ``[B, n]`` and the rows that :meth:`QuadraticForm.inject` made."""
        value = self._parts(y, *rows[:4])[0]
        return value.masked_fill(rows[4], math.nan) if len(rows) > 4 else value

    def jacobian(self, y: Tensor, *rows: Tensor, create_graph: bool = False) -> Tensor:
        """Return ``∂f/∂y`` ``[B, O, n]``."""
        _, b, _, scale, *broken = rows
        with torch.set_grad_enabled(create_graph):
            value, half, below = self._parts(y, *rows[:4])
            slopes = b + 2 * half
            above, norm = slopes[:, :-1], slopes[:, -1:]
            result = (above - value[..., None] * norm) * (scale / below)[..., None]
            return result.masked_fill(broken[0][..., None], math.nan) if broken else result

    def _parts(self, y: Tensor, c: Tensor, b: Tensor, center: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        w = torch.addcmul(center, y, scale)
        size = w.shape[1]
        half = (w @ self._middle.reshape(-1, size).mT).unflatten(1, (-1, size))
        forms = c + ((b + half) * w[:, None]).sum(-1)
        above, below = forms[:, :-1], forms[:, -1:]
        empty = below == 0  # x + s W y = 0
        value = torch.where(empty, self._ground, above / torch.where(empty, 1.0, below))
        return value, half, torch.where(empty, torch.inf, below)
