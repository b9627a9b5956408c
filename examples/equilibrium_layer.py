"""A quantum equilibrium layer inside a PyTorch network, trained to tell two noisy circles apart."""

import torch
from sklearn.datasets import make_circles
from torch import Tensor, nn

from qdeq import Broyden, Equilibrium, QuantumFunction
from qdeq.library import angle_encoder, hardware_efficient


class QuantumEquilibrium(nn.Module):
    """Features ``[B, n²]`` to the equilibrium ``[B, n]`` of n measured qubits."""

    def __init__(self, qubits: int, layers: int) -> None:
        super().__init__()
        circuit = angle_encoder(qubits) + hardware_efficient(qubits, layers)
        self.qubits = qubits
        self.function = QuantumFunction(circuit)
        self.weights = nn.Parameter(torch.randn(circuit.num_weights))
        self.equilibrium = Equilibrium(Broyden(rtol=1e-4))
        self.evaluations = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        """Solve for every sample by itself."""
        f, rows = self.function.at(self.weights).inject(x, 1.0, self.qubits)
        found = self.equilibrium(f, x.new_zeros(len(x), self.qubits), rows)
        self.evaluations = found.evaluations
        return found.value


def main() -> None:
    torch.manual_seed(0)
    points, labels = make_circles(300, noise=0.08, factor=0.5, random_state=0)
    x, target = torch.tensor(points, dtype=torch.float32), torch.tensor(labels)
    layer = QuantumEquilibrium(qubits=3, layers=2)
    network = nn.Sequential(nn.Linear(2, 9), layer, nn.Linear(3, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for step in range(61):
        logits = network(x)
        loss = nn.functional.cross_entropy(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            accuracy = (logits.argmax(1) == target).float().mean()
            evaluations = layer.evaluations.float().mean()
            print(f"step {step:2d}: loss {loss:.3f}, accuracy {accuracy:.2f}, {evaluations:.1f} evaluations a sample")


if __name__ == "__main__":
    main()
