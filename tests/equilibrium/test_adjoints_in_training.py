"""Every adjoint in the ways that PyTorch programs use a layer."""

import copy

import pytest
import torch
from data_parallel_worker import global_batch, gradients, train_in_two
from functions import KINDS, TIGHT, classifier, gradient_by_differences, hyperbolic, matrix_with_radius, numbers
from tolerances import EXACT64_DEEP, EXACT_GRADIENT, SAME_LINEAR_SYSTEM

from qdeq.backends.torch import TorchBackend
from qdeq.equilibrium import Equilibrium
from qdeq.injection import InjectedFunction
from qdeq.library import amplitude_encoder, angle_encoder, hardware_efficient
from qdeq.models import QDEQClassifier, QuantumFunction
from qdeq.solvers import Broyden, Newton

EVERY = pytest.mark.parametrize("kind", list(KINDS))


def model_with(kind, encoding="amplitude"):
    return classifier(encoding, seed=4, equilibrium=Equilibrium(TIGHT, adjoint=KINDS[kind]))


@EVERY
def test_two_forwards_before_one_backward_add_up(kind):
    model = model_with(kind)
    first, second = numbers(104, 3, 16), numbers(105, 2, 16)
    (together,) = torch.autograd.grad(model(first).logits[:, 0].sum() + model(second).logits[:, 1].sum(), model.weights)
    (one,) = torch.autograd.grad(model(first).logits[:, 0].sum(), model.weights)
    (two,) = torch.autograd.grad(model(second).logits[:, 1].sum(), model.weights)
    torch.testing.assert_close(together, one + two, atol=EXACT64_DEEP, rtol=0)


@EVERY
def test_one_frozen_function_serves_two_solves(kind):
    model = classifier("angle", seed=4)
    layer, x = Equilibrium(TIGHT, adjoint=KINDS[kind]), (numbers(1, 3, 16), numbers(2, 3, 16))
    f = InjectedFunction(model.function.at(model.weights))
    parts = [layer(f, torch.zeros(3, 4).double(), (features,)).value.sum() for features in x]
    (together,) = torch.autograd.grad(sum(parts), model.weights)
    alone = []
    for features in x:
        fresh = InjectedFunction(model.function.at(model.weights))
        y = layer(fresh, torch.zeros(3, 4).double(), (features,)).value
        alone.append(torch.autograd.grad(y.sum(), model.weights)[0])
    torch.testing.assert_close(together, alone[0] + alone[1], atol=EXACT64_DEEP, rtol=0)


@pytest.mark.parametrize("kind", ["dense", "dense, twice", "gmres", "broyden", "newton", "unrolled"])
def test_one_layer_twice_in_a_graph_has_the_derivative_of_both(kind):
    """The second solve's data are the first one's equilibrium."""
    layer, matrix, x = Equilibrium(TIGHT, adjoint=KINDS[kind]), matrix_with_radius(0.8, seed=1), numbers(5, 2, 4)

    def loss():
        first = layer(hyperbolic(matrix), torch.zeros(2, 4).double(), (x,))
        second = layer(hyperbolic(matrix), torch.zeros(2, 4).double(), (x + first.value,))
        return second.value.square().sum()

    with torch.no_grad():
        wanted = gradient_by_differences(loss, matrix).reshape(4, 4)
    matrix.requires_grad_()
    (found,) = torch.autograd.grad(loss(), matrix)
    torch.testing.assert_close(found, wanted, atol=EXACT_GRADIENT, rtol=0)


@EVERY
def test_gradients_accumulate_over_two_steps_and_over_parts_of_a_batch(kind):
    model, x = model_with(kind), numbers(104, 4, 16)
    model(x).logits.sum().backward()
    once = model.weights.grad.clone()
    model(x).logits.sum().backward()
    torch.testing.assert_close(model.weights.grad, 2 * once, atol=EXACT64_DEEP, rtol=0)
    model.zero_grad()
    for part in x.split(1):
        model(part).logits.sum().backward()
    torch.testing.assert_close(model.weights.grad, once, atol=SAME_LINEAR_SYSTEM, rtol=0)


@EVERY
def test_a_retained_graph_can_be_run_backward_again(kind):
    model, x = model_with(kind), numbers(104, 3, 16).requires_grad_()
    result = model(x)
    loss = result.logits.square().sum()
    loss.backward(retain_graph=True)
    once, record = (model.weights.grad.clone(), x.grad.clone()), result.equilibrium.adjoint.failed.clone()
    loss.backward()
    torch.testing.assert_close(model.weights.grad, 2 * once[0], atol=EXACT64_DEEP, rtol=0)
    torch.testing.assert_close(x.grad, 2 * once[1], atol=EXACT64_DEEP, rtol=0)
    assert torch.equal(result.equilibrium.adjoint.failed, record)


@EVERY
def test_frozen_weights_leave_the_gradient_of_the_data(kind):
    model, x = model_with(kind), numbers(104, 3, 16).requires_grad_()
    (wanted,) = torch.autograd.grad(model(x).logits.square().sum(), x)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    (found,) = torch.autograd.grad(model(x).logits.square().sum(), x)
    torch.testing.assert_close(found, wanted, atol=EXACT64_DEEP, rtol=0)
    assert model.weights.grad is None


