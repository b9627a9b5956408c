"""What the Jacobian at an equilibrium says of it, and how many equilibria there are.

Everything is per sample and in the space of the state y that is solved for (for a QDEQ: the measurement space). The
spectral radius is the same number in the paper's larger space; norms, and so the certificate, are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qdeq.jacobians import jacobian, spectral_norm, spectral_radius
from qdeq.seeds import torch_generator
from qdeq.solvers import Solver, solve


@dataclass(frozen=True, eq=False)
class Stability:
    """Figures of B Jacobians ``J = ∂f/∂y``, each ``[B]`` float64 on the host; inf where a Jacobian is not finite.

    Attributes:
        spectral_radius: Largest modulus of J's eigenvalues, complex pairs included.
        norm: ``||J||_2``, J's largest singular value; never less than the spectral radius.
        sensitivity: ``||(1 - J)^-1||_2``. To first order the state's error is at most this times its residual; inf
            where ``1 - J`` is singular.
    """

    spectral_radius: Tensor
    norm: Tensor
    sensitivity: Tensor

    @classmethod
    def of(cls, jacobians: Tensor) -> Stability:
        """Analyse Jacobians ``[B, N, N]``; see :func:`stability`."""
        # LAPACK takes the small matrices of a batch one by one, slowly on a GPU, and refuses any that is not finite
        matrices = jacobians.detach().to("cpu", torch.float64)
        finite = matrices.isfinite().all(dim=(1, 2))
        matrices = torch.where(finite[:, None, None], matrices, 0.0)
        identity = torch.eye(matrices.shape[1], dtype=torch.float64)
        smallest = torch.linalg.svdvals(identity - matrices)[:, -1]
        figures = (spectral_radius(matrices), spectral_norm(matrices), 1 / smallest)
        return cls(*(torch.where(finite, figure, math.inf) for figure in figures))

    @classmethod
    def join(cls, parts: Sequence[Stability]) -> Stability:
        """Put batches together."""
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])})

    @property
    def attracting(self) -> Tensor:
        """``[B]`` bool: the spectral radius is below 1, so that plain iteration converges from close enough."""
        return self.spectral_radius < 1

    @property
    def contracting(self) -> Tensor:
        """``[B]`` bool: ``||J||_2 < 1``, the certificate.

        It certifies, at an equilibrium y*, that f is a contraction of some neighbourhood of y* in the 2-norm of
        y-space: plain iteration from there converges to y* and every step brings it closer, y* is the only equilibrium
        there, and the error of a state is at most ``1 / (1 - ||J||_2)`` times its residual, to first order. It is
        sufficient for the radius to be below 1, and not necessary.

        It does not certify that there is no other equilibrium, how far the neighbourhood reaches, that a solve from y0
        ends there, or that f contracts in another norm or in the space of the features.
        """
        return self.norm < 1

    def map(self, change: Callable[[Tensor], Tensor]) -> Stability:
        """Return the figures with each of the three tensors changed."""
        return Stability(**{name: change(figure) for name, figure in vars(self).items()})

    def summary(self) -> str:
        """Return two lines: the figures, and how many samples are attracting and certified."""
        size = len(self.norm)
        if not size:
            return "no samples"
        rows = (
            ("spectral radius", self.spectral_radius),
            ("||J||_2", self.norm),
            ("||(1 - J)^-1||_2", self.sensitivity),
        )
        figures = "; ".join(f"{name} {float(row.mean()):.3g} (at most {float(row.max()):.3g})" for name, row in rows)
        return (
            f"{figures}\n{int(self.attracting.sum())} of {size} samples attract plain iteration (radius < 1), "
            f"{int(self.contracting.sum())} are certified (||J||_2 < 1 in y-space)"
        )


def stability(f: Callable[..., Tensor], y: Tensor, args: Sequence[Tensor] = ()) -> Stability:
    """Analyse ``J = ∂f/∂y`` at states.

    Args:
        f: ``f(y, *args)`` on ``[B, *S]``, each sample by itself; differentiable or with a ``jacobian`` of its own.
        y: ``[B, *S]``, equilibria. Elsewhere the figures describe f near y, and certify nothing.
        args: Tensors with the batch first.

    Raises:
        NotDifferentiable: f has no ``jacobian``, and its value does not depend on y through autograd.
    """
    with torch.no_grad():
        return Stability.of(jacobian(f, y, args))


SAFETY = 2.0
"""Room for what the first-order bound on a solve's error leaves out (see :func:`equilibria`)."""

ROUNDING = 10.0
"""Units in the last place to which f, and so a residual, is known."""

LOST = -1
"""Stands in :attr:`Equilibria.label` where the solve failed."""


