"""Two quantum deep equilibrium models with known equilibria: 4 qubits, both encodings, weights and data by formula."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from qdeq.functions import Function
from qdeq.library import amplitude_encoder, angle_encoder, paper_ansatz
from qdeq.models import QuantumFunction

QUBITS = 4

ROOTS: dict[str, list[list[float]]] = {
    "amplitude": [
        [0.291482865042393, -0.026519828707061, -0.265740822210170, 0.062281515268201],
        [-0.056055616670307, -0.520085165689951, -0.521622557702816, 0.088954614057936],
        [0.124398026233121, 0.470556227359386, 0.065997341466263, 0.424071979018514],
        [-0.138291068172108, -0.384375924691667, 0.192313690141128, -0.081969581673189],
        [0.091478224574654, 0.136759370897453, -0.302960659192217, -0.217698646390461],
        [0.096750872317231, -0.204197287861701, -0.511160219882718, -0.068441751451994],
    ],
    "angle": [
        [0.262424480593284, 0.215586994714508, 0.301271505701833, -0.072324876316522],
        [0.285682267933930, 0.559261368191470, 0.051620761341002, -0.194853212465390],
        [0.309447170914579, -0.033960250829706, 0.146633959746375, -0.204940426533685],
        [-0.358470996229406, 0.171343190665503, -0.262469610957082, -0.136683979744327],
        [0.319432181758456, -0.213563809759797, -0.190325239547821, -0.390939699111864],
        [0.130069582164220, -0.042295760619328, 0.343739433827973, -0.221795789966015],
    ],
}
"""The equilibria ``[6, 4]``: residuals below 1e-15 with the numpy simulator of :mod:`qdeq.testing.reference` under
SciPy's ``root`` from y = 0; ``root`` found no others from 60 random states."""

CONDITIONING = 2.0
"""``||(1 - J)^-1||_2`` is between 1.02 and 1.91 there."""


def parameters(encoding: str) -> tuple[Any, Tensor, Tensor]:
    """Return the circuit, its weights ``π sin(k + 1)`` ``[39]``, and features ``cos((s + 1)(i + 1))`` ``[6, 16]``."""
    encoder = {"amplitude": amplitude_encoder, "angle": angle_encoder}[encoding]
    circuit = encoder(QUBITS) + paper_ansatz(QUBITS)
    weights = math.pi * torch.sin(torch.arange(circuit.num_weights, dtype=torch.float64) + 1)
    sample, feature = torch.arange(6, dtype=torch.float64), torch.arange(QUBITS**2, dtype=torch.float64)
    return circuit, weights, torch.cos((sample[:, None] + 1) * (feature + 1))


def instance(encoding: str) -> tuple[Function, Tensor, tuple[Tensor, ...]]:
    """Return ``f(y, *rows) = q(x + W y)``, y0 = 0 ``[6, 4]`` and the rows, in float64."""
    circuit, weights, features = parameters(encoding)
    f, rows = QuantumFunction(circuit).at(weights).inject(features, 1.0, QUBITS)
    return f, features.new_zeros(len(features), QUBITS), rows
