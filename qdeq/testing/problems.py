"""The published table of fixed-point problems that every solver is tried on, each with its known answer.

All are given by formulas without random numbers, so that anyone can write them down. Samples are counted from 0,
and so are the components i of a state with N of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qdeq.functions import Function, as_function
from qdeq.testing import qdeq_problems

DOTTIE = 0.7390851332151607
"""y = cos y."""
OMEGA = 0.5671432904097838
"""y = -log y."""
TANH_3 = 0.994901528452629
"""The positive root of y = tanh 3y."""


@dataclass(frozen=True)
class Instance:
    """A batch of B samples of a problem, in one precision on one device.

    Attributes:
        f: ``f(y, *args)`` on ``[b, N]``, each sample by itself.
        y0: ``[B, N]``, first iterates.
        args: Tensors with the batch first.
        roots: ``[B, R, N]``, all fixed points of each sample; NaN in a sample that has none, or fewer than R.
        conditioning: Upper bound on ``||(1 - J)^-1||_2`` near the roots: the error of a solution over its residual.
        noise: Upper bound on ``||f(y) - E f(y)||_2``, for a function that is sampled.
    """

    f: Function
    y0: Tensor
    args: tuple[Tensor, ...]
    roots: Tensor
    conditioning: float
    noise: float = 0.0

    @property
    def solvable(self) -> Tensor:
        """``[B]`` bool, True where a sample has a fixed point."""
        return self.roots.isfinite().all(2).any(1)

    def rows(self, samples: Sequence[int]) -> Instance:
        """Return some of the samples, in the given order."""
        chosen = torch.tensor(samples, dtype=torch.int64, device=self.y0.device)
        args = tuple(arg[chosen] for arg in self.args)
        return Instance(self.f, self.y0[chosen], args, self.roots[chosen], self.conditioning, self.noise)

    def to(self, dtype: torch.dtype | None = None, device: str | None = None) -> Instance:
        """Return the same in another precision, on another device."""
        y0, *args = (tensor.to(device=device, dtype=dtype) for tensor in (self.y0, *self.args))
        return Instance(self.f, y0, tuple(args), self.roots.to(device), self.conditioning, self.noise)


@dataclass(frozen=True)
class FixedPointProblem:
    """A row of the table.

    Attributes:
        name: Its name.
        equation: y = f(y), in words or symbols.
        answer: The known answer, likewise.
        asks: What it asks of a solver.
        make: Returns the problem in float64 on the CPU.
        required: Whether a solver has to converge on every sample that has a root: so on contractions.
    """

    name: str
    equation: str
    answer: str
    asks: str
    make: Callable[[], Instance]
    required: bool = False


def linear(matrix: Sequence[Sequence[float]] | Tensor, batch: int = 4) -> Instance:
    """Return ``y = A y + b`` from y0 = 0 with ``b_i = cos(s + i)`` for sample s; the root is ``(1 - A)^-1 b``."""
    a = torch.as_tensor(matrix, dtype=torch.float64)
    size = len(a)
    offset = torch.cos(_count(batch)[:, None] + _count(size))
    inverse = torch.linalg.inv(torch.eye(size, dtype=torch.float64) - a)
    conditioning = float(torch.linalg.matrix_norm(inverse, 2))
    args = a.expand(batch, size, size).clone(), offset
    return Instance(as_function(affine), torch.zeros_like(offset), args, (offset @ inverse.mT)[:, None], conditioning)


def affine(y: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Return ``A y + b`` ``[B, N]`` for ``A [B, N, N]``, so summed that no sample's rounding depends on the batch."""
    return (matrix * y[:, None]).sum(2) + offset


def _count(size: int) -> Tensor:
    return torch.arange(size, dtype=torch.float64)


def _symmetric(eigenvalues: Sequence[float]) -> Tensor:
    """Return ``Q diag(λ) Q`` with the reflection ``Q = 1 - 2 v vᵀ / ||v||²``, v = (1, 2, ..., N)."""
    v = _count(len(eigenvalues)) + 1
    q = torch.eye(len(v), dtype=torch.float64) - 2 * torch.outer(v, v) / v.square().sum()
    return q @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ q


