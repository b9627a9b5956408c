"""The number of circuits that is said before a training step is the number that then runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic.dataclasses import dataclass

from qdeq.backends.adapter import ADAPTER_CONFIG, CircuitBackend
from qdeq.backends.base import Capabilities
from qdeq.backends.executions import count_executions
from qdeq.backends.planner import plan_step
from qdeq.backends.torch.simulator import Simulation
from qdeq.equilibrium import Equilibrium
from qdeq.library import amplitude_encoder, angle_encoder, data_reuploading, hardware_efficient, paper_ansatz
from qdeq.models import QDEQClassifier, QuantumFunction
from qdeq.observables import Z
from qdeq.solvers import Broyden


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class Counted(CircuitBackend):
    amplitudes: bool = True
    name = property(lambda self: "counted")
    version = property(lambda self: "1")
    gives = property(lambda self: "amplitudes" if self.amplitudes else "probabilities")
    capabilities = property(lambda self: Capabilities())

    def run(self, circuits):
        nothing = torch.zeros(1, 0, dtype=torch.float64)
        states = [Simulation(c, nothing[0], [Z(0)]).state(nothing)[0].numpy() for c in circuits]
        return np.stack(states if self.amplitudes else [np.abs(state) ** 2 for state in states])


CIRCUITS = {
    "amplitude": amplitude_encoder(4) + paper_ansatz(4),
    "angle": angle_encoder(2) + hardware_efficient(2),
    "re-uploading": data_reuploading(2, 2),
}


@pytest.mark.parametrize("amplitudes", [True, False], ids=["amplitudes", "probabilities"])
@pytest.mark.parametrize("execution", ["auto", "circuits"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_a_step_runs_what_was_planned(name, execution, amplitudes):
    circuit, batch, steps = CIRCUITS[name], 2, 3
    backend = Counted(execution=execution, amplitudes=amplitudes)
    model = QDEQClassifier(
        QuantumFunction(circuit, backend=backend),
        2,
        equilibrium=Equilibrium(Broyden(), fixed_steps=steps),
        num_features=circuit.num_qubits**2,
        generator=torch.Generator().manual_seed(0),
    ).double()
    plan = plan_step(backend, circuit, batch, steps + 1)
    x = torch.randn(batch, circuit.num_qubits**2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with count_executions() as count:
        model(x, generator=torch.Generator().manual_seed(2)).logits.sum().backward()
    assert count.requested == plan.executions
    assert plan.how == ("columns" if amplitudes and execution == "auto" and name != "re-uploading" else "circuits")


def test_the_papers_circuit_takes_41():
    plan = plan_step(Counted(), CIRCUITS["amplitude"], 256, 10)
    assert str(plan) == "41 a training step (compiled, from the ansatz and its shifted angles)"


def test_probing_is_planned_for_large_batches():
    plan = plan_step(Counted(amplitudes=False), CIRCUITS["amplitude"], 256, 10)
    assert (plan.how, plan.executions) == ("probes", 136 * (1 + 2 * 38 + 4))
