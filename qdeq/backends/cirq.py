"""Cirq's simulators: the state vector (``cirq``) and the density matrix (``cirq-dm``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi
from typing import Any

import cirq
import numpy as np
from pydantic.dataclasses import dataclass

from qdeq.backends.adapter import ADAPTER_CONFIG, CircuitBackend, encoded_state
from qdeq.backends.base import Capabilities
from qdeq.circuit import Channel, Circuit, Gate
from qdeq.gates import GATES

# Powers such as X**(θ/π) differ from rotations by a phase that a control makes visible: rotations are written as such.
_FIXED: dict[str, cirq.Gate] = {
    "I": cirq.I,
    "X": cirq.X,
    "Y": cirq.Y,
    "Z": cirq.Z,
    "H": cirq.H,
    "S": cirq.S,
    "Sdg": cirq.S**-1,
    "T": cirq.T,
    "Tdg": cirq.T**-1,
    "SX": cirq.X**0.5,
    "CNOT": cirq.CNOT,
    "CZ": cirq.CZ,
    "CY": cirq.ControlledGate(cirq.Y),
    "SWAP": cirq.SWAP,
    "Toffoli": cirq.TOFFOLI,
}
_TURNS: dict[str, Callable[[float], cirq.Gate]] = {
    "RX": cirq.rx,
    "RY": cirq.ry,
    "RZ": cirq.rz,
    "PhaseShift": lambda angle: cirq.ZPowGate(exponent=angle / pi),
    "CRX": lambda angle: cirq.ControlledGate(cirq.rx(angle)),
    "CRY": lambda angle: cirq.ControlledGate(cirq.ry(angle)),
    "CRZ": lambda angle: cirq.ControlledGate(cirq.rz(angle)),
    "RXX": lambda angle: cirq.XXPowGate(exponent=angle / pi, global_shift=-0.5),
    "RYY": lambda angle: cirq.YYPowGate(exponent=angle / pi, global_shift=-0.5),
    "RZZ": lambda angle: cirq.ZZPowGate(exponent=angle / pi, global_shift=-0.5),
}
_CHANNELS: dict[str, Callable[[float], cirq.Gate]] = {
    "Depolarizing": cirq.depolarize,
    "TwoQubitDepolarizing": lambda p: cirq.depolarize(p, n_qubits=2),
    "AmplitudeDamping": cirq.amplitude_damp,
    "PhaseDamping": cirq.phase_damp,
    "BitFlip": cirq.bit_flip,
}
LACKS = frozenset(GATES) - _FIXED.keys() - _TURNS.keys()
"""Gates without a translation, which the gate table decomposes: U3."""


def translate(circuit: Circuit) -> tuple[cirq.Circuit, list[cirq.LineQubit]]:
    """Return gates and noise of a bound circuit as a Cirq circuit, and the register in order, idle qubits included."""
    register = cirq.LineQubit.range(circuit.num_qubits)
    operations = [
        _translated(operation).on(*[register[qubit] for qubit in operation.qubits]) for operation in circuit.body
    ]
    return cirq.Circuit(operations), register


def _translated(operation: Gate | Channel) -> cirq.Gate:
    if isinstance(operation, Channel):
        return _CHANNELS[operation.name](operation.probability)
    return _TURNS[operation.name](*operation.angles) if operation.angles else _FIXED[operation.name]  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class CirqBackend(CircuitBackend):
    """Cirq's state-vector simulator, in complex128."""

    name = "cirq"
    version = f"cirq {cirq.__version__}"
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
        # splitting off unentangled qubits costs more than it saves on circuits that entangle
        simulator = cirq.Simulator(dtype=np.complex128, split_untangled_states=False)
        return np.stack([_simulated(simulator, circuit).final_state_vector for circuit in circuits])


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class CirqDensityBackend(CircuitBackend):
    """Cirq's density-matrix simulator, in complex128."""

    name = "cirq-dm"
    version = f"cirq {cirq.__version__}"
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
        simulator = cirq.DensityMatrixSimulator(dtype=np.complex128, split_untangled_states=False)
        matrices = [_simulated(simulator, circuit).final_density_matrix for circuit in circuits]
        return np.stack([matrix.diagonal().real.clip(min=0.0) for matrix in matrices])


def _simulated(simulator: Any, circuit: Circuit) -> Any:
    translated, register = translate(circuit)
    start = None if circuit.encoding is None else encoded_state(circuit).astype(np.complex128)
    return simulator.simulate(translated, qubit_order=register, initial_state=start)
