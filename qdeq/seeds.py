"""One seed tree: every random stream of a run is named by a path below the run's seed.

A stream is derived, never continued, so that a resumed run or another batch order draws the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def derive_seed(seed: int, *path: str | int) -> int:
    """Return the 63-bit seed of the stream ``path`` (say ``"dropout", step``) below the root ``seed``."""
    name = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def draw_seed(generator: torch.Generator | None = None) -> int:
    """Draw a 63-bit seed, the root of streams of its own; by default from PyTorch's global generator."""
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**63 - 1, (), generator=generator, device=device))


def torch_generator(seed: int, *path: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a generator at the start of the stream ``path`` below the root ``seed``."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *path))


@dataclass(frozen=True)
class Share:
    """The rows ``start`` to ``stop`` of a batch of ``total`` samples that several processes work on together."""

    start: int
    stop: int
    total: int


def draw(
    sampler: Callable[..., Tensor], like: Tensor, generator: torch.Generator | None = None, share: Share | None = None
) -> Tensor:
    """Return random numbers of the shape of ``like``; a share of a batch gets its rows of what the whole would get.

    Args:
        sampler: ``torch.rand`` or ``torch.randn``.
        like: The batch first.
        generator: Where the numbers come from.
        share: Which part of a larger batch these rows are; None for a batch of their own.
    """
    share = share or Share(0, len(like), len(like))
    shape = (share.total, *like.shape[1:])
    return sampler(shape, generator=generator, device=like.device, dtype=like.dtype)[share.start : share.stop]
