"""Braket's simulators on this machine: ``braket-local`` (state vector) and ``braket-local-dm`` (density matrix).

They are Braket's ``braket_sv`` and ``braket_dm``, given gate operations instead of OpenQASM, whose reading would take
most of the time. :meth:`Circuit.to_qasm` writes the same gates for Braket's devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from braket import default_simulator
from braket.default_simulator import gate_operations as operations
from braket.default_simulator import noise_operations
from braket.default_simulator.operation import KrausOperation
from pydantic.dataclasses import dataclass

from qdeq.backends.adapter import ADAPTER_CONFIG, CircuitBackend
from qdeq.backends.base import Capabilities
from qdeq.circuit import Channel, Circuit
from qdeq.gates import GATES

_TRANSLATION: dict[str, Callable[..., default_simulator.GateOperation]] = {
    "I": operations.Identity,
    "X": operations.PauliX,
    "Y": operations.PauliY,
    "Z": operations.PauliZ,
    "H": operations.Hadamard,
    "S": operations.S,
    "Sdg": operations.Si,
    "T": operations.T,
    "Tdg": operations.Ti,
    "SX": operations.V,
    "RX": operations.RotX,
    "RY": operations.RotY,
    "RZ": operations.RotZ,
    "PhaseShift": operations.PhaseShift,
    "CNOT": operations.CX,
    "CZ": operations.CZ,
    "CY": operations.CY,
    "SWAP": operations.Swap,
    "RXX": operations.XX,
    "RYY": operations.YY,
    "RZZ": operations.ZZ,
    "Toffoli": operations.CCNot,
}
_CHANNELS: dict[str, Callable[..., KrausOperation]] = {
    "Depolarizing": noise_operations.Depolarizing,
    "TwoQubitDepolarizing": noise_operations.TwoQubitDepolarizing,
    "AmplitudeDamping": noise_operations.AmplitudeDamping,
    "PhaseDamping": noise_operations.PhaseDamping,
    "BitFlip": noise_operations.BitFlip,
}
LACKS = frozenset(GATES) - _TRANSLATION.keys()
"""Gates that the gate table decomposes: controlled rotations and U3, as for Braket's devices."""

_VERSION = f"amazon-braket-default-simulator {default_simulator.__version__}"


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class BraketLocalBackend(CircuitBackend):
    """Braket's local state-vector simulator, in complex128."""

    name = "braket-local"
    version = _VERSION
    capabilities = Capabilities(
        shots=True,
        readout=True,
        seedable=True,
        precision="float64",
        max_qubits=24,  # 256 MiB a state
    )
    gives = "amplitudes"
    lacks = LACKS

    def run(self, circuits: Sequence[Circuit]) -> np.ndarray:
        """Run bound circuits; see :meth:`CircuitBackend.run`."""
        states = []
        for circuit in circuits:
            simulation = default_simulator.StateVectorSimulation(circuit.num_qubits, shots=0, batch_size=1)
            simulation.evolve(_translate(circuit))
            states.append(simulation.state_vector)
        return np.stack(states)


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class BraketLocalDensityBackend(CircuitBackend):
    """Braket's local density-matrix simulator, in complex128."""

    name = "braket-local-dm"
    version = _VERSION
    capabilities = Capabilities(
        shots=True,
        noise=True,
        readout=True,
        seedable=True,
        precision="float64",
        max_qubits=12,  # 256 MiB
    )
    gives = "probabilities"
    lacks = LACKS

    def state_bytes(self, num_qubits: int) -> float:
        """Return the memory [bytes] that the density matrix of one sample takes."""
        return 16 * 4.0**num_qubits

    def run(self, circuits: Sequence[Circuit]) -> np.ndarray:
        """Run bound circuits; see :meth:`CircuitBackend.run`."""
        rows = []
        for circuit in circuits:
            simulation = default_simulator.DensityMatrixSimulation(circuit.num_qubits, shots=0)
            simulation.evolve(_translate(circuit))
            rows.append(simulation.probabilities)
        return np.stack(rows)


def _translate(circuit: Circuit) -> list[default_simulator.GateOperation | KrausOperation]:
    """Return a bound circuit's operations; Braket has no state preparation, so that is written as RY and CNOT gates."""
    return [
        _CHANNELS[operation.name](operation.qubits, operation.probability)
        if isinstance(operation, Channel)
        else _TRANSLATION[operation.name](operation.qubits, *operation.angles)
        for operation in circuit.prepared().body
    ]
