"""The algebra behind compiled functions, for any backend that can give a circuit's amplitudes or observables.

The encoder's states span a few columns (:mod:`qdeq.backends.analysis`). A backend runs the ansatz on those; from there
to a :class:`~qdeq.backends.quadratic_form.QuadraticForm` or :class:`~qdeq.backends.product_form.ProductForm` the way is
here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache

import torch
from torch import Tensor

from qdeq.backends.analysis import Analysis, column_phases, column_states, product_encoding
from qdeq.backends.function import FrozenFunction
from qdeq.backends.product_form import ProductEncoding, ProductForm
from qdeq.backends.quadratic_form import QuadraticForm
from qdeq.backends.readout import read_as
from qdeq.backends.summation import product
from qdeq.circuit import Circuit, ReadoutError
from qdeq.gates import GATES
from qdeq.observables import (
    BASIS_GATES,
    MeasurementGroup,
    Observable,
    PauliString,
    eigenvalue_signs,
    measurement_groups,
)

UNSHARED_QUBITS = 6
"""Up to this register every observable gets its form from a product of its own."""


def compile_columns(
    circuit: Circuit, analysis: Analysis, columns: Tensor, observables: Sequence[Observable], like: Tensor
) -> FrozenFunction:
    """Compile a circuit.

    Args:
        circuit: The circuit.
        analysis: What :func:`~qdeq.backends.analysis.analyse` said of it.
        columns: ``[2^n, d]``, the ansatz's action on the basis states :func:`~qdeq.backends.analysis.column_states`.
        observables: What to measure.
        like: A tensor of the wanted real type, on the wanted device.
    """
    if analysis.amplitude is not None:
        return QuadraticForm(_forms(columns, observables, circuit, real=True))
    encoding = product_encoding(circuit, like.dtype, like.device)
    real = all(size == 3 for size in encoding.sizes)
    forms = _forms(columns * column_phases(analysis).to(columns), observables, circuit, real=real)
    return ProductForm(_bloch_tensor(forms, encoding), encoding)


def compile_operators(circuit: Circuit, analysis: Analysis, operators: Tensor, like: Tensor) -> FrozenFunction:
    """Compile a circuit whose ansatz, noise included, has been applied to the observables instead of the states.

    Args:
        circuit: The circuit.
        analysis: What :func:`~qdeq.backends.analysis.analyse` said of it.
        operators: ``[O, 2^n, 2^n]``, Hermitian: an expectation is their trace with the encoder's state.
        like: A tensor of the wanted real type, on the wanted device.
    """
    states = torch.tensor(column_states(circuit.num_qubits, analysis), device=operators.device)
    forms = operators[:, states[:, None], states]
    if analysis.amplitude is not None:
        return QuadraticForm(forms.real)
    encoding = product_encoding(circuit, like.dtype, like.device)
    phases = column_phases(analysis).to(forms)
    forms = phases.conj()[:, None] * forms * phases
    real = all(size == 3 for size in encoding.sizes)
    return ProductForm(_bloch_tensor(forms.real if real else forms, encoding), encoding)


def _bloch_tensor(forms: Tensor, encoding: ProductEncoding) -> Tensor:
    """Return T ``[O, prod(sizes)]`` from forms ``[O, 2^c, 2^c]``: ``tr(H ρ)``, qubit by qubit in its vector's terms."""
    count = len(encoding.qubits)
    pairs = [axis for qubit in range(count) for axis in (1 + qubit, 1 + count + qubit)]
    tensor = forms.reshape(-1, *(2,) * (2 * count)).permute(0, *pairs).reshape(len(forms), 1, -1)
    for size in encoding.sizes:
        basis = _density_basis(size).to(tensor.device)
        basis = basis.to(tensor.dtype) if tensor.is_complex() else basis.real.to(tensor.dtype)
        tensor = (basis @ tensor.unflatten(2, (4, -1))).flatten(1, 2)  # the finished index first, the others behind
    return (tensor.real if tensor.is_complex() else tensor).reshape(len(forms), -1)


@cache
@torch.inference_mode(False)  # what is kept has to serve training too
def _density_basis(size: int) -> Tensor:
    """Return ``K[m, (i, j)]`` with ``tr(H ρ) = Σ K[m, (i, j)] H_ij r_m`` for a qubit's vector r of this size."""
    identity, x, y, z = (GATES[name].matrix() for name in "IXYZ")
    paulis = (identity, z, x) if size == 3 else (identity, x, y, z)
    return torch.stack([0.5 * pauli.T.reshape(4) for pauli in paulis])


