"""The adjoint that differentiates the solver: its steps are taken again, with their graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.adjoints.base import ADJOINT_CONFIG, Adjoint, Report, SolverPath
from qdeq.errors import QdeqError, SolverError
from qdeq.functions import Function, flattened
from qdeq.solvers.base import Problem
from qdeq.solvers.loop import select_rows

_REMEDY = "another adjoint (dense), or another solver."


@dataclass(frozen=True, kw_only=True, config=ADJOINT_CONFIG)
class UnrolledAdjoint(Adjoint):
    """The derivative of the iterate that the solver returned, through all steps that led to it from y0.

    The forward solve is repeated with its graph: the same solver takes the same steps, Broyden with its updates,
    Anderson with its least squares, Newton with its Jacobians, and all of it is differentiated, y0 held constant. So
    the gradient is that of the value itself, however far it is from an equilibrium, and close to the equilibrium's
    after a solve to a small tolerance. It can be differentiated again, as often as f can. Memory grows with the steps.
    The forward pass costs two solves.

    There is no backward system: the record's residual is None. A sample fails, and gets no gradient, where the
    repetition does not come to its value: the solver is no function of its inputs, or amplifies rounding errors. Where
    a step has no finite derivative, what would pass through it is left out, and the sample counts as failed too. What
    a solver itself takes out of the graph (``detach``) counts as constant.
    """

    def connect(
        self, f: Function, y: Tensor, args: tuple[Tensor, ...], path: SolverPath | None, report: Report
    ) -> Tensor:
        """Take the solver's steps again; see :meth:`Adjoint.connect`."""
        if path is None:
            raise SolverError("an unrolled gradient follows the steps of a solve: ask an Equilibrium layer for it")
        if not len(y):
            return y
        name = type(path.solver).__name__
        failed = torch.zeros(len(y), dtype=torch.bool, device=y.device)

        def lost(rows: Tensor) -> None:
            if failed[rows].all():  # told of already, by a later step
                return
            failed[rows] = True
            report(failed, what=f"a step of {name} has no finite derivative", remedy=_REMEDY)

        try:
            with torch.enable_grad():
                rows, again = _again(_RecordedProblem(f, y.shape[1:], args, name, lost), path)
        except QdeqError:
            raise
        except RuntimeError as error:  # a step that leaves PyTorch, or overwrites what its derivative needs
            raise SolverError(f"the steps of {name} cannot be differentiated: {error}\nRemedy: {_REMEDY}") from error
        value = flattened(y[rows])
        near = torch.finfo(y.dtype).eps ** 0.5 * torch.linalg.vector_norm(value, dim=1)
        reached = torch.linalg.vector_norm(again.detach() - value, dim=1) <= near
        failed[rows[~reached]] = True
        report(failed, what=f"the steps of {name}, taken again, do not lead to its value", remedy=_REMEDY)
        if not again.requires_grad:
            return y
        # the repetition's own rounding stays out of the value: it is the solver's, bit for bit
        moved = value[reached] + (again[reached] - again[reached].detach())
        return y.index_copy(0, rows[reached], moved.reshape(-1, *y.shape[1:]))


class _RecordedProblem(Problem):
    """A problem whose values let no sample's NaN pass in the backward pass.

    Args:
        f: See :class:`~qdeq.solvers.base.Problem`, as for the next three.
        shape: S.
        args: Tensors with the batch first.
        name: The solver's name.
        lost: Told of the samples whose gradient is not finite.
    """

    def __init__(
        self, f: Function, shape: torch.Size, args: tuple[Tensor, ...], name: str, lost: Callable[[Tensor], None]
    ) -> None:
        super().__init__(f, shape, args, name)
        self._lost = lost
        self._rows: Tensor | None = None

    def __call__(self, y: Tensor) -> Tensor:
        if self._rows is None:
            self._rows = torch.arange(len(y), device=y.device)
        return self._guarded(super().__call__(y), self._rows)

    def evaluate(self, rows: Tensor, y: Tensor) -> Tensor:
        assert self._rows is not None
        return self._guarded(super().evaluate(rows, y), self._rows[rows])

    def jacobian(self, y: Tensor) -> Tensor:
        assert self._rows is not None
        return self._guarded(super().jacobian(y), self._rows)

    def keep(self, rows: Tensor) -> None:
        assert self._rows is not None
        super().keep(rows)
        self._rows = self._rows[rows]

    def _guarded(self, value: Tensor, rows: Tensor) -> Tensor:
        if value.requires_grad:
            value.register_hook(partial(self._finite, rows))
        return value

    def _finite(self, rows: Tensor, g: Tensor | None) -> Tensor | None:
        if g is None:  # none has arrived, which autograd tells apart from zeros
            return None
        usable = flattened(g).isfinite().all(dim=1)
        if not usable.all():
            self._lost(rows[~usable])
        return torch.where(usable.reshape(-1, *(1,) * (g.dim() - 1)), g, 0.0)


def _again(problem: Problem, path: SolverPath) -> tuple[Tensor, Tensor]:
    """Take the steps again; return all samples ``[B]``, in the order in which they end, and their values ``[B, N]``.

    Samples drop out as in :func:`qdeq.solvers.solve`, so that f is called with the same batches there and here.
    """
    start, last = flattened(path.y0.detach()), path.steps
    weight = torch.zeros_like(start[:, 0]) if path.weight is None else path.weight
    y, rows, state = start, torch.arange(len(start), device=start.device), None
    ended, values = [], []
    for step in range(int(last.max()) + 1):
        goes_on = last[rows] > step
        done, keep = (~goes_on).nonzero().squeeze(1), goes_on.nonzero().squeeze(1)
        share = weight[rows[done], None]
        value = y[done]
        if len(keep) or bool((share > 0).any()):
            fy = problem(y)
            value = torch.where(share > 0, torch.lerp(value, fy[done], share), value)
        ended.append(rows[done])
        values.append(value)
        if not len(keep):
            break
        if len(done):
            y, fy, rows, state = y[keep], fy[keep], rows[keep], select_rows(state, keep)
            problem.keep(keep)
        state = path.solver.init(y, fy) if state is None else state
        y, state = path.solver.step(problem, state, y, fy)
        y = torch.where(y.isfinite().all(dim=1, keepdim=True), y, start[rows])  # f is not called outside the reals
    return torch.cat(ended), torch.cat(values)
