"""A backend from outside qdeq: state vectors in plain numpy, one circuit at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from qdeq.backends.adapter import ADAPTER_CONFIG, CircuitBackend
from qdeq.backends.base import Capabilities
from qdeq.circuit import Circuit


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class ExampleBackend(CircuitBackend):
    """State vectors in plain numpy; its fields are the options that a YAML file may set."""

    max_qubits: Annotated[int, Field(ge=1, le=20, description="Refuse larger registers.")] = 16

    @property
    def name(self) -> str:
        """The name that it is registered under."""
        return "example"

    @property
    def version(self) -> str:
        """Name and version of the software that runs the circuits."""
        return f"qdeq-example-backend 0.1, numpy {np.__version__}"

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; shots are drawn by qdeq from the exact probabilities."""
        return Capabilities(shots=True, readout=True, seedable=True, precision="float64", max_qubits=self.max_qubits)

    @property
    def gives(self) -> Literal["amplitudes", "probabilities"]:
        """What a run returns."""
        return "amplitudes"

    @property
    def lacks(self) -> frozenset[str]:
        """Gates that qdeq decomposes for us."""
        return frozenset({"Toffoli", "U3"})

    def run(self, circuits: Sequence[Circuit]) -> np.ndarray:
        """Return the amplitudes ``[N, 2^n]`` of bound circuits."""
        return np.array([_final_state(circuit.prepared()) for circuit in circuits])


def _final_state(circuit: Circuit) -> np.ndarray:
    state = np.zeros((2,) * circuit.num_qubits, dtype=complex)
    state.flat[0] = 1
    for gate in circuit.gates:
        matrix = gate.type.matrix(*gate.angles).numpy()
        front = np.moveaxis(state, gate.qubits, range(len(gate.qubits)))
        moved = (matrix @ front.reshape(len(matrix), -1)).reshape(front.shape)
        state = np.moveaxis(moved, range(len(gate.qubits)), gate.qubits)
    return state.reshape(-1)
