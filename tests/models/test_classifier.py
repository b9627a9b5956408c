"""The classifier: its pieces by hand, dropout, errors."""

import pytest
import torch
from tolerances import EXACT64, FALSE_ALARM_Z, SINGLE

from qdeq.backends import get_backend
from qdeq.builders import build_model
from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.equilibrium import Equilibrium
from qdeq.errors import CircuitError
from qdeq.injection import upsample, upsample_transposed
from qdeq.jacobians import jacobian
from qdeq.library import amplitude_encoder, angle_encoder, hardware_efficient, paper_angle_encoder, paper_ansatz
from qdeq.models import QDEQClassifier, QuantumFunction
from qdeq.observables import X, Z
from qdeq.solvers import Broyden
from qdeq.spec import parse_spec

ENCODERS = {"amplitude": amplitude_encoder(4), "angle": paper_angle_encoder(4)}
FUNCTION = QuantumFunction(amplitude_encoder(4) + paper_ansatz(4))


def model(**options):
    options = {"equilibrium": Equilibrium(Broyden(rtol=0, atol=1e-12)), **options}
    return QDEQClassifier(FUNCTION, 3, generator=torch.Generator().manual_seed(4), **options).double()


def features(count=3):
    return torch.randn(count, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_up_sampling_repeats_each_entry_in_a_row():
    y = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert upsample(y, 6).tolist() == [[1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]]


@pytest.mark.parametrize("encoder", [angle_encoder(2), amplitude_encoder(2)])
def test_a_state_that_cannot_be_fed_back_is_named(encoder):
    function = QuantumFunction(encoder + hardware_efficient(2))
    frozen = function.at(torch.zeros(function.circuit.num_weights))
    f, rows = frozen.inject(torch.randn(3, 5), 1.0, 2)
    with pytest.raises(CircuitError, match="2 entries cannot be fed back into 5 features"):
        f(torch.zeros(3, 2), *rows)


def test_a_state_of_another_size_is_named():
    function = QuantumFunction(angle_encoder(2) + hardware_efficient(2))
    f, rows = function.at(torch.zeros(function.circuit.num_weights)).inject(torch.randn(3, 4), 1.0, 2)
    with pytest.raises(CircuitError, match="the state has 2 entries a sample, not 3"):
        f(torch.zeros(3, 3), *rows)


def test_an_observable_outside_the_register_is_refused_at_once():
    with pytest.raises(CircuitError, match="qubits run from 0 to 1"):
        QuantumFunction(hardware_efficient(2), (Z(7),))


def test_the_transposed_map_is_the_transpose():
    generator = torch.Generator().manual_seed(0)
    y, v = torch.randn(5, 4, generator=generator), torch.randn(5, 12, generator=generator)
    torch.testing.assert_close((upsample(y, 12) * v).sum(1), (y * upsample_transposed(v, 4)).sum(1))


@pytest.mark.parametrize("scale", [1.0, 0.3, -2.0])
def test_the_equilibrium_is_a_fixed_point_of_the_injected_circuit(scale):
    network, x = model(state_scale=scale), features()
    y = network(x).equilibrium.value.detach()
    assert float(network.state_scale) == pytest.approx(scale, rel=SINGLE)  # made in float32
    again = FUNCTION(x + network.state_scale * y.repeat_interleave(4, dim=1), network.weights.detach())
    torch.testing.assert_close(again, y, atol=10 * EXACT64, rtol=0)


@pytest.mark.parametrize("execution", ["auto", "compiled", "circuits"])
@pytest.mark.parametrize("encoding", ENCODERS)
def test_injection_by_a_backend_is_injection_by_hand_with_its_derivatives(encoding, execution):
    """Whatever a backend does to make f fast, it is q(x + s W y)."""
    backend = get_backend({"name": "torch", "execution": execution})
    function = QuantumFunction(ENCODERS[encoding] + paper_ansatz(4), backend=backend)
    weights = torch.randn(39, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    y = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).tanh()

    def by_backend(x, s, w, y):
        f, rows = function.at(w).inject(x, s, 4)
        return f(y, *rows)

    def by_hand(x, s, w, y):
        plain = QuantumFunction(function.circuit, backend=get_backend({"name": "torch", "execution": "circuits"}))
        return plain(x + s * y.repeat_interleave(4, dim=1), w)

    given = [t.clone().requires_grad_() for t in (features(), torch.tensor(0.7, dtype=torch.float64), weights, y)]
    one, other = by_backend(*given), by_hand(*given)
    torch.testing.assert_close(one, other, atol=10 * EXACT64, rtol=0)
    cotangent = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(3, 4)
    for mine, wanted in zip(
        torch.autograd.grad((one * cotangent).sum(), given),
        torch.autograd.grad((other * cotangent).sum(), given),
        strict=True,
    ):
        torch.testing.assert_close(mine, wanted, atol=100 * EXACT64, rtol=0)


@pytest.mark.parametrize("encoding", ENCODERS)
def test_the_jacobian_of_a_backends_injection_is_that_of_the_open_circuit(encoding):
    weights = torch.linspace(-3, 3, 39, dtype=torch.float64)
    y = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4)
    circuit, found = ENCODERS[encoding] + paper_ansatz(4), {}
    for execution in ("auto", "compiled", "circuits"):
        q = QuantumFunction(circuit, backend=get_backend({"name": "torch", "execution": execution})).at(weights)
        f, rows = q.inject(features(), 1.7, 4)
        found[execution] = jacobian(f, y, rows)
    torch.testing.assert_close(found["compiled"], found["circuits"], atol=100 * EXACT64, rtol=0)
    torch.testing.assert_close(found["auto"], found["circuits"], atol=100 * EXACT64, rtol=0)


