"""TorchDEQ's solvers on one instance at a time, every evaluation tested from outside by the criterion that ours have.

TorchDEQ stops a batch when its worst sample is done, and does not test the first two evaluations of Anderson's method.
So each instance is a batch of its own, the solver never stops by itself (``tol=0``), and the first evaluation at a
point that meets the criterion ends it: no later than TorchDEQ itself could have known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Peer:
    """One of TorchDEQ's solvers.

    Attributes:
        solver: TorchDEQ's name of it.
        options: What differs from its defaults.
    """

    solver: str
    options: dict[str, Any] = field(default_factory=dict)


PEERS = {
    "torchdeq broyden, memory 20": Peer("broyden", {"LBFGS_thres": 20}),
    "torchdeq broyden, as it comes": Peer("broyden"),
    "torchdeq anderson, λ 1e-10": Peer("anderson", {"lam": 1e-10}),
    "torchdeq anderson, as it comes": Peer("anderson"),
}
"""With the memory, mixing and regularisation of ours where it has such options, and with its own defaults.

Its m = 6 iterates are 5 differences, as in ours, and τ = 1 is our mixing. Its own defaults keep all terms of Broyden's
method and have λ = 1e-4, which is absolute where ours is relative.
"""


class _Done(Exception):
    """The criterion is met, or the budget spent."""


def first_hit(
    peer: Peer, f: Callable[..., Tensor], y0: Tensor, rows: tuple[Tensor, ...], *, rtol: float, atol: float, budget: int
) -> tuple[int, Tensor, bool]:
    """Return the evaluations spent, the point of the last one ``[1, n]``, and whether it meets the criterion.

    Args:
        peer: The solver.
        f: ``f(y, *rows)``.
        y0: ``[1, n]``.
        rows: Of the one instance.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        budget: Evaluations after which it has failed; as it has where it raises an error.
    """
    from torchdeq.solver import get_solver

    spent, last, met = 0, y0, False

    def tested(y: Tensor) -> Tensor:
        nonlocal spent, last, met
        value = f(y, *rows)
        spent, last = spent + 1, y
        met = bool(torch.linalg.vector_norm(value - y) <= atol + rtol * torch.linalg.vector_norm(value))
        if met or spent == budget:
            raise _Done
        return value

    try:
        get_solver(peer.solver)(tested, y0, max_iter=budget + 1, tol=0.0, **peer.options)
    except _Done:
        return spent, last, met
    except RuntimeError:  # a singular system: it gives up for the whole batch
        return budget, last, False
    raise AssertionError(f"TorchDEQ's {peer.solver} stopped by itself")
