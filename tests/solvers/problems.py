"""The table of fixed-point problems that every solver is run on, and the tolerances of these tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from qdeq.solvers import Anderson, Broyden, Fallback, Naive, Newton, NewtonKrylov, Solver

SOLVERS: dict[str, Solver] = {
    "naive": Naive(),
    "anderson": Anderson(),
    "broyden": Broyden(),
    "newton": Newton(),
    "newton-krylov": NewtonKrylov(),
    "fallback": Fallback(),
}
VARIANTS: dict[str, Solver] = {
    "broyden, bad": Broyden(update="bad"),
    "broyden, line search": Broyden(line_search="derivative-free"),
}
ALL = SOLVERS | VARIANTS
EVERY = frozenset(ALL)
ACCELERATED = EVERY - {"naive"}
DERIVATIVE_FREE = {name: solver for name, solver in ALL.items() if name != "newton"}
ONE_CALL_A_STEP = {name: solver for name, solver in ALL.items() if isinstance(solver, Naive | Anderson | Broyden)}

ROUNDING = 1e-12  # float64: what differs only in the order of a few dozen operations of size 1
EXACT_SYSTEM = 1e-9  # float64: after as many steps as theory says a linear system needs, rounding amplified by solves
TIGHT = 1e-12  # float64: the smallest absolute tolerance that qdeq promises to reach on well-conditioned problems
NEIGHBOUR = 10.0  # matmul f: a sample alone and in a batch differ by at most this multiple of conditioning x tolerance


@dataclass(frozen=True)
class Case:
    """A batch of problems.

    ``conditioning`` is an upper bound on ||(I - J)^-1||_2 near the roots: the error of a solution is at most that
    multiple of its residual. ``solvable`` names the solvers that must converge within their default budget, on the
    samples ``good`` (all by default); the others must say that they failed.
    """

    name: str
    f: Callable[..., Tensor]
    y0: Tensor
    args: tuple[Tensor, ...] = ()
    root: Tensor | None = None
    conditioning: float = 1.0
    solvable: frozenset[str] = EVERY
    bad: tuple[int, ...] = field(default=())

    @property
    def good(self) -> list[int]:
        return [i for i in range(len(self.y0)) if i not in self.bad]


def affine(y: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    return (matrix @ y[..., None])[..., 0] + offset


def linear_case(name: str, matrix: Tensor, solvable: frozenset[str] = EVERY, batch: int = 5) -> Case:
    size = matrix.shape[0]
    offset = torch.randn(batch, size, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    inverse = torch.linalg.inv(torch.eye(size, dtype=torch.float64) - matrix)
    return Case(
        name=name,
        f=affine,
        y0=torch.zeros_like(offset),
        args=(matrix.expand(batch, size, size), offset),
        root=offset @ inverse.T,
        conditioning=float(torch.linalg.matrix_norm(inverse, 2)),
        solvable=solvable,
    )


def rotation(radius: float, angle: float = 1.0) -> Tensor:
    c, s = radius * math.cos(angle), radius * math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def contraction(size: int = 4, radius: float = 0.6) -> Tensor:
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return matrix * (radius / torch.linalg.eigvals(matrix).abs().max())


def scalar_affine(y: Tensor, rate: Tensor) -> Tensor:
    return rate[:, None] * y + 1


def poisoned(y: Tensor, poison: Tensor) -> Tensor:
    return torch.cos(y) + poison[:, None]


COSINE_ROOT = 0.7390851332151607  # Dottie's number
TANH3_ROOT = 0.9949015284526288  # the positive root of y = tanh(3 y)
RATES = torch.tensor([0.0, 0.5, -0.95, 0.9, 0.99, 1.5], dtype=torch.float64)
ZEROS = torch.zeros(5, 3, dtype=torch.float64)
NAN_IN_ONE = torch.tensor([0.0, 0.0, math.nan, 0.0, 0.0], dtype=torch.float64)
INF_IN_ONE = torch.tensor([0.0, -math.inf, 0.0, 0.0, 0.0], dtype=torch.float64)

CASES: list[Case] = [
    linear_case("linear contraction", contraction()),
    linear_case("rotation of radius 0.95", rotation(0.95), ACCELERATED),  # 0.95^50 = 0.08: too slow for plain iteration
    linear_case("rotation of radius 1.05", rotation(1.05), ACCELERATED),
    linear_case("stiff", torch.diag(torch.tensor([0.99, 0.9, 0.0, -0.9], dtype=torch.float64)), ACCELERATED),
    linear_case("non-normal", torch.tensor([[0.5, 10.0], [0.0, 0.4]], dtype=torch.float64)),
    linear_case("expansion", torch.tensor([[3.0, 1.0], [0.0, -2.0]], dtype=torch.float64), ACCELERATED),
    Case("cosine", torch.cos, ZEROS, root=torch.full_like(ZEROS, COSINE_ROOT)),
    Case(
        "several roots",
        lambda y: torch.tanh(3 * y),
        torch.tensor([[0.7], [-0.7]], dtype=torch.float64),
        root=torch.tensor([[TANH3_ROOT], [-TANH3_ROOT]], dtype=torch.float64),
        conditioning=1.1,
    ),
    Case("no root", lambda y: y + 1, ZEROS, solvable=frozenset()),
    Case("NaN in one sample", poisoned, ZEROS, (NAN_IN_ONE,), torch.full_like(ZEROS, COSINE_ROOT), bad=(2,)),
    Case("inf in one sample", poisoned, ZEROS, (INF_IN_ONE,), torch.full_like(ZEROS, COSINE_ROOT), bad=(1,)),
    Case(
        "mixed difficulty",
        scalar_affine,
        torch.zeros(6, 2, dtype=torch.float64),
        (RATES,),
        (1 / (1 - RATES))[:, None].expand(6, 2),
        conditioning=100.0,
        solvable=ACCELERATED,
    ),
]


class Counted:
    """f that counts, apart from the driver, how often each sample was evaluated, and keeps the iterates it was given.

    Samples are told apart by their index, which travels as the last of ``args``.
    """

    def __init__(self, f: Callable[..., Tensor], batch: int) -> None:
        self.f = f
        self.counts = [0] * batch
        self.iterates: list[list[Tensor]] = [[] for _ in range(batch)]

    def __call__(self, y: Tensor, *args: Tensor) -> Tensor:
        *args, index = args
        for row, sample in enumerate(index.tolist()):
            self.counts[sample] += 1
            self.iterates[sample].append(y[row].clone())
        return self.f(y, *args)
