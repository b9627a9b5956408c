"""Jacobians of a fixed-point function, and what they say about it.

Everything is per sample and in the space of the state y that is solved for (for a QDEQ: the measurement space).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class NotDifferentiable(ValueError):
    """f's value does not depend on y through autograd."""


def require_autograd() -> None:
    """Refuse to differentiate where autograd is switched off for good, and would find nothing but zeros.

    Raises:
        NotDifferentiable: Inference mode is on.
    """
    if torch.is_inference_mode_enabled():
        raise NotDifferentiable("derivatives by autograd need torch.no_grad() in place of torch.inference_mode().")


def jacobian(f: Callable[..., Tensor], y: Tensor, args: Sequence[Tensor] = (), *, create_graph: bool = False) -> Tensor:
    """Return ``∂f/∂y`` as ``[B, N, N]``, N being the size of one sample's state.

    Args:
        f: ``f(y, *args)`` on ``[B, *S]``, each sample by itself. Its own ``f.jacobian(y, *args)`` is
            used where it has one; otherwise one evaluation and N vector-Jacobian products are.
        y: ``[B, *S]``.
        args: Tensors with the batch first.
        create_graph: Whether the result can be differentiated, in y too where that has a graph; handed on to
            ``f.jacobian`` where it is set.

    Raises:
        NotDifferentiable: f has no ``jacobian``, and its value does not depend on y through autograd.
    """
    batch, size = len(y), math.prod(y.shape[1:])
    if hasattr(f, "jacobian"):
        own: Tensor = f.jacobian(y, *args, create_graph=True) if create_graph else f.jacobian(y, *args)
        return own.reshape(batch, size, size)
    require_autograd()
    with torch.enable_grad():
        leaf = y if create_graph and y.requires_grad else y.detach().requires_grad_()
        value = f(leaf.clone(), *args).reshape(batch, size)  # f may overwrite its argument
        if not value.requires_grad:
            raise NotDifferentiable("f(y) does not depend on y through autograd, so its Jacobian is unknown.")
        # Samples are independent, so the gradient of a sum over the batch holds each sample's own row.
        rows = [
            torch.autograd.grad(value[:, i].sum(), leaf, retain_graph=True, create_graph=create_graph)[0]
            for i in range(size)
        ]
    return torch.stack([row.reshape(batch, size) for row in rows], dim=1)


def vjp(
    f: Callable[..., Tensor], y: Tensor, cotangent: Tensor, args: Sequence[Tensor] = (), *, create_graph: bool = False
) -> Tensor:
    """Return ``uᵀ ∂f/∂y`` ``[B, *S]`` for cotangents u ``[B, *S]``; other arguments as in :func:`jacobian`."""
    require_autograd()
    with torch.enable_grad():
        leaf = y.detach().requires_grad_()
        (product,) = torch.autograd.grad(f(leaf, *args), leaf, cotangent, create_graph=create_graph)
    return product


def pullback(f: Callable[..., Tensor], y: Tensor, args: Sequence[Tensor] = ()) -> Callable[[Tensor], Tensor]:
    """Return ``u -> uᵀ ∂f/∂y`` on ``[B, *S]`` for as many u as one wants, from a single evaluation; without a graph.

    Raises:
        NotDifferentiable: f's value does not depend on y through autograd.
    """
    with torch.enable_grad():
        leaf = y.detach().requires_grad_()
        value = f(leaf.clone(), *args)  # f may overwrite its argument
    if not value.requires_grad:
        raise NotDifferentiable("f(y) does not depend on y through autograd, so its Jacobian is unknown.")

    def product(cotangent: Tensor) -> Tensor:
        return torch.autograd.grad(value, leaf, cotangent, retain_graph=True, materialize_grads=True)[0]

    return product


def squared_norm(matrix: Tensor) -> Tensor:
    """Return ``||J||_F²`` ``[B]`` of matrices ``[B, N, N]``."""
    return matrix.square().sum(dim=(1, 2))


def hutchinson_norm(
    f: Callable[..., Tensor],
    y: Tensor,
    args: Sequence[Tensor] = (),
    *,
    probe: Tensor | None = None,
    create_graph: bool = False,
) -> Tensor:
    """Return an unbiased estimate ``[B]`` of ``||J||_F²`` from one random vector: ``||εᵀJ||²``, ε standard normal.

    ε is ``probe``, of y's shape, and drawn from PyTorch's global generator if it is not given.

    M. F. Hutchinson, Commun. Stat. Simul. Comput. 18 (1989); for DEQs, S. Bai et al., ICML 2021.
    """
    probe = torch.randn_like(y) if probe is None else probe
    return vjp(f, y, probe, args, create_graph=create_graph).flatten(1).square().sum(dim=1)


def spectral_radius(matrix: Tensor) -> Tensor:
    """Return the largest modulus ``[B]`` of the eigenvalues of matrices ``[B, N, N]``, complex pairs included."""
    return torch.linalg.eigvals(matrix).abs().amax(dim=1)


def spectral_norm(matrix: Tensor) -> Tensor:
    """Return ``||J||_2`` ``[B]`` of matrices ``[B, N, N]``; below 1, f is a contraction near this point."""
    return torch.linalg.matrix_norm(matrix, ord=2)
