"""Rehearsals: an experiment's own code against a device that makes its answers up, to count what it would be asked.

A step and an evaluation of one and of two samples tell what each sample takes and what all share. Answers are small
pseudo-random numbers that depend on the question alone, so a question that is repeated is one task, as in the ledger.
What depends on the answers is not rehearsed but bounded: solves end at once, and what a longer one takes is added
(:mod:`qdeq.billing.solve_bounds`). A gradient that is zero asks fewer questions than others, and a ReLU that is dead
makes it so: it is zero for the least, and not for the most.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from qdeq.adjoints import UnrolledAdjoint
from qdeq.backends.paid import PaidBackend
from qdeq.billing.account import Account, using
from qdeq.billing.amounts import Amount, Unit
from qdeq.billing.execution import Execution, Result
from qdeq.billing.prices import Price
from qdeq.billing.solve_bounds import Length, backward_surplus, forward_surplus, shorten
from qdeq.builders import build_model
from qdeq.errors import ConvergenceWarning
from qdeq.jacobians import jacobian
from qdeq.models import QDEQClassifier
from qdeq.seeds import torch_generator
from qdeq.spec import ExperimentSpec
from qdeq.training.diagnostics import diagnose
from qdeq.training.evaluate import shot_key

Work = Literal["train", "warm-up", "evaluate"]

_SIZE = 0.05  # of a made-up answer: small ones keep every solver's arithmetic finite


class Rehearsal(Account):
    """An account that pays nothing, and counts.

    Args:
        price: Of the device.
    """

    def __init__(self, price: Price) -> None:
        self._price = price
        self._known: set[str] = set()
        self.amount = Amount()

    def client(self, backend: PaidBackend) -> None:
        """Return None: nothing is run."""

    def obtain(self, executions: Sequence[Execution], backend: PaidBackend) -> list[Result]:
        """Count the executions, and make up a result for each."""
        for execution in executions:
            new = execution.hash not in self._known
            self._known.add(execution.hash)
            costs = self._price.bounds(execution.shots, execution.qubits)
            self.amount += Amount(1, 1, execution.shots, *costs) if new else Amount(circuits=1)
        return [_made_up(execution) for execution in executions]


def _made_up(execution: Execution) -> Result:
    digest = hashlib.blake2b(execution.hash.encode(), digest_size=8).digest()
    generator = np.random.default_rng(int.from_bytes(digest, "big"))
    if execution.shots:
        outcomes = generator.integers(0, 2, size=(4, execution.qubits))
        counts: dict[str, int] = {}
        for outcome, count in zip(outcomes, generator.multinomial(execution.shots, [0.25] * 4), strict=True):
            name = "".join(map(str, outcome))
            counts[name] = counts.get(name, 0) + int(count)
        return Result(counts=tuple(counts.items()))
    return Result(values=tuple(generator.uniform(-_SIZE, _SIZE, size=execution.size).tolist()))


def rehearse(spec: ExperimentSpec, price: Price, work: Work, length: Length) -> Unit:
    """Count what a step or an evaluation takes at fresh weights.

    Args:
        spec: The experiment, on a backend that costs money and with ``execution`` decided.
        price: Of its device.
        work: What is to be counted.
        length: The least that it can take, the most, or a number between them to compare by.

    Raises:
        QdeqError: The experiment cannot be run like this.
    """
    one = _count(spec, price, work, length, batch=1)
    if spec.backend["execution"] == "compiled":  # nothing is asked for a sample
        return Unit(one, Amount())
    each = _count(spec, price, work, length, batch=2) - one
    return Unit(one - each, each)


def _count(spec: ExperimentSpec, price: Price, work: Work, length: Length, batch: int) -> Amount:
    # the result is only counted: single precision, or a GPU, would add nothing but overflows
    training = spec.training.model_copy(update={"device": "cpu", "precision": "float64"})
    spec = spec.model_copy(update={"training": training})
    model = build_model(spec, num_classes=2)
    layers = spec.training.warmup_layers if work == "warm-up" else spec.model.layers
    masked = bool(work != "evaluate" and model.state_dropout)
    model.state_dropout = 0.0
    if masked and length == "least" and layers is not None:
        layers = 1  # a state that is masked as a whole moves nothing
    generator = torch_generator(0, "rehearsal")
    x, other = torch.randn(2, batch, model.readout.in_features, generator=generator, dtype=torch.float64)
    account = Rehearsal(price)
    more = Amount()
    with using(account), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if spec.backend["execution"] == "circuits" and layers is None:
            more = _beyond(spec, model, other[:1], work, length, account, masked=masked)
            shorten(model.equilibrium)
        counted = account.amount
        _perform(spec, model, x, work, layers, alive=length != "least")
        return account.amount - counted + more * batch


def _perform(
    spec: ExperimentSpec,
    model: QDEQClassifier,
    x: Tensor,
    work: Work,
    layers: int | None,
    *,
    y0: Tensor | None = None,
    alive: bool = True,
) -> None:
    """Do the work, from y0; with a gradient that is not zero where it is ``alive``."""
    rows = torch.arange(len(x))
    if work == "evaluate":
        model.eval()
        with torch.no_grad():
            diagnose(model(x, layers=layers, key=shot_key(spec, "evaluate", 0, rows)), spec)
        return
    model.train()
    generator = torch_generator(spec.seed, "step", 1)
    prediction = model(x, layers=layers, y0=y0, generator=generator, key=shot_key(spec, "train", 1, rows))
    diagnose(prediction, spec, 0)
    found = prediction.equilibrium
    if not found.value.requires_grad:
        return
    losses = found.value * (_unlike(found.value) if alive else 0.0)
    (losses.sum() if found.penalty is None else losses.sum() + found.penalty).backward()


def _beyond(
    spec: ExperimentSpec,
    model: QDEQClassifier,
    x: Tensor,
    work: Work,
    length: Length,
    account: Rehearsal,
    *,
    masked: bool,
) -> Amount:
    """Return what a sample takes beyond a solve that ends at once, counted on the one sample x."""
    layer, size = model.equilibrium, model.state_size
    known = model.shots is None and (work == "train" or spec.training.diagnostics == "always")
    forward = forward_surplus(layer, size, model.shots, length, known=known)
    if masked and length == "least":
        forward = replace(forward, evaluations=0, jacobians=0)
    evaluation, derivative, pullback, product = _parts(spec, model, x, account)
    total = evaluation * forward.evaluations + derivative * forward.jacobians
    if work != "train":
        return total
    if isinstance(layer.adjoint, UnrolledAdjoint):  # refuses some solvers, at the first step that leads somewhere
        solver, layer.solver = layer.solver, replace(layer.solver, max_steps=1, rtol=0.0, atol=0.0)
        _perform(spec, model, x, work, None, y0=x.new_ones(len(x), size))
        layer.solver = solver
    backward = backward_surplus(layer, size, model.shots, length)
    return total + derivative * backward.jacobians + pullback * backward.pullbacks + product * backward.products


def _parts(spec: ExperimentSpec, model: QDEQClassifier, x: Tensor, account: Rehearsal) -> list[Amount]:
    """Return what the parts of a step take at a place that has not been seen.

    An evaluation; the Jacobian where f is known; the gradient in state and weights where f is known; and one in the
    state for another vector.
    """
    key = shot_key(spec, "rehearsal", 0, torch.arange(len(x)))
    frozen = model.function.at(model.weights, shots=model.shots, key=key)
    f, rows = frozen.inject(x, model.state_scale, model.state_size)
    first, second = (x.new_full((len(x), model.state_size), place).requires_grad_() for place in (0.5, 0.6))
    amounts = [account.amount]
    f(first, *rows)
    amounts.append(account.amount)
    jacobian(f, first.detach(), rows)
    amounts.append(account.amount)
    value = f(second, *rows)
    before = account.amount
    torch.autograd.grad(value, [second, model.weights], torch.ones_like(value), retain_graph=True, allow_unused=True)
    pulled = account.amount
    torch.autograd.grad(value, second, _unlike(value))
    parts = [after - earlier for earlier, after in pairwise(amounts)]
    return [*parts, pulled - before, account.amount - pulled]


def _unlike(values: Tensor) -> Tensor:
    """Return numbers of which none is zero, and no two are equal."""
    return (0.5 + 0.01 * torch.arange(values.numel(), dtype=values.dtype)).reshape(values.shape)
