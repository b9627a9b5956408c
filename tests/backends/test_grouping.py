"""Strings that commute qubit by qubit are measured together, on every backend with shots, with noise and without."""

import pytest
import torch
from adapters import adapters

from qdeq.backends import ShotKey, get_backend
from qdeq.backends.executions import count_executions
from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.noise import NoiseModel
from qdeq.observables import X, Y, Z, measurement_groups

STATES = ["cirq", "qsim", "braket-local", "pennylane", "pennylane:lightning.qubit"]
MATRICES = ["cirq-dm", "braket-local-dm", "pennylane:default.mixed"]
BATCH, SHOTS = 3, 40
CIRCUIT = Circuit(
    3, (*(Gate("RY", q, Input(q)) for q in range(3)), Gate("CNOT", (0, 1)), Gate("RX", 2, Weight(0)), Gate("H", 0))
)
TOGETHER = (Z(0), Z(1), Z(0) @ Z(1), Y(2), Z(0) @ Y(2))
APART = (*TOGETHER, X(0) @ X(1), X(1) + 0.5 * Y(0) @ Y(2))
"""Three groups: Z Z Y, X X -, and Y - Y with what fits it."""


def count(name, observables, noise=None, shots=SHOTS):
    circuit = CIRCUIT if noise is None else noise.attach(CIRCUIT)
    inputs = torch.randn(BATCH, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weights = torch.tensor([0.7], dtype=torch.float64)
    with count_executions() as counted:
        found = get_backend(name).expectation(circuit, inputs, weights, observables, shots=shots, key=ShotKey(seed=4))
    return counted, found.value


READOUT, CHANNELS = NoiseModel(readout=0.1), NoiseModel(depolarizing=0.05, readout=0.1)
CASES = [(name, noise) for name in ("torch", *STATES) for noise in (None, READOUT)]
CASES += [(name, noise) for name in MATRICES for noise in (None, CHANNELS)]
CASES += [("torch", CHANNELS), ("qsim", CHANNELS)]


def parameters():
    skips = {
        name: parameter.marks for name, parameter in zip(STATES + MATRICES, adapters(*STATES, *MATRICES), strict=True)
    }
    kind = {id(None): "no noise", id(READOUT): "readout", id(CHANNELS): "noise"}
    return [pytest.param(*case, marks=skips.get(case[0], ()), id=f"{case[0]}-{kind[id(case[1])]}") for case in CASES]


def test_the_groups():
    assert len(measurement_groups(TOGETHER)) == 1
    assert len(measurement_groups(APART)) == 3


@pytest.mark.parametrize(("name", "noise"), parameters())
def test_each_group_is_measured_once(name, noise):
    trajectories = name == "qsim" and noise is CHANNELS
    for observables, groups in ((TOGETHER, 1), (APART, 3)):
        counted, _ = count(name, observables, noise)
        assert counted.shots == BATCH * groups * SHOTS
        # a simulated state is measured in every basis; probabilities, and trajectories, are those of one
        assert counted.executed == BATCH * (groups if name in MATRICES or trajectories else 1)


@pytest.mark.parametrize(("name", "noise"), parameters())
def test_a_single_shot_gives_consistent_outcomes_of_a_group(name, noise):
    _, values = count(name, TOGETHER, noise, shots=1)
    assert set(values.flatten().tolist()) <= {-1.0, 1.0}
    assert torch.equal(values[:, 0] * values[:, 1], values[:, 2])
    assert torch.equal(values[:, 0] * values[:, 3], values[:, 4])
