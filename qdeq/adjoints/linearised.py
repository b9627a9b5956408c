"""f near the equilibrium as it was in the forward pass: its value, and products with its Jacobian.

The backward pass may come when the weights have moved on. So it never asks f again: J is taken from the graph that the
forward pass recorded, whose tensors PyTorch guards against changes, or from f's own Jacobian. That one may be asked for
later only where f is frozen.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.graph import Node

from qdeq.functions import Function, NotDifferentiable, flattened
from qdeq.jacobians import jacobian

_CHANGED = (
    "f is not what it was in the forward pass: something that it depends on was changed in place.\n"
    "Remedy: run backward before the optimiser's step, or the layer again after it."
)


class Linearised:
    """One evaluation of f, recorded, and J = ∂f/∂y there.

    Args:
        f: The function.
        y: ``[B, *S]``, where it is evaluated; constant.
        rows: f's other arguments.
        by_products: Whether products with J are all that is wanted of it.

    Attributes:
        value: ``[B, *S]``, f at y with its graph, which leads to whatever f depends on.
        trainable: Whether it leads anywhere but to y.
    """

    def __init__(self, f: Function, y: Tensor, rows: tuple[Tensor, ...], *, by_products: bool = False) -> None:
        self._f, self._y, self._rows = f, y, rows
        self._versions = _versions(rows)
        self._matrix: Tensor | None = None
        # where f runs circuits a product mostly costs a whole Jacobian; that of other functions may be a large matrix
        self._own = f.has_jacobian and not (by_products and (f.cheap_products or not f.frozen))
        self._leaf = y.detach().requires_grad_(not self._own)
        with torch.enable_grad():
            self.value = f(self._leaf.clone(), *rows)  # f may overwrite its argument
        self.trainable = self.value.requires_grad and (self._own or _leads_elsewhere(self.value, self._leaf))
        if self.trainable and self._own and not f.frozen:
            self.matrix()

    def matrix(self) -> Tensor:
        """Return J ``[B, N, N]``."""
        if self._matrix is None:
            batch, size = len(self._y), math.prod(self._y.shape[1:])
            if self._own:
                self._check_rows()
                # a copy: f may return what it keeps
                self._matrix = jacobian(self._f, self._y, self._rows).detach().clone()
            else:
                units = torch.eye(size, dtype=self._y.dtype, device=self._y.device)
                products = [self.pull_back(unit.expand(batch, -1).reshape(self._y.shape)) for unit in units]
                self._matrix = torch.stack([product.reshape(batch, size) for product in products], dim=1)
        return self._matrix

    def pull_back(self, u: Tensor) -> Tensor:
        """Return ``u J`` ``[B, *S]`` for u ``[B, *S]``."""
        if self._own:
            return (self.matrix() * flattened(u)[..., None]).sum(1).reshape(u.shape)
        found = torch.autograd.grad(self.value, self._leaf, u, retain_graph=True, allow_unused=True)[0]
        return self._where_constant(u) if found is None else found

    def pull_back_one(self, sample: int) -> Callable[[Tensor], Tensor]:
        """Return ``u -> u J`` ``[1, *S]`` for one sample alone, without the cost of the others.

        Raises:
            RuntimeError: f has changed since the forward pass.
        """
        one = slice(sample, sample + 1)
        if self._own:
            matrix = self.matrix()[sample]
            return lambda u: (flattened(u) @ matrix).reshape(u.shape)
        with torch.enable_grad():
            leaf = self._y[one].detach().requires_grad_()
            value = self._f(leaf.clone(), *(row[one] for row in self._rows))
        scale = torch.linalg.vector_norm(self.value[one].detach()) + torch.linalg.vector_norm(leaf.detach())
        off = torch.linalg.vector_norm((value - self.value[one]).detach())
        if not bool(off <= torch.finfo(value.dtype).eps ** 0.75 * scale):  # a batch of one may be rounded otherwise
            raise RuntimeError(_CHANGED)

        def product(u: Tensor) -> Tensor:
            found = torch.autograd.grad(value, leaf, u, retain_graph=True, allow_unused=True)[0]
            return self._where_constant(u) if found is None else found

        return product

    def _where_constant(self, u: Tensor) -> Tensor:
        """Return zeros where f does not depend on y at all.

        Raises:
            NotDifferentiable: It does, by other ways than autograd's.
        """
        with torch.no_grad():
            elsewhere = self._f(self._y + 0.1 * (1 + self._y.abs()), *self._rows)
        if not torch.equal(elsewhere, self.value):
            raise NotDifferentiable(
                "f(y) depends on y, but not through autograd (detached, or computed outside PyTorch).\n"
                "Its Jacobian is unknown. Keep y in the graph, or give f a method jacobian (class qdeq.Function)."
            )
        return torch.zeros_like(u)

    def _check_rows(self) -> None:
        if _versions(self._rows) != self._versions:
            raise RuntimeError(_CHANGED)


def _versions(rows: tuple[Tensor, ...]) -> list[int | None]:
    """Return how often each tensor was changed in place; None where PyTorch does not count."""
    return [None if row.is_inference() else row._version for row in rows]


def _leads_elsewhere(value: Tensor, leaf: Tensor) -> bool:
    """Whether a value's graph has another leaf."""
    if value.grad_fn is None:  # f returned what it was given
        return value is not leaf
    seen: set[Node] = set()
    pending: list[Node | None] = [value.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        ends = node.name() == "torch::autograd::AccumulateGrad"  # at a leaf
        if ends and node.variable is not leaf:  # type: ignore[attr-defined]
            return True
        pending += [following for following, _ in node.next_functions]
    return False
