"""The peer: PennyLane's TorchLayer in the hand-written fixed-point loop of :mod:`benchmarks.loop`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.loop import plain_equilibrium
from qdeq.circuit import Circuit, Input
from qdeq.injection import upsample
from qdeq.models import QDEQClassifier


def torch_layer(circuit: Circuit, weights: Tensor) -> nn.Module:
    """Return a TorchLayer from inputs ``[B, I]`` to Z on every qubit ``[B, n]``, by backprop on default.qubit."""
    import pennylane as qml

    wires = range(circuit.num_qubits)

    def value(angle: Any, inputs: Tensor, weights: Tensor) -> Any:
        if isinstance(angle, float):
            return angle
        source = inputs[..., angle.index] if isinstance(angle, Input) else weights[angle.index]
        return angle.scale * source + angle.offset

    @qml.qnode(qml.device("default.qubit", wires=circuit.num_qubits), interface="torch", diff_method="backprop")
    def node(inputs: Tensor, weights: Tensor) -> Any:
        if circuit.encoding is not None:
            qml.AmplitudeEmbedding(inputs, wires=wires, normalize=True, pad_with=0.0)
        for gate in circuit.gates:
            getattr(qml, gate.name)(*(value(angle, inputs, weights) for angle in gate.angles), wires=list(gate.qubits))
        return [qml.expval(qml.PauliZ(wire)) for wire in wires]

    layer: nn.Module = qml.qnn.TorchLayer(node, {"weights": weights.shape}, init_method={"weights": weights.detach()})
    return layer


class PeerModel(nn.Module):
    """The classifier around a TorchLayer, with the first weights of one of qdeq's.

    Args:
        model: qdeq's; its circuit, weights and read-out are copied.
        rtol: Tolerance of both loops.

    Attributes:
        evaluations: Of the last forward loop.
        failed: Samples that it left above the tolerance.
    """

    def __init__(self, model: QDEQClassifier, *, rtol: float) -> None:
        super().__init__()
        self.layer = torch_layer(model.circuit, model.weights)
        self.readout = nn.Linear(model.readout.in_features, model.readout.out_features)
        self.readout.load_state_dict(model.readout.state_dict())
        self.state_size, self.rtol = model.state_size, rtol
        self.evaluations = self.failed = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``[B, K]``."""
        width = x.shape[1]

        def f(y: Tensor, x: Tensor) -> Tensor:
            return self.layer(x + upsample(y, width)).to(x.dtype)  # type: ignore[no-any-return]

        found = plain_equilibrium(f, x.new_zeros(len(x), self.state_size), x, rtol=self.rtol)
        self.evaluations, self.failed = found.evaluations, found.failed
        logits: Tensor = self.readout(torch.relu(upsample(found.value, width)))
        return logits
