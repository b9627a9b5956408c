"""Readout errors, applied to outcome probabilities: a 2 x 2 stochastic matrix for each qubit, the qubits independent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qdeq.operations import ReadoutError


def read_out(probabilities: Tensor, errors: Sequence[ReadoutError]) -> Tensor:
    """Return the probabilities ``[..., 2^n]`` of what is read, from those of the outcomes; qubit 0 is the highest bit."""
    for error in errors:
        zero, one = _split(probabilities, error.qubit)
        a, b = error.zero_to_one, error.one_to_zero
        mixed = torch.stack([(1 - a) * zero + b * one, a * zero + (1 - b) * one], dim=-2)
        probabilities = mixed.reshape(probabilities.shape)
    return probabilities


def read_as(values: Tensor, errors: Sequence[ReadoutError]) -> Tensor:
    """Return for each outcome the mean of the values ``[..., 2^n]`` that are read: the transpose of :func:`read_out`."""
    for error in errors:
        zero, one = _split(values, error.qubit)
        a, b = error.zero_to_one, error.one_to_zero
        mixed = torch.stack([(1 - a) * zero + a * one, b * zero + (1 - b) * one], dim=-2)
        values = mixed.reshape(values.shape)
    return values


def _split(values: Tensor, qubit: int) -> tuple[Tensor, ...]:
    return values.reshape(*values.shape[:-1], 2**qubit, 2, -1).unbind(-2)
