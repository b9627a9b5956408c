"""Every solver on every problem of the table."""

import math
from dataclasses import replace

import pytest
import torch
from problems import ALL, CASES, DERIVATIVE_FREE, NEIGHBOUR, ONE_CALL_A_STEP, Case, Counted

from qdeq.solvers import Solution, Solver, Status, solve

every_solver = pytest.mark.parametrize("solver", ALL.values(), ids=ALL)
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def run(solver: Solver, case: Case, dtype: torch.dtype = torch.float64) -> Solution:
    return solve(solver, case.f, case.y0.to(dtype), tuple(a.to(dtype) for a in case.args), trace=True)


def tolerance(solver: Solver, solution: Solution) -> torch.Tensor:
    size = solution.residual / solution.relative_residual.clamp_min(torch.finfo(solution.residual.dtype).tiny)
    return solver.atol + solver.rtol * torch.where(solution.residual > 0, size, 0.0)


@every_case
@every_solver
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
def test_converges_to_the_root_or_says_so(solver, case, dtype):
    solution = run(solver, case, dtype)
    assert solution.value.dtype == dtype
    assert solution.value.shape == case.y0.shape
    for index in case.bad:
        assert Status(int(solution.status[index])) is Status.NON_FINITE
    if not any(ALL[name] is solver for name in case.solvable):
        assert not solution.all_converged
        return
    assert solution.converged[case.good].all(), solution.summary()
    error = torch.linalg.vector_norm(solution.value - case.root.to(dtype), dim=-1)[case.good]
    rounding = 4 * torch.finfo(dtype).eps * torch.linalg.vector_norm(case.root, dim=-1)[case.good]
    allowed = case.conditioning * (tolerance(solver, solution)[case.good] + rounding)
    assert (error <= 1.01 * allowed).all()  # 1 %: conditioning is taken at the root, not on the way to it


@every_case
@every_solver
def test_reported_residual_is_the_residual_of_the_value(solver, case):
    solution = run(solver, case)
    fy = case.f(solution.value, *case.args)
    residual = torch.linalg.vector_norm(fy - solution.value, dim=-1)
    # y itself may be large (plain iteration on an expansion), and the residual is a difference of two such numbers
    scale = torch.linalg.vector_norm(fy, dim=-1)
    good = [i for i in case.good if residual[i].isfinite()]
    assert ((solution.residual - residual)[good].abs() <= 8 * torch.finfo(torch.float64).eps * scale[good]).all()
    relative = residual / scale
    assert torch.allclose(solution.relative_residual[good], relative[good], atol=8 * torch.finfo(torch.float64).eps)


@every_case
@pytest.mark.parametrize("solver", DERIVATIVE_FREE.values(), ids=DERIVATIVE_FREE)
def test_counts_of_evaluations_are_true(solver, case):
    counted = Counted(case.f, len(case.y0))
    solution = solve(solver, counted, case.y0, (*case.args, torch.arange(len(case.y0))))
    assert solution.evaluations.tolist() == counted.counts
    if solver in ONE_CALL_A_STEP.values():
        assert solution.evaluations.tolist() == (solution.steps + 1).tolist()
    assert not solution.jacobians.any()
    for sample, iterates in enumerate(counted.iterates):
        if solution.residual[sample] < math.inf:  # a value is always a measured iterate
            assert any(torch.equal(solution.value[sample], y) for y in iterates)
        else:
            assert solution.value[sample].isnan().all()


@every_case
@every_solver
def test_value_is_the_best_of_the_trace(solver, case):
    exact = replace(solver, rtol=0.0, atol=1e-9)  # with an absolute tolerance, the best iterate has the least residual
    solution = run(exact, case)
    for sample in case.good:
        measured = solution.trace[:, sample][~solution.trace[:, sample].isnan()]
        assert solution.residual[sample] == measured.min()
        tried = 1 if solution.converged[sample] else max(1, len(solution.tried))
        assert len(measured) == solution.steps[sample] + tried  # each solver begins by measuring y0


@every_case
@every_solver
def test_a_sample_does_not_depend_on_its_neighbours(solver, case):
    together = run(solver, case)
    for i in range(len(case.y0)):
        alone = solve(solver, case.f, case.y0[i : i + 1], tuple(a[i : i + 1] for a in case.args))
        if i in case.bad:
            assert torch.equal(alone.status, together.status[i : i + 1])
        elif together.converged[i]:
            bound = NEIGHBOUR * case.conditioning * tolerance(solver, together)[i]
            assert torch.linalg.vector_norm(alone.value[0] - together.value[i]) <= bound


@every_solver
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("size", [1, 3, 8, 33])
def test_elementwise_f_gives_the_same_bits_in_any_batch(solver, dtype, size):
    generator = torch.Generator().manual_seed(size)
    x = 2 * torch.randn(17, size, generator=generator, dtype=dtype)
    y0 = torch.randn(17, size, generator=generator, dtype=dtype)

    def f(y, x):
        return torch.cos(y.roll(1, dims=-1)) * 0.9 + 0.5 * y * torch.sin(x)

    together = solve(solver, f, y0, (x,))
    assert len(set(together.steps.tolist())) > 1 or size == 1  # otherwise no sample froze before another
    for rows in ([0], [5], [16], [3, 4, 5, 6], [16, 2, 9], list(range(9))):
        part = solve(solver, f, y0[rows], (x[rows],))
        for field in ("value", "status", "residual", "relative_residual", "steps", "evaluations"):
            assert torch.equal(getattr(part, field), getattr(together, field)[rows]), field


@every_solver
@pytest.mark.parametrize("name", ["linear contraction", "cosine", "non-normal"])
def test_float64_reaches_1e_12(solver, name):
    case = next(case for case in CASES if case.name == name)
    tight = replace(solver, rtol=0.0, atol=1e-12, max_steps=200)
    solution = run(tight, case)
    assert solution.all_converged
    assert (solution.residual <= 1e-12).all()
