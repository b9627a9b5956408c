"""Jacobians of a fixed-point function, and what they say about it.

Everything is per sample and in the space of the state y that is solved for (for a QDEQ: the measurement space).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from qdeq.functions import as_function, flattened, require_autograd


def jacobian(f: Callable[..., Tensor], y: Tensor, args: Sequence[Tensor] = (), *, create_graph: bool = False) -> Tensor:
    """Return ``∂f/∂y`` as ``[B, N, N]``, N being the size of one sample's state.

    Args:
        f: ``f(y, *args)`` on ``[B, *S]``, each sample by itself: a :class:`~qdeq.functions.Function`, or a plain
            callable, which takes one evaluation and N vector-Jacobian products.
        y: ``[B, *S]``.
        args: Tensors with the batch first.
        create_graph: Whether the result can be differentiated, in y too where that has a graph.

    Raises:
        NotDifferentiable: f has no Jacobian of its own, and its value does not depend on y through autograd.
    """
    batch, size = len(y), math.prod(y.shape[1:])
    options = {"create_graph": True} if create_graph else {}  # nobody needs to take it who has no graph to give
    return as_function(f).jacobian(y, *args, **options).reshape(batch, size, size)


def vjp(
    f: Callable[..., Tensor], y: Tensor, cotangent: Tensor, args: Sequence[Tensor] = (), *, create_graph: bool = False
) -> Tensor:
    """Return ``uᵀ ∂f/∂y`` ``[B, *S]`` for cotangents u ``[B, *S]``; other arguments as in :func:`jacobian`."""
    require_autograd()
    with torch.enable_grad():
        leaf = y.detach().requires_grad_()
        (product,) = torch.autograd.grad(f(leaf, *args), leaf, cotangent, create_graph=create_graph)
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
    return flattened(vjp(f, y, probe, args, create_graph=create_graph)).square().sum(dim=1)


def spectral_radius(matrix: Tensor) -> Tensor:
    """Return the largest modulus ``[B]`` of the eigenvalues of matrices ``[B, N, N]``, complex pairs included."""
    return torch.linalg.eigvals(matrix).abs().amax(dim=1)


def spectral_norm(matrix: Tensor) -> Tensor:
    """Return ``||J||_2`` ``[B]`` of matrices ``[B, N, N]``; below 1, f is a contraction near this point."""
    return torch.linalg.matrix_norm(matrix, ord=2)
