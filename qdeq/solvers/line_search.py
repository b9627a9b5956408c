"""A line search without derivatives for quasi-Newton steps: what goes too far is taken back and tried again, shorter.

Each trial is a step of the driver's loop and costs one evaluation, so that it is measured, counted and frozen like any
other iterate.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

DECREASE = 1e-4
"""σ: part of the residual by which a whole step has to reduce it, once the allowances are spent."""
SHORTEST, LONGEST = 0.1, 0.5
"""Bounds of the next trial's length over that of the one taken back (Dennis and Schnabel, algorithm A6.3.1)."""
PATIENCE = 2
"""Trials taken back in a row; the next is accepted whatever comes of it, since shorter ones hardly move."""


class Trial(NamedTuple):
    """What is tried from the last iterate that was accepted.

    Attributes:
        step: ``[b, N]``.
        rejections: ``[b, 1]``, trials from the same iterate that were taken back.
        accepted: ``[b, 1]``, iterates that were accepted before.
    """

    step: Tensor
    rejections: Tensor
    accepted: Tensor

    def rejected(self, before: Tensor, after: Tensor) -> Tensor:
        """Return where ``[b, 1]`` the trial is taken back, for residuals g ``[b, N]`` before and after it.

        The k-th step is accepted where ``||g_after|| <= (1 + 1 / (k + 1)² - σ t²) ||g_before||``, t being 1 and a half
        less with each rejection. The allowances ``1 / (k + 1)²`` have a finite sum, so that the residual stays bounded;
        and all are positive, so that a short enough step passes whether or not it descends, which only a derivative
        could tell.

        Sources: D.-H. Li and M. Fukushima, Optim. Methods Softw. 13, 181 (2000); the decrease relative to ``||g||``,
        so that units of y do not matter, as W. La Cruz, J. M. Martínez, M. Raydan, Math. Comp. 75, 1429 (2006).
        """
        bound = 1 + (self.accepted + 1) ** -2 - DECREASE * 4**-self.rejections
        allowed, size = (torch.linalg.vector_norm(g, dim=1, keepdim=True) for g in (before, after))
        return (size > bound * allowed) & (self.rejections < PATIENCE)

    def following(self, rejected: Tensor, step: Tensor) -> Trial:
        """Return the next trial: a step ``[b, N]`` as it is, or within the bounds of length where one was rejected."""
        old, new = (torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in (self.step, step))
        length = torch.minimum(torch.maximum(new, SHORTEST * old), LONGEST * old)
        shorter = step * (length / new.clamp_min(torch.finfo(step.dtype).tiny))
        return Trial(
            step=torch.where(rejected, shorter, step),
            rejections=torch.where(rejected, self.rejections + 1, 0.0),
            accepted=self.accepted + ~rejected,
        )


def first_trial(step: Tensor) -> Trial:
    """Return the trial of a step ``[b, N]`` from the first iterate."""
    none = step.new_zeros(len(step), 1)
    return Trial(step, none, none)
