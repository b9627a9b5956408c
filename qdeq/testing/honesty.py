"""Whether what a solve says of its samples is so: measured again, by f alone."""

from __future__ import annotations

import torch
from torch import Tensor

from qdeq.solvers import CompositeSolver, Status
from qdeq.testing.comparison import Mismatch
from qdeq.testing.problems import Instance
from qdeq.testing.solver_subject import NotTried, Solve

ROUNDING = 16.0
"""Units of rounding by which two measurements of one residual may differ: a few sums over components of order one."""
NEAR = 1.1
"""Error of a solution over conditioning times tolerance: the conditioning is that at the root, not on the way to it."""

STATUSES = {int(status): status for status in Status}
"""The members of Status by the numbers in a solution."""


def check_honesty(solve: Solve) -> None:
    """Raise for the first sample of which the solution says what is not so.

    Raises:
        Mismatch: It converged, but f says otherwise; a failure has the wrong name; or value and residual do not belong
            together.
    """
    solution, instance, y0 = solve.solution, solve.instance, solve.instance.y0
    if solution.value.shape != y0.shape:
        raise Mismatch("the value has another shape than y0", list(y0.shape), list(solution.value.shape))
    unknown = solution.residual.isinf() | solution.residual.isnan()  # then there is no value, and NaN says so
    if (wrong := unknown ^ solution.value.isnan().any(1)).any() or solution.value.isinf().any():
        sample = int(wrong.int().argmax())
        raise Mismatch(
            f"the value of sample {sample} is not finite, or is where no residual is", "one of them", solution.value
        )
    fy = _values(solve)
    residual = torch.linalg.vector_norm(fy - solution.value, dim=1)
    size = torch.linalg.vector_norm(fy, dim=1)
    tolerance = solve.atol + solve.rtol * size
    rounding = ROUNDING * torch.finfo(y0.dtype).eps * (size + torch.linalg.vector_norm(solution.value, dim=1))
    watched = not isinstance(solve.solver, CompositeSolver)  # its members have steps and budgets of their own
    for sample, status in enumerate(STATUSES[value] for value in solution.status.tolist()):
        told, measured, allowed = (float(t[sample]) for t in (solution.residual, residual, tolerance))
        slack, where = float(rounding[sample]), f"sample {sample} is {status.name}"
        if status not in (Status.CONVERGED, Status.MAX_STEPS, Status.NON_FINITE):
            raise Mismatch(
                f"{where}, which nobody asked for and f does not give rise to", "another status", status.name
            )
        # where no residual was finite there is no value
        if not (abs(told - measured) <= slack or (told == float("inf") and not measured < float("inf"))):
            raise Mismatch(f"{where}; its residual is not what is told", measured, told, abs(told - measured), slack)
        if status is Status.CONVERGED:
            if not measured <= allowed + slack:
                raise Mismatch(f"{where}, but not within the tolerance", f"at most {allowed:.3g}", measured)
            _check_root(instance, solution.value[sample], sample, allowed)
        elif status is Status.MAX_STEPS:
            if watched and int(solution.steps[sample]) < solve.max_steps:
                raise Mismatch(f"{where}, with steps left", solve.max_steps, int(solution.steps[sample]))
            if measured <= allowed - slack:
                raise Mismatch(f"{where}, but within the tolerance", f"more than {allowed:.3g}", measured)
        elif status is Status.NON_FINITE and watched and sample not in solve.witness.non_finite:
            raise Mismatch(f"{where}, but every value that was seen is finite", "another status", status.name)
    _check_no_worse(solve, residual, tolerance, rounding)


def _values(solve: Solve) -> Tensor:
    """Return f at the values ``[B, N]``; of a function that is sampled, in the draw that a sample was measured in."""
    f, value, args = solve.instance.f, solve.solution.value, solve.instance.args
    if f.at_evaluation(0) is f:
        return f(value.clone(), *args)
    spent = max(1, int(solve.solution.evaluations.max()))
    draws = torch.stack([f.at_evaluation(k)(value.clone(), *args) for k in range(1, spent + 1)])
    told = (torch.linalg.vector_norm(draws - value, dim=2) - solve.solution.residual).abs()
    return draws[told.argmin(0), torch.arange(len(value), device=value.device)]


def _check_root(instance: Instance, value: Tensor, sample: int, tolerance: float) -> None:
    if not instance.solvable[sample]:
        return  # far out, where the relative tolerance lets any residual pass
    distances = torch.linalg.vector_norm(instance.roots[sample].to(value.dtype) - value, dim=1)
    distance = float(distances.nan_to_num(torch.inf).min())
    rounding = ROUNDING * torch.finfo(value.dtype).eps * float(torch.linalg.vector_norm(value))
    allowed = NEAR * instance.conditioning * (tolerance + instance.noise + rounding)
    if not distance <= allowed:
        raise Mismatch(
            f"sample {sample} is CONVERGED, but not at a known root", instance.roots[sample], value, distance, allowed
        )


def _check_no_worse(solve: Solve, residual: Tensor, tolerance: Tensor, rounding: Tensor) -> None:
    """Compare with the first iterate: the best one is returned, and the first is one of them."""
    instance = solve.instance
    if instance.noise:
        return
    f0 = instance.f(instance.y0.clone(), *instance.args)
    first = torch.linalg.vector_norm(f0 - instance.y0, dim=1)
    allowed = solve.atol + solve.rtol * torch.linalg.vector_norm(f0, dim=1)
    worse = first.isfinite() & ~(residual <= rounding + tolerance * (1 + 1e-9) * (first / allowed))
    if worse.any():
        sample = int(worse.nonzero()[0])
        raise Mismatch(f"sample {sample} ends worse than it began", float(first[sample]), float(residual[sample]))


def believed(solve: Solve) -> Solve:
    """Return a solve that is honest.

    Raises:
        NotTried: It is not, which the check ``status`` tells.
    """
    try:
        check_honesty(solve)
    except Mismatch as lie:
        raise NotTried("status") from lie
    return solve
