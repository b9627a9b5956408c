"""Noise on DM1: channels and readout errors as pragmas of the program, over the real SDK."""

import pytest
import torch
from paid_runs import QUICK

from qdeq.backends import ShotKey, get_backend
from qdeq.budget import Budget, spending
from qdeq.circuit import AmplitudeEncoding, Circuit, Gate, Weight
from qdeq.errors import UnsupportedError
from qdeq.noise import NoiseModel
from qdeq.observables import X, Y, Z

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


def test_sv1_refuses(case):
    with pytest.raises(UnsupportedError, match=r"'braket-sv1' has no noise; .*braket-dm1"):
        get_backend(QUICK).expectation(*case)
