"""Circuits spread over worker processes: the same numbers, and a worker that dies is redone once, then reported."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from adapters import adapters
from pydantic.dataclasses import dataclass

from qdeq.backends import Capabilities, get_backend
from qdeq.backends.adapter import ADAPTER_CONFIG, CircuitBackend
from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.errors import BackendError
from qdeq.observables import X, Z

CIRCUIT = Circuit(3, (Gate("RX", 0, Input(0)), Gate("CRY", (0, 2), Weight(0)), Gate("RX", 2, Input(1))))
INPUTS, WEIGHTS = torch.linspace(-1, 2, 16, dtype=torch.float64).reshape(8, 2), torch.tensor([0.7], dtype=torch.float64)


@pytest.mark.slow  # each worker imports its package
@pytest.mark.parametrize("name", adapters("cirq", "qsim", "braket-local-dm", "pennylane:lightning.qubit"))
def test_workers_give_the_numbers_of_one_process(name):
    alone, spread = (
        get_backend({"name": name, "workers": workers}).expectation(CIRCUIT, INPUTS, WEIGHTS, (Z(2), X(0))).value
        for workers in (1, 2)
    )
    assert torch.equal(alone, spread)


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class MortalBackend(CircuitBackend):
    """Kills the process that runs it as often as there are files in a folder, taking one away each time."""

    lives: Path

    name = "mortal"
    version = "0"
    capabilities = Capabilities()
    gives = "probabilities"

    def run(self, circuits):
        for file in self.lives.iterdir():
            file.unlink(missing_ok=True)
            os._exit(1)
        return np.tile([0.25, 0.75], (len(circuits), 1))


def two_chunks():
    return [Circuit(1, (Gate("RX", 0, float(angle)),)) for angle in range(2)]


@pytest.mark.parametrize("deaths", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_what_a_dead_worker_was_running_is_redone(tmp_path, deaths):
    for number in range(deaths):
        (tmp_path / str(number)).touch()
    assert MortalBackend(workers=2, lives=tmp_path).execute(two_chunks()).tolist() == [[0.25, 0.75]] * 2
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_workers_that_keep_dying_are_reported(tmp_path):
    for number in range(20):
        (tmp_path / str(number)).touch()
    with pytest.raises(BackendError, match=r"a worker of backend 'mortal' died twice while running 2 circuits"):
        MortalBackend(workers=2, lives=tmp_path).execute(two_chunks())
    assert 2 <= 20 - len(list(tmp_path.iterdir())) <= 4  # two attempts, in each of which one or both workers die


class FailingBackend(MortalBackend):
    def run(self, circuits):
        raise BackendError("out of order")


@pytest.mark.slow
def test_an_error_of_a_worker_is_the_error(tmp_path):
    with pytest.raises(BackendError, match="out of order"):
        FailingBackend(workers=2, lives=tmp_path).execute(two_chunks())
