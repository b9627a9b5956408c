"""Every shipped experiment: each trainable number is registered, gets its gradient, is saved, and comes back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from tolerances import FD_GRADIENT, FD_STEP, SAME_LINEAR_SYSTEM, SOLVED, ZERO_GRADIENT

from qdeq.builders import build_model
from qdeq.circuit import Weight
from qdeq.injection import upsample
from qdeq.solvers import Broyden
from qdeq.spec import load_spec, parse_spec

FILES = {path.stem: path for path in sorted(Path(__file__).parents[2].joinpath("configs").glob("*.yaml"))}
VARIANTS = {
    "4 qubits, paper-angle": {"model": {"encoding": "paper-angle", "learn_state_scale": True}},
    "4 qubits, direct": {"model": {"mode": "direct", "layers": 3}},
    "5 qubits, two layers": {"model": {"qubits": 5, "ansatz": "strongly-entangling", "ansatz_layers": 2}},
    "10 qubits, paper-angle": {"model": {"qubits": 10, "encoding": "paper-angle"}},
    "10 qubits, amplitude": {"model": {"qubits": 10}},
}
SPECS = {stem: load_spec(path) for stem, path in FILES.items()}
SPECS |= {name: parse_spec(data, name) for name, data in VARIANTS.items()}
CASES = list(SPECS)
pytestmark = pytest.mark.filterwarnings("ignore::qdeq.errors.ConvergenceWarning")


def built(spec):
    return build_model(spec, len(spec.data.classes or range(10)))


def features(spec, count, seed=0):
    draws = np.random.default_rng(seed).normal(size=(count, spec.model.qubits**2))
    return torch.from_numpy(draws).to(getattr(torch, spec.training.precision))


def test_there_are_configs():
    assert "digits" in FILES


@pytest.mark.parametrize("name", CASES)
def test_every_weight_of_the_circuit_is_one_registered_number(name):
    model = built(SPECS[name])
    angles = [angle for gate in model.circuit.gates for angle in gate.angles if isinstance(angle, Weight)]
    assert sorted(angle.index for angle in angles) == list(range(len(model.weights)))
    registered = dict(model.named_parameters())
    assert registered["weights"].shape == (model.circuit.num_weights,)
    learned = {"state_scale"} if SPECS[name].model.learn_state_scale else set()
    assert set(registered) == {"weights", "readout.weight", "readout.bias"} | learned
    assert all(parameter.requires_grad for parameter in registered.values())
    assert set(registered) <= set(model.state_dict())


@pytest.mark.parametrize("name", CASES)
def test_every_weight_receives_the_gradient_that_finite_differences_give(name):
    spec = SPECS[name]
    model = built(spec).double().eval()
    model.equilibrium.solver = Broyden(rtol=0, atol=SOLVED, max_steps=60)
    x = features(spec, 6 if spec.model.qubits > 8 else 4).double()
    with torch.no_grad():
        status = model(x).equilibrium.status
    if status is not None:
        x = x[status == 0][:3]
        assert len(x), "no sample converges: choose others"
    labels = torch.arange(len(x)) % model.readout.out_features

    def loss():
        return torch.nn.functional.cross_entropy(5 * model(x).logits, labels, reduction="sum")

    loss().backward()
    gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())

    start = None if status is None else model(x).equilibrium.value.detach()

    def nearby_loss():
        """The same loss, solved from the equilibrium at hand: a system with several must not jump between them."""
        if start is None:
            return loss()
        f, rows = model.function.at(model.weights).inject(x, model.state_scale, model.state_size)
        z = torch.relu(upsample(model.equilibrium(f, start, rows).value, x.shape[1]))
        return torch.nn.functional.cross_entropy(5 * model.readout(z), labels, reduction="sum")

    def loss_at(parameter, index, value):
        with torch.no_grad():
            kept, parameter[index] = parameter[index].clone(), value
            found = float(nearby_loss())
            parameter[index] = kept
        return found

    weights, gradient = model.weights, gradients["weights"]
    dead = (gradient.abs() < ZERO_GRADIENT).nonzero().flatten().tolist()
    expected_dead = {1} if (spec.model.qubits, spec.model.encoding) == (10, "paper-angle") else set()
    assert expected_dead <= set(dead)
    with torch.no_grad():
        here = float(loss())
        assert float(nearby_loss()) == pytest.approx(here, abs=SAME_LINEAR_SYSTEM)
    for index in dead:  # zero exactly where the loss does not depend on the weight at all
        assert loss_at(weights, index, 0.7) == pytest.approx(here, abs=SAME_LINEAR_SYSTEM)
    chosen = [("weights", (k,)) for k in (range(len(weights)) if spec.model.qubits <= 8 else (0, 7, 45))]
    chosen += [("readout.weight", (0, 0)), ("readout.bias", (1,))]
    chosen += [("state_scale", ())] if spec.model.learn_state_scale else []
    parameters = dict(model.named_parameters())
    for key, index in chosen:
        parameter = parameters[key]
        middle = parameter.detach()[index].clone()
        slope = (loss_at(parameter, index, middle + FD_STEP) - loss_at(parameter, index, middle - FD_STEP)) / (
            2 * FD_STEP
        )
        assert float(gradients[key][index]) == pytest.approx(slope, abs=5 * FD_GRADIENT, rel=FD_GRADIENT), (key, index)


@pytest.mark.parametrize("name", CASES)
def test_a_saved_model_comes_back_to_bit_identical_outputs(name):
    spec = SPECS[name]
    model = built(spec).eval()
    other = built(spec.model_copy(update={"seed": spec.seed + 1})).eval()
    x = features(spec, 2)
    with torch.no_grad():
        before = model(x).logits
        assert not torch.equal(other(x).logits, before)
        other.load_state_dict(load(save(model.state_dict())))
        assert torch.equal(other(x).logits, before)


@pytest.mark.parametrize("name", CASES)
def test_the_state_dict_knows_nothing_of_batches(name):
    spec = SPECS[name]
    model = built(spec)
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    with torch.no_grad():
        for count in (1, 3):
            model(features(spec, count))
    assert {key: value.shape for key, value in model.state_dict().items()} == shapes
    assert set(shapes) == {"weights", "state_scale", "readout.weight", "readout.bias"}


@pytest.mark.parametrize("name", CASES)
def test_the_same_spec_builds_the_same_model_and_another_seed_another(name):
    spec = SPECS[name]
    one, two = built(spec), built(spec)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(built(spec.model_copy(update={"seed": spec.seed + 1})).weights, one.weights)
    assert one.weights.abs().max() <= np.pi
