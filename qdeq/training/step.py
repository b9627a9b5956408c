"""One training step: a batch forward and backward, shared by the team, up to the point where the weights would move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qdeq.seeds import torch_generator
from qdeq.solvers import Status
from qdeq.training.diagnostics import diagnose
from qdeq.training.evaluate import shot_key
from qdeq.training.metrics import Outcomes, finite

if TYPE_CHECKING:
    from qdeq.equilibrium import Equilibrated
    from qdeq.models import QDEQClassifier
    from qdeq.spec import ExperimentSpec
    from qdeq.training.team import Team

_FAILED = torch.tensor([status for status in Status if status.failed])


class NotFinite(ArithmeticError):
    """Loss or gradient of a step, or the weights after it, are infinite or NaN; the message says which."""


@dataclass(frozen=True, eq=False)
class Step:
    """A step that was computed and not yet made: the gradients are in place, summed over the team and clipped.

    Attributes:
        outcomes: Of the whole batch.
        states: Where the solves of the batch ended, ``[B, n]``, 0 where one failed; None unless solves start warm.
        layers: Direct layers; None for the equilibrium.
        penalty: Mean ``||J||_F² / n``, unweighted; None where it was not asked for.
        gradient_norm: Before clipping.
        adjoint_residual: The worst sample's; None for direct layers.
        adjoint_failed: Samples whose backward solve missed its tolerance.
    """

    outcomes: Outcomes
    states: Tensor | None
    layers: int | None
    penalty: float | None
    gradient_norm: float
    adjoint_residual: float | None
    adjoint_failed: int


def compute_step(
    spec: ExperimentSpec,
    team: Team,
    model: QDEQClassifier,
    parameters: Sequence[Tensor],
    x: Tensor,
    labels: Tensor,
    *,
    step: int,
    batch: int,
    rows: Tensor,
    y0: Tensor | None,
) -> Step:
    """Go through a batch forward and backward; this process through its share of it.

    Args:
        spec: The experiment.
        team: Who shares the batch.
        model: In training mode.
        parameters: What is trained; their gradients are replaced.
        x: Features of the whole batch, ``[B, I]``.
        labels: Its labels, ``[B]``.
        step: Number of the step, from 1: it names the random streams, so that a resumed run draws what an
            uninterrupted one would have drawn.
        batch: Number of the batch within its epoch, from 0.
        rows: The samples' positions in their split, ``[B]``.
        y0: Where the solves start, ``[B, n]``; None for zeros.

    Raises:
        NotFinite: The loss or the gradient is not finite; the weights are as they were.
    """
    options, total = spec.training, len(labels)
    share = team.share(total)
    mine = slice(share.start, share.stop)
    warming_up = step <= options.warmup_steps
    layers = options.warmup_layers if warming_up else spec.model.layers
    prediction = model(
        x[mine],
        layers=layers,
        y0=None if y0 is None or warming_up else y0[mine],
        generator=torch_generator(spec.seed, "step", step),
        key=shot_key(spec, "train", step, rows[mine]),
        share=share,
    )
    found = prediction.equilibrium
    stability = diagnose(prediction, spec, batch)  # before the weights move
    losses = F.cross_entropy(prediction.logits, labels[mine], reduction="none")
    loss, penalty = losses.sum() / total, None
    if found.penalty is not None:
        assert found.residual is not None
        usable = found.residual.isfinite().sum()  # the penalty is the mean over these
        penalty = found.penalty * (usable / torch.stack(team.each(usable)).sum().clamp(min=1))
        loss = loss + options.jacobian_weight * penalty
    whole_loss = torch.stack(team.each(loss.detach())).sum().item()
    if not math.isfinite(whole_loss):
        raise NotFinite(f"the loss is {whole_loss}")
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    team.sum_gradients(parameters)
    norm = nn.utils.clip_grad_norm_(parameters, options.clip or math.inf).item()
    if not math.isfinite(norm):
        raise NotFinite(f"the gradient's norm is {norm}")
    outcomes = Outcomes.of(prediction, labels[mine], losses, stability).to_tensor()
    residual, failed = _adjoint(found, team)
    return Step(
        outcomes=Outcomes.from_tensor(team.rows(outcomes.T.to(x.device), total).T.cpu()),
        states=None if y0 is None or found.status is None else team.rows(_ended(found), total),
        layers=layers,
        penalty=None if penalty is None else torch.stack(team.each(penalty.detach())).sum().item(),
        gradient_norm=norm,
        adjoint_residual=residual,
        adjoint_failed=failed,
    )


def _ended(found: Equilibrated) -> Tensor:
    """Return where the solves ended; one that failed starts from 0 the next time."""
    assert found.status is not None
    failed = torch.isin(found.status, _FAILED.to(found.status))
    return found.value.detach().masked_fill(failed[:, None], 0.0)


def _adjoint(found: Equilibrated, team: Team) -> tuple[float | None, int]:
    """Return the worst relative residual of the backward solve, where there is one, and how many samples failed."""
    record = found.adjoint
    worst, failed = math.nan, 0.0
    if record is not None and record.failed is not None and len(record.failed):
        failed = float(record.failed.sum())
        worst = math.nan if record.residual is None else record.residual.max().item()
    figures = torch.tensor([worst, failed], dtype=torch.float64, device=found.value.device)
    residuals, counts = torch.stack(team.each(figures)).cpu().T
    measured = residuals[~residuals.isnan()]
    return finite(measured.max().item()) if len(measured) else None, int(counts.sum())