def _rotation(radius: float) -> Tensor:
    c, s = radius * math.cos(1.0), radius * math.sin(1.0)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def _elementwise(
    f: Callable[..., Tensor], y0: Tensor, roots: Sequence[float], conditioning: float, *args: Tensor
) -> Instance:
    """Return a problem whose components are alike, each root with the same number in all of them."""
    found = torch.tensor(roots, dtype=torch.float64)[None, :, None].expand(len(y0), -1, y0.shape[1])
    return Instance(as_function(f), y0, args, found.clone(), conditioning)


def _cosine() -> Instance:
    y0 = torch.stack([torch.zeros(3), torch.ones(3), torch.full((3,), 0.5)]).double()
    return _elementwise(torch.cos, y0, [DOTTIE], 0.7)


def _several_roots() -> Instance:
    y0 = torch.tensor([[0.7], [-0.7], [0.1], [-0.05], [2.0]], dtype=torch.float64)
    return _elementwise(lambda y: torch.tanh(3 * y), y0, [-TANH_3, 0.0, TANH_3], 1.1)


def _no_root() -> Instance:
    bend = torch.tensor([0.0, 1.0, 4.0], dtype=torch.float64)
    return _elementwise(
        lambda y, bend: y + 1 + bend[:, None] * y * y, torch.full((3, 2), 0.3).double(), [math.nan], 1.0, bend
    )


def _domain() -> Instance:
    y0 = torch.tensor([[0.5], [0.6], [0.9], [1e-3]], dtype=torch.float64)
    return _elementwise(lambda y: -torch.log(y), y0, [OMEGA], 0.5)


def _non_finite() -> Instance:
    poison = torch.tensor([0.0, math.nan, 0.0, math.inf, -math.inf, 0.0], dtype=torch.float64)
    instance = _elementwise(
        lambda y, poison: torch.cos(y) + poison[:, None], torch.zeros(6, 3).double(), [DOTTIE], 0.7, poison
    )
    instance.roots[~poison.isfinite()] = math.nan
    return instance


def _mixed() -> Instance:
    rates = torch.tensor([0.0, 0.5, -0.95, 0.9, 0.99, 1.5, -3.0, 1.0], dtype=torch.float64)
    instance = _elementwise(
        lambda y, rate: rate[:, None] * y + 1, torch.zeros(len(rates), 2).double(), [0.0], 100.0, rates
    )
    roots = torch.where(rates == 1, math.nan, 1 / (1 - rates))
    return Instance(instance.f, instance.y0, (rates,), roots[:, None, None].expand(-1, 1, 2), 100.0)


class Noisy(Function):
    """``A y + b`` with a deviation that is drawn anew at each evaluation, and the same for the same one.

    Args:
        evaluation: Number of the evaluation.
    """

    amplitude = 1e-3

    def __init__(self, evaluation: int = 0) -> None:
        self._evaluation = evaluation

    def at_evaluation(self, number: int) -> Noisy:
        """Return f as it is at one evaluation."""
        return Noisy(number)

    def __call__(self, y: Tensor, *rows: Tensor) -> Tensor:
        """Return f ``[b, N]``."""
        matrix, offset, phase = rows
        place = torch.arange(y.shape[1], dtype=y.dtype, device=y.device)
        deviation = torch.sin(1e3 * (self._evaluation + 1) * (phase[:, None] + 1) + 77.0 * place)
        return affine(y, matrix, offset) + self.amplitude * deviation


def _noisy() -> Instance:
    clean = linear(_symmetric([0.5, -0.5, 0.3]))
    args = *clean.args, _count(len(clean.y0))
    noise = Noisy.amplitude * math.sqrt(clean.y0.shape[1])
    return Instance(Noisy(), clean.y0, args, clean.roots, clean.conditioning, noise)


def _quantum(encoding: str) -> Callable[[], Instance]:
    def make() -> Instance:
        f, y0, rows = qdeq_problems.instance(encoding)
        roots = torch.tensor(qdeq_problems.ROOTS[encoding], dtype=torch.float64)[:, None]
        return Instance(f, y0, rows, roots, qdeq_problems.CONDITIONING)

    return make


