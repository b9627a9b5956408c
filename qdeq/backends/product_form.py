"""The compiled function of a product encoder: ``f_o(v) = T_o · (r_1(v) ⊗ r_2(v) ⊗ ...)``.

A product encoder turns single qubits by inputs before anything else happens. r_q is the Bloch vector of qubit q, or,
for turns about one axis only, its known span; T_o is the observable after the ansatz, in their terms. An evaluation
costs the same whatever the depth of the ansatz, which has been run once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from qdeq.backends.function import FrozenFunction, check_inputs, check_shape
from qdeq.errors import CircuitError
from qdeq.functions import Function
from qdeq.injection import upsample_transposed


@dataclass(frozen=True)
class ProductEncoding:
    """Single-qubit rotations by inputs, as angles ``v E + e_0`` and who turns what about which axis.

    Attributes:
        slope: E, ``[I, G]``; rotations about one axis in a row are one. Qubits with the same axes stand together, and
            among them first the first rotation of each, then the second: see :meth:`columns`.
        offset: ``e_0``, ``[G]``.
        qubits: For each qubit that the inputs move, in order: its number and its rotations ``(axis, column of E)``. A
            first rotation about Z has no effect on ``|0>`` and is left out.
    """

    slope: Tensor
    offset: Tensor
    qubits: tuple[tuple[int, tuple[tuple[str, int], ...]], ...]

    @staticmethod
    def columns(axes: Sequence[tuple[str, ...]]) -> list[tuple[int, int]]:
        """Return the order of E's columns for qubits with these axes: pairs of a qubit's position and its rotation."""
        return [
            (position, step)
            for alike in dict.fromkeys(axes)
            for step in range(len(alike))
            for position, own in enumerate(axes)
            if own == alike
        ]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Length of each moved qubit's vector: 3 (1, cos, sin) for one axis, 4 (1, x, y, z) otherwise."""
        return tuple(3 if len(rotations) == 1 else 4 for _, rotations in self.qubits)

    @property
    def size(self) -> int:
        """Length of the product of all of them."""
        return prod(self.sizes)

    @cached_property
    def _alike(self) -> list[tuple[tuple[str, ...], list[int]]]:
        """Qubits with the same axes turn together: the axes, and the qubits' positions."""
        found: dict[tuple[str, ...], list[int]] = {}
        for position, (_, rotations) in enumerate(self.qubits):
            found.setdefault(tuple(axis for axis, _ in rotations), []).append(position)
        return list(found.items())

    @cached_property
    def by_column(self) -> Tensor:
        """Where each column of E stands among the rotations of the first qubit, the second, and so on; ``[G]``."""
        columns = [column for _, rotations in self.qubits for _, column in rotations]
        return torch.tensor(columns, dtype=torch.long, device=self.slope.device).argsort()

    def vectors(self, angles: Tensor, *, tangents: bool = False) -> list[Tensor]:
        """Return each moved qubit's vector at angles ``[B, G]``, as ``[B, 3 or 4]``.

        With ``tangents``, ``[B, 3 or 4, 1 + R]``: its derivatives in the angles of its own R rotations follow.
        """
        cos, sin = torch.cos(angles), torch.sin(angles)
        vectors: list[Tensor | None] = [None] * len(self.qubits)
        first = 0
        for axes, positions in self._alike:
            shape, last = (len(axes), len(positions)), first + len(axes) * len(positions)
            turns = [part[:, first:last].unflatten(1, shape).unbind(1) for part in (cos, sin)]
            first = last
            if tangents:
                parts = _rotated_with_tangents(axes, *turns)
                one = torch.ones_like(parts[0])
                one[..., 1:] = 0
            else:
                parts = _rotated(axes, *turns)
                one = torch.ones_like(parts[0])
            for position, vector in zip(positions, torch.stack([one, *parts], dim=2).unbind(1), strict=True):
                vectors[position] = vector
        return vectors  # type: ignore[return-value]


