"""Diagonal gates and runs of permutations, without matrix products, against their matrices."""

from __future__ import annotations

import pytest
import torch

from qdeq.backends.torch.blocks import embed
from qdeq.backends.torch.fusion import FusedCircuit
from qdeq.backends.torch.monomial import Monomial, apply_diagonal, is_diagonal
from qdeq.backends.torch.simulator import _plan
from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.gates import GATES
from qdeq.library import paper_ansatz

ROUNDING = 1e-14  # float64: a few products of numbers of modulus 1
QUBITS = 4

RUN = (
    Gate("CNOT", (3, 1)),
    Gate("S", 1),
    Gate("SWAP", (0, 3)),
    Gate("Y", 2),
    Gate("CZ", (2, 0)),
    Gate("Toffoli", (3, 0, 1)),
    Gate("CY", (1, 2)),
    Gate("RZ", 3, 0.7),
    Gate("PhaseShift", 0, -1.3),
    Gate("CRZ", (2, 1), 0.4),
    Gate("X", 0),
)


def states(batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2**QUBITS, batch, generator=generator, dtype=torch.complex128)


def test_a_run_of_permutations_and_phases_is_its_matrices():
    state = expected = states(3)
    for gate in RUN:
        expected = torch.from_numpy(embed(gate.type.matrix(*gate.angles).numpy(), gate.qubits, QUBITS)) @ expected
    assert Monomial.fits(RUN)
    assert torch.allclose(Monomial(RUN, QUBITS).propagate(state), expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("gate", [Gate("H", 0), Gate("RX", 0, 0.3), Gate("RZ", 0, Weight(0)), Gate("SX", 1)])
def test_a_run_with_another_gate_is_no_such_run(gate):
    assert not Monomial.fits((*RUN, gate))


def test_which_gates_are_diagonal():
    assert {name for name in GATES if is_diagonal(name)} == {
        "I", "Z", "S", "Sdg", "T", "Tdg", "RZ", "PhaseShift", "CZ", "CRZ", "RZZ",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "qubits"), [("RZ", (2,)), ("CRZ", (3, 1)), ("CRZ", (0, 2)), ("RZZ", (3, 0))])
def test_a_diagonal_gate_of_each_sample_is_its_matrix(name, qubits):
    angles = torch.tensor([[0.3], [-1.2], [2.5]], dtype=torch.float64)
    matrices, state = GATES[name].build(angles), states(3)
    found = apply_diagonal(state, matrices.diagonal(dim1=1, dim2=2), qubits, QUBITS)
    for sample in range(3):
        whole = torch.from_numpy(embed(matrices[sample].numpy(), qubits, QUBITS))
        assert torch.allclose(found[:, sample], whole @ state[:, sample], atol=ROUNDING, rtol=0)


def test_a_circuit_uses_them_between_its_inputs():
    gates = (Gate("RX", 0, Input(0)), *RUN, Gate("RZ", 0, Input(1)), Gate("H", 1), Gate("RX", 1, Input(2)))
    steps = _plan(Circuit(QUBITS, gates)).steps
    assert [type(step) for step in steps] == [Monomial, int, FusedCircuit, int]


def test_the_table_of_factors_does_not_grow_with_the_depth():
    sizes = [FusedCircuit(paper_ansatz(6, layers).gates, 6)._plan.table.nbytes for layers in (8, 32)]
    assert sizes[0] == sizes[1]