PROBLEMS = (
    FixedPointProblem(
        "contraction",
        "A y + b; A symmetric, eigenvalues 0.5, -0.5, 0.3, -0.2, 0",
        "(1 - A)⁻¹ b",
        "convergence",
        lambda: linear(_symmetric([0.5, -0.5, 0.3, -0.2, 0.0])),
        required=True,
    ),
    FixedPointProblem(
        "slow-contraction",
        "A y + b; A symmetric, eigenvalues 0.9, -0.9, 0.8, 0.1",
        "(1 - A)⁻¹ b",
        "convergence, in more steps",
        lambda: linear(_symmetric([0.9, -0.9, 0.8, 0.1])),
        required=True,
    ),
    FixedPointProblem("cosine", "cos y, N = 3", "0.7390851...", "convergence, not linear", _cosine, required=True),
    FixedPointProblem(
        "rotation-0.95",
        "0.95 R(1) y + b, the plane turned by 1 rad",
        "(1 - A)⁻¹ b",
        "a complex pair near radius 1",
        lambda: linear(_rotation(0.95)),
    ),
    FixedPointProblem(
        "rotation-1.05",
        "1.05 R(1) y + b",
        "(1 - A)⁻¹ b",
        "beyond radius 1: plain iteration spirals out, a root finder does not",
        lambda: linear(_rotation(1.05)),
    ),
    FixedPointProblem(
        "rotation-3", "3 R(1) y + b", "(1 - A)⁻¹ b", "far beyond radius 1", lambda: linear(_rotation(3.0))
    ),
    FixedPointProblem(
        "stiff",
        "diag(0.999, 0.9, 0, -0.9, -3) y + b",
        "(1 - A)⁻¹ b",
        "rates that differ a thousandfold",
        lambda: linear(torch.diag(torch.tensor([0.999, 0.9, 0.0, -0.9, -3.0], dtype=torch.float64))),
    ),
    FixedPointProblem(
        "non-normal",
        "[[0.5, 100], [0, 0.4]] y + b",
        "(1 - A)⁻¹ b",
        "radius 0.5, norm 100: residuals grow before they fall",
        lambda: linear([[0.5, 100.0], [0.0, 0.4]]),
    ),
    FixedPointProblem("several-roots", "tanh 3y, N = 1", "0 and ±0.9949015...", "any one of them", _several_roots),
    FixedPointProblem(
        "no-root", "y + 1 + c y², c = 0, 1, 4, N = 2", "none: the residual is at least √2", "to say so", _no_root
    ),
    FixedPointProblem(
        "domain", "-log y, N = 1", "0.5671432...", "f is NaN for y < 0, where plain iteration leads", _domain
    ),
    FixedPointProblem(
        "non-finite",
        "cos y + c, c = 0, NaN, 0, ∞, -∞, 0, N = 3",
        "0.7390851... where c = 0, else none",
        "bad samples are named, the others solved",
        _non_finite,
        required=True,
    ),
    FixedPointProblem(
        "mixed-difficulty",
        "r y + 1, r = 0, 0.5, -0.95, 0.9, 0.99, 1.5, -3, 1, N = 2",
        "1 / (1 - r), none for r = 1",
        "samples that end at different steps",
        _mixed,
    ),
    FixedPointProblem(
        "noisy",
        "a contraction + 10⁻³ sin(...), other at each evaluation",
        "(1 - A)⁻¹ b, to within the noise",
        "to claim no more than was measured",
        _noisy,
    ),
    FixedPointProblem(
        "qdeq-amplitude",
        "a QDEQ: 4 qubits, amplitude encoding, the paper's ansatz, native simulator",
        "6 equilibria, from an independent simulator and SciPy",
        "the real thing, radius 0.35 to 0.65",
        _quantum("amplitude"),
    ),
    FixedPointProblem(
        "qdeq-angle",
        "the same with angle encoding",
        "6 equilibria, likewise",
        "the real thing, radius 0.46 to 1.20",
        _quantum("angle"),
    ),
)
"""The table, the easy ones first."""