def test_the_read_out_is_up_sampling_relu_and_a_linear_layer():
    network = model(dropout=0.0)
    result = network(features())
    z = result.equilibrium.value.repeat_interleave(4, dim=1).clamp_min(0)
    by_hand = z @ network.readout.weight.T + network.readout.bias
    torch.testing.assert_close(result.logits, by_hand, atol=EXACT64, rtol=0)


def test_a_model_can_have_other_observables_than_z():
    function = QuantumFunction(amplitude_encoder(4) + paper_ansatz(4), (Z(0), X(1)))
    network = QDEQClassifier(function, 5, equilibrium=Equilibrium(Broyden(rtol=0, atol=1e-12))).double()
    result = network(features())
    assert result.equilibrium.value.shape == (3, 2)
    assert result.logits.shape == (3, 5)


def test_dropout_comes_from_the_generator_and_in_training_only():
    network, x = model(dropout=0.5), features()

    def logits(seed):
        return network(x, generator=torch.Generator().manual_seed(seed)).logits

    network.train()
    assert torch.equal(logits(1), logits(1))
    assert not torch.equal(logits(1), logits(2))
    network.eval()
    assert torch.equal(logits(1), logits(2))


def test_dropout_keeps_the_mean_of_what_is_read():
    network, x = model(dropout=0.4), features(1)
    with torch.no_grad():
        network.readout.weight.fill_(1.0)
        exact = network.eval()(x).logits[0, 0]
        draws = network.train()(x.expand(5000, -1), generator=torch.Generator().manual_seed(0)).logits[:, 0]
    assert abs(draws.mean() - exact) / (draws.std() / 5000**0.5) < FALSE_ALARM_Z


def test_one_call_can_use_another_mode_than_the_model():
    network, x = model(dropout=0.0), features()
    direct = model(dropout=0.0, layers=2)
    assert torch.equal(network(x, layers=2).logits, direct(x).logits)
    assert torch.equal(direct(x, layers=None).logits, network(x).logits)


def test_building_and_running_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    network = build_model(parse_spec({"training": {"jacobian_weight": 1.0, "jacobian_estimate": "hutchinson"}}, "x"), 4)
    network.train()(features().float(), generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("num_features", "says"), [(15, "15 features do not fit"), (18, "have to divide")])
def test_features_that_do_not_fit_are_refused(num_features, says):
    with pytest.raises(CircuitError, match=says):
        QDEQClassifier(FUNCTION, 3, num_features=num_features)


def test_data_that_does_not_fit_is_refused_in_words():
    with pytest.raises(CircuitError, match=r"\[batch, 16\], not \[3, 12\]"):
        model()(torch.zeros(3, 12, dtype=torch.float64))


def test_data_of_another_precision_is_refused_in_words():
    with pytest.raises(CircuitError, match=r"float32.*float64"):
        model()(features().float())


def test_features_that_the_circuit_does_not_use_are_allowed():
    circuit = Circuit(2, (Gate("RY", 0, Input(0)), Gate("RY", 1, Input(1)), Gate("CRX", (0, 1), Weight(0))))
    network = QDEQClassifier(QuantumFunction(circuit), 2, num_features=4).double()
    assert network(torch.ones(3, 4, dtype=torch.float64)).logits.shape == (3, 2)


@pytest.mark.filterwarnings("ignore::qdeq.errors.ConvergenceWarning")
def test_a_model_inside_a_larger_network_trains():
    generator = torch.Generator().manual_seed(0)
    network = torch.nn.ModuleDict({"before": torch.nn.Linear(6, 16), "deq": model(dropout=0.0)}).double()
    x, labels = torch.randn(12, 6, dtype=torch.float64, generator=generator), torch.arange(12) % 3
    optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network["deq"](network["before"](x)).logits, labels)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
