"""The forms of 300 random circuits: JSON, bound, joined, prepared, OpenQASM; each is the dense simulator's circuit."""

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from dense_simulator import KRAUS, Plan, density_matrices, initial_states, plan_of, states
from random_cases import COUNT, case, circuit_of

from qdeq.circuit import Circuit
from qdeq.observables import from_data, to_data

EXACT = 1e-12
CASES = [case(seed) for seed in range(COUNT)]
STANDARD = {"id": "I", "cx": "CNOT", "p": "PhaseShift", "ccx": "Toffoli", "sdg": "Sdg", "tdg": "Tdg"}
BRAKET = {"i": "I", "cnot": "CNOT", "phaseshift": "PhaseShift", "ccnot": "Toffoli", "si": "Sdg", "ti": "Tdg", "v": "SX"}
BRAKET |= {"xx": "RXX", "yy": "RYY", "zz": "RZZ"}
PRAGMAS = {
    "depolarizing": "Depolarizing",
    "two_qubit_depolarizing": "TwoQubitDepolarizing",
    "amplitude_damping": "AmplitudeDamping",
    "phase_damping": "PhaseDamping",
    "bit_flip": "BitFlip",
}


def bound(tested):
    """The case's plan at its first sample, by the definition of inputs and weights."""

    def number(angle):
        if not isinstance(angle, tuple):
            return angle
        kind, index, scale, offset = angle
        return scale * (tested.inputs[0] if kind == "input" else tested.weights)[index] + offset

    plan = tested.noisy_plan
    operations = tuple((name, qubits, tuple(map(number, angles))) for name, qubits, angles in plan.operations)
    encoded = tuple(tested.inputs[0, : plan.encoded]) if isinstance(plan.encoded, int) else plan.encoded
    return replace(plan, operations=operations, encoded=encoded)


def built_bound(tested):
    circuit = tested.circuit
    return circuit.bind(tested.inputs[0, : circuit.num_inputs], tested.weights[: circuit.num_weights])


def final(plan):
    nothing = np.zeros((1, 0))
    return density_matrices(plan, nothing, nothing)[0]


def test_json_there_and_back_is_the_same_data():
    for tested in CASES:
        text = tested.circuit.to_json()
        read = Circuit.from_json(text)
        assert plan_of(read) == tested.noisy_plan, tested.seed
        assert (read, read.content_hash) == (tested.circuit, tested.circuit.content_hash)
        assert json.loads(text) == json.loads(read.to_json())
        assert from_data(json.loads(json.dumps(to_data(tested.paulis)))) == tested.paulis


def test_hashes_tell_circuits_apart():
    assert len({tested.circuit.content_hash for tested in CASES}) == COUNT


def test_bound_circuits_have_the_numbers_of_their_inputs_and_weights():
    for tested in CASES:
        assert plan_of(built_bound(tested)) == bound(tested), tested.seed


def test_joined_circuits_run_one_after_the_other_with_weights_of_their_own():
    for tested, other in pairwise(CASES):
        second = other.plan if other.plan.encoded is None else replace(other.plan, encoded=None)
        if second.num_qubits != tested.plan.num_qubits or tested.plan.readout:
            continue
        by = tested.circuit.num_weights
        moved = [
            (
                name,
                qubits,
                tuple((a[0], a[1] + by, *a[2:]) if isinstance(a, tuple) and a[0] == "weight" else a for a in p),
            )
            for name, qubits, p in second.operations
        ]
        joined = circuit_of(tested.plan) + circuit_of(second).shift_weights(by)
        operations = (*tested.plan.operations, *moved)
        assert plan_of(joined) == replace(tested.plan, operations=operations, readout=second.readout), tested.seed


def test_gate_counts_and_depth():
    """Depth is the longest chain of gates in which each shares a qubit with the next."""
    for tested in CASES:
        gates = [(name, set(qubits)) for name, qubits, _ in tested.plan.operations if name not in KRAUS]
        chains: list[int] = []
        for position, (_, qubits) in enumerate(gates):
            chains.append(1 + max([0, *(chains[i] for i in range(position) if gates[i][1] & qubits)]))
        assert tested.circuit.depth() == max(chains, default=0), tested.seed
        assert tested.circuit.gate_counts() == Counter(name for name, _ in gates), tested.seed


def test_preparation_by_gates_gives_the_encoded_state_with_its_sign():
    encoded = [tested for tested in CASES if tested.plan.encoded is not None]
    assert len(encoded) > COUNT / 2
    for tested in encoded:
        plan = replace(bound(tested), operations=())
        prepared = plan_of(circuit_of(plan).prepared())
        assert prepared.encoded is None
        nothing = np.zeros((1, 0))
        difference = states(prepared, nothing, nothing) - initial_states(plan, nothing)
        assert np.abs(difference).max() < EXACT, tested.seed


def read_qasm(text, num_qubits, names):
    """Read statements and noise pragmas, one a line."""
    operations = []
    for line in text.strip().splitlines():
        if line.startswith(("OPENQASM", "include")):
            continue
        if line.startswith("qubit"):
            assert line == f"qubit[{num_qubits}] q;"
            continue
        noise = re.fullmatch(r"#pragma braket noise (\w+)\((.*)\) (.*)", line)
        word, numbers, wires = (noise or re.fullmatch(r"(\w+)(?:\((.*)\))? (.*);", line)).groups()
        name = PRAGMAS[word] if noise else names.get(word, word.upper())
        qubits = tuple(int(wire) for wire in re.findall(r"q\[(\d+)\]", wires))
        operations.append((name, qubits, tuple(map(float, numbers.split(","))) if numbers else ()))
    return Plan(num_qubits, tuple(operations))


@pytest.mark.parametrize(("dialect", "names"), [("openqasm3", STANDARD), ("braket", BRAKET)])
def test_openqasm_is_the_same_circuit(dialect, names):
    compared = 0
    for tested in CASES:
        if dialect == "openqasm3" and tested.has_channels:
            continue
        circuit = replace(built_bound(tested), readout=())
        read = read_qasm(circuit.to_qasm(dialect), circuit.num_qubits, names)
        assert np.abs(final(read) - final(bound(tested))).max() < EXACT, tested.seed
        compared += 1
    assert compared > COUNT / 3
