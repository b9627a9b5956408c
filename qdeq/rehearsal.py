"""Rehearsals: an experiment's own code against a device that makes its answers up, to count what it would be asked.

A step and an evaluation of one and of two samples tell what each sample takes and what all share. Answers are small
pseudo-random numbers that depend on the question alone, so a question that is repeated is one task, as in the ledger.
No answer converges: how long a solve takes is set by its tolerances, none at all for the most, a huge one for the
least.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional as F

from qdeq.adjoints import Adjoint, GmresAdjoint, IterativeAdjoint
from qdeq.backends.paid import PaidBackend
from qdeq.budget import Account, using
from qdeq.builders import build_model
from qdeq.errors import ConvergenceWarning
from qdeq.jacobians import jacobian, vjp
from qdeq.ledger import Execution, Result
from qdeq.models import QDEQClassifier
from qdeq.prices import Price
from qdeq.seeds import torch_generator
from qdeq.solvers import Solver, solve
from qdeq.spec import ExperimentSpec
from qdeq.training.diagnostics import diagnose
from qdeq.training.evaluate import shot_key

Work = Literal["train", "warm-up", "evaluate"]
Length = Literal["least", "typical", "most"]

TYPICAL_STEPS = 8
"""Steps of a solve that tests for convergence, where one number is needed: to choose between two ways."""
_SIZE = 0.05  # of a made-up answer: small ones keep every solver's arithmetic finite


@dataclass(frozen=True)
class Amount:
    """What is asked of a device.

    Attributes:
        circuits: Circuits that are asked for, those whose result is known already among them.
        tasks: Tasks that are new.
        shots: Their shots.
        low: The least that they can cost [nano-dollars].
        high: The most that they are expected to.
    """

    circuits: int = 0
    tasks: int = 0
    shots: int = 0
    low: int = 0
    high: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(*(a + b for a, b in zip(self._parts(), other._parts(), strict=True)))

    def __sub__(self, other: Amount) -> Amount:
        return self + other * -1

    def __mul__(self, times: int) -> Amount:
        return Amount(*(times * part for part in self._parts()))

    def _parts(self) -> tuple[int, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Unit:
    """What one step or one evaluation takes.

    Attributes:
        shared: Whatever the number of samples.
        each: For each sample.
    """

    shared: Amount
    each: Amount


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
        length: How long a solve that tests for convergence takes.

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
    fewest, most = _set_length(model, length)
    generator = torch_generator(0, "rehearsal")
    x, other = torch.randn(2, batch, model.readout.in_features, generator=generator, dtype=torch.float64)
    account = Rehearsal(price)
    with using(account), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        taken = _perform(spec, model, x, work)
        total = account.amount
        if spec.backend["execution"] != "compiled" and work != "warm-up" and model.layers is None:
            evaluation, derivative, product = _parts(spec, model, other, account)
            measured = work == "train" or spec.training.diagnostics == "always"
            if measured and model.shots is None and _forms_jacobians(spec, model, other):
                # one at the solution is new, or was formed by the solver: that depends on which iterate was the best
                total += derivative * {"least": -1, "typical": 0, "most": 1}[length]
            # a solver may evaluate f more than once a step, or again with more shots: that depends on numbers too
            total += evaluation * {"least": fewest - max(taken), "typical": 0, "most": most - min(taken)}[length]
            if work == "train" and length == "most":
                total += product * _inner_products(model.equilibrium.adjoint)
    return total


def _inner_products(adjoint: Adjoint) -> int:
    """Return how many products with J the steps of an iterative adjoint may take beyond the one that the loop makes."""
    if not isinstance(adjoint, IterativeAdjoint):
        return 0
    members = getattr(adjoint.solver, "members", (adjoint.solver,))
    return sum(member.max_steps * (member.evaluations_per_step - 1) for member in members)


def _parts(spec: ExperimentSpec, model: QDEQClassifier, x: torch.Tensor, account: Rehearsal) -> list[Amount]:
    """Return what an evaluation, a Jacobian and a product with one take at a place that has not been seen."""
    f, rows = _function(spec, model, x)
    y = x.new_full((len(x), model.state_size), 0.5)
    amounts = [account.amount]
    with torch.no_grad():
        f(y, *rows)
        amounts.append(account.amount)
        jacobian(f, y, rows)
        amounts.append(account.amount)
    vjp(f, y + 0.1, torch.ones_like(y), rows)
    amounts.append(account.amount)
    return [after - before for before, after in pairwise(amounts)]


def _forms_jacobians(spec: ExperimentSpec, model: QDEQClassifier, x: torch.Tensor) -> bool:
    """Whether one of the solvers forms Jacobians."""
    f, rows = _function(spec, model, x)
    y = x.new_full((len(x), model.state_size), 0.5)
    solvers = (model.equilibrium.solver, *model.equilibrium.fallback)
    once = [replace(solver, max_steps=1, rtol=0.0, atol=0.0) for solver in solvers]
    return any(bool(solve(solver, f, y, rows).jacobians.any()) for solver in once)


def _function(
    spec: ExperimentSpec, model: QDEQClassifier, x: torch.Tensor
) -> tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]:
    key = shot_key(spec, "rehearsal", 0, torch.arange(len(x)))
    frozen = model.function.at(model.weights.detach(), shots=model.shots, key=key)
    return frozen.inject(x, model.state_scale.detach(), model.state_size)


def _perform(spec: ExperimentSpec, model: QDEQClassifier, x: torch.Tensor, work: Work) -> list[int]:
    """Do the work, and return how often each sample's f was evaluated in the forward pass."""
    rows = torch.arange(len(x))
    if work == "evaluate":
        model.eval()
        with torch.no_grad():
            prediction = model(x, key=shot_key(spec, "evaluate", 0, rows))
            diagnose(prediction, spec)
        return prediction.equilibrium.evaluations.tolist()
    model.train()
    layers = spec.training.warmup_layers if work == "warm-up" else spec.model.layers
    generator = torch_generator(spec.seed, "step", 1)
    prediction = model(x, layers=layers, generator=generator, key=shot_key(spec, "train", 1, rows))
    diagnose(prediction, spec, 0)
    total = F.cross_entropy(prediction.logits, torch.zeros(len(x), dtype=torch.int64))
    penalty = prediction.equilibrium.penalty
    (total if penalty is None else total + penalty).backward()
    return prediction.equilibrium.evaluations.tolist()


