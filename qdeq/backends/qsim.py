"""qsim, Google's fast state-vector simulator, through its interface for Cirq circuits.

Under noise qsim runs quantum trajectories: at each channel one Kraus operator is drawn by its probability and acts on
the state (Isakov et al., arXiv:2111.02396). Here a shot is a trajectory of its own, measured once: shots are
independent, their mean is unbiased, and their spread is that of the noisy circuit. A register costs a state vector, not
a density matrix. There are no exact expectations then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import cirq
import numpy as np
import qsimcirq
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as options_dataclass
from torch import Tensor

from qdeq.backends.adapter import ADAPTER_CONFIG, CircuitBackend, encoded_state, lowered, measured_in
from qdeq.backends.base import Capabilities
from qdeq.backends.cirq import LACKS, translate
from qdeq.backends.executions import bind_rows, record_executions, record_shots, run_parallel
from qdeq.backends.sampling import ShotKey, mean_and_variance, number_of_shots
from qdeq.circuit import Circuit, ReadoutError
from qdeq.observables import MeasurementGroup, Observable, measurement_groups


@options_dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class QsimBackend(CircuitBackend):
    """qsim's state-vector simulator, in complex64: numbers agree with the other simulators to about 1e-6.

    With noise on gates it needs shots, and runs one trajectory for each.
    """

    name = "qsim"
    version = f"qsimcirq {qsimcirq.__version__}"
    capabilities = Capabilities(
        shots=True,
        noise=True,
        noise_needs_shots=True,
        readout=True,
        seedable=True,
        precision="float32",
        max_qubits=26,  # 512 MiB a state
    )
    gives = "amplitudes"
    lacks = LACKS

    threads: Annotated[int, Field(ge=1, description="Threads a circuit; more than 1 pays from about 16 qubits.")] = 1
    max_fused_gate_size: Annotated[
        int, Field(ge=2, le=6, description="Qubits that gates are fused up to; 2 or 3 are best below 22 qubits.")
    ] = 2

    def run(self, circuits: Sequence[Circuit]) -> np.ndarray:
        """Run bound circuits; see :meth:`CircuitBackend.run`."""
        # no state depends on the seed, but without one it would be drawn from NumPy's global generator
        simulator = qsimcirq.QSimSimulator(self._options, seed=0)
        states = []
        for circuit in circuits:
            translated, register = translate(circuit)
            start = 0 if circuit.encoding is None else encoded_state(circuit).astype(np.complex64)
            _, state, _ = simulator.simulate_into_1d_array(translated, qubit_order=register, initial_state=start)
            states.append(state)
        return np.stack(states)

    def evaluate(
        self,
        circuits: Sequence[Circuit],
        inputs: Tensor,
        weights: Tensor,
        observables: Sequence[Observable],
        *,
        shots: int | None = None,
        key: ShotKey | None = None,
        part: int = 0,
    ) -> tuple[Tensor, Tensor | None]:
        """Return expectations ``[T, B, O]``, under noise from trajectories; see :meth:`Backend.evaluate`."""
        shots = number_of_shots(shots)
        if shots is None or not any(circuit.channels for circuit in circuits):
            return super().evaluate(circuits, inputs, weights, observables, shots=shots, key=key, part=part)
        key = key or ShotKey(seed=0)
        key.check(len(inputs))
        groups = measurement_groups(observables)
        size, shape = circuits[0].num_qubits, (len(circuits), len(inputs), len(groups))
        bound = [lowered(circuit.prepared(), self.lacks) for circuit in bind_rows(circuits, inputs, weights)]
        jobs = [
            _Job(circuit + measured_in(group, size), group, key.generator(row, number, part + position))
            for (position, row), circuit in zip(np.ndindex(*shape[:2]), bound, strict=True)
            for number, group in enumerate(groups)
        ]
        record_executions(len(jobs), len(jobs))
        record_shots(shots * len(jobs))
        found = np.zeros((0, 2, len(observables)))
        if jobs:
            found = run_parallel(_Trajectories(self, shots), jobs)
        mean, variance = found.reshape(*shape, 2, len(observables)).sum(axis=2).transpose(2, 0, 1, 3)
        return torch.from_numpy(mean).to(inputs), torch.from_numpy(np.sqrt(variance)).to(inputs)

    @property
    def _options(self) -> qsimcirq.QSimOptions:
        return qsimcirq.QSimOptions(cpu_threads=self.threads, max_fused_gate_size=self.max_fused_gate_size)


@dataclass(frozen=True)
class _Job:
    """A bound circuit that ends in a group's basis, and what its shots are drawn with."""

    circuit: Circuit
    group: MeasurementGroup
    generator: np.random.Generator


@dataclass(frozen=True)
class _Trajectories:
    """Runs jobs on a backend's workers: ``[N, 2, O]``, estimates and the variances of these."""

    backend: QsimBackend
    shots: int

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def workers(self) -> int:
        return self.backend.workers

    @property
    def ray_address(self) -> str | None:
        return self.backend.ray_address

    def run(self, circuits: Sequence[_Job]) -> np.ndarray:
        return np.stack([self._estimate(job) for job in circuits])

    def _estimate(self, job: _Job) -> np.ndarray:
        translated, register = translate(job.circuit)
        # qsim takes a seed for each trajectory from this state: the job's own stream, and nobody else's
        state = np.random.RandomState(job.generator.bit_generator)
        simulator = qsimcirq.QSimSimulator(self.backend._options, seed=state)
        program = translated + cirq.measure(*register, key="outcome")
        bits = simulator.run(program, repetitions=self.shots).measurements["outcome"]  # [shots, n]
        signs = 1.0 - 2.0 * misread(bits, job.circuit.readout, job.generator)
        strings = [signs[:, [qubit for qubit, _ in string.factors]].prod(axis=1) for string in job.group.strings]
        outcomes = np.stack(strings, axis=1) @ job.group.coefficients.T  # [shots, O]
        mean, variance = mean_and_variance(np.ones((1, self.shots)), outcomes, job.group, self.shots)
        return np.stack([mean[0], variance[0]])


def misread(bits: np.ndarray, errors: Sequence[ReadoutError], generator: np.random.Generator) -> np.ndarray:
    """Return what is read of measured bits ``[N, n]``, each bit misread independently of the others."""
    bits = bits.astype(bool)
    for error in errors:
        right = bits[:, error.qubit]
        wrong = generator.random(len(bits)) < np.where(right, error.one_to_zero, error.zero_to_one)
        bits[:, error.qubit] = right ^ wrong
    return bits
