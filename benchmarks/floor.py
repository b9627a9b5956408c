"""The floor of a step: its operations and bytes over what the machine reaches in plain products and copies.

Every PyTorch call of a step is counted from the shapes it is given. A matrix product costs at least what the same
product costs by itself, contiguous, repeated, in a loop of its own; everything else costs at least its bytes (read and
written once) over the rate of a memory copy of about that size. Views are free. What remains above the floor is
Python, dispatch, and allocation: the cost of a call on one number, times the number of calls, is shown beside it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

COPY_SIZES = tuple(2**k for k in (14, 17, 20, 23, 26))
PRODUCTS = {"mm": (0, 1), "bmm": (0, 1), "addmm": (1, 2), "baddbmm": (1, 2)}
"""Products, and the positions of the two factors among their arguments."""


class StepCount(TorchDispatchMode):
    """Counts what a step does.

    Attributes:
        calls: Calls that are not views.
        products: How often each product was made, by (shape, shape, dtype).
        copied: Bytes of all other calls, by the number of bytes of a call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.products: Counter[tuple[tuple[int, ...], tuple[int, ...], torch.dtype]] = Counter()
        self.copied: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count a call and make it."""
        out = func(*args, **(kwargs or {}))
        if _is_view(func):
            return out
        self.calls += 1
        name = func.overloadpacket.__name__
        if name in PRODUCTS:
            left, right = (args[position] for position in PRODUCTS[name])
            self.products[tuple(left.shape), tuple(right.shape), left.dtype] += 1
        else:
            self.copied[sum(_bytes(leaf) for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor))] += 1
        return out

    @property
    def flops(self) -> float:
        """Floating-point operations of all products; a complex multiplication and addition are eight."""
        total = 0.0
        for (left, right, dtype), count in self.products.items():
            size = right[-1]
            for length in left:
                size *= length
            total += count * size * (8 if dtype.is_complex else 2)
        return total


def _is_view(func: Any) -> bool:
    alias = [value.alias_info for value in func._schema.returns]
    return func.overloadpacket.__name__ == "_unsafe_view" or any(info and not info.is_write for info in alias)


def _bytes(tensor: Tensor) -> int:
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _best_time(action: Callable[[], Any], synchronise: Callable[[], None], seconds: float = 0.02) -> float:
    """Return the shortest time of an action in about this many seconds."""
    action()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        synchronise()
        begin = time.perf_counter()
        action()
        synchronise()
        now = time.perf_counter()
        best = min(best, now - begin)
        if now > end:
            return best


def floor_of(step: Callable[[], Any], device: str, synchronise: Callable[[], None]) -> dict[str, float]:
    """Count one step and measure its floor, here and now.

    Args:
        step: Trains one step.
        device: Where.
        synchronise: Waits for the device.

    Returns:
        ``flops``, ``bytes`` (of all but products), ``calls``, ``product_seconds``, ``copy_seconds``, their sum
        ``floor_seconds``, ``gflops`` reached by the plain products together, ``call_seconds`` (one call on one number,
        times the calls).
    """
    with StepCount() as count:
        step()
    products = 0.0
    for (left, right, dtype), times in count.products.items():
        a, b = (torch.randn(shape, dtype=dtype, device=device) for shape in (left, right))
        products += times * _best_time(lambda a=a, b=b: a @ b, synchronise)
    rates = {}
    for size in COPY_SIZES:
        source = torch.zeros(size // 8, device=device)
        target = torch.empty_like(source)
        rates[size] = size / _best_time(lambda a=target, b=source: a.copy_(b), synchronise)
    copied = sum(
        times * size / rates[min(COPY_SIZES, key=lambda known, size=size: abs(known - size))]
        for size, times in count.copied.items()
    )
    one = torch.zeros(1, device=device)
    call = _best_time(lambda: [one + one for _ in range(100)], synchronise) / 100
    return {
        "flops": count.flops,
        "bytes": float(sum(size * times for size, times in count.copied.items())),
        "calls": float(count.calls),
        "product_seconds": products,
        "copy_seconds": copied,
        "floor_seconds": products + copied,
        "gflops": count.flops / products / 1e9 if products else 0.0,
        "copy_gbytes": rates[COPY_SIZES[-1]] / 1e9,
        "call_seconds": call * count.calls,
    }
