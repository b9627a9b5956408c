"""The gate table: one row per gate, read by the simulator, the adapters, the gradients and the drawings alike.

Conventions: ``RP(θ) = exp(-iθP/2)`` for a Pauli product P; ``PhaseShift(θ) = diag(1, e^{iθ})``;
``U3(θ, φ, λ) = PhaseShift(φ) RY(θ) PhaseShift(λ)``. The first qubit of a gate is the most significant bit of its matrix
and, for a controlled gate, the control.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import atan2, cos, pi, sin, sqrt

import torch
from torch import Tensor

ShiftRule = tuple[tuple[complex, float], ...]
"""Pairs ``(coefficient, shift)``: a derivative as the sum of ``coefficient * value(angle + shift)``."""

TWO_TERM: ShiftRule = ((0.5, pi / 2), (-0.5, -pi / 2))
"""Derivative of an expectation in an angle whose generator has two eigenvalues at distance 1 (Mitarai et al. 2018)."""

_C_PLUS, _C_MINUS = (sqrt(2) + 1) / (4 * sqrt(2)), (sqrt(2) - 1) / (4 * sqrt(2))
FOUR_TERM: ShiftRule = (
    (_C_PLUS, pi / 2),
    (-_C_PLUS, -pi / 2),
    (-_C_MINUS, 3 * pi / 2),
    (_C_MINUS, -3 * pi / 2),
)
"""The same for a controlled rotation, whose generator has the eigenvalues -1/2, 0, 1/2 (Anselmetti et al. 2021)."""

# The derivative of the *unitary* itself, as a combination of the same gate at shifted angles.
_ROTATION_DERIVATIVE: ShiftRule = ((0.5, pi),)
_CONTROLLED_DERIVATIVE: ShiftRule = ((0.25, pi), (-0.25, 3 * pi))
_PHASE_DERIVATIVE: ShiftRule = ((0.5j, 0.0), (-0.5j, pi))


@dataclass(frozen=True)
class Affine:
    """An angle of a decomposition: ``scale * parameters[index] + offset`` of the gate that is decomposed."""

    index: int
    scale: float = 1.0
    offset: float = 0.0


Part = tuple[str, tuple[int, ...], tuple["float | Affine", ...]]
"""One gate of a decomposition: name, positions among the decomposed gate's qubits, angles."""


@dataclass(frozen=True)
class GateType:
    """One row of the gate table.

    Attributes:
        name: The name that circuits use.
        num_qubits: How many qubits the gate acts on.
        parameters: Names of its angles (radians), in order.
        build: Maps angles ``[..., P]`` (real) to matrices ``[..., 2^k, 2^k]`` (complex, of the same precision).
        shift_rules: Per parameter, the derivative of an expectation as shifted expectations.
        unitary_derivatives: Per parameter, the derivative of the matrix as shifted matrices.
        decomposition: The same unitary, global phase included, from other rows of the table, in time order;
            empty for the elementary gates.
        symbol: Short label for drawings; the control qubits are the first ``num_controls`` ones.
        num_controls: Number of control qubits.
    """

    name: str
    num_qubits: int
    parameters: tuple[str, ...]
    build: Callable[[Tensor], Tensor]
    shift_rules: tuple[ShiftRule, ...] = ()
    unitary_derivatives: tuple[ShiftRule, ...] = ()
    decomposition: tuple[Part, ...] = ()
    symbol: str = ""
    num_controls: int = 0

    def matrix(self, *angles: float, dtype: torch.dtype = torch.complex128) -> Tensor:
        """Return the matrix ``[2^k, 2^k]`` at the given angles (radians)."""
        return self.build(torch.tensor(angles, dtype=torch.float64)).to(dtype)


