"""The adjoint that differentiates the solver: its steps are taken again, with their graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.adjoints.base import ADJOINT_CONFIG, Adjoint, Function, Report, SolverPath
from qdeq.errors import QdeqError, SolverError
from qdeq.solvers.base import Problem
from qdeq.solvers.driver import _select

_REMEDY = "another adjoint (dense), or another solver."


@dataclass(frozen=True, kw_only=True, config=ADJOINT_CONFIG)
class UnrolledAdjoint(Adjoint):
    """The derivative of the iterate that the solver returned, through all steps that led to it from y0.

    The forward solve is repeated with its graph: the same solver takes the same steps, Broyden with its updates,
    Anderson with its least squares, Newton with its Jacobians, and all of it is differentiated, y0 held constant. So
    the gradient is that of the value itself, however far it is from an equilibrium, and close to the equilibrium's
    after a solve to a small tolerance. It can be differentiated again, as often as f can. Memory grows with the steps.
    The forward pass costs two solves, and three where a sample did not converge, to find its best iterate again.

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

        last = path.steps if bool(path.at_last.all()) else _steps_to(y, f, args, path)
        try:
            with torch.enable_grad():
                rows, again = _iterates_at(last, _RecordedProblem(f, y.shape[1:], args, name, lost), path)
        except QdeqError:
            raise
        except RuntimeError as error:  # a step that leaves PyTorch, or overwrites what its derivative needs
            raise SolverError(f"the steps of {name} cannot be differentiated: {error}\nRemedy: {_REMEDY}") from error
        value = y[rows].flatten(1)
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
        usable = g.flatten(1).isfinite().all(dim=1)
        if not usable.all():
            self._lost(rows[~usable])
        return torch.where(usable.reshape(-1, *(1,) * (g.dim() - 1)), g, 0.0)


def _iterates(problem: Problem, path: SolverPath, last: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, for the steps 0, 1, ..., the samples ``[b]`` not past their last one, and their iterates ``[b, N]``.

    Samples drop out as in :func:`qdeq.solvers.solve`, so that f is called with the same batches there and here.
    """
    start = path.y0.detach().flatten(1)
    y, rows, state = start, torch.arange(len(start), device=start.device), None
    final = int(last.max())
    for step in range(final):
        yield rows, y
        fy = problem(y)
        keep = (last[rows] > step).nonzero().squeeze(1)
        if len(keep) < len(rows):
            y, fy, rows, state = y[keep], fy[keep], rows[keep], _select(state, keep)
            problem.keep(keep)
        state = path.solver.init(y, fy) if state is None else state
        y, state = path.solver.step(problem, state, y, fy)
        y = torch.where(y.isfinite().all(dim=1, keepdim=True), y, start[rows])  # f is not called outside the reals
    yield rows, y


def _iterates_at(last: Tensor, problem: Problem, path: SolverPath) -> tuple[Tensor, Tensor]:
    """Return all samples ``[B]``, in the order in which they end, and their iterates at their last steps ``[B, N]``."""
    ended, ends = [], []
    for step, (rows, iterates) in enumerate(_iterates(problem, path, last)):
        done = (last[rows] == step).nonzero().squeeze(1)
        ended.append(rows[done])
        ends.append(iterates[done])
    return torch.cat(ended), torch.cat(ends)


@torch.no_grad()
def _steps_to(y: Tensor, f: Function, args: tuple[Tensor, ...], path: SolverPath) -> Tensor:
    """Return the step ``[B]`` at which each sample's iterate was y ``[B, *S]``: without convergence, not the last."""
    value = y.flatten(1)
    step_of, closest = torch.zeros_like(path.steps), value.new_full((len(y),), torch.inf)
    problem = Problem(f, y.shape[1:], args, type(path.solver).__name__)
    for step, (rows, iterates) in enumerate(_iterates(problem, path, path.steps)):
        distance = torch.linalg.vector_norm(iterates - value[rows], dim=1)
        closer = distance < closest[rows]
        step_of[rows[closer]] = step
        closest[rows] = torch.minimum(distance, closest[rows])
    return torch.where(path.at_last, path.steps, step_of)
