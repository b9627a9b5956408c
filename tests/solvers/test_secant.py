"""The inverse that quasi-Newton solvers keep: dense and as terms, it is the same matrix."""

import torch

from qdeq.solvers.secant import Dense, LowRank, one

ROUNDING = 1e-12  # float64: sums of a few dozen products
BATCH, SIZE, TERMS = 3, 4, 6


def test_both_forms_are_one_plus_the_outer_products():
    generator = torch.Generator().manual_seed(1)
    u, v = torch.randn(2, TERMS, BATCH, SIZE, generator=generator, dtype=torch.float64)
    x = torch.randn(BATCH, SIZE, generator=generator, dtype=torch.float64)
    dense, terms = one(x, memory=SIZE), one(x, memory=SIZE - 1)
    assert isinstance(dense, Dense)
    assert isinstance(terms, LowRank)
    expected = torch.eye(SIZE, dtype=torch.float64) + torch.einsum("kbi,kbj->bij", u, v)
    for form in (dense, terms):
        for left, right in zip(u, v, strict=True):
            form = form.plus(left, right)
        assert form.terms == TERMS
        assert torch.allclose(form.times(x), torch.einsum("bij,bj->bi", expected, x), atol=ROUNDING, rtol=0)
        assert torch.allclose(form.transposed_times(x), torch.einsum("bij,bi->bj", expected, x), atol=ROUNDING, rtol=0)