@EVERY
def test_where_nothing_is_trained_nothing_is_recorded(kind):
    model, x = model_with(kind), numbers(104, 3, 16)
    model.weights.requires_grad_(False)
    result = model(x)
    assert not result.equilibrium.value.requires_grad
    result.logits.sum().backward()
    assert model.weights.grad is None
    assert model.readout.weight.grad is not None
    model.weights.requires_grad_(True)
    for parameter in model.readout.parameters():
        parameter.requires_grad_(False)
    model(x).logits.sum().backward()
    assert model.weights.grad.abs().max() > 0


@EVERY
def test_without_gradients_the_value_is_the_same_and_nothing_is_recorded(kind):
    model, x = model_with(kind, "angle"), numbers(104, 3, 16)
    wanted = model(x).logits.detach()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            result = model(x)
        assert not result.logits.requires_grad
        assert result.equilibrium.penalty is None
        assert result.equilibrium.adjoint.failed is None
        torch.testing.assert_close(result.logits, wanted, atol=EXACT64_DEEP, rtol=0)


@pytest.mark.parametrize("execution", ["compiled", "circuits"])
@pytest.mark.parametrize(("encoder", "qubits"), [(amplitude_encoder, 7), (angle_encoder, 5)])
def test_a_model_that_was_first_run_in_inference_mode_can_be_trained(encoder, qubits, execution):
    """What is kept from call to call has to be fit for autograd; a circuit that no other test has makes it new here."""
    circuit = encoder(qubits) + hardware_efficient(qubits, {"compiled": 4, "circuits": 5}[execution])
    model = QDEQClassifier(QuantumFunction(circuit, backend=TorchBackend(execution=execution)), 2).double()
    x = numbers(1, 2, circuit.num_inputs)
    with torch.inference_mode():
        model.eval()(x)
    model.train()(x).logits.square().sum().backward()
    assert model.weights.grad.abs().max() > 0


def test_inference_mode_never_gives_a_jacobian_of_zeros():
    """Autograd finds no derivative there: a solver that needs one by autograd has to say so."""
    model = classifier("angle", equilibrium=Equilibrium(Newton()))
    model.function = QuantumFunction(model.circuit, backend=TorchBackend(execution="circuits"))
    with torch.inference_mode(), pytest.raises(Exception, match="inference_mode"):
        model(numbers(1, 2, 16))
    with torch.no_grad():
        model(numbers(1, 2, 16))


@pytest.mark.parametrize("kind", ["dense", "gmres", "unrolled"])
def test_gradients_reach_what_made_the_data(kind):
    """The layer inside a larger network: features from a trainable map."""
    model, raw = model_with(kind, "angle"), numbers(104, 2, 5)
    before = torch.nn.Parameter(0.3 * numbers(3, 5, 16))

    def loss():
        return model(raw @ before).logits.square().sum()

    (found,) = torch.autograd.grad(loss(), before)
    chosen = [(0, 0), (1, 7), (4, 15)]
    with torch.no_grad():
        slopes = gradient_by_differences(loss, before, chosen)
    mine = torch.stack([found[index] for index in chosen])
    torch.testing.assert_close(mine, slopes, atol=EXACT_GRADIENT, rtol=EXACT_GRADIENT)


@EVERY
def test_states_of_any_shape(kind):
    def shaped(y, x):
        return 0.5 * torch.tanh(y.flip(1)) + x

    def flat(y, x):
        return shaped(y.unflatten(1, (3, 2)), x.unflatten(1, (3, 2))).flatten(1)

    x, layer, results = numbers(4, 2, 3, 2), Equilibrium(TIGHT, adjoint=KINDS[kind]), []
    for f, data in ((shaped, x), (flat, x.flatten(1))):
        leaf = data.clone().requires_grad_()
        y = layer(f, torch.zeros_like(data), (leaf,)).value
        (found,) = torch.autograd.grad(y.square().sum(), leaf)
        assert y.shape == found.shape == data.shape
        results.append((y.detach().flatten(1), found.flatten(1)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=EXACT64_DEEP, rtol=0)


@EVERY
def test_an_empty_batch_has_an_empty_equilibrium_and_no_gradient(kind):
    matrix, nothing = matrix_with_radius(0.5).requires_grad_(), torch.zeros(0, 4).double()
    result = Equilibrium(TIGHT, adjoint=KINDS[kind])(hyperbolic(matrix), nothing, (nothing,))
    assert result.value.shape == (0, 4)
    if result.value.requires_grad:
        (found,) = torch.autograd.grad(result.value.sum(), matrix)
        assert not found.any()


@pytest.mark.slow  # two processes that import PyTorch
def test_data_parallel_training_has_the_gradients_of_one_process(tmp_path):
    """Two processes (gloo) under DistributedDataParallel, each with half of the batch; two steps: both learn."""
    kinds = ("dense", "gmres", "phantom", "unrolled")
    found = train_in_two(kinds, tmp_path)
    for kind in kinds:
        for name, gradient in gradients(kind, global_batch()).items():
            torch.testing.assert_close(found[f"{kind}/{name}"], gradient, atol=EXACT64_DEEP, rtol=0)


def test_a_model_can_be_copied_and_moved_with_its_adjoint():
    model = classifier("amplitude", seed=4, equilibrium=Equilibrium(Broyden(), adjoint=KINDS["gmres"]))
    twin = copy.deepcopy(model).float()
    assert twin.equilibrium.adjoint == model.equilibrium.adjoint
    twin(numbers(1, 2, 16).float()).logits.sum().backward()
    assert twin.weights.grad.dtype == torch.float32
    assert model.weights.grad is None
