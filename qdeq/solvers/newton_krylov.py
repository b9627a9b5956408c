"""Newton's method without a Jacobian: directional differences of f, and a Krylov method for the linear systems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.linalg import norm
from scipy.sparse.linalg import LinearOperator, lgmres
from torch import Tensor

from qdeq.solvers.base import SOLVER_CONFIG, Problem, Solver

Vector = NDArray[np.float64]


class NewtonKrylovState(NamedTuple):
    """What a step needs of the one before, for b samples with N components.

    Attributes:
        y: ``[b, N]``, the last accepted iterate.
        g: ``[b, N]``, ``f(y) - y`` there.
        s: ``[b, N]``, the step that is tried from it, undamped.
        size: ``[b]``, the norm of g that the next one is held against; inf where the next trial is accepted unseen.
        t: ``[b]``, damping.
        forcing: ``[b]``, η: how far the linear system was solved.
    """

    y: Tensor
    g: Tensor
    s: Tensor
    size: Tensor
    t: Tensor
    forcing: Tensor


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class NewtonKrylov(Solver):
    """Solve g(y) = f(y) - y = 0 by ``y <- y + t s`` with ``||(1 - J) s - g|| <= η ||g||``, J being never formed.

    The inner solver (GMRES, from SciPy) asks only for products ``J v``, and each is a forward difference
    ``(f(y + ε v) - f(y)) / ε`` that costs its sample one evaluation. ε balances truncation and rounding:
    ``ε ||v|| = (1 + ||y||) sqrt(u)`` with u the rounding unit of y's precision. So f needs no derivative, and a product
    is good to about ``sqrt(u)``: convergence is quadratic until then, and linear at that rate afterwards.

    η follows the residual (Eisenstat and Walker's choice 2, ``η = 0.9 (||g|| / ||g_before||)²``), so that nothing is
    paid for accuracy that the linear model does not have or the tolerance does not ask for. A step is accepted when
    ``||g||`` falls by the part ``decrease (1 - η) t``; otherwise t is halved and the same step tried again from the
    same iterate. Where t would fall below ``min_damping``, one plain step ``y <- f(y)`` is taken, whatever its
    residual: near a minimum of ``||g||`` that is no root, further halving only crawls towards it.

    Each sample's linear systems are solved by themselves, one call of f at a time. So this is the method for large N
    and a strongly coupled f; where f costs little more for a whole batch than for one sample, the others take less
    time.

    Sources: D. A. Knoll and D. E. Keyes, J. Comput. Phys. 193, 357 (2004); S. C. Eisenstat and H. F. Walker, SIAM J.
    Sci. Comput. 17, 16 (1996), for η and the damping; C. T. Kelley, Iterative Methods for Linear and Nonlinear
    Equations (SIAM 1995), section 6.3, for the floor of η.
    """

    differentiable: ClassVar[bool] = False  # the linear systems are solved by SciPy

    krylov: Annotated[
        int, Field(ge=1, description="Most inner iterations of a step, at one evaluation each; never more than N.")
    ] = 20
    forcing: Annotated[
        float, Field(gt=0, lt=1, description="First η, and the largest: relative accuracy of the linear systems [1].")
    ] = 0.1
    decrease: Annotated[
        float, Field(gt=0, lt=1, description="Part of the full step's predicted decrease that is asked for [1].")
    ] = 1e-3
    min_damping: Annotated[float, Field(gt=0, le=1, description="Damping below which a plain step is taken [1].")] = 0.5

    @property
    def evaluations_per_step(self) -> int:
        """The loop's own, and one for each inner iteration."""
        return 1 + self.krylov

    def init(self, y0: Tensor, f0: Tensor) -> NewtonKrylovState:
        """Return a state in which y0 is accepted, whatever its residual."""
        zero, number = torch.zeros_like(y0), y0.new_ones(len(y0))
        return NewtonKrylovState(zero, zero, zero, number * torch.inf, number, number * self.forcing)

    def step(
        self, problem: Problem, state: NewtonKrylovState, y: Tensor, fy: Tensor
    ) -> tuple[Tensor, NewtonKrylovState]:
        """Return the next trial ``[b, N]``: a Newton step where the last one was good, else a shorter one."""
        g = fy - y
        size = torch.linalg.vector_norm(g, dim=1)
        accepted = size <= (1 - self.decrease * (1 - state.forcing) * state.t) * state.size
        stuck = ~accepted & (state.t / 2 < self.min_damping)
        forcing = torch.where(accepted, self._forcing(state, fy, size), state.forcing)

        base, residual = (torch.where(accepted[:, None], new, old) for new, old in ((y, state.y), (g, state.g)))
        s = torch.where(stuck[:, None], state.g, state.s)
        for row in accepted.nonzero().squeeze(1):
            s[row] = self._newton_step(problem, row[None], y[row], fy[row], float(forcing[row]))
        t = torch.where(accepted | stuck, 1.0, state.t / 2)
        held = torch.where(stuck, torch.inf, torch.where(accepted, size, state.size))
        return base + t[:, None] * s, NewtonKrylovState(base, residual, s, held, t, forcing)

    def _forcing(self, state: NewtonKrylovState, fy: Tensor, size: Tensor) -> Tensor:
        """Return η ``[b]`` for iterates with ``||g|| = size`` that were accepted."""
        eta = 0.9 * (size / state.size) ** 2  # 0 after a trial that was accepted unseen
        slow = 0.9 * state.forcing**2
        eta = torch.where(slow > 0.1, torch.maximum(eta, slow), eta)  # η must not fall at once after one lucky step
        tolerance = self.atol + self.rtol * torch.linalg.vector_norm(fy, dim=1)
        eta = torch.maximum(eta, tolerance / (2 * size)).clamp_min(torch.finfo(fy.dtype).eps ** 0.5)
        return torch.where(state.size.isinf(), self.forcing, eta.clamp_max(self.forcing))

    def _newton_step(self, problem: Problem, row: Tensor, y: Tensor, fy: Tensor, forcing: float) -> Tensor:
        """Return s ``[N]`` with ``||(1 - J) s - g|| <= forcing ||g||`` for one sample; g where there is none."""
        g = fy - y
        unit = torch.finfo(y.dtype).eps
        size, size_f = (float(torch.linalg.vector_norm(x)) for x in (y, fy))

        def product(v: Vector) -> Vector:
            """Return ``(1 - J) v``; 0 where it cannot be told from rounding, or is not finite: no way to go."""
            if not v.any():
                return v  # lgmres asks for the residual of its first guess, which is 0
            epsilon = (1 + size) * unit**0.5 / float(norm(v))
            moved = y + epsilon * torch.as_tensor(v, dtype=y.dtype, device=y.device)
            difference = (problem.evaluate(row, moved[None])[0] - fy).double().cpu().numpy()
            result = v - difference / epsilon
            rounding = 2 * unit * (size + size_f) / epsilon
            return result if rounding < norm(result, check_finite=False) < np.inf else np.zeros_like(v)

        found = _krylov(product, g.double().cpu().numpy(), self.krylov, forcing)
        s = torch.as_tensor(found, dtype=y.dtype, device=y.device)
        return s if bool(s.isfinite().all() & s.any()) else g


def _krylov(product: Callable[[Vector], Vector], target: Vector, iterations: int, rtol: float) -> Vector:
    """Return s that minimises ``||product(s) - target||`` over a Krylov space, as soon as that is ``rtol ||target||``.

    One cycle of SciPy's LGMRES without vectors of earlier cycles is GMRES. Unlike SciPy's own GMRES it ends without a
    product to measure the residual again, which the next evaluation of f does anyway.
    """
    size = len(target)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    s: Vector = lgmres(operator, target, rtol=rtol, atol=0.0, maxiter=1, inner_m=min(iterations, size), outer_k=0)[0]
    return s
