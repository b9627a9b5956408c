"""The eight mistakes of the reference code (shared/qdeq-model.md), and that they are not made here."""

import math
import re
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel
from safetensors.torch import load, save
from tolerances import EXACT64

import qdeq
from qdeq.builders import build_model
from qdeq.errors import ConvergenceWarning
from qdeq.library import amplitude_encoder, paper_angle_encoder, paper_ansatz
from qdeq.models import QDEQClassifier, QuantumFunction
from qdeq.seeds import derive_seed
from qdeq.solvers import Anderson, Status, solve
from qdeq.spec import ExperimentSpec, parse_spec

SOURCES = {path: path.read_text(encoding="utf-8") for path in Path(qdeq.__file__).parent.rglob("*.py")}


def model(encoding="amplitude", classes=4, *, train=False, **options):
    encoder = amplitude_encoder(4) if encoding == "amplitude" else paper_angle_encoder(4)
    function = QuantumFunction(encoder + paper_ansatz(4))
    return QDEQClassifier(function, classes, generator=torch.Generator().manual_seed(1), **options).train(train)


def features(count, seed=0):
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(seed))


def loss(network, x):
    return torch.nn.functional.cross_entropy(network(x).logits, torch.arange(len(x)) % 4)


@pytest.mark.parametrize(("qubits", "rotations"), [(4, 35 + 4), (10, 40 + 16)])
def test_mistake_1_rotations_of_the_blocks_are_trained_and_saved(qubits, rotations):
    ansatz = paper_ansatz(qubits)
    assert ansatz.num_weights == rotations == sum(len(gate.angles) for gate in ansatz.gates)
    if qubits == 10:
        return
    network = model()
    before = network.state_dict()["weights"].clone()
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    loss(network, features(20)).backward()
    optimiser.step()
    blocks = slice(35, 39)  # RX, RY, RZ and CRX of the block
    assert (
        network.state_dict()["weights"][blocks] != before[blocks]
    ).sum() >= 3  # the RZ may commute with all that follows


def _leaves(spec):
    for name, field in spec.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation)
        else:
            yield name


def test_mistake_2_no_shared_hooks_no_hard_coded_device_no_option_unread():
    network = model(train=True)
    loss(network, features(3)).backward()
    assert not any(module._backward_hooks or module._backward_pre_hooks for module in network.modules())
    assert not any(re.search(r"\.cuda\(|device=[\"']cuda", text) for text in SOURCES.values())
    elsewhere = "\n".join(text for path, text in SOURCES.items() if path.name != "spec.py")
    unread = [name for name in _leaves(ExperimentSpec) if not re.search(rf"\.{name}\b", elsewhere)]
    assert set(unread) <= {"mode"}  # which the spec itself checks against `layers`, and that is read


@pytest.mark.parametrize("value", [True, False])
def test_mistake_2_flags_can_be_switched_off_again(value):
    spec = parse_spec({"model": {"learn_state_scale": value}}, "x")
    network = build_model(spec, 4)
    assert isinstance(network.state_scale, torch.nn.Parameter) is value


def test_mistake_3_convergence_is_decided_sample_by_sample():
    network, x = model("angle").double(), features(64).double()
    with torch.no_grad():
        whole = network(x)
        solver = network.equilibrium.solver
        f, rows = network.function.at(network.weights).inject(x, network.state_scale, 4)
        size = f(whole.equilibrium.value, *rows).norm(dim=1)
        assert (whole.equilibrium.residual <= solver.atol + solver.rtol * size).all()  # the worst sample, not the mean
        for neighbours in (x[:1], x[[0, 5]], torch.cat([x[:1], 100 * x[1:9]])):
            torch.testing.assert_close(network(neighbours).logits[0], whole.logits[0], atol=1e-9, rtol=0)


