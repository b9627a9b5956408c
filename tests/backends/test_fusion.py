"""Fused circuits: several blocks, pieces made again in the backward pass, and the way back through reversed blocks."""

from __future__ import annotations

import pytest
import torch

from qdeq.backends.torch import fusion
from qdeq.backends.torch.blocks import embed
from qdeq.backends.torch.fusion import FusedCircuit
from qdeq.library import paper_ansatz

ROUNDING = 1e-12  # float64: a hundred products of unitaries
QUBITS, COLUMNS = 6, 5


def gate_by_gate(circuit, weights, state):
    """Return the same by dense matrices of the whole register, differentiable by PyTorch alone."""
    for gate in circuit.gates:
        angles = torch.stack([weights[angle.index] for angle in gate.angles]) if gate.angles else weights[:0]
        matrix = gate.type.build(angles)
        basis = torch.eye(len(matrix) ** 2, dtype=torch.complex128).reshape(-1, *matrix.shape)
        places = torch.stack([torch.from_numpy(embed(unit.numpy(), gate.qubits, QUBITS)) for unit in basis])
        state = torch.tensordot(matrix.flatten(), places, dims=1) @ state
    return state


@pytest.mark.parametrize("elements", [1 << 60, 256, 2048], ids=["at once", "in pieces", "in pieces of several blocks"])
def test_values_gradients_and_second_derivatives_are_those_of_the_gates(monkeypatch, elements):
    monkeypatch.setattr(fusion, "PIECE", elements)
    circuit = paper_ansatz(QUBITS)
    fused = FusedCircuit(circuit.gates, QUBITS, 3)
    assert len(fused.blocks) > 3
    draw = torch.Generator().manual_seed(4)
    weights = torch.rand(circuit.num_weights, generator=draw, dtype=torch.float64).mul(6).requires_grad_()
    state = torch.randn(2**QUBITS, COLUMNS, generator=draw, dtype=torch.complex128).requires_grad_()
    cotangent = torch.randn(2**QUBITS, COLUMNS, generator=draw, dtype=torch.complex128)
    results = []
    for run in (lambda: fused.apply(state, weights), lambda: gate_by_gate(circuit, weights, state)):
        value = run()
        first = torch.autograd.grad((value * cotangent).real.square().sum(), (weights, state), create_graph=True)
        (second,) = torch.autograd.grad(first[0].square().sum(), weights)
        alone = torch.autograd.grad((run() * cotangent).real.square().sum(), (weights, state))
        results.append((value, *first, second, *alone))
    for ours, dense in zip(*results, strict=True):
        assert torch.allclose(ours, dense, atol=ROUNDING * max(1.0, dense.abs().max().item()), rtol=ROUNDING)


def test_a_constant_start_has_the_same_gradient():
    circuit = paper_ansatz(QUBITS)
    fused = FusedCircuit(circuit.gates, QUBITS, 3)
    weights = torch.linspace(-2, 3, circuit.num_weights, dtype=torch.float64).requires_grad_()
    start = torch.eye(2**QUBITS, COLUMNS, dtype=torch.complex128)
    gradients = []
    for state in (start, start.clone().requires_grad_()):
        final = fused.apply(state, weights)
        gradients.append(torch.autograd.grad((final[:7].real.sum() + final[9:].imag.square().sum()), weights)[0])
    assert torch.allclose(*gradients, atol=ROUNDING)
