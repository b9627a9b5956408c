"""Errors of single precision by register, against runs in double precision: ``python -m benchmarks.precision``.

The same float32 numbers go into both runs, so that what is measured is the error of the computation alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.tables import describe, machine
from qdeq.backends import get_backend
from qdeq.circuit import Circuit, Gate, Input
from qdeq.library import amplitude_encoder, data_reuploading, hardware_efficient
from qdeq.observables import Observable, X, Y, Z

LAYERS = 2
BATCH = 2
FEATURES = 16
"""Features of the circuits that are compiled."""
MAX_DENSITY_QUBITS = 11
Case = Callable[[int], Circuit]


def angles(num_qubits: int) -> Circuit:
    """Return a circuit whose inputs enter twice, so that it cannot be compiled."""
    return data_reuploading(num_qubits, LAYERS, num_features=num_qubits)


def amplitudes(num_qubits: int) -> Circuit:
    """Return a circuit of ``2^n`` features."""
    return amplitude_encoder(num_qubits, 2**num_qubits) + hardware_efficient(num_qubits, LAYERS)


def few_amplitudes(num_qubits: int) -> Circuit:
    """Return a circuit that compiles to a quadratic form."""
    return amplitude_encoder(num_qubits, FEATURES) + hardware_efficient(num_qubits, LAYERS)


def few_angles(num_qubits: int) -> Circuit:
    """Return a circuit that compiles to a product form."""
    encoder = Circuit(num_qubits, [Gate("RY", qubit, Input(qubit)) for qubit in range(4)])
    return encoder + hardware_efficient(num_qubits, LAYERS)


def observables(num_qubits: int) -> tuple[Observable, ...]:
    """Return Z on every qubit, one string across the register, and one in another basis."""
    last = num_qubits - 1
    return (*(Z(qubit) for qubit in range(num_qubits)), Z(0) @ Z(last), X(0) @ Y(last))


def errors(case: Case, num_qubits: int, backend: str = "torch", execution: str = "auto", batch: int = BATCH) -> Tensor:
    """Return the largest errors of value, gradient in the inputs and gradient in the weights, each of float32.

    A gradient is that of the string across the register, summed over the samples.
    """
    circuit, measured = case(num_qubits), observables(num_qubits)
    generator = torch.Generator().manual_seed(num_qubits)
    x = 0.3 * torch.randn(batch, circuit.num_inputs, generator=generator).abs()
    weights = 0.3 * torch.randn(circuit.num_weights, generator=generator)  # values and gradients stay of order one

    def run(kind: torch.dtype, name: str) -> tuple[Tensor, ...]:
        inputs, angles = (part.to(kind).requires_grad_(name == "torch") for part in (x, weights))
        value = get_backend({"name": name, "execution": execution}).at(circuit, angles, measured)(inputs)
        gradients = torch.autograd.grad(value[:, num_qubits].sum(), (inputs, angles)) if name == "torch" else ()
        return value.detach().double(), *(gradient.double() for gradient in gradients)

    exact = run(torch.float64, "torch")
    found = run(torch.float32, backend)
    return torch.stack([(a - b).abs().max() for a, b in zip(found, exact, strict=False)])
