"""The trace agrees with the solution, whatever a solver spends on a step, and for a list of solvers."""

import dataclasses

import pytest
import torch

from qdeq.plugins import SOLVERS
from qdeq.solvers import get_solver, solve

ARGS = (torch.tensor([0.0, 1.4, 2.5, -1.8], dtype=torch.float64)[:, None] * torch.ones(1, 3, dtype=torch.float64),)
CHOICES = [*SOLVERS.names(), {"name": "fallback", "solvers": ["naive", "newton-krylov", "newton"]}]


def f(y, x):
    """Contracting for the first sample, beyond radius 1 for some of the others."""
    return torch.sin(x * y) + 0.3 * y.roll(1, dims=1) + 0.2


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_trace_ends_with_the_solution(choice):
    solver = dataclasses.replace(get_solver(choice), max_steps=36, rtol=1e-4, atol=0.0)
    y0 = torch.zeros(4, 3, dtype=torch.float64)
    solution, plain = solve(solver, f, y0, ARGS, trace=True), solve(solver, f, y0, ARGS)
    assert torch.equal(solution.value, plain.value)
    assert plain.trace_relative is plain.trace_evaluations is None
    assert solution.trace.shape == solution.trace_relative.shape == solution.trace_evaluations.shape

    measured = ~solution.trace.isnan()
    assert torch.equal(measured, solution.trace_evaluations > 0)
    assert torch.equal(solution.trace_evaluations.amax(dim=0), solution.evaluations)
    assert torch.equal(solution.trace_relative.nan_to_num(torch.inf).amin(dim=0), solution.relative_residual)
    for sample in range(4):  # evaluations are spent one after the other
        spent = solution.trace_evaluations[measured[:, sample], sample]
        assert spent[0] == 1
        assert (spent.diff() > 0).all()
        relative = solution.trace_relative[measured[:, sample], sample]
        assert relative[0] == solution.trace[0, sample] / f(y0, *ARGS)[sample].norm()
