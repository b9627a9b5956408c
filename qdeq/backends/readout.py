"""Readout errors: a 2 x 2 stochastic matrix for each qubit, applied to probabilities, observables or counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from qdeq.observables import Observable, PauliString, PauliSum, as_sum
from qdeq.operations import ReadoutError


def read_out(probabilities: Tensor, errors: Sequence[ReadoutError]) -> Tensor:
    """Return the probabilities ``[..., 2^n]`` of what is read, from those of the outcomes; qubit 0 is the first bit."""
    for error in errors:
        zero, one = _split(probabilities, error.qubit)
        a, b = error.zero_to_one, error.one_to_zero
        mixed = torch.stack([(1 - a) * zero + b * one, a * zero + (1 - b) * one], dim=-2)
        probabilities = mixed.reshape(probabilities.shape)
    return probabilities


def read_as(values: Tensor, errors: Sequence[ReadoutError]) -> Tensor:
    """Return for each outcome the mean of the values ``[..., 2^n]`` that are read; the transpose of the former."""
    for error in errors:
        zero, one = _split(values, error.qubit)
        a, b = error.zero_to_one, error.one_to_zero
        mixed = torch.stack([(1 - a) * zero + a * one, b * zero + (1 - b) * one], dim=-2)
        values = mixed.reshape(values.shape)
    return values


def observable_read(observable: Observable, errors: Sequence[ReadoutError]) -> Observable:
    """Return the observable whose expectation is that of what is read: P becomes ``(1 - a - b) P + (b - a)``.

    Args:
        observable: What is measured, each string in its own basis.
        errors: With probabilities a of reading 1 for 0, and b of 0 for 1.
    """
    flips = {error.qubit: (error.zero_to_one, error.one_to_zero) for error in errors}
    if not flips:
        return observable
    total = PauliSum(())
    for coefficient, string in as_sum(observable).terms:
        read = PauliSum(((coefficient, PauliString()),))
        for qubit, letter in string.factors:
            a, b = flips.get(qubit, (0.0, 0.0))
            bias = ((b - a, PauliString()),) if a != b else ()
            read = read @ PauliSum(((1 - a - b, PauliString(((qubit, letter),))), *bias))
        total = total + read
    return total


def counts_read(
    counts: Mapping[str, int], errors: Sequence[ReadoutError], generator: np.random.Generator
) -> Mapping[str, int]:
    """Return what is read where outcomes were measured so often; every bit of every shot is flipped by itself.

    Args:
        counts: By outcome, one character a qubit, qubit 0 first.
        errors: Their probabilities.
        generator: Draws the flips.
    """
    for error in errors:
        read: dict[str, int] = {}
        for outcome, count in sorted(counts.items()):
            zero = outcome[error.qubit] == "0"
            flips = int(generator.binomial(count, error.zero_to_one if zero else error.one_to_zero))
            flipped = outcome[: error.qubit] + ("1" if zero else "0") + outcome[error.qubit + 1 :]
            for name, number in ((outcome, count - flips), (flipped, flips)):
                if number:
                    read[name] = read.get(name, 0) + number
        counts = read
    return counts


def _split(values: Tensor, qubit: int) -> tuple[Tensor, ...]:
    return values.reshape(*values.shape[:-1], 2**qubit, 2, -1).unbind(-2)
