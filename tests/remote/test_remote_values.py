"""Braket's devices give what the native simulator gives: values, derivatives and shots, over the real SDK."""

import json

import pytest
import torch
from braket_service.client import DM1, FORTE, GARNET, SV1
from paid_runs import QUICK

from qdeq.backends import ShotKey, get_backend
from qdeq.billing.account import spending
from qdeq.billing.budget import Budget
from qdeq.errors import UnsupportedError
from qdeq.library import amplitude_encoder, angle_encoder, hardware_efficient
from qdeq.observables import PauliString, X, Y, Z
from qdeq.testing import check_backend

EXACT = 1e-12
"""Float64 on both sides, a few dozen gates, and numbers that went over the wire as text with all digits."""
FALSE_ALARM_Z = 5.5
"""|z| that 48 normal variables together exceed with a probability of 2e-6."""

ONE_BY_ONE = QUICK | {"max_parallel": 1}
"""Braket's density-matrix simulator, which is behind all devices of the service but SV1, does not take two threads."""

OBSERVABLES = (Z(0), 0.3 * (X(0) @ Y(1)) + 0.7 * Z(1), Y(0) + 0.5 * Z(0))


@pytest.fixture
def account(braket_env, tmp_path):
    with spending(Budget(max_usd=100), tmp_path / "ledger.sqlite") as opened:
        yield opened


def problem(encoder, batch=2, size=2):
    circuit = encoder(size) + hardware_efficient(size, 1)
    draw = torch.Generator().manual_seed(3)
    weights = torch.randn(circuit.num_weights, generator=draw, dtype=torch.float64)
    inputs = torch.randn(batch, circuit.num_inputs, generator=draw, dtype=torch.float64)
    cotangent = torch.randn(batch, len(OBSERVABLES), generator=draw, dtype=torch.float64)
    return circuit, weights, inputs, cotangent


def derivatives(backend, circuit, weights, inputs, cotangent):
    weights, inputs = weights.clone().requires_grad_(), inputs.clone().requires_grad_()
    function = backend.at(circuit, weights, OBSERVABLES)
    value = function(inputs)
    gradients = torch.autograd.grad((value * cotangent).sum(), (inputs, weights))
    return [value.detach(), *gradients, function.jacobian(inputs).detach()]


def four_amplitudes(size):
    return amplitude_encoder(size, 4)


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        (angle_encoder, {}),
        (four_amplitudes, {"execution": "compiled"}),
        pytest.param(four_amplitudes, {}, marks=pytest.mark.slow),
        pytest.param(angle_encoder, {"execution": "compiled"}, marks=pytest.mark.slow),
        pytest.param(angle_encoder, {"gradient": "parameter-shift"}, marks=pytest.mark.slow),
        pytest.param(four_amplitudes, {"gradient": "parameter-shift"}, marks=pytest.mark.slow),
    ],
)
def test_sv1_is_the_native_simulator_in_value_and_derivatives(account, encoder, options):
    case = problem(encoder)
    remote = derivatives(get_backend(QUICK | {"execution": "circuits"} | options), *case)
    for ours, theirs in zip(remote, derivatives(get_backend("torch"), *case), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=EXACT)


def test_one_task_is_the_vector_jacobian_product_of_one_sample(account, braket_env):
    circuit, weights, inputs, cotangent = problem(angle_encoder, batch=3)
    weights, inputs = weights.requires_grad_(), inputs.requires_grad_()
    value = get_backend(QUICK | {"execution": "circuits"}).at(circuit, weights, OBSERVABLES)(inputs)
    assert len(braket_env.tasks()) == 3
    (value * cotangent).sum().backward()
    added = [json.loads(task["action"])["source"] for task in braket_env.tasks()[3:]]
    assert len(added) == 3
    assert all(source.count("#pragma braket result adjoint_gradient") == 1 for source in added)


def test_compiling_runs_no_circuit_for_a_sample(account, braket_env):
    circuit, weights, inputs, _ = problem(four_amplitudes, batch=50)
    function = get_backend(QUICK | {"execution": "compiled"}).at(circuit, weights, OBSERVABLES)
    function(inputs)
    assert len(braket_env.tasks()) == 10  # d (d + 1) / 2 known states for d = 4


def test_dm1_gives_the_same_expectations(account):
    circuit, weights, inputs, _ = problem(four_amplitudes)
    value = get_backend(ONE_BY_ONE | {"name": "braket-dm1"}).expectation(circuit, inputs, weights, OBSERVABLES).value
    exact = get_backend("torch").expectation(circuit, inputs, weights, OBSERVABLES).value
    torch.testing.assert_close(value, exact, rtol=0, atol=EXACT)


