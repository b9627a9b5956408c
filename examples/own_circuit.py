"""A circuit of one's own: drawn, counted, measured, solved for its equilibrium, and written as OpenQASM 3."""

import torch

from qdeq import Circuit, Gate, Input, QDEQClassifier, QuantumFunction, Weight, X, Z


def main() -> None:
    encoder = Circuit(3, [Gate(name, q, Input(3 * row + q)) for row, name in enumerate(("RY", "RZ")) for q in range(3)])
    ansatz = Circuit(
        3,
        [Gate("RX", q, Weight(q)) for q in range(3)]
        + [Gate("CRY", (q, (q + 1) % 3), Weight(3 + q, scale=0.5)) for q in range(3)],
    )
    circuit = encoder + ansatz + encoder + ansatz.shift_weights(ansatz.num_weights)  # the data enter twice
    print(circuit)
    print(f"{circuit.num_weights} weights, depth {circuit.depth()}, gates {circuit.gate_counts()}")

    function = QuantumFunction(circuit, (Z(0), X(1) @ Z(2), 0.5 * Z(1) + 0.5 * X(0)))
    model = QDEQClassifier(function, num_classes=2, generator=torch.Generator().manual_seed(0)).eval()
    prediction = model(torch.linspace(-1, 1, 4 * 6).reshape(4, 6))
    print("equilibria", prediction.equilibrium.value.detach().numpy().round(4).tolist(), sep="\n")
    print("residuals", prediction.equilibrium.residual, "evaluations", prediction.equilibrium.evaluations.tolist())

    bound = circuit.bind(inputs=[0.1] * 6, weights=model.weights.tolist())
    print(*bound.to_qasm().splitlines()[:6], "...", sep="\n")


if __name__ == "__main__":
    main()
