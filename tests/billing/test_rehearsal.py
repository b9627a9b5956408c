"""Bounds on a training step hold for every f: a device that answers anything is asked neither more nor less."""

import hashlib
import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from qdeq.billing.account import using
from qdeq.billing.execution import Result
from qdeq.billing.prices import Price
from qdeq.billing.rehearsal import Rehearsal, rehearse
from qdeq.builders import build_model
from qdeq.errors import ConvergenceWarning, UnsupportedError
from qdeq.seeds import torch_generator
from qdeq.spec import parse_spec
from qdeq.training.diagnostics import diagnose
from qdeq.training.evaluate import shot_key

PRICE = Price(per_task=0.3, per_shot=0.01)
BATCH = 3


class Device(Rehearsal):
    """A device whose f is any: constant (a solve ends at once), nearly so, or wild (none ends)."""

    def __init__(self, kind, seed):
        super().__init__(PRICE)
        self.size = {"constant": 0.0, "flat": 1e-7, "wild": 0.9}[kind]
        self.seed = seed

    def obtain(self, executions, backend):
        super().obtain(executions, backend)
        return [self.answer(execution) for execution in executions]

    def answer(self, execution):
        digest = hashlib.sha256(f"{self.seed} {execution.hash}".encode()).digest()
        draw = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        if not execution.shots:
            return Result(values=tuple((0.1 + self.size * draw.uniform(-1, 1, execution.size)).tolist()))
        ones = draw.binomial(execution.shots, min(1.0, 0.5 + self.size / 2))
        counts = {"0" * execution.qubits: execution.shots - ones, "1" * execution.qubits: int(ones)}
        return Result(counts=tuple((outcome, int(count)) for outcome, count in counts.items() if count))


def experiment(**changes):
    backend = {"name": "braket-sv1", "execution": "circuits", **changes.pop("backend", {})}
    model = {"qubits": 2, "encoding": "angle", "ansatz": "hardware-efficient", **changes.pop("model", {})}
    training = {"precision": "float64", **changes.pop("training", {})}
    solver = {"name": "broyden", "max_steps": 6}
    return parse_spec(
        {"backend": backend, "model": model, "solver": solver, "training": training, **changes}, "experiment"
    )


def asked_for(spec, work, kind, seed):
    """Return what a training step or an evaluation of BATCH samples asks such a device for."""
    device, model = Device(kind, seed), build_model(spec, num_classes=2)
    for parameter in (model.weights, model.readout.weight):  # of another seed than the spec's
        torch.nn.init.normal_(parameter, generator=torch_generator(seed, "weights"))
    x = torch.randn(BATCH, model.readout.in_features, generator=torch_generator(seed, "x"), dtype=torch.float64)
    model.train(work != "evaluate")
    layers = spec.training.warmup_layers if work == "warm-up" else spec.model.layers
    with using(device), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        key = shot_key(spec, "train", seed, torch.arange(BATCH))
        with torch.set_grad_enabled(work != "evaluate"):
            prediction = model(x, layers=layers, generator=torch_generator(seed, "step"), key=key)
        diagnose(prediction, spec, 0)
        if work != "evaluate":
            F.cross_entropy(prediction.logits, torch.zeros(BATCH, dtype=torch.int64)).backward()
    return device.amount


