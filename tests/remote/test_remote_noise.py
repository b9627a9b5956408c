"""Noise on DM1: channels and readout errors as pragmas of the program, over the real SDK."""

from dataclasses import replace

import pytest
import torch
from paid_runs import QUICK

from qdeq.backends import ShotKey, get_backend
from qdeq.billing.account import spending
from qdeq.billing.budget import Budget
from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Input, Weight
from qdeq.errors import UnsupportedError
from qdeq.noise import NoiseModel
from qdeq.observables import X, Y, Z
from qdeq.testing import check_backend
from qdeq.testing.backends import CHECK_NAMES

EXACT = 1e-12
FALSE_ALARM_Z = 5.5
"""|z| that a dozen normal variables together exceed with a probability below 1e-6."""
OBSERVABLES = (Z(0), 0.3 * (X(0) @ Y(1)) + 0.7 * Z(1))
NOISE = NoiseModel(
    depolarizing={"one_qubit": 0.02, "two_qubit": 0.05},
    amplitude_damping=0.04,
    phase_damping=0.03,
    bit_flip=0.01,
    readout={"zero_to_one": 0.05, "one_to_zero": 0.2, "qubits": {1: 0.1}},
)
CIRCUIT = NOISE.attach(
    Circuit(3, (AmplitudeEncoding(4), Gate("CRX", (0, 1), Weight(0)), Gate("U3", 1, (0.4, 1.0, 0.2))))
)
DM1 = QUICK | {"max_parallel": 1, "name": "braket-dm1"}


@pytest.fixture
def case(braket_env, tmp_path):
    inputs = torch.tensor([[0.1, 0.7, -0.4, 0.3], [1.0, -0.2, 0.5, 0.6]], dtype=torch.float64)
    with spending(Budget(max_usd=100), tmp_path / "ledger.sqlite"):
        yield CIRCUIT, inputs, torch.tensor([0.8], dtype=torch.float64), OBSERVABLES


def test_dm1_has_the_native_numbers_under_noise(case):
    torch.testing.assert_close(
        get_backend(DM1).expectation(*case).value, get_backend("torch").expectation(*case).value, rtol=0, atol=EXACT
    )


def test_dm1_measures_what_is_read(case):
    measured = get_backend(DM1).expectation(*case, shots=20_000, key=ShotKey(seed=1))
    z = (measured.value - get_backend("torch").expectation(*case).value) / measured.standard_error
    assert 0 < z.abs().max() < FALSE_ALARM_Z


def test_sv1_refuses_noise_on_gates(case):
    with pytest.raises(
        UnsupportedError, match=r"'braket-sv1' has no noise on gates \(readout errors alone .*braket-dm1"
    ):
        get_backend(QUICK).expectation(*case)


@pytest.fixture
def misread(case):
    """Two qubits without noise on gates, and with an input that is an angle."""
    gates = (Gate("RY", 1, Input(4)), Gate("CRX", (0, 1), Weight(0)), Gate("U3", 1, (0.4, 1.0, 0.2)))
    circuit = NoiseModel(readout=NOISE.readout).attach(Circuit(2, (AmplitudeEncoding(4), *gates)))
    _, inputs, weights, observables = case
    return circuit, torch.cat([inputs, torch.tensor([[0.3], [-0.9]], dtype=torch.float64)], dim=1), weights, observables


@pytest.mark.parametrize("options", [{}, {"gradient": "parameter-shift"}, {"execution": "compiled"}], ids=str)
def test_sv1_reads_wrongly_as_the_native_simulator_does_derivatives_too(misread, options):
    circuit, inputs, weights, observables = misread
    if options.get("execution") == "compiled":  # amplitudes alone are
        circuit, inputs = replace(circuit, operations=(circuit.operations[0], *circuit.operations[2:])), inputs[:, :4]
    found = []
    for backend in (get_backend(QUICK | {"execution": "circuits"} | options), get_backend("torch")):
        x, w = inputs.clone().requires_grad_(), weights.clone().requires_grad_()
        value = backend.at(circuit, w, observables)(x)
        found.append([value, *torch.autograd.grad((value * torch.tensor([1.0, -0.7])).sum(), (x, w))])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=EXACT)
    assert found[0][2].abs().item() > 1e-3  # a gradient to be compared


def test_sv1_flips_what_it_measures_and_the_same_tasks_serve_any_readout_error(misread, braket_env):
    circuit, inputs, weights, observables = misread
    key = ShotKey(seed=1)
    measured = get_backend(QUICK).expectation(circuit, inputs, weights, observables, shots=20_000, key=key)
    z = (measured.value - get_backend("torch").expectation(circuit, inputs, weights, observables).value) / (
        measured.standard_error
    )
    assert 0 < z.abs().max() < FALSE_ALARM_Z
    again = get_backend(QUICK).expectation(circuit, inputs, weights, observables, shots=20_000, key=key)
    assert torch.equal(again.value, measured.value)
    tasks = len(braket_env.tasks())
    get_backend(QUICK).expectation(replace(circuit, readout=()), inputs, weights, observables, shots=20_000, key=key)
    assert len(braket_env.tasks()) == tasks


@pytest.mark.slow
def test_dm1_passes_the_noise_checks_of_the_kit(case):
    names = [name for name in CHECK_NAMES if name.startswith("noise-") or name == "readout"]
    check_backend(get_backend(DM1), examples=1, checks=names, paid=True).raise_if_failed()
