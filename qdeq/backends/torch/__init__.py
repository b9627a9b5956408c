"""The native backend: batched state vectors in PyTorch, and density matrices for circuits with noise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.backends.analysis import analyse, basis_columns
from qdeq.backends.base import Backend, Capabilities
from qdeq.backends.circuit_function import CircuitFunction
from qdeq.backends.compile import compile_columns
from qdeq.backends.executions import record_executions
from qdeq.backends.function import FrozenFunction
from qdeq.backends.sampling import ShotKey, sample_expectations
from qdeq.backends.torch.density import DensitySimulation, compile_noisy
from qdeq.backends.torch.fusion import FusedCircuit
from qdeq.backends.torch.simulator import Simulation
from qdeq.circuit import Circuit, Gate
from qdeq.errors import UnsupportedError
from qdeq.observables import Observable


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TorchBackend(Backend):
    """Batched state vectors in PyTorch, differentiable in inputs and weights; density matrices where gates are noisy.

    Works in the precision of its inputs (complex64 for float32, complex128 for float64) and on their device.
    """

    @property
    def name(self) -> str:
        """The name that it is registered under."""
        return "torch"

    @property
    def version(self) -> str:
        """Name and version of the software that runs the circuits."""
        return f"torch {torch.__version__}"

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return Capabilities(
            shots=True,
            noise=True,
            readout=True,
            gradients=frozenset({"backprop"}),
            batching=True,
            seedable=True,
            max_qubits=24,
            max_noisy_qubits=12,
        )

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
        """Return expectations ``[T, B, O]``; see :meth:`Backend.evaluate`."""
        record_executions(len(circuits) * len(inputs), len(circuits) * len(inputs))
        simulations = [_simulation(circuit, weights.to(inputs), observables) for circuit in circuits]
        with torch.no_grad():
            if shots is None:
                return torch.stack([simulation(inputs) for simulation in simulations]), None
            key = key or ShotKey(seed=0)
            pairs = [
                sample_expectations(
                    simulation.measurement(inputs), observables, circuit.num_qubits, shots, key, part + number
                )
                for number, (circuit, simulation) in enumerate(zip(circuits, simulations, strict=True))
            ]
        values, errors = (torch.stack(column).to(inputs) for column in zip(*pairs, strict=True))
        return values, errors

    def freeze(
        self,
        circuit: Circuit,
        weights: Tensor,
        observables: Sequence[Observable],
        shots: int | None,
        key: ShotKey | None,
    ) -> FrozenFunction:
        """Compile the circuit where that pays, else build the matrices of its gates once.

        The cost model: compiling runs the ansatz on d columns and leaves an evaluation that does not depend on the
        depth; without it every evaluation runs the whole circuit on B states. A solve has at least a handful of
        evaluations of a batch of tens, so compiling pays wherever the encoder allows it and its columns are bounded
        (:data:`~qdeq.backends.analysis.MAX_COLUMNS`, :data:`~qdeq.backends.analysis.MAX_PRODUCT`).
        """
        if shots is not None:
            return CircuitFunction(self, circuit, weights, observables, shots=shots, key=key)
        analysis = None if self.execution == "circuits" else analyse(circuit)
        if analysis is not None and circuit.channels:
            return compile_noisy(circuit, analysis, weights, observables)
        if analysis is not None:
            columns = _fused(circuit).apply(basis_columns(circuit.num_qubits, analysis, weights), weights)
            return compile_columns(circuit, analysis, columns, observables, weights)
        if self.execution == "compiled":
            raise UnsupportedError(
                "execution: compiled needs amplitude encoding, or rotations by inputs before everything else "
                "(of few qubits); use execution: auto"
            )
        if self.gradient == "parameter-shift":
            return CircuitFunction(self, circuit, weights, observables)
        return _simulation(circuit, weights, observables)


def _simulation(circuit: Circuit, weights: Tensor, observables: Sequence[Observable]) -> Simulation | DensitySimulation:
    return (DensitySimulation if circuit.channels else Simulation)(circuit, weights, observables)


@lru_cache(maxsize=256)
def _fused(circuit: Circuit) -> FusedCircuit:
    analysis = analyse(circuit)
    assert analysis is not None
    return FusedCircuit(tuple(gate for gate in analysis.ansatz if isinstance(gate, Gate)), circuit.num_qubits)
