"""The solvers without anything quantum: fixed points of any function, sample by sample.

Kepler's equation E = M + e sin E, for a hundred mean anomalies M and four eccentricities e. Plain iteration slows down
as e approaches 1; the others hardly notice.
"""

import math

import torch

from qdeq import Anderson, Broyden, Naive, solve


def kepler(anomaly: torch.Tensor, mean: torch.Tensor, eccentricity: torch.Tensor) -> torch.Tensor:
    return mean + eccentricity * torch.sin(anomaly)


def main() -> None:
    mean = torch.linspace(0.01, math.pi, 100, dtype=torch.float64).repeat(4)[:, None]
    eccentricity = torch.tensor([0.1, 0.5, 0.9, 0.99], dtype=torch.float64).repeat_interleave(100)[:, None]
    for solver in (Naive(max_steps=200, rtol=1e-10), Anderson(rtol=1e-10), Broyden(rtol=1e-10)):
        solution = solve(solver, kepler, mean, (mean, eccentricity))
        per_orbit = solution.evaluations.reshape(4, 100).double().mean(1).tolist()
        print(f"{type(solver).__name__}: {solution.summary()}")
        print("  mean evaluations for e = 0.1, 0.5, 0.9, 0.99:", *(f"{value:.1f}" for value in per_orbit))


if __name__ == "__main__":
    main()