def test_mistake_4_the_reported_residual_is_a_norm_not_a_mean_of_elementwise_ratios():
    target = torch.tensor([[1e-8, 1.0], [1.0, 2.0]], dtype=torch.float64)  # an entry near zero makes a ratio explode
    start = target + 1e-3
    found = solve(Anderson(max_steps=0), lambda y: target.expand_as(y), start)
    torch.testing.assert_close(found.residual, torch.full((2,), 1e-3 * math.sqrt(2)).double(), atol=EXACT64, rtol=1e-6)
    torch.testing.assert_close(found.relative_residual, found.residual / target.norm(dim=1), atol=EXACT64, rtol=0)
    network = model().double()
    result = network(features(8).double()).equilibrium
    f, rows = network.function.at(network.weights).inject(features(8).double(), 1.0, 4)
    step = f(result.value, *rows)
    torch.testing.assert_close(result.residual, (step - result.value).norm(dim=1).detach(), atol=1e-10, rtol=1e-6)


@pytest.mark.parametrize("encoding", ["amplitude", "angle"])
def test_mistake_5_f_remembers_nothing(encoding):
    network = model(encoding)
    with torch.no_grad():
        f, rows = network.function.at(network.weights).inject(features(5), 1.0, 4)
        y = torch.tanh(features(5)[:, :4])
        first = f(y, *rows)
        f(-y, *rows)
        assert torch.equal(f(y, *rows), first)
        logits = network(features(5)).logits
        network(features(9, seed=3))
        assert torch.equal(network(features(5)).logits, logits)


def test_mistake_6_a_zero_vector_is_defined():
    network = model()
    x = torch.cat([torch.zeros(1, 16), features(3)])
    result = network(x)
    assert result.logits.isfinite().all()
    loss(network, x).backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_mistake_6_an_all_nan_solve_says_so():
    with pytest.warns(ConvergenceWarning, match="not finite"):
        result = model()(torch.full((2, 16), math.nan)).equilibrium
    assert result.status.tolist() == [Status.NON_FINITE] * 2
    assert result.residual.isinf().all()


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
@pytest.mark.filterwarnings("ignore::qdeq.errors.ConvergenceWarning")
def test_mistake_6_anderson_runs_with_few_steps(steps):
    found = solve(Anderson(max_steps=steps, rtol=0, atol=0), torch.cos, torch.zeros(2, 4))
    assert found.steps.tolist() == [steps] * 2
    assert found.value.isfinite().all()


@pytest.mark.parametrize("layers", [None, 3])
def test_mistake_7_training_and_evaluation_classify_the_same_value(layers):
    network, x = model(dropout=0.0, layers=layers), features(6)
    assert torch.equal(network.train()(x).logits, network.eval()(x).logits)


@pytest.mark.parametrize("classes", [2, 3, 5, 7, 10])
def test_mistake_7_any_number_of_classes_runs(classes):
    network = model(classes=classes, train=True)
    result = network(features(3), generator=torch.Generator().manual_seed(0))
    assert result.logits.shape == (3, classes)
    result.logits.square().sum().backward()


def test_mistake_8_the_state_dict_has_no_batch_in_it_and_loads():
    network = model()
    network(features(7))
    fresh = QDEQClassifier(network.function, 4)
    fresh.load_state_dict(load(save(network.state_dict())))
    with torch.no_grad():
        assert torch.equal(fresh.eval()(features(3)).logits, network(features(3)).logits)
    assert all(7 not in value.shape for value in network.state_dict().values())


def test_mistake_8_nothing_is_pickled():
    guilty = [
        path.name
        for path, text in SOURCES.items()
        if re.search(r"import pickle|torch\.(load|save)\(|joblib\.(load|dump)\(", text)
    ]
    assert guilty == []


def test_mistake_8_one_seed_reaches_every_stream():
    names = ("weights", "sampler", "dropout", "solver", "shots")
    assert len({derive_seed(seed, name) for seed in (0, 1) for name in names}) == 2 * len(names)
    spec = parse_spec({"seed": 3}, "x")
    torch.manual_seed(0)
    first = build_model(spec, 4)
    torch.manual_seed(1)
    assert torch.equal(build_model(spec, 4).weights, first.weights)
