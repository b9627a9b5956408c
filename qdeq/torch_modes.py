"""What PyTorch may do around a solve, and not within it: autocast, torch.compile, the transforms of torch.func.

Every entry that computes (the equilibrium layer, a circuit's function) is decorated by :func:`own_precision`:

- Under autocast it computes in the precision that it was given, like PyTorch's own sensitive layers (losses, norms,
  ``linalg``): tensors that autocast has made float16 or bfloat16 are taken as float32 again.
- ``torch.compile`` breaks its graph there, and runs it as it is: how often a solve loops depends on its data.
- A transform of ``torch.func`` is refused. Solves already work on a batch, and their gradient is that of autograd.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from qdeq.errors import UnsupportedError

P = ParamSpec("P")
R = TypeVar("R")

NO_TRANSFORMS = (
    "torch.func's transforms (grad, vmap, jacrev, ...) and batched gradients cannot follow a solve.\n"
    "Remedy: torch.autograd.grad, or torch.autograd.functional.jacobian without vectorize, for derivatives; and in "
    "place of vmap the batch, the first dimension of every input."
)
HALVES = (torch.float16, torch.bfloat16)
_DEVICES = ("cpu", "cuda")


class _Within(threading.local):
    entry = False


_within = _Within()


def refuse_tangents(tensors: Iterable[Any]) -> None:
    """Raise an error with the remedy where a tensor carries a tangent of forward-mode differentiation.

    Raises:
        UnsupportedError: One does; the solve would lose it.
    """
    for tensor in tensors:
        if isinstance(tensor, Tensor) and unpack_dual(tensor).tangent is not None:
            raise UnsupportedError(
                "an equilibrium has no forward-mode derivative.\nRemedy: torch.autograd.grad, or direct layers."
            )


def own_precision(entry: Callable[P, R]) -> Callable[P, R]:
    """Return the method as PyTorch's modes leave it alone; see :mod:`qdeq.torch_modes`.

    Raises:
        UnsupportedError: From the method, within a transform of ``torch.func``.
    """
    uncompiled: list[Callable[..., R]] = []

    @wraps(entry)
    def call(*args: P.args, **options: P.kwargs) -> R:
        if torch._C._are_functorch_transforms_active():
            raise UnsupportedError(NO_TRANSFORMS)
        if _within.entry:  # whoever called has seen to the rest
            return entry(*args, **options)
        run: Callable[..., R] = entry
        if "torch._dynamo" in sys.modules:  # otherwise nothing has been compiled, and loading it takes a second
            if not uncompiled:
                uncompiled.append(torch.compiler.disable(entry))
            run = uncompiled[0]
        _within.entry = True
        try:
            cast = [device for device in _DEVICES if torch.is_autocast_enabled(device)]
            if not cast:
                return run(*args, **options)
            with ExitStack() as stack:
                for device in cast:
                    stack.enter_context(torch.autocast(device, enabled=False))
                return run(*_raised(args), **_raised(options))
        finally:
            _within.entry = False

    call._torchdynamo_disable = True  # type: ignore[attr-defined]  # what torch.compiler.disable sets, without loading
    return call


def _raised(value: Any) -> Any:
    """Return float32 for every tensor of half the precision."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in HALVES else value
    if isinstance(value, tuple | list):
        return tuple(_raised(item) for item in value)
    return {key: _raised(item) for key, item in value.items()} if isinstance(value, dict) else value
