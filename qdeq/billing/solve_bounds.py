"""How much more a step may ask for than one whose solves end at once, from the options of solvers and adjoints alone.

Nothing is taken from made-up answers: on these no solver does what it does on a real f. So a bound holds for every f,
and is loose where an option is: with ``max_steps: 50`` it is a solve of 50 steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from qdeq.adjoints import Adjoint, GmresAdjoint, IterativeAdjoint, UnrolledAdjoint
from qdeq.adjoints.implicit import ImplicitAdjoint
from qdeq.equilibrium import Equilibrium
from qdeq.solvers import NewtonKrylov, Solver, solve

Length = Literal["least", "typical", "most"]

TYPICAL_STEPS = 8
"""Steps of a solve that tests for convergence, where one number is needed: to choose between two ways."""


@dataclass(frozen=True)
class Surplus:
    """What one sample's solve and its gradient take beyond one evaluation, and a backward solve that ends at once.

    Attributes:
        evaluations: Of f, each where it was not evaluated before.
        jacobians: Of f, likewise.
        products: Vector-Jacobian products at the equilibrium, each with another vector.
        pullbacks: Vector-Jacobian products where f was evaluated on the way, the weights' gradient with them.
    """

    evaluations: int = 0
    jacobians: int = 0
    products: int = 0
    pullbacks: int = 0


def shorten(layer: Equilibrium) -> None:
    """Change a layer so that a solve ends at its first iterate, and a backward solve at its first product.

    Phantom gradients have a fixed number of products, and keep it.
    """
    layer.solver, layer.fallback, layer.fixed_steps = _at_once(_members(layer.solver)[0]), (), None
    layer.on_failure = "warn"
    if isinstance(layer.adjoint, IterativeAdjoint):
        layer.adjoint = replace(layer.adjoint, solver=_at_once(_members(layer.adjoint.solver)[0]))
    elif isinstance(layer.adjoint, GmresAdjoint):
        layer.adjoint = replace(layer.adjoint, rtol=1e30)


def forward_surplus(layer: Equilibrium, size: int, shots: int | None, length: Length, *, known: bool) -> Surplus:
    """Return what the forward solve of a sample takes beyond that of a shortened layer.

    Args:
        layer: As it is, not shortened.
        size: Of a sample's state.
        shots: Of an evaluation; None for exact ones.
        length: How long the solve is.
        known: Whether a Jacobian at the solution, formed after the solve, is known where the solver formed it.
    """
    solvers = (layer.solver,) if layer.fixed_steps is not None else (layer.solver, *layer.fallback)
    members = [_no_wider(member, size) for solver in solvers for member in _members(solver)]
    if length == "least":
        steps = layer.fixed_steps or 0
        return Surplus(steps, _jacobians_per_step(members[0]) * (max(0, steps - 1) if known else steps))
    if length == "typical" and layer.fixed_steps is None:
        members = [replace(members[0], max_steps=min(members[0].max_steps, TYPICAL_STEPS))]
    bounded = Equilibrium(
        members[0],
        on_failure="fallback" if members[1:] else "warn",
        fallback=members[1:],
        first_shots=layer.first_shots,
        shots_growth=layer.shots_growth,
    )
    return Surplus(
        bounded.most_evaluations(shots) - 1,
        sum(member.max_steps * _jacobians_per_step(member) for member in members),
    )


def backward_surplus(layer: Equilibrium, size: int, shots: int | None, length: Length) -> Surplus:
    """Return what the gradient of a sample takes beyond that of a shortened layer; see :func:`forward_surplus`."""
    adjoint = layer.adjoint
    if length == "least":
        return Surplus()
    if isinstance(adjoint, UnrolledAdjoint):  # one for each step that led to the best iterate
        capped = length == "typical" and layer.fixed_steps is None
        steps = min(layer.solver.max_steps, TYPICAL_STEPS) if capped else layer.solver.max_steps
        return Surplus(pullbacks=steps + (shots is not None))  # and one for what was measured there
    if length == "typical":
        return Surplus()
    return Surplus(products=_most_products(adjoint, size), jacobians=int(_may_need_a_jacobian(layer)))


def _most_products(adjoint: Adjoint, size: int) -> int:
    """Return how many products an adjoint may take beyond the one that a shortened one takes."""
    if isinstance(adjoint, IterativeAdjoint):
        members = [_no_wider(member, size) for member in _members(adjoint.solver)]
        return sum(member.most_evaluations for member in members) - 1
    if isinstance(adjoint, GmresAdjoint):  # SciPy measures the residual after each cycle, by one product more
        return adjoint.max_restarts * (min(adjoint.restart, size) + 1)
    return 0


def _may_need_a_jacobian(layer: Equilibrium) -> bool:
    """Whether the backward solve may form the Jacobian: its solver does, or the dense solve may take its place."""
    adjoint = layer.adjoint
    if isinstance(adjoint, IterativeAdjoint) and any(map(_jacobians_per_step, _members(adjoint.solver))):
        return True
    return layer.on_failure == "fallback" and isinstance(adjoint, ImplicitAdjoint) and adjoint.falls_back


def _members(solver: Solver) -> tuple[Solver, ...]:
    """Return the solvers that a list of solvers tries in turn; one alone as it is."""
    members: tuple[Solver, ...] = getattr(solver, "members", (solver,))
    return members


def _at_once(solver: Solver) -> Solver:
    """Return the solver with a tolerance that is met by its first iterate."""
    return replace(solver, rtol=0.0, atol=1e30)


def _no_wider(solver: Solver, size: int) -> Solver:
    """Return the same solver with no more inner iterations than a system of this size can take."""
    if isinstance(solver, NewtonKrylov):
        return replace(solver, krylov=min(solver.krylov, size))
    return solver


def _jacobians_per_step(solver: Solver) -> int:
    """Return how many Jacobians a step forms, as seen on a contraction of one variable."""
    once: Any = replace(solver, max_steps=1, rtol=0.0, atol=0.0)
    return int(solve(once, _halved, torch.ones(1, 1, dtype=torch.float64)).jacobians.max())


def _halved(y: Tensor) -> Tensor:
    return 0.5 * y.cos()