# -- how long solves take ----------------------------------------------------------------------------------------------


def _set_length(model: QDEQClassifier, length: Length) -> tuple[int, int]:
    """Change the model's solvers so that solves take the least or the most; return what that is, in evaluations."""
    layer = model.equilibrium
    if layer.fixed_steps is not None:
        return 1 + layer.fixed_steps, layer.most_evaluations(model.shots)
    if layer.on_failure == "raise":
        layer.on_failure = "warn"  # a made-up solve that fails is no failure
    solvers = [
        _of_length(member, length)
        for solver in (layer.solver, *layer.fallback)
        for member in getattr(solver, "members", (solver,))  # a list of solvers is tried like fallbacks are
    ]
    layer.solver, layer.fallback = solvers[0], tuple(solvers[1:])
    layer.adjoint = _of_length(layer.adjoint, "least" if length == "typical" else length)
    most = layer.most_evaluations(model.shots)
    if length != "least":
        layer.first_shots = None  # every evaluation with all shots; those that are repeated with more are in `most`
    return 1, most


def _of_length(thing: Any, length: Length) -> Any:
    """Return a solver or an adjoint with tolerances that are met at once or never."""
    if isinstance(thing, IterativeAdjoint):
        return replace(thing, solver=_of_length(thing.solver, length))
    if isinstance(thing, GmresAdjoint):
        return replace(thing, rtol=1e30 if length == "least" else 1e-300)
    if not isinstance(thing, Solver):
        return thing
    thing = replace(thing, rtol=0.0, atol=1e30 if length == "least" else 0.0)
    return replace(thing, max_steps=min(thing.max_steps, TYPICAL_STEPS)) if length == "typical" else thing
