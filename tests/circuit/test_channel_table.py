"""The table of channels: every row is a channel at every value that it takes, and says what it does not take."""

import math

import numpy as np
import pytest
import torch

from qdeq.channels import CHANNELS
from qdeq.errors import CircuitError

ROWS = pytest.mark.parametrize("row", CHANNELS.values(), ids=lambda row: row.name)


@ROWS
@pytest.mark.parametrize("share", [0, 0.25, 0.5, 1])
def test_kraus_operators_keep_the_trace(row, share):
    for value in (share * row.most, share):  # up to what circuits allow, and up to what a channel is
        operators = row.build(value)
        assert {(k.shape, k.dtype) for k in operators} == {((2**row.num_qubits,) * 2, torch.complex128)}
        total = sum(k.mH @ k for k in operators)
        torch.testing.assert_close(total, torch.eye(2**row.num_qubits, dtype=torch.complex128))


@ROWS
def test_at_zero_nothing_happens(row):
    first, *others = row.build(0)
    torch.testing.assert_close(first, torch.eye(2**row.num_qubits, dtype=torch.complex128))
    assert not any(k.any() for k in others)


def test_a_bit_flip_is_x_with_its_probability():
    identity, flip = CHANNELS["BitFlip"].build(np.float64(0.36))
    np.testing.assert_allclose(identity, 0.8 * np.eye(2))
    np.testing.assert_allclose(flip, [[0, 0.6], [0.6, 0]])


@ROWS
@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, True, "0.1", None, 0.1j])
def test_what_is_no_probability_is_refused_by_name(row, value):
    with pytest.raises(CircuitError, match=rf"{row.parameter} of {row.name} is a number from 0 to 1, not "):
        row.build(value)
