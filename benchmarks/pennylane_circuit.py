"""qdeq's circuits as PennyLane QNodes; written out here, not by qdeq's adapter: what a user would write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qdeq.circuit import Circuit, Input, Weight


def pennylane_function(circuit: Circuit, device: str, diff_method: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return ``q(inputs [B, I], weights [P]) -> [B, n]``, the expectations of Z on every qubit.

    Args:
        circuit: Encoder and ansatz.
        device: A PennyLane device.
        diff_method: PennyLane's name of it.
    """
    import pennylane as qml

    wires = range(circuit.num_qubits)

    def angle(source: Any, inputs: Tensor, weights: Tensor) -> Any:
        if isinstance(source, Input):
            value: Tensor = inputs[..., source.index]
        elif isinstance(source, Weight):
            value = weights[source.index]
        else:
            return source
        value = value if source.scale == 1 else source.scale * value
        return value if source.offset == 0 else value + source.offset

    @qml.qnode(qml.device(device, wires=circuit.num_qubits), interface="torch", diff_method=diff_method)
    def node(inputs: Tensor, weights: Tensor) -> Any:
        if circuit.encoding is not None:
            qml.AmplitudeEmbedding(inputs, wires=wires, pad_with=0.0, normalize=True)
        for gate in circuit.gates:
            angles = [angle(source, inputs, weights) for source in gate.angles]
            getattr(qml, gate.name)(*angles, wires=list(gate.qubits))
        return [qml.expval(qml.PauliZ(qubit)) for qubit in wires]

    return lambda inputs, weights: torch.stack(node(inputs, weights), dim=-1)
