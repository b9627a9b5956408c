"""256 quantum equilibria, one of them NaN and one divergent: no other sample notices, and both are named."""

from __future__ import annotations

import math
import re

import pytest
import torch
from problems import SOLVERS

from qdeq.functions import Function
from qdeq.library import amplitude_encoder, paper_ansatz
from qdeq.models import QuantumFunction
from qdeq.solvers import Status, get_solver, solve

POISONED, DIVERGENT = 100, 201
GOOD = [sample for sample in range(256) if sample not in (POISONED, DIVERGENT)]
FIELDS = ("value", "status", "residual", "relative_residual", "steps", "evaluations", "jacobians")
COMPILED = (
    1e-8  # compiled f in float64: products of matrices round by 1e-16, and a forward difference divides that by 1e-8
)


class Mixture(Function):
    """A 4-qubit model's f, and ``y² + y + 1`` (no root, and overflow) for the samples of a mask.

    Compiled f rounds differently in batches of another size. ``by_rows`` calls it for each sample alone, so that any
    difference is the solver's.
    """

    def __init__(self, *, by_rows):
        circuit = amplitude_encoder(4) + paper_ansatz(4)
        generator = torch.Generator().manual_seed(0)
        weights = math.pi * (2 * torch.rand(circuit.num_weights, generator=generator, dtype=torch.float64) - 1)
        x = torch.randn(256, 16, generator=generator, dtype=torch.float64)
        x[POISONED, 3] = math.nan
        divergent = torch.zeros(256, dtype=torch.bool)
        divergent[DIVERGENT] = True
        self.q, rows = QuantumFunction(circuit).at(weights).inject(x, 1.0, 4)
        self.args = (divergent, *rows)
        self.y0 = torch.zeros(256, 4, dtype=torch.float64)
        self.by_rows = by_rows

    def __call__(self, y, divergent, *rows):
        return torch.where(divergent[:, None], y * y + y + 1, self._each(self.q, y, rows))

    def jacobian(self, y, divergent, *rows):
        return torch.where(divergent[:, None, None], torch.diag_embed(2 * y + 1), self._each(self.q.jacobian, y, rows))

    def _each(self, function, y, rows):
        if not self.by_rows:
            return function(y, *rows)
        return torch.cat([function(y[i : i + 1], *(row[i : i + 1] for row in rows)) for i in range(len(y))])

    def solve(self, solver, sample=None):
        rows = slice(None) if sample is None else slice(sample, sample + 1)
        return solve(solver, self, self.y0[rows], tuple(arg[rows] for arg in self.args))


@pytest.mark.parametrize("name", SOLVERS)
def test_254_samples_have_the_results_that_they_have_alone_and_two_are_named(name):
    solver = get_solver({"name": name, "rtol": 1e-5, "max_steps": 60})
    exact, compiled = Mixture(by_rows=True), Mixture(by_rows=False)
    batch = exact.solve(solver)
    fast = compiled.solve(solver)
    for sample in GOOD:
        alone = compiled.solve(solver, sample)
        for field in FIELDS:
            assert torch.equal(getattr(alone, field)[0], getattr(batch, field)[sample]), (field, sample)
        assert torch.allclose(alone.value[0], fast.value[sample], atol=COMPILED, rtol=0)
        assert alone.status[0] == fast.status[sample]
        assert alone.evaluations[0] == fast.evaluations[sample]
    for solution in (batch, fast):
        assert solution.converged[GOOD].all()
        assert not solution.converged[[POISONED, DIVERGENT]].any()
        assert solution.status[POISONED] == Status.NON_FINITE
        finite = solution.value.isfinite().all(dim=1)
        assert (~finite).nonzero().flatten().tolist() == [POISONED]
        first, *failures = solution.summary().splitlines()
        assert first.startswith("254 of 256 samples converged")
        named = [match[1] for line in failures for match in [re.match(r"\d samples? \(([\d, ]+)\): ", line)]]
        assert sorted(int(sample) for samples in named for sample in samples.split(", ")) == [POISONED, DIVERGENT]