@pytest.mark.parametrize("device", [SV1, GARNET])
def test_shots_are_those_of_the_device_and_one_measurement_serves_a_group(account, braket_env, device):
    circuit, weights, inputs, _ = problem(angle_encoder, batch=4)
    backend = get_backend(QUICK if device == SV1 else ONE_BY_ONE | {"name": f"braket:{device}", "region": "eu-north-1"})
    measured = backend.expectation(circuit, inputs, weights, OBSERVABLES, shots=2000, key=ShotKey(seed=1))
    exact = get_backend("torch").expectation(circuit, inputs, weights, OBSERVABLES)
    z = (measured.value - exact.value) / measured.standard_error
    assert z.abs().max() < FALSE_ALARM_Z
    assert z.abs().max() > 0
    groups = 3  # {Z0, Z1}, {X0 Y1}, {Y0}: Y1 is measured with X0, and Y0 alone
    tasks = braket_env.tasks()
    assert (len(tasks), sum(task["shots"] for task in tasks)) == (4 * groups, 4 * groups * 2000)
    assert account.ledger.totals().shots == 4 * groups * 2000
    again = backend.expectation(circuit, inputs, weights, OBSERVABLES, shots=2000, key=ShotKey(seed=1))
    assert torch.equal(again.value, measured.value)  # pure for a key: the ledger has them
    assert len(braket_env.tasks()) == len(tasks)
    backend.expectation(circuit, inputs, weights, OBSERVABLES, shots=2000, key=ShotKey(seed=1, step=1))
    assert len(braket_env.tasks()) == 2 * len(tasks)


def test_a_device_is_sent_only_what_it_lists(account, braket_env):
    circuit, weights, inputs, _ = problem(four_amplitudes, batch=1)
    backend = get_backend({"name": f"braket:{GARNET}", "region": "eu-north-1"})
    backend.expectation(circuit, inputs, weights, (Y(0),), shots=10)
    client = account.client(backend)
    (task,) = braket_env.tasks()
    lines = json.loads(task["action"])["source"].splitlines()
    used = {
        line.split("(")[0].split()[0]
        for line in lines
        if "q[" in line and "measure" not in line and "qubit" not in line
    }
    assert used <= client.device.target.operations
    assert "cz" in client.device.target.operations


def test_what_a_device_cannot_run_is_refused_before_anything_is_paid(account, braket_env):
    circuit, weights, inputs, _ = problem(angle_encoder, batch=1)
    forte, dm1 = get_backend(f"braket:{FORTE}"), get_backend("braket-dm1")
    with pytest.raises(UnsupportedError, match="100 to 5,000 shots a task, not 99"):
        forte.expectation(circuit, inputs, weights, (Z(0),), shots=99)
    with pytest.raises(UnsupportedError, match="no exact expectations; give a number of shots"):
        forte.expectation(circuit, inputs, weights, (Z(0),))
    with pytest.raises(UnsupportedError, match="AdjointGradient is exact"):
        get_backend({"name": "braket-sv1", "gradient": "native"}).at(circuit, weights, (Z(0),), shots=5)
    with pytest.raises(UnsupportedError, match="no native gradient"):
        get_backend({"name": "braket-dm1", "gradient": "native"}).at(circuit, weights, (Z(0),))
    wide, none = angle_encoder(18), torch.zeros(0, dtype=torch.float64)
    with pytest.raises(UnsupportedError, match="at most 17 qubits"):
        dm1.expectation(wide, torch.zeros(1, wide.num_inputs, dtype=torch.float64), none, (Z(0),))
    garnet = get_backend({"name": f"braket:{GARNET}", "region": "eu-north-1"})
    wide = angle_encoder(21)
    with pytest.raises(UnsupportedError, match="Garnet has 20 qubits, and the circuit 21"):
        garnet.expectation(wide, torch.zeros(1, wide.num_inputs, dtype=torch.float64), none, (Z(0),), shots=10)
    assert braket_env.tasks() == []
    assert {backend.device_arn for backend in (dm1, forte)} == {DM1, FORTE}


def test_no_inputs_no_observables_worth_measuring_and_no_samples_cost_nothing(account, braket_env):
    circuit, weights, inputs, _ = problem(angle_encoder)
    backend = get_backend(QUICK)
    assert backend.expectation(circuit, inputs[:0], weights, (Z(0),)).value.shape == (0, 1)
    value = backend.expectation(circuit, inputs, weights, (2.5 * PauliString(),)).value
    assert value.tolist() == [[2.5], [2.5]]
    assert braket_env.tasks() == []


@pytest.mark.slow
def test_the_conformance_kit_passes_on_sv1(account):
    check_backend(get_backend(QUICK), examples=1, paid=True).raise_if_failed()
