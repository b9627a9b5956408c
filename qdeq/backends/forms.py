"""Compiled functions: what is left of a circuit's expectations once the weights are fixed.

Amplitude encoding: ``f_o(v) = vᵀ A_o v / vᵀ v`` with real symmetric d x d forms A_o, since the encoder is linear in v.
Product encoders (rotations of single qubits by inputs, before anything else): ``f_o(v) = T_o · (r_1 ⊗ r_2 ⊗ ...)`` with
r_q the Bloch vector of qubit q, or its known span. Either way an evaluation costs the same whatever the depth of the
ansatz, which has been run once. Any backend that gives amplitudes can make these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from qdeq.backends.base import FrozenFunction, check_inputs
from qdeq.injection import upsample, upsample_transposed


class QuadraticForm(FrozenFunction):
    """``f_o(v) = vᵀ A_o v / vᵀ v``, and ``(A_o)_00`` at v = 0 (see :class:`~qdeq.circuit.AmplitudeEncoding`).

    Args:
        forms: ``[O, d, d]``, real symmetric.
    """

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
        with torch.set_grad_enabled(create_graph):
            v, scale = self._normalised(inputs)
            square = v.square().sum(-1)[:, None, None]
            product = self._product(v)
            value = (product * v[:, None]).sum(-1, keepdim=True) / square
            rows = 2 * (product - value * v[:, None]) / (square * scale[..., None])
        return torch.nn.functional.pad(rows, (0, inputs.shape[1] - self._size))

    def inject(self, x: Tensor, scale: Tensor | float, size: int) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
        """Return ``f(y) = q(x + s W y)`` as a ratio of two quadratics in y: see :class:`_InjectedForm`."""
        if x.shape[1] != self._size or self._size % size:
            return super().inject(x, scale, size)
        factor = x.new_tensor(scale) if not isinstance(scale, Tensor) else scale
        # q does not change when its argument is scaled: keep all squares representable
        unit = torch.maximum(x.detach().abs().amax(dim=1, keepdim=True), factor.detach().abs())
        unit = torch.where(unit == 0, 1.0, unit)
        x = x / unit
        # x = rest + W center with rest orthogonal to W's columns: no difference of large squares is left
        center = upsample_transposed(x, size) / (self._size // size)
        rest = x - upsample(center, self._size)
        product = self._product(rest)
        rows = (
            (product * rest[:, None]).sum(-1),
            2 * upsample_transposed(product, size),
            rest.square().sum(-1, keepdim=True),
            center,
            factor / unit,
        )
        middle = upsample_transposed(upsample_transposed(self._forms, size).mT, size)
        return _InjectedForm(middle, self._forms[:, 0, 0], self._size // size), rows

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


class _InjectedForm:
    """``(c + b·w + wᵀ Q w) / (r_⊥ + r ||w||²)`` with ``w = s y + m``: the quadratic form of ``x + s W y = x_⊥ + W w``.

    x_⊥ is the part of x that is orthogonal to W's columns and m the rest of it, the mean of each run. An evaluation
    costs O(n³) instead of O(d² n): nothing of the size of the features is left in the iteration.
    """

    def __init__(self, middle: Tensor, ground: Tensor, repeats: int) -> None:
        self._middle = middle  # Q = Wᵀ A_o W, [O, n, n]
        self._ground = ground
        self._repeats = repeats

    def __call__(self, y: Tensor, c: Tensor, b: Tensor, rest: Tensor, center: Tensor, scale: Tensor) -> Tensor:
        """Return f ``[B, O]`` at y ``[B, n]`` and the rows that :meth:`QuadraticForm.inject` made."""
        return self._parts(y, c, b, rest, center, scale)[0]

    def jacobian(
        self,
        y: Tensor,
        c: Tensor,
        b: Tensor,
        rest: Tensor,
        center: Tensor,
        scale: Tensor,
        *,
        create_graph: bool = False,
    ) -> Tensor:
        """Return ``∂f/∂y`` ``[B, O, n]``."""
        with torch.set_grad_enabled(create_graph):
            value, half, w, below = self._parts(y, c, b, rest, center, scale)
            above = b + 2 * half - value[..., None] * (2 * self._repeats * w)[:, None]
            return above * (scale / below)[..., None]

    def _parts(
        self, y: Tensor, c: Tensor, b: Tensor, rest: Tensor, center: Tensor, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        w = y * scale + center
        size = w.shape[1]
        half = (w @ self._middle.reshape(-1, size).mT).unflatten(1, (-1, size))
        above = c + ((b + half) * w[:, None]).sum(-1)
        below = rest + self._repeats * w.square().sum(-1, keepdim=True)
        empty = below == 0  # x + s W y = 0
        value = torch.where(empty, self._ground, above / torch.where(empty, 1.0, below))
        return value, half, w, torch.where(empty, torch.inf, below)


@dataclass(frozen=True)
class ProductEncoding:
    """Single-qubit rotations by inputs, as angles ``v E + e_0`` and who turns what about which axis.

    Attributes:
        slope: E, ``[I, G]``; rotations about one axis in a row are one.
        offset: ``e_0``, ``[G]``.
        qubits: For each qubit that the inputs move, in order: its number and its rotations ``(axis, column of E)``.
            A first rotation about Z has no effect on ``|0>`` and is left out.
    """

    slope: Tensor
    offset: Tensor
    qubits: tuple[tuple[int, tuple[tuple[str, int], ...]], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Length of each moved qubit's vector: 3 (1, cos, sin) for one axis, 4 (1, x, y, z) otherwise."""
        return tuple(3 if len(rotations) == 1 else 4 for _, rotations in self.qubits)

    @property
    def size(self) -> int:
        """Length of the product of all of them."""
        return prod(self.sizes)

    def vectors(self, angles: Tensor) -> list[Tensor]:
        """Return each moved qubit's vector ``[B, 3 or 4]`` at angles ``[B, G]``."""
        turn = torch.polar(torch.ones_like(angles), angles)  # cos + i sin
        one = torch.ones_like(angles[:, :1])
        vectors: list[Tensor | None] = [None] * len(self.qubits)
        alike: dict[tuple[str, ...], list[int]] = {}
        for position, (_, rotations) in enumerate(self.qubits):
            alike.setdefault(tuple(axis for axis, _ in rotations), []).append(position)
        for axes, positions in alike.items():  # qubits with the same axes turn together
            columns = [[self.qubits[position][1][step][1] for position in positions] for step in range(len(axes))]
            turns = [turn[:, chosen] for chosen in columns]
            parts = [turns[0].real, turns[0].imag] if len(axes) == 1 else _rotate(axes, turns)
            stacked = torch.stack([one.expand_as(parts[0]), *parts], dim=-1)
            for position, vector in zip(positions, stacked.unbind(1), strict=True):
                vectors[position] = vector
        return vectors  # type: ignore[return-value]