_SQRT_HALF = 1 / sqrt(2)
_FIXED: dict[str, list[list[complex]]] = {
    "I": [[1, 0], [0, 1]],
    "X": [[0, 1], [1, 0]],
    "Y": [[0, -1j], [1j, 0]],
    "Z": [[1, 0], [0, -1]],
    "H": [[_SQRT_HALF, _SQRT_HALF], [_SQRT_HALF, -_SQRT_HALF]],
    "S": [[1, 0], [0, 1j]],
    "Sdg": [[1, 0], [0, -1j]],
    "T": [[1, 0], [0, _SQRT_HALF * (1 + 1j)]],
    "Tdg": [[1, 0], [0, _SQRT_HALF * (1 - 1j)]],
    "SX": [[0.5 + 0.5j, 0.5 - 0.5j], [0.5 - 0.5j, 0.5 + 0.5j]],
    "SWAP": [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
}


def _pauli(letters: str) -> Tensor:
    product = torch.ones(1, 1, dtype=torch.complex128)
    for letter in letters:
        product = torch.kron(product, torch.tensor(_FIXED[letter], dtype=torch.complex128))
    return product


def _complex(angles: Tensor) -> torch.dtype:
    return torch.complex64 if angles.dtype == torch.float32 else torch.complex128


def _constant(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    def build(angles: Tensor) -> Tensor:
        constant = matrix.to(device=angles.device, dtype=_complex(angles))
        return constant.expand(*angles.shape[:-1], *matrix.shape)

    return build


def _controlled_matrix(matrix: Tensor) -> Tensor:
    """Return ``|0><0| ⊗ 1 + |1><1| ⊗ matrix``, batched over the leading dimensions."""
    size = matrix.shape[-1]
    identity = torch.eye(size, dtype=matrix.dtype, device=matrix.device).expand_as(matrix)
    zero = torch.zeros_like(matrix)
    return torch.cat([torch.cat([identity, zero], dim=-1), torch.cat([zero, matrix], dim=-1)], dim=-2)


def _rotation(letters: str, controlled: bool = False) -> Callable[[Tensor], Tensor]:
    generator = _pauli(letters)

    def build(angles: Tensor) -> Tensor:
        dtype = _complex(angles)
        half = (angles[..., 0] / 2)[..., None, None]
        pauli = generator.to(device=angles.device, dtype=dtype)
        identity = torch.eye(len(pauli), dtype=dtype, device=angles.device)
        matrix = torch.cos(half) * identity - 1j * torch.sin(half) * pauli
        return _controlled_matrix(matrix) if controlled else matrix

    return build


def _phase_shift(angles: Tensor) -> Tensor:
    phase = torch.exp(1j * angles[..., 0])
    return torch.diag_embed(torch.stack([torch.ones_like(phase), phase], dim=-1))


def _u3(angles: Tensor) -> Tensor:
    phi, lam = _phase_shift(angles[..., 1:2]), _phase_shift(angles[..., 2:3])
    return phi @ _rotation("Y")(angles[..., :1]) @ lam


def _fixed(name: str, symbol: str = "", decomposition: tuple[Part, ...] = ()) -> GateType:
    matrix = torch.tensor(_FIXED[name], dtype=torch.complex128)
    qubits = len(matrix).bit_length() - 1
    return GateType(name, qubits, (), _constant(matrix), decomposition=decomposition, symbol=symbol or name)


def _controlled_fixed(name: str, base: str, controls: int, decomposition: tuple[Part, ...] = ()) -> GateType:
    matrix = _pauli(base)
    for _ in range(controls):
        matrix = _controlled_matrix(matrix)
    build = _constant(matrix)
    return GateType(name, controls + 1, (), build, decomposition=decomposition, symbol=base, num_controls=controls)


def _rotation_gate(letters: str, decomposition: tuple[Part, ...] = ()) -> GateType:
    name = f"R{letters}"
    build = _rotation(letters)
    return GateType(
        name, len(letters), ("theta",), build, (TWO_TERM,), (_ROTATION_DERIVATIVE,), decomposition, symbol=name
    )


def _controlled_rotation(letter: str, decomposition: tuple[Part, ...]) -> GateType:
    return GateType(
        f"CR{letter}",
        2,
        ("theta",),
        _rotation(letter, controlled=True),
        (FOUR_TERM,),
        (_CONTROLLED_DERIVATIVE,),
        decomposition,
        symbol=f"R{letter}",
        num_controls=1,
    )


def _phase_gate(name: str, angle: float, symbol: str = "") -> GateType:
    return _fixed(name, symbol, (("PhaseShift", (0,), (angle,)),))


_HALF, _MINUS_HALF, _WHOLE = Affine(0, 0.5), Affine(0, -0.5), Affine(0)
_CRZ_PARTS: tuple[Part, ...] = (
    ("RZ", (1,), (_HALF,)),
    ("CNOT", (0, 1), ()),
    ("RZ", (1,), (_MINUS_HALF,)),
    ("CNOT", (0, 1), ()),
)
_TOFFOLI_PARTS: tuple[Part, ...] = (  # Nielsen & Chuang, figure 4.9
    ("H", (2,), ()),
    ("CNOT", (1, 2), ()),
    ("Tdg", (2,), ()),
    ("CNOT", (0, 2), ()),
    ("T", (2,), ()),
    ("CNOT", (1, 2), ()),
    ("Tdg", (2,), ()),
    ("CNOT", (0, 2), ()),
    ("T", (1,), ()),
    ("T", (2,), ()),
    ("CNOT", (0, 1), ()),
    ("H", (2,), ()),
    ("T", (0,), ()),
    ("Tdg", (1,), ()),
    ("CNOT", (0, 1), ()),
)

_ROWS = (
    _fixed("I"),
    _fixed("X"),
    _fixed("Y"),
    _fixed("Z"),
    _fixed("H"),
    _phase_gate("S", pi / 2),
    _phase_gate("Sdg", -pi / 2, "S†"),
    _phase_gate("T", pi / 4),
    _phase_gate("Tdg", -pi / 4, "T†"),
    _fixed("SX", "√X", (("H", (0,), ()), ("S", (0,), ()), ("H", (0,), ()))),
    _rotation_gate("X"),
    _rotation_gate("Y"),
    _rotation_gate("Z"),
    GateType("PhaseShift", 1, ("theta",), _phase_shift, (TWO_TERM,), (_PHASE_DERIVATIVE,), symbol="P"),
    GateType(
        "U3",
        1,
        ("theta", "phi", "lam"),
        _u3,
        (TWO_TERM,) * 3,
        (_ROTATION_DERIVATIVE, _PHASE_DERIVATIVE, _PHASE_DERIVATIVE),
        (("PhaseShift", (0,), (Affine(2),)), ("RY", (0,), (Affine(0),)), ("PhaseShift", (0,), (Affine(1),))),
        symbol="U3",
    ),
    _controlled_fixed("CNOT", "X", 1),
    _controlled_fixed("CZ", "Z", 1, (("H", (1,), ()), ("CNOT", (0, 1), ()), ("H", (1,), ()))),
    _controlled_fixed("CY", "Y", 1, (("Sdg", (1,), ()), ("CNOT", (0, 1), ()), ("S", (1,), ()))),
    _fixed("SWAP", "×", (("CNOT", (0, 1), ()), ("CNOT", (1, 0), ()), ("CNOT", (0, 1), ()))),
    _controlled_rotation("X", (("H", (1,), ()), *_CRZ_PARTS, ("H", (1,), ()))),
    _controlled_rotation(
        "Y",
        (
            ("RY", (1,), (_HALF,)),
            ("CNOT", (0, 1), ()),
            ("RY", (1,), (_MINUS_HALF,)),
            ("CNOT", (0, 1), ()),
        ),
    ),
    _controlled_rotation("Z", _CRZ_PARTS),
    _rotation_gate(
        "XX",
        (
            ("H", (0,), ()),
            ("H", (1,), ()),
            ("RZZ", (0, 1), (_WHOLE,)),
            ("H", (0,), ()),
            ("H", (1,), ()),
        ),
    ),
    _rotation_gate(
        "YY",
        (
            ("Sdg", (0,), ()),
            ("Sdg", (1,), ()),
            ("RXX", (0, 1), (_WHOLE,)),
            ("S", (0,), ()),
            ("S", (1,), ()),
        ),
    ),
    _rotation_gate("ZZ", (("CNOT", (0, 1), ()), ("RZ", (1,), (_WHOLE,)), ("CNOT", (0, 1), ()))),
    _controlled_fixed("Toffoli", "X", 2, _TOFFOLI_PARTS),
)

GATES: dict[str, GateType] = {row.name: row for row in _ROWS}
"""The table itself, by name."""


def reduced(angle: float) -> float:
    """Return the angle modulo 4π, from -2π to 2π: a period of every gate of the table, the least of some.

    Right to rounding for any double: sine and cosine are made from all of its bits.
    """
    return angle if abs(angle) <= 2 * pi else 2 * atan2(sin(angle / 2), cos(angle / 2))
