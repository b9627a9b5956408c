"""Processes that train one model together, each on its share of every batch: ``torchrun -m qdeq train CONFIG``.

Every process has the whole model and all images. A batch is split into runs of rows; losses, gradients and outcomes
are put together again, so that all processes make the same step, and a run is the same whatever their number, up to
the rounding of sums. A team of one costs nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed

from qdeq.errors import TrainingError
from qdeq.seeds import Share


class Team:
    """This process and its peers.

    Args:
        rank: Number of this process, from 0; the first leads, and alone writes.
        size: Number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, total: int) -> Share:
        """Return this process's share of a batch of ``total`` samples."""
        return Share(total * self.rank // self.size, total * (self.rank + 1) // self.size, total)

    def rows(self, mine: Tensor, total: int) -> Tensor:
        """Return a whole batch ``[total, ...]`` of which each process has its share's rows, in order."""
        if self.size == 1:
            return mine
        longest = -(-total // self.size)
        padded = mine.new_zeros(longest, *mine.shape[1:])
        padded[: len(mine)] = mine
        parts = self.each(padded)
        lengths = [Team(rank, self.size).share(total) for rank in range(self.size)]
        return torch.cat([part[: share.stop - share.start] for part, share in zip(parts, lengths, strict=True)])

    def each(self, mine: Tensor) -> list[Tensor]:
        """Return every process's tensor of the same shape, in order of rank."""
        if self.size == 1:
            return [mine]
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        with _lost():
            distributed.all_gather(parts, mine.contiguous())
        return parts

    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace every gradient by its sum over all processes; one that nobody has stays away."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with _lost():
            distributed.all_reduce(flat)
        for gradient, total in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(total.view_as(gradient))

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            with _lost():
                distributed.barrier()


ALONE = Team()


@contextmanager
def assemble(device: str) -> Iterator[Team]:
    """Form the team that ``torchrun`` started this process for, for the block; one process alone without it.

    Args:
        device: Where tensors live; NCCL carries those of GPUs, Gloo all others.

    Raises:
        TrainingError: The processes do not find each other.
    """
    size = _started()
    if size == 1:
        yield ALONE
        return
    try:
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"the {size} processes do not find each other: {str(error).splitlines()[0]}\n"
            "Start them with torchrun, and look at MASTER_ADDR, MASTER_PORT and the network between them."
        ) from error
    try:
        yield Team(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


def leads_here() -> bool:
    """Return whether this process is the first of those that ``torchrun`` started, or the only one."""
    return _started() == 1 or os.environ.get("RANK") == "0"


def _started() -> int:
    return int(os.environ["WORLD_SIZE"]) if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() else 1


def own_device(device: str) -> str:
    """Return this process's GPU where ``cuda`` alone is asked for: torchrun gives each process of a machine its own."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if device == "cuda" and local is not None else device


class WorkerLost(TrainingError):
    """Another process of the team is gone, so no batch can be finished any more."""


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what Gloo and NCCL raise where a connection ends
        what = re.sub(r"^\[[^]]*\]\s*", "", str(error)).splitlines()[0].split(". ")[0][:100]
        raise WorkerLost(f"another process of the team was lost ({what}); its own message says why") from error
