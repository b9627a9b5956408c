"""Newton's method with the exact Jacobian, damped, and handed over to Broyden's update where damping fails."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.solvers.base import SOLVER_CONFIG, Problem, Solver


class NewtonState(NamedTuple):
    """What a step needs of the one before, for b samples with N components.

    Attributes:
        y0: ``[b, N]``, first iterate.
        y: ``[b, N]``, the last accepted iterate.
        g: ``[b, N]``, ``f(y) - y`` there.
        s: ``[b, N]``, the step that was taken from it, undamped.
        size: ``[b]``, the norm of g that the next one is held against; inf before the first step.
        t: ``[b]``, damping.
        lost: ``[b]`` bool, where Newton gave up and Broyden's update goes on.
        inverse: ``[b, N, N]``, Broyden's inverse Jacobian of g.
        terms: ``[b]``, updates of it since its last restart; -1 where it has no iterate to start from.
    """

    y0: Tensor
    y: Tensor
    g: Tensor
    s: Tensor
    size: Tensor
    t: Tensor
    lost: Tensor
    inverse: Tensor
    terms: Tensor


@dataclass(frozen=True, kw_only=True, config=SOLVER_CONFIG)
class Newton(Solver):
    """Solve g(y) = f(y) - y = 0 by ``y <- y + t s`` with ``(1 - J) s = g``.

    A step is accepted when ``||g||`` falls by the part ``decrease * t``; otherwise t is halved and the same step tried
    again from the same iterate. s is a direction of descent for ``||g||``, so this ends, unless the sample is caught
    where ``1 - J`` is singular and ``||g||`` has a minimum that is no root. With t below ``min_damping`` that is taken
    to be so, and the sample starts again from y0 with Broyden's good update (dense, as in
    :class:`~qdeq.solvers.Broyden`), which does not ask for descent: Newton reaches what Broyden reaches, some steps
    later.

    One evaluation and one Jacobian a step: free on compiled backends, n vector-Jacobian products on others.

    Sources: J. Nocedal, S. Wright, "Numerical Optimization", 2nd ed. (2006), section 11.2; C. G. Broyden, Math. Comp.
    19, 577 (1965).
    """

    decrease: Annotated[
        float, Field(gt=0, lt=1, description="Part of the full step's predicted decrease that is asked for [1].")
    ] = 1e-3
    min_damping: Annotated[
        float, Field(gt=0, le=1, description="Damping below which Broyden's update takes over [1].")
    ] = 1 / 64
    restart: Annotated[int, Field(ge=1, description="Broyden updates after which its Jacobian starts again.")] = 20

    def init(self, y0: Tensor, f0: Tensor) -> NewtonState:
        """Return a state in which y0 is accepted, whatever its residual."""
        zero, number = torch.zeros_like(y0), y0.new_ones(len(y0))
        lost = torch.zeros_like(number, dtype=torch.bool)
        inverse = -torch.eye(y0.shape[1], dtype=y0.dtype, device=y0.device).expand(len(y0), -1, -1)
        return NewtonState(y0, zero, zero, zero, number * torch.inf, number, lost, inverse, -number)

    def step(self, problem: Problem, state: NewtonState, y: Tensor, fy: Tensor) -> tuple[Tensor, NewtonState]:
        """Return the next trial ``[b, N]``: a Newton step where the last one was good, else a shorter one."""
        g = fy - y
        size = torch.linalg.vector_norm(g, dim=1)
        accepted = state.lost | (size <= (1 - self.decrease * state.t) * state.size)
        newly_lost = ~accepted & (state.t / 2 < self.min_damping)
        taken, lost = accepted[:, None], state.lost[:, None]

        full = state.terms >= self.restart
        rounding = torch.finfo(y.dtype).eps * (torch.linalg.vector_norm(y, dim=1) + torch.linalg.vector_norm(fy, dim=1))
        inverse = _broyden_update(state.inverse, full, y - state.y, g - state.g, rounding)
        inverse = torch.where((state.lost & (state.terms >= 0))[:, None, None], inverse, state.inverse)
        broyden = -(inverse * g[:, None]).sum(-1)
        newton = _newton_step(problem.jacobian(y), g)

        s = torch.where(lost, broyden, torch.where(taken, newton, state.s))
        t = torch.where(accepted | newly_lost, 1.0, state.t / 2)
        base = torch.where(taken, y, state.y)
        proposed = torch.where(newly_lost[:, None], state.y0, base + t[:, None] * s)
        following = NewtonState(
            y0=state.y0,
            y=base,
            g=torch.where(taken, g, state.g),
            s=s,
            size=torch.where(newly_lost, torch.inf, torch.where(accepted, size, state.size)),
            t=t,
            lost=state.lost | newly_lost,
            inverse=inverse,
            terms=torch.where(state.lost, torch.where(full, 1.0, state.terms + 1), -1.0),
        )
        return proposed, following


def _newton_step(jacobian: Tensor, g: Tensor) -> Tensor:
    """Return s with ``(1 - J) s = g``; the plain step g where there is none."""
    system = torch.eye(g.shape[1], dtype=g.dtype, device=g.device) - jacobian
    s, info = torch.linalg.solve_ex(system, g[..., None])
    solved = (info == 0)[:, None] & s.squeeze(-1).isfinite().all(dim=1, keepdim=True)
    return torch.where(solved, s.squeeze(-1), g)


def _broyden_update(inverse: Tensor, restart: Tensor, step: Tensor, change: Tensor, rounding: Tensor) -> Tensor:
    """Return H with ``H Δg = s`` for the step s and the change Δg of g, from -1 where ``restart``.

    H is left as it is where Δg is no longer than ``rounding [b]``.
    """
    fresh = -torch.eye(step.shape[1], dtype=step.dtype, device=step.device)
    inverse = torch.where(restart[:, None, None], fresh, inverse)
    h_dg = (inverse * change[:, None]).sum(-1)
    st_h = (inverse * step[..., None]).sum(1)
    denominator = (st_h * change).sum(-1)
    size = torch.linalg.vector_norm(change, dim=1)
    scale = torch.linalg.vector_norm(st_h, dim=1) * size
    # below the rounding error of the dot product even its sign is noise
    defined = (denominator.abs() > torch.finfo(step.dtype).eps * step.shape[1] * scale) & (size > rounding)
    factor = (step - h_dg) / torch.where(defined, denominator, 1.0)[:, None]
    return inverse + torch.where(defined[:, None, None], factor[..., None] * st_h[:, None], 0.0)
