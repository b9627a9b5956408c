"""qsim, Google's fast state-vector simulator, through its interface for Cirq circuits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import qsimcirq
from pydantic import Field
from pydantic.dataclasses import dataclass

from qdeq.backends.adapter import ADAPTER_CONFIG, CircuitBackend, encoded_state
from qdeq.backends.base import Capabilities
from qdeq.backends.cirq import LACKS, translate
from qdeq.circuit import Circuit


@dataclass(frozen=True, kw_only=True, config=ADAPTER_CONFIG)
class QsimBackend(CircuitBackend):
    """qsim's state-vector simulator, in complex64: numbers agree with the other simulators to about 1e-6."""

    name = "qsim"
    version = f"qsimcirq {qsimcirq.__version__}"
    capabilities = Capabilities(shots=True, seedable=True, precision="float32", max_qubits=26)  # 512 MiB a state
    gives = "amplitudes"
    lacks = LACKS

    threads: Annotated[int, Field(ge=1, description="Threads a circuit; more than 1 pays from about 16 qubits.")] = 1
    max_fused_gate_size: Annotated[
        int, Field(ge=2, le=6, description="Qubits that gates are fused up to; 2 or 3 are best below 22 qubits.")
    ] = 2

    def run(self, circuits: Sequence[Circuit]) -> np.ndarray:
        """Run bound circuits; see :meth:`CircuitBackend.run`."""
        options = qsimcirq.QSimOptions(cpu_threads=self.threads, max_fused_gate_size=self.max_fused_gate_size)
        simulator = qsimcirq.QSimSimulator(options)
        states = []
        for circuit in circuits:
            translated, register = translate(circuit)
            start = 0 if circuit.encoding is None else encoded_state(circuit).astype(np.complex64)
            _, state, _ = simulator.simulate_into_1d_array(translated, qubit_order=register, initial_state=start)
            states.append(state)
        return np.stack(states)
