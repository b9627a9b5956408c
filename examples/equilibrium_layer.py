"""A quantum equilibrium layer inside a PyTorch network, trained to tell two noisy circles apart."""

import torch
from sklearn.datasets import make_circles
from torch import Tensor, nn

from qdeq import Anderson, Broyden, Equilibrated, Equilibrium, QuantumFunction
from qdeq.library import angle_encoder, hardware_efficient

JACOBIAN_WEIGHT = 0.5  # keeps the equilibrium easy to find while the weights move


class QuantumEquilibrium(nn.Module):
    """Features ``[B, n²]`` to the equilibrium ``[B, n]`` of n measured qubits."""

    def __init__(self, qubits: int, layers: int) -> None:
        super().__init__()
        circuit = angle_encoder(qubits) + hardware_efficient(qubits, layers)
        self.qubits = qubits
        self.function = QuantumFunction(circuit)
        self.weights = nn.Parameter(torch.randn(circuit.num_weights))
        self.equilibrium = Equilibrium(
            Broyden(rtol=1e-4), on_failure="fallback", fallback=[Anderson()], jacobian_weight=JACOBIAN_WEIGHT
        )

    def forward(self, x: Tensor) -> Equilibrated:
        """Solve for every sample by itself."""
        f, rows = self.function.at(self.weights).inject(x, 0.5, self.qubits)  # f(y, *rows) = q(x + W y / 2)
        found: Equilibrated = self.equilibrium(f, x.new_zeros(len(x), self.qubits), rows)
        return found


class Network(nn.Module):
    """Two numbers to two classes, by way of three qubits."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(2, 9)
        self.quantum = QuantumEquilibrium(qubits=3, layers=2)
        self.classify = nn.Linear(3, 2)

    def forward(self, points: Tensor) -> tuple[Tensor, Equilibrated]:
        """Return logits, and how the equilibria behind them were had."""
        found = self.quantum(self.encode(points))
        return self.classify(found.value), found


def main() -> None:
    torch.manual_seed(0)
    points, labels = make_circles(300, noise=0.08, factor=0.5, random_state=0)
    x, target = torch.tensor(points, dtype=torch.float32), torch.tensor(labels)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
    for step in range(61):
        logits, found = network(x)
        loss = nn.functional.cross_entropy(logits, target) + JACOBIAN_WEIGHT * found.penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            accuracy = (logits.argmax(1) == target).float().mean()
            converged, evaluations = (found.status == 0).float().mean(), found.evaluations.float().mean()
            print(
                f"step {step:2d}: loss {loss:.3f}, accuracy {accuracy:.2f}, "
                f"{100 * converged:.0f} % converged after {evaluations:.1f} evaluations"
            )


if __name__ == "__main__":
    main()
