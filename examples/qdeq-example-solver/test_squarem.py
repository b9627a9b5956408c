"""The kit, and what only SQUAREM promises."""

import pytest
import torch
from qdeq_example_solver import Squarem

from qdeq.solvers import Naive, get_solver, solve
from qdeq.testing import check_solver


@pytest.mark.parametrize("scheme", ["S1", "S2", "S3"])
def test_it_passes_the_kit(scheme):
    check_solver({"name": "squarem", "scheme": scheme}).raise_if_failed()


def test_one_slow_mode_is_gone_after_two_steps():
    # f(y) = 0.99 y + 1: a = 1 first (the bound), then a = 1 / (1 - 0.99) = 100, held to growth = 100
    solver = get_solver({"name": "squarem", "growth": 100, "rtol": 1e-9})
    y0 = torch.zeros(1, 1, dtype=torch.float64)
    fast, slow = (solve(s, lambda y: 0.99 * y + 1, y0) for s in (solver, Naive(rtol=1e-9, max_steps=5000)))
    assert isinstance(solver, Squarem)
    assert (fast.steps.item(), fast.evaluations.item()) == (2, 7)
    assert slow.steps.item() > 1000
    torch.testing.assert_close(fast.value, torch.full_like(y0, 100.0))
