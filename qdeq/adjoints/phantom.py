"""Adjoints that solve the backward system in part, on purpose: cheaper, and biased."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.adjoints.base import ADJOINT_CONFIG, relative
from qdeq.adjoints.implicit import Cotangent, ImplicitAdjoint
from qdeq.adjoints.linearised import Linearised
from qdeq.functions import flattened


@dataclass(frozen=True, kw_only=True, config=ADJOINT_CONFIG)
class PhantomAdjoint(ImplicitAdjoint):
    """The gradient of k damped steps ``y <- (1 - λ) y + λ f(y)`` from the equilibrium held constant.

    All those steps stand at y*, so their gradient is ``u ∂f/∂θ`` with k terms of a Neumann series,

        ``u = λ g (1 + A + ... + A^{k-1})``, ``A = (1 - λ) + λ J``, and ``u (1 - J) = g (1 - A^k)``:

    what is missing of g is ``g A^k``. The recorded residual is its relative size, the gradient's bias: it falls with k
    at the rate of A's spectral radius, and grows where that is above 1. The series needs k - 1 vector-Jacobian products
    at the one evaluation that is recorded, however large k is.

    Z. Geng, X.-Y. Zhang, S. Bai, Y. Wang, Z. Lin, "On Training Implicit Models", NeurIPS 2021: damped unrolling and
    the Neumann series are the two forms that they give; at an equilibrium they are one.
    """

    steps: Annotated[int, Field(ge=1, description="Number k of damped steps.")] = 5
    damping: Annotated[float, Field(gt=0, le=1, description="Share λ of each step that is taken [dimensionless].")] = (
        0.5
    )
    measure: Annotated[
        bool, Field(strict=True, description="Record the residual, which takes one more vector-Jacobian product.")
    ] = True

    def solve(self, at: Linearised, g: Tensor) -> Cotangent:
        """Sum the series; see :meth:`ImplicitAdjoint.solve`. The only failure is a gradient that is not finite."""
        power, u = g, self.damping * g  # power is g A^j
        for _ in range(self.steps - 1):
            power = torch.lerp(power, at.pull_back(power), self.damping)
            u = u + self.damping * power
        missing = relative(torch.lerp(power, at.pull_back(power), self.damping), g) if self.measure else None
        return Cotangent(u, missing, ~flattened(u).isfinite().all(dim=1))


@dataclass(frozen=True, kw_only=True, config=ADJOINT_CONFIG)
class JacobianFreeAdjoint(ImplicitAdjoint):
    """``u = g``: the gradient of one application of f to the equilibrium held constant.

    The phantom gradient with one undamped step; what is missing of g is ``gJ``. Its authors prove it a direction of
    descent where f is a contraction and well conditioned, which a QDEQ need not be: the residual tells.

    S. Wu Fung, H. Heaton, Q. Li, D. McKenzie, S. Osher, W. Yin, "JFB: Jacobian-Free Backpropagation for Implicit
    Networks", AAAI 2022.
    """

    measure: Annotated[
        bool, Field(strict=True, description="Record the residual, which takes one vector-Jacobian product.")
    ] = True

    def solve(self, at: Linearised, g: Tensor) -> Cotangent:
        """Take g for u; see :meth:`ImplicitAdjoint.solve`."""
        return PhantomAdjoint(steps=1, damping=1.0, measure=self.measure).solve(at, g)
