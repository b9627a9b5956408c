"""What an adjoint is: how an equilibrium that was found without a graph gets its gradient, and what is recorded."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from pydantic import ConfigDict, field_validator
from pydantic.dataclasses import dataclass as options_dataclass
from torch import Tensor

from qdeq.errors import ConvergenceError, ConvergenceWarning, warn
from qdeq.functions import Function, as_function, flattened, refuse_closed_over_batch
from qdeq.numbers import as_number
from qdeq.solvers import Solver

ADJOINT_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
"""Options are checked however an adjoint is built, and unknown ones are refused."""


@dataclass
class AdjointRecord:
    """What the backward pass of one solve reports; empty until it has run.

    Attributes:
        residual: ``[B]``, ``||u - uJ - g||_2 / ||g||_2`` (0 where g is 0) of the u that was used. For phantom and
            Jacobian-free gradients this is the part of g that they leave out: bias, not failure. None for unrolled
            ones, which solve no linear system.
        failed: ``[B]`` bool, where the gradient is not what the adjoint promises.
    """

    residual: Tensor | None = None
    failed: Tensor | None = None


class SolverPath(NamedTuple):
    """How the forward pass came to its solution.

    Attributes:
        solver: The solver.
        y0: ``[B, *S]``, where it started.
        steps: ``[B]`` int64, steps to the iterate y that the solution is, or rests on.
        weight: ``[B]``, w where the solution is ``(1 - w) y + w f(y)``; None for w = 0 everywhere.
    """

    solver: Solver
    y0: Tensor
    steps: Tensor
    weight: Tensor | None = None

    def select(self, rows: Tensor) -> SolverPath:
        """Return the path of some samples."""
        weight = None if self.weight is None else self.weight[rows]
        return SolverPath(self.solver, self.y0[rows], self.steps[rows], weight)


@dataclass(frozen=True)
class Report:
    """Fills in the record, and does with failed samples what the caller wants.

    Args:
        record: Filled in.
        on_failure: ``"raise"`` raises where a sample failed; anything else warns.
        batch: B.
        rows: The samples that the adjoint was given; None for all. The others count as failed.
    """

    record: AdjointRecord
    on_failure: str
    batch: int
    rows: Tensor | None = None

    def __call__(
        self,
        failed: Tensor,
        residual: Tensor | None = None,
        what: str = "the backward solve failed",
        remedy: str = "regularise the Jacobian (training.jacobian_weight), or lower the learning rate.",
    ) -> None:
        """Report on the samples ``rows``.

        Args:
            failed: Those of them that failed.
            residual: Their relative residuals, where there are any.
            what: What it means to have failed.
            remedy: What to do about it.

        Raises:
            ConvergenceError: A sample failed, and the caller wants that.
        """
        self.record.failed = self._scattered(failed, True)
        self.record.residual = None if residual is None else self._scattered(residual, math.inf)
        count = int(failed.sum())  # of the others the forward pass has told
        if not count:
            return
        worst = ""
        if residual is not None:
            largest = float(residual.nan_to_num(nan=math.inf, posinf=math.inf).max())
            worst = f" (worst relative residual {largest:.2g})"
        message = f"{what} for {count} of {self.batch} samples{worst}.\nRemedy: {remedy}"
        if self.on_failure == "raise":
            raise ConvergenceError(message)
        warn(message, ConvergenceWarning)

    def _scattered(self, values: Tensor, missing: float) -> Tensor:
        if self.rows is None:
            return values
        return values.new_full((self.batch,), missing).index_copy(0, self.rows, values)


@options_dataclass(frozen=True, kw_only=True, config=ADJOINT_CONFIG)
class Adjoint(ABC):
    """How an equilibrium gets its gradient. The options of each kind are the fields of a frozen dataclass."""

    __numbers = field_validator("*", mode="before")(as_number)

    @abstractmethod
    def connect(
        self, f: Function, y: Tensor, args: tuple[Tensor, ...], path: SolverPath | None, report: Report
    ) -> Tensor:
        """Return the values of y, connected to the graph of whatever f depends on.

        Args:
            f: The function, on ``[B, *S]``.
            y: ``[B, *S]``, the equilibrium, without a graph; f is finite there.
            args: Tensors with the batch first.
            path: How the solver came to y, where that is known.
            report: To be called as soon as it is known which samples failed, in each backward pass if not before.
        """


def attach(
    f: Callable[..., Tensor],
    y: Tensor,
    args: tuple[Tensor, ...],
    adjoint: Adjoint,
    on_failure: str,
    record: AdjointRecord,
    usable: Tensor | None = None,
    path: SolverPath | None = None,
) -> Tensor:
    """Return the equilibrium y with its gradient attached.

    Args:
        f: The function; how often it is evaluated here, with its graph, is the adjoint's choice.
        y: ``[B, *S]``, the equilibrium.
        args: f's other arguments.
        adjoint: How the gradient is obtained.
        on_failure: What happens where a sample's gradient fails: ``"raise"``, ``"fallback"`` to the dense solve where
            another was asked for, or a warning. It then is the best one that was found, and zero if that is not finite.
        record: Filled in by the backward pass.
        usable: ``[B]`` bool, where f is finite at y; all samples by default. The others get no gradient and count as
            failed, so that a NaN does not spread to the weights that all samples share.
        path: How the solver came to y; unrolling needs it.

    Raises:
        ConvergenceError: From here or from the backward pass, under ``"raise"``.
    """
    f, y = as_function(f), y.detach()
    if usable is None or bool(usable.all()):
        return adjoint.connect(f, y, args, path, Report(record, on_failure, len(y)))
    rows = usable.nonzero().squeeze(1)
    if not len(rows):
        return y
    taken = None if path is None else path.select(rows)
    report = Report(record, on_failure, len(y), rows)
    try:
        connected = adjoint.connect(f, y[rows], tuple(arg[rows] for arg in args), taken, report)
    except Exception as error:
        refuse_closed_over_batch(error, len(rows), len(y))
        raise
    return y.index_copy(0, rows, connected)


def relative(difference: Tensor, reference: Tensor) -> Tensor:
    """Return ``||difference||_2 / ||reference||_2`` ``[B]`` over all but the first dimension; the numerator over 0."""
    size = torch.linalg.vector_norm(flattened(reference), dim=1)
    return torch.linalg.vector_norm(flattened(difference), dim=1) / torch.where(size > 0, size, 1.0)