def _forms(columns: Tensor, observables: Sequence[Observable], circuit: Circuit, *, real: bool) -> Tensor:
    """Return ``M† O M`` ``[O, d, d]`` of columns M ``[2^n, d]``, O as it is read; its real part where ``real``."""
    total: Tensor | None = None
    for group in measurement_groups(observables):
        rotated = rotate_basis(columns, group)
        strings = _diagonal_forms(rotated, group.strings, circuit, real=real)
        coefficients = torch.from_numpy(group.coefficients).to(dtype=strings.dtype, device=strings.device)
        part = torch.tensordot(coefficients, strings, dims=1)
        total = part if total is None else total + part
    assert total is not None  # there is at least one observable
    return total


def rotate_basis(columns: Tensor, group: MeasurementGroup) -> Tensor:
    """Turn states ``[2^n, C]``, one a column, into the basis that the group is measured in."""
    for qubit, letter in group.basis:
        for name in BASIS_GATES[letter]:
            matrix = GATES[name].matrix(dtype=columns.dtype).to(columns.device)
            columns = (matrix @ columns.reshape(2**qubit, 2, -1)).reshape(columns.shape)
    return columns


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _values_read(strings: tuple[PauliString, ...], readout: tuple[ReadoutError, ...], first: int, width: int) -> Tensor:
    """Return the mean eigenvalues ``[K, 2^width]`` that are read on the qubits ``first`` to ``first + width - 1``.

    Without readout errors they are 1 and -1.
    """
    supports = [[qubit - first for qubit, _ in string.factors] for string in strings]
    signs = torch.from_numpy(eigenvalue_signs(supports, width).T.copy())
    inside = [error for error in readout if first <= error.qubit < first + width]
    return read_as(signs, [replace(error, qubit=error.qubit - first) for error in inside])


def _diagonal_forms(columns: Tensor, strings: Sequence[PauliString], circuit: Circuit, *, real: bool) -> Tensor:
    """Return ``M† Z_s M`` ``[K, d, d]`` for strings that are diagonal in this basis, as they are read.

    A string within one half of the register only needs the Gram matrices of the blocks that this half's bits cut M
    into, and all such strings share them: two passes over M instead of one for each observable.
    """
    num_qubits = circuit.num_qubits
    if num_qubits <= UNSHARED_QUBITS:  # too small for sharing to save anything
        signs = _values_read(tuple(strings), circuit.readout, 0, num_qubits)
        if real:
            stacked = torch.cat([columns.real, columns.imag])
            return stacked.mT @ (signs.to(stacked).repeat(1, 2)[:, :, None] * stacked)
        return columns.mH @ (signs.to(columns)[:, :, None] * columns)
    half = (num_qubits + 1) // 2
    high: list[int] = []
    low: list[int] = []
    mixed: list[int] = []
    for k, string in enumerate(strings):
        qubits = [qubit for qubit, _ in string.factors]
        (high if all(q < half for q in qubits) else low if all(q >= half for q in qubits) else mixed).append(k)
    cube = columns.reshape(2**half, 2 ** (num_qubits - half), -1)
    parts = []
    for chosen, blocks, first, width in (
        (high, cube, 0, half),
        (low, cube.transpose(0, 1), half, num_qubits - half),
        (mixed, columns[:, None], 0, num_qubits),
    ):
        if not chosen:
            continue
        signs = _values_read(tuple(strings[k] for k in chosen), circuit.readout, first, width)
        if blocks.shape[1] == 1:  # no sharing: weigh the rows, one product for each string
            weighed = signs.to(columns)[:, :, None] * columns
            parts.append(_real_product(columns[None], weighed) if real else product(columns.mH[None], weighed))
        else:
            grams = _gram(torch.cat([blocks.real, blocks.imag], dim=-2)) if real else blocks.mH @ blocks
            parts.append(product(signs.to(grams), grams.flatten(1)).unflatten(1, grams.shape[1:]))
    order = torch.tensor([*high, *low, *mixed], device=columns.device).argsort()
    return torch.cat(parts)[order]


class _Gram(torch.autograd.Function):
    """``XᵀX`` of real matrices; its backward pass takes one product where autograd's takes two."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x.mT @ x

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return x @ (gradient + gradient.mT)


_gram: Callable[[Tensor], Tensor] = _Gram.apply


def _real_product(left: Tensor, right: Tensor) -> Tensor:
    """Return ``Re(left† right)`` as one real product."""
    return product(torch.cat([left.real, left.imag], dim=-2).mT, torch.cat([right.real, right.imag], dim=-2))