def _rotate(axes: Sequence[str], turns: Sequence[Tensor]) -> list[Tensor]:
    """Turn the Bloch vector (0, 0, 1) about the axes one after another, each by ``e^{iθ}`` ``[B, m]``.

    A rotation multiplies the complex number of the two other components; the first is about X or Y.
    """
    cos, sin, zero = turns[0].real, turns[0].imag, torch.zeros_like(turns[0].real)
    vector = [zero, -sin, cos] if axes[0] == "X" else [sin, zero, cos]
    for axis, turn in zip(axes[1:], turns[1:], strict=True):
        first = ("XYZ".index(axis) + 1) % 3
        second = (first + 1) % 3
        turned = torch.complex(vector[first], vector[second]) * turn
        vector[first], vector[second] = turned.real, turned.imag
    return vector


class ProductForm(FrozenFunction):
    """``f_o(v) = T_o · (r_1(v) ⊗ r_2(v) ⊗ ...)`` for a product encoder.

    Args:
        tensor: T, ``[O, prod(encoding.sizes)]``, real.
        encoding: The encoder.
    """

    def __init__(self, tensor: Tensor, encoding: ProductEncoding) -> None:
        self._encoding = encoding
        # contract with the product of one half of the qubits, then of the other: the whole product is never formed
        half = next(
            (k for k in range(len(encoding.sizes)) if prod(encoding.sizes[:k]) ** 2 * 4 > encoding.size),
            len(encoding.sizes),
        )
        self._half = half
        self._tensor = tensor.reshape(len(tensor) * prod(encoding.sizes[:half]), -1)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]``."""
        encoding = self._encoding
        check_inputs(inputs, len(encoding.slope), encoding.slope)
        return self.at_angles(inputs[:, : len(encoding.slope)] @ encoding.slope + encoding.offset)

    def at_angles(self, angles: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at the encoder's angles ``[B, G]``."""
        vectors = self._encoding.vectors(angles)
        left, right = _product(vectors[: self._half], angles), _product(vectors[self._half :], angles)
        return ((right @ self._tensor.mT).unflatten(1, (-1, left.shape[1])) * left[:, None]).sum(-1)

    def inject(self, x: Tensor, scale: Tensor | float, size: int) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
        """Return ``f(y) = q(x + s W y)`` with the angles ``x E + e_0`` worked out beforehand."""
        encoding = self._encoding
        if x.shape[1] != len(encoding.slope) or x.shape[1] % size:
            return super().inject(x, scale, size)
        slope = scale * upsample_transposed(encoding.slope.mT, size).mT

        def injected(y: Tensor, angles: Tensor) -> Tensor:
            return self.at_angles(angles + y @ slope)

        return injected, (x @ encoding.slope + encoding.offset,)


def _product(vectors: Sequence[Tensor], like: Tensor) -> Tensor:
    """Return the row-wise Kronecker product ``[B, prod]``; ones for none."""
    product = like.new_ones(len(like), 1)
    for vector in vectors:
        product = (product[:, :, None] * vector[:, None]).flatten(1)
    return product