CASES = {
    "dense": {},
    "phantom": {"adjoint": {"name": "phantom", "steps": 3}},
    "jacobian-free": {"adjoint": "jacobian-free"},
    "gmres": {"adjoint": "gmres"},
    "broyden in the adjoint": {"adjoint": {"name": "broyden", "max_steps": 4}},
    "newton in the adjoint": {"adjoint": {"name": "newton", "max_steps": 3}},
    "newton-krylov in the adjoint": {"adjoint": {"name": "newton-krylov", "max_steps": 5}},
    "newton-krylov": {"solver": {"name": "newton-krylov", "max_steps": 6}},
    "newton": {"solver": {"name": "newton", "max_steps": 9}},
    "fallback": {"solver": {"name": "fallback", "max_steps": 6, "solvers": ["naive", "newton-krylov"]}},
    "fallback, and the dense solve": {
        "solver": {
            "name": "naive",
            "max_steps": 2,
            "on_failure": "fallback",
            "fallback": [{"name": "broyden", "max_steps": 4}],
        },
        "adjoint": {"name": "naive", "max_steps": 2},
    },
    "unrolled": {"solver": {"name": "anderson", "max_steps": 5}, "adjoint": "unrolled"},
    "unrolled, fixed steps": {"solver": {"name": "naive", "fixed_steps": 4}, "adjoint": "unrolled"},
    "fixed steps": {"solver": {"name": "broyden", "fixed_steps": 3}},
    "fixed steps of newton": {"solver": {"name": "newton", "fixed_steps": 3}},
    "fixed steps of newton-krylov": {"solver": {"name": "newton-krylov", "fixed_steps": 3}},
    "masked states": {"solver": {"name": "broyden", "fixed_steps": 3}, "model": {"state_dropout": 0.6}},
    "masked states, direct": {"model": {"mode": "direct", "layers": 3, "state_dropout": 0.6}},
    "shifts": {"backend": {"gradient": "parameter-shift"}, "adjoint": "gmres"},
    "shots": {"shots": 20, "solver": {"name": "naive", "max_steps": 3}},
    "shots, unrolled": {"shots": 20, "solver": {"name": "naive", "max_steps": 3}, "adjoint": "unrolled"},
    "a fixed step of shots, unrolled": {
        "shots": 9,
        "solver": {"name": "naive", "fixed_steps": 1},
        "adjoint": "unrolled",
    },
    "shots that grow": {"shots": 64, "solver": {"name": "naive", "max_steps": 3, "first_shots": 4}},
    "diagnostics": {"training": {"diagnostics": "always"}, "solver": {"name": "newton", "fixed_steps": 2}},
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_no_device_is_asked_for_more_or_less_than_the_bounds(changes):
    spec = experiment(**{name: dict(value) if isinstance(value, dict) else value for name, value in changes.items()})
    steps_are_fixed = spec.model.layers is not None or spec.solver.fixed_steps is not None
    for work in ("train", "evaluate"):
        least, most = (rehearse(spec, PRICE, work, length) for length in ("least", "most"))
        low, high = (unit.shared + unit.each * BATCH for unit in (least, most))
        for kind in ("constant", "flat", "wild"):
            for seed in range(3):
                found = asked_for(spec, work, kind, seed)
                case = (work, kind, seed, low, found, high)
                assert found.tasks <= high.tasks, case
                assert found.shots <= high.shots, case
                assert found.high <= high.high, case
                if kind == "constant" and steps_are_fixed:
                    continue  # the same iterate again is no new task, and an estimate takes iterates to differ
                assert low.tasks <= found.tasks, case
                assert low.shots <= found.shots, case
                assert low.low <= found.low, case


def bounds(**changes):
    spec = experiment(**changes)
    return [rehearse(spec, PRICE, "train", length).each.tasks for length in ("least", "most")]


def test_krylov_spaces_are_no_wider_than_the_state():
    """Two qubits: a step takes one evaluation of the loop's and two inner ones, whatever ``krylov`` allows."""
    forward = {"solver": {"name": "newton-krylov", "max_steps": 7, "krylov": 20}}
    least, most = bounds(**forward)
    assert most - least == 7 * (1 + 2)
    least, most = bounds(solver={"name": "naive", "fixed_steps": 1}, adjoint=forward["solver"])
    assert most - (least + 1) == 7 * (1 + 2)  # where the gradient is zero, its one product is the last one's
    least, most = bounds(solver={"name": "naive", "fixed_steps": 1}, adjoint={"name": "gmres", "max_restarts": 3})
    assert most - least == 3 * (2 + 1)


def test_a_phantom_gradient_is_bounded_by_its_products():
    """Nothing is asked twice: k - 1 products and the residual's; one in all where the gradient is zero."""
    fixed = {"name": "naive", "fixed_steps": 1}
    for steps, measure in ((1, True), (4, True), (4, False)):
        least, most = bounds(solver=fixed, adjoint={"name": "phantom", "steps": steps, "measure": measure})
        assert (least, most) == (2 + 1, 2 + steps - 1 + measure + 1)


def test_a_gradient_that_is_not_to_be_had_is_refused_in_the_rehearsal():
    spec = experiment(solver={"name": "newton", "max_steps": 3}, adjoint="unrolled")
    with pytest.raises(UnsupportedError, match="no derivative of the Jacobian"):
        rehearse(spec, PRICE, "train", "most")
