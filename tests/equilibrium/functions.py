"""Fixed-point functions with known derivatives, and finite differences through converged solves."""

import math

import numpy as np
import torch
from tolerances import FIVE_POINT_STEP, SOLVED

from qdeq.adjoints import (
    DenseAdjoint,
    GmresAdjoint,
    IterativeAdjoint,
    JacobianFreeAdjoint,
    PhantomAdjoint,
    UnrolledAdjoint,
)
from qdeq.equilibrium import Equilibrium
from qdeq.library import amplitude_encoder, paper_angle_encoder, paper_ansatz
from qdeq.models import QDEQClassifier, QuantumFunction
from qdeq.solvers import Broyden, Newton

TIGHT = Broyden(rtol=0, atol=SOLVED, max_steps=200)


def numbers(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def matrix_with_radius(radius, seed=0, size=4):
    """A matrix that is not symmetric, scaled to a spectral radius."""
    matrix = numbers(seed, size, size)
    return matrix * (radius / torch.linalg.eigvals(matrix).abs().max())


def linear(matrix):
    """f(y, x) = A y + x for each row; the equilibrium is (1 - A)^-1 x."""
    return lambda y, x: y @ matrix.T + x


def hyperbolic(matrix):
    return lambda y, x: torch.tanh(y @ matrix.T + x)


def classifier(encoding, *, seed=0, state_scale=1.0, equilibrium=None, **options):
    """The paper's 4-qubit model in float64, solved to SOLVED, without dropout."""
    encoder = amplitude_encoder(4) if encoding == "amplitude" else paper_angle_encoder(4)
    model = QDEQClassifier(
        QuantumFunction(encoder + paper_ansatz(4)),
        3,
        equilibrium=equilibrium or Equilibrium(TIGHT),
        state_scale=state_scale,
        dropout=0.0,
        generator=torch.Generator().manual_seed(seed),
        **options,
    ).double()
    with torch.no_grad():
        # PyTorch's own bounds hide the read-out's gradients behind small weights: spread them
        model.readout.weight.mul_(3)
    return model


def five_point_difference(function, tensor, index):
    """d function() / d tensor[index] to fourth order, the tensor changed in place and put back."""
    with torch.no_grad():
        kept = tensor[index].clone()
        values = []
        for steps in (-2, -1, 1, 2):
            tensor[index] = kept + steps * FIVE_POINT_STEP
            values.append(float(function()))
        tensor[index] = kept
    return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * FIVE_POINT_STEP)


def gradient_by_differences(function, tensor, indices=None):
    chosen = list(np.ndindex(*tensor.shape)) if indices is None else indices
    return torch.tensor([five_point_difference(function, tensor, index) for index in chosen], dtype=torch.float64)


def relative_gap(found, wanted):
    return float(((found - wanted).norm() / wanted.norm()).detach())


def rotation(angle, factor=1.0):
    c, s = math.cos(angle), math.sin(angle)
    return factor * torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


KINDS = {
    "dense": DenseAdjoint(),
    "dense, twice": DenseAdjoint(order=2),
    "gmres": GmresAdjoint(),
    "broyden": IterativeAdjoint(Broyden(rtol=0, atol=1e-12, max_steps=100)),
    "newton": IterativeAdjoint(Newton(rtol=0, atol=1e-12)),
    "phantom": PhantomAdjoint(),
    "jacobian-free": JacobianFreeAdjoint(),
    "unrolled": UnrolledAdjoint(),
}
"""All adjoints, those that iterate to far below the tests' tolerances."""

EXACT = {name: KINDS[name] for name in ("dense", "dense, twice", "gmres", "broyden", "newton")}
"""Those that solve the implicit system; an unrolled gradient is as exact where the solver has converged far enough."""
