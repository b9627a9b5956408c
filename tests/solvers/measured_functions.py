"""A linear contraction that is measured: Gaussian noise of known size, named by sample and evaluation."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from qdeq.functions import Function
from qdeq.seeds import derive_seed

TURNED = (
    0.6
    * torch.tensor([[0.6, -0.8, 0.0, 0.0], [0.8, 0.6, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5], [0.0, 0.0, -0.5, 0.0]]).double()
)
"""Two rotations, shrunk: spectral radius 0.6, ``||(1 - A)^-1||_2 = 1 / |1 - 0.6 (0.6 + 0.8i)| = 1.25``."""


@dataclass(frozen=True)
class Gaussian(Function):
    """``A y + b`` with deviations of standard error ``sigma_i / sqrt(shots)``, independent or all one number times it.

    ``seen`` collects (sample, evaluation, shots) of every measurement: no stream may be used twice.
    """

    matrix: torch.Tensor
    sigma: tuple[float, ...]
    shots: int
    correlated: bool = False
    seed: int = 0
    evaluation: int = 0
    settings: int = 1
    seen: list = field(default_factory=list, compare=False)

    def at_evaluation(self, number):
        return replace(self, evaluation=number)

    def at_shots(self, shots):
        return replace(self, shots=shots)

    def __call__(self, y, offset, names):
        return self.measure(y, offset, names)[0]

    def exact(self, y, offset):
        return (self.matrix * y[:, None]).sum(2) + offset

    def measure(self, y, offset, names):
        error = torch.tensor(self.sigma, dtype=y.dtype) / math.sqrt(self.shots)
        noise = torch.from_numpy(np.stack([self._numbers(name, y.shape[1]) for name in names.tolist()]))
        self.seen.extend((name, self.evaluation, self.shots) for name in names.tolist())
        return self.exact(y, offset) + error * noise, error.expand_as(y).clone()

    def _numbers(self, name, size):
        drawn = np.random.default_rng(derive_seed(self.seed, name, self.evaluation, self.shots)).normal(size=size)
        return np.full(size, drawn[0]) if self.correlated else drawn


def contraction(samples, shots, sigma=(1.0, 1.0, 1.0, 1.0), **options):
    """Return the function, ``y0 = 0 [B, 4]``, its rows, and the equilibria ``[B, 4]``."""
    f = Gaussian(TURNED, sigma, shots, **options)
    names = torch.arange(samples)
    offset = torch.cos(names.double()[:, None] + torch.arange(4))
    roots = torch.linalg.solve(torch.eye(4).double() - TURNED, offset.mT).mT
    return f, torch.zeros_like(offset), (offset, names), roots