def _rotated(axes: Sequence[str], cos: Sequence[Tensor], sin: Sequence[Tensor]) -> list[Tensor]:
    """Turn the Bloch vector (0, 0, 1) about the axes one after another, by angles of ``cos, sin [B, m]`` each.

    The first axis is X or Y.

    Returns:
        The components x, y, z, or cos and sin for a single axis, ``[B, m]``.
    """
    if len(axes) == 1:
        return [cos[0], sin[0]]
    vector: list[Tensor | None] = [None, -sin[0], cos[0]] if axes[0] == "X" else [sin[0], None, cos[0]]
    for axis, c, s in zip(axes[1:], cos[1:], sin[1:], strict=True):
        along = "XYZ".index(axis)
        first, second = (along + 1) % 3, (along + 2) % 3
        vector[first], vector[second] = _turned(vector[first], vector[second], c, s)
    return [torch.zeros_like(cos[0]) if part is None else part for part in vector]


def _turned(
    first: Tensor | None, second: Tensor | None, cos: Tensor, sin: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Turn two components; None is zero, which the third component is until the second rotation."""
    if second is None:
        return (None, None) if first is None else (first * cos, first * sin)
    if first is None:
        return -second * sin, second * cos
    return torch.addcmul(first * cos, second, sin, value=-1), torch.addcmul(first * sin, second, cos)


def _rotated_with_tangents(axes: Sequence[str], cos: Sequence[Tensor], sin: Sequence[Tensor]) -> list[Tensor]:
    """Return :func:`_rotated` followed by its derivatives in each angle, ``[B, m, 1 + R]``."""
    cos, sin = [part[..., None] for part in cos], [part[..., None] for part in sin]
    if len(axes) == 1:
        return [torch.cat([cos[0], -sin[0]], -1), torch.cat([sin[0], cos[0]], -1)]
    zero = torch.zeros_like(cos[0])
    vector = [zero, zero, torch.ones_like(zero)]
    for axis, c, s in zip(axes, cos, sin, strict=True):
        along = "XYZ".index(axis)
        first, second = (along + 1) % 3, (along + 2) % 3
        vector[first], vector[second] = _turned(vector[first], vector[second], c, s)  # type: ignore[assignment]
        # the derivative of a rotation is the axis times the rotated vector
        now = [part[..., :1] for part in vector]
        vector[along] = torch.cat([vector[along], zero], -1)
        vector[first] = torch.cat([vector[first], -now[second]], -1)
        vector[second] = torch.cat([vector[second], now[first]], -1)
    return vector


class ProductForm(FrozenFunction):
    """``f_o(v) = T_o · (r_1(v) ⊗ r_2(v) ⊗ ...)`` for a product encoder.

    Args:
        tensor: T, ``[O, prod(encoding.sizes)]``, real.
        encoding: The encoder.
    """

    compiled = True

    def __init__(self, tensor: Tensor, encoding: ProductEncoding) -> None:
        self._encoding = encoding
        # contract with the product of one half of the qubits, then of the other: the whole product is never formed
        sizes = encoding.sizes
        self._half = next((k for k in range(len(sizes)) if prod(sizes[:k]) ** 2 * 4 > encoding.size), len(sizes))
        self._tensor = tensor.reshape(len(tensor), prod(sizes[: self._half]), -1)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at inputs ``[B, I]``."""
        return self.at_angles(self._angles(inputs))

    def jacobian(self, inputs: Tensor, *, create_graph: bool = False) -> Tensor:
        """Return ``∂f/∂v``, shape ``[B, O, I]``."""
        rows = self.jacobian_at_angles(self._angles(inputs), create_graph=create_graph) @ self._encoding.slope.mT
        return torch.nn.functional.pad(rows, (0, inputs.shape[1] - rows.shape[2]))

    def at_angles(self, angles: Tensor) -> Tensor:
        """Return the expectations ``[B, O]`` at the encoder's angles ``[B, G]``."""
        vectors = self._encoding.vectors(angles)
        left, right = _product(vectors[: self._half], angles), _product(vectors[self._half :], angles)
        return (self._over_right(right) * left[:, None]).sum(-1)

    def jacobian_at_angles(self, angles: Tensor, *, create_graph: bool = False) -> Tensor:
        """Return the derivatives ``[B, O, G]`` in the encoder's angles.

        f is linear in each qubit's vector: contract T with those of all others, then with the vector's derivative.
        """
        with torch.set_grad_enabled(create_graph):
            pairs = self._encoding.vectors(angles, tangents=True)
            vectors, half = [pair[..., 0] for pair in pairs], self._half
            over_right = self._over_right(_product(vectors[half:], angles))
            left = _product(vectors[:half], angles) @ self._tensor.transpose(0, 1).flatten(1)
            over_left = left.unflatten(1, (len(self._tensor), -1))
            environments = _environments(over_right, vectors[:half]) + _environments(over_left, vectors[half:])
            none = angles.new_zeros(len(angles), len(self._tensor), 0)  # all there is where the inputs move no qubit
            rows = [environment @ pair[..., 1:] for environment, pair in zip(environments, pairs, strict=True)]
            return torch.cat([none, *rows], dim=2).index_select(2, self._encoding.by_column)

    def inject(self, x: Tensor, scale: Tensor | float, size: int) -> tuple[Function, tuple[Tensor, ...]]:
        """Return ``f(y) = q(x + s W y)`` with the angles ``x E + e_0`` worked out beforehand."""
        check_shape(x, len(self._encoding.slope))
        if x.shape[1] != len(self._encoding.slope) or x.shape[1] % size:
            return super().inject(x, scale, size)
        slope = scale * upsample_transposed(self._encoding.slope.mT, size).mT
        broken = ~x.isfinite().all(dim=1, keepdim=True)
        if not bool(broken.any()):
            return _InjectedProduct(self, slope), (self._angles(x),)
        # backward, zero times NaN would reach the tensor, which all samples share: NaN enters behind it, as a constant
        return _InjectedProduct(self, slope), (self._angles(x.masked_fill(broken, 0.0)), broken)

    def _angles(self, inputs: Tensor) -> Tensor:
        slope = self._encoding.slope
        check_inputs(inputs, len(slope), slope)
        return inputs[:, : len(slope)] @ slope + self._encoding.offset

    def _over_right(self, right: Tensor) -> Tensor:
        """Contract T with the right half's product: ``[B, O, M_left]``."""
        return (right @ self._tensor.flatten(0, 1).mT).unflatten(1, (len(self._tensor), -1))


class _InjectedProduct(Function):
    """``f(y, angles)`` at the encoder's angles ``angles + y S``; NaN where a further row says that x is not finite."""

    frozen = True

    def __init__(self, form: ProductForm, slope: Tensor) -> None:
        self._form = form
        self._slope = slope

    def __call__(self, y: Tensor, *rows: Tensor) -> Tensor:
        """Return f ``[B, O]`` at y ``[B, n]`` and the rows that :meth:`ProductForm.inject` made."""
        angles, *broken = rows
        if y.shape[1] != len(self._slope):
            raise CircuitError(f"the state has {len(self._slope)} entries a sample, not {y.shape[1]}")
        value = self._form.at_angles(torch.addmm(angles, y, self._slope))
        return value.masked_fill(broken[0], torch.nan) if broken else value

    def jacobian(self, y: Tensor, *rows: Tensor, create_graph: bool = False) -> Tensor:
        """Return ``∂f/∂y`` ``[B, O, n]``."""
        angles, *broken = rows
        inner = self._form.jacobian_at_angles(torch.addmm(angles, y, self._slope), create_graph=create_graph)
        result = inner @ self._slope.mT
        return result.masked_fill(broken[0][..., None], torch.nan) if broken else result


def _product(vectors: Sequence[Tensor], like: Tensor) -> Tensor:
    """Return the row-wise Kronecker product ``[B, prod]``; ones for none."""
    if not vectors:
        return like.new_ones(len(like), 1)
    product = vectors[0]
    for vector in vectors[1:]:
        product = (product[:, :, None] * vector[:, None]).flatten(1)
    return product


def _environments(tensor: Tensor, vectors: Sequence[Tensor]) -> list[Tensor]:
    """Return, for each vector, ``tensor [B, O, prod]`` contracted with all the others: ``[B, O, m]``."""
    environments = []
    for position, vector in enumerate(vectors):
        rest = tensor  # the vectors before this one are contracted already
        for other in reversed(vectors[position + 1 :]):
            rest = (rest.unflatten(2, (-1, other.shape[1])) * other[:, None, None]).sum(-1)
        environments.append(rest)
        tensor = (tensor.unflatten(2, (vector.shape[1], -1)) * vector[:, None, :, None]).sum(2)
    return environments