@dataclass(frozen=True, eq=False)
class Equilibria:
    """What solves from S starts found for each of B samples.

    Attributes:
        value: ``[B, S, *shape]``, where each solve ended.
        label: ``[B, S]`` int64: the first start that found the same equilibrium, or ``LOST`` where the solve failed.
        stability: Figures ``[B, S]`` at ``value``.
    """

    value: Tensor
    label: Tensor
    stability: Stability

    @property
    def distinct(self) -> Tensor:
        """``[B, S]`` bool: one start for each equilibrium of a sample, the first that found it."""
        return self.label == torch.arange(self.label.shape[1])

    @property
    def count(self) -> Tensor:
        """``[B]``: equilibria found; there may be others that no start leads to."""
        return self.distinct.sum(dim=1)

    @property
    def attracting(self) -> Tensor:
        """``[B]``: those of them with a spectral radius below 1."""
        return (self.distinct & self.stability.attracting).sum(dim=1)

    @property
    def failed(self) -> Tensor:
        """``[B]``: starts from which the solve failed."""
        return (self.label == LOST).sum(dim=1)

    def starts(self, sample: int) -> dict[int, int]:
        """Return for each equilibrium of a sample, named by its label, how many starts led to it."""
        labels = self.label[sample].tolist()
        return {label: labels.count(label) for label in sorted(set(labels) - {LOST})}

    def summary(self) -> str:
        """Return a line for each number of equilibria, and one for the solves that failed."""
        size, starts = self.label.shape
        counts = self.count.tolist()
        lines = []
        for number in sorted(set(counts)):
            rows = self.count == number
            lines.append(
                f"{counts.count(number)} of {size} samples: {number} equilibria found from {starts} starts, "
                f"{int(self.attracting[rows].sum())} of {number * counts.count(number)} attracting"
            )
        lines.append(f"{int(self.failed.sum())} of {size * starts} solves did not converge")
        return "\n".join(lines)

    @classmethod
    def join(cls, parts: Sequence[Equilibria]) -> Equilibria:
        """Put batches with the same number of starts together."""
        values, labels = torch.cat([part.value for part in parts]), torch.cat([part.label for part in parts])
        return cls(values, labels, Stability.join([part.stability for part in parts]))


def cube_starts(count: int, size: int, seed: int, *, like: Tensor | None = None) -> Tensor:
    """Return first iterates ``[count, size]``: zero, then uniform in ``[-1, 1]``, where Pauli expectations lie.

    Args:
        count: How many. The first of them are the same for every count.
        size: n, the length of a state.
        seed: Root of the random stream.
        like: A tensor of the wanted type and device; float32 on the CPU by default.
    """
    drawn = 2 * torch.rand(count - 1, size, generator=torch_generator(seed, "starts"), dtype=torch.float64) - 1
    starts = torch.cat([torch.zeros(1, size, dtype=torch.float64), drawn])
    return starts.float() if like is None else starts.to(like)


def equilibria(f: Callable[..., Tensor], starts: Tensor, args: Sequence[Tensor] = (), *, solver: Solver) -> Equilibria:
    """Solve from several starts, and tell the equilibria found apart.

    A solve that converged has a residual of at most ``r = atol + rtol ||y||``, so its error is at most
    ``e = ||(1 - J)^-1||_2 r`` to first order, whatever the solver. Two solves have found the same equilibrium where
    their distance is at most :data:`SAFETY` times the sum of their errors, or where a chain of such pairs joins them.
    So the number of equilibria is a lower bound: some may lie too close for the tolerance (where ``1 - J`` is singular
    nothing can be told apart), and some may be where no start leads. Plain iteration finds attracting ones only; Newton
    and Broyden find both kinds.

    Args:
        f: ``f(y, *args)`` on ``[B, *shape]``, each sample by itself; differentiable or with a ``jacobian`` of its own.
        starts: ``[S, *shape]``, first iterates, the same for each sample; see :func:`cube_starts`.
        args: Tensors with the batch first, B samples; none for one sample.
        solver: What solves; its tolerances are those above.
    """
    count, size = len(starts), len(args[0]) if args else 1
    rows = tuple(arg.repeat_interleave(count, dim=0) for arg in args)
    solution = solve(solver, f, starts.expand(size, *starts.shape).flatten(0, 1), rows)

    def grid(tensor: Tensor) -> Tensor:
        return tensor.to("cpu").unflatten(0, (size, count))

    figures, found, value = stability(f, solution.value, rows).map(grid), grid(solution.converged), grid(solution.value)
    state = value.flatten(2).double()
    rtol = solver.rtol + ROUNDING * torch.finfo(value.dtype).eps
    error = figures.sensitivity * (solver.atol + rtol * state.norm(dim=2))
    distance = (state[:, :, None] - state[:, None]).norm(dim=3)
    near = distance <= SAFETY * (error[:, :, None] + error[:, None])
    label = _components(near & found[:, :, None] & found[:, None])
    return Equilibria(value, torch.where(found, label, LOST), figures)


def _components(near: Tensor) -> Tensor:
    """Return the smallest member ``[B, S]`` of each one's connected component in symmetric graphs ``[B, S, S]``."""
    number = torch.arange(near.shape[1])
    label = number.expand(near.shape[:2])
    for _ in range(near.shape[1]):  # a label travels one edge at a time
        lower = torch.where(near, label[:, None], near.shape[1]).amin(dim=2).minimum(label)
        if torch.equal(lower, label):
            break
        label = lower
    return label
