"""What a device does not list is not sent to it: gates, noise, results, observables; said before anything is paid."""

import copy

import pytest
import torch
from braket_service.client import DM1, GARNET, SV1
from braket_service.devices import DEVICES
from paid_runs import QUICK, run, sets, write_experiment

from qdeq.backends import get_backend
from qdeq.billing.account import spending
from qdeq.billing.budget import Budget
from qdeq.circuit import Circuit, Gate
from qdeq.errors import UnsupportedError
from qdeq.library import angle_encoder, hardware_efficient
from qdeq.noise import NoiseModel
from qdeq.observables import X, Y, Z

ACTION = "braket.ir.openqasm.program"
NONE = torch.zeros(0, dtype=torch.float64)
ROW = torch.zeros(1, 0, dtype=torch.float64)


def listed(device, name, **changes):
    """Return a device's result types with one of them changed; without it if nothing is given."""
    rows = copy.deepcopy(DEVICES[device]["capabilities"]["action"][ACTION]["supportedResultTypes"])
    return [row | changes if row["name"] == name else row for row in rows if changes or row["name"] != name]


@pytest.fixture
def account(braket_env, tmp_path):
    with spending(Budget(max_usd=100), tmp_path / "ledger.sqlite") as opened:
        yield opened


def refused(message, device, observables, circuit=None, **options):
    circuit = circuit or Circuit(2, (Gate("RX", 0, 0.1),))
    with pytest.raises(UnsupportedError, match=message):
        get_backend(QUICK | {"name": device}).expectation(circuit, ROW, NONE, observables, **options)


def test_exact_expectations_only_where_the_device_lists_them_without_shots(account, braket_env):
    braket_env.set_device(SV1, supportedResultTypes=listed(SV1, "Expectation", minShots=1))
    refused(r"SV1 gives no exact Expectation; without shots it lists .*Amplitude.*\nSet shots", "braket-sv1", (Z(0),))
    assert braket_env.tasks() == []


def test_a_result_type_that_is_not_listed(account, braket_env):
    braket_env.set_device(SV1, supportedResultTypes=listed(SV1, "Expectation"))
    refused("SV1 gives no exact Expectation", "braket-sv1", (Z(0),))
    assert braket_env.tasks() == []


def test_only_observables_that_the_result_type_lists(account, braket_env):
    braket_env.set_device(DM1, supportedResultTypes=listed(DM1, "Expectation", observables=["x", "z"]))
    backend = get_backend(QUICK | {"name": "braket-dm1", "max_parallel": 1})
    backend.expectation(Circuit(2, (Gate("RX", 0, 0.1),)), ROW, NONE, (Z(0) @ X(1),))
    spent = len(braket_env.tasks())
    refused("dm1 gives no Expectation of y; it lists x, z", "braket-dm1", (Z(0), X(0) @ Y(1)))
    assert len(braket_env.tasks()) == spent == 1


@pytest.mark.parametrize("forbidden", [False, True], ids=["not listed", "forbidden"])
def test_only_noise_that_the_device_lists(account, braket_env, forbidden):
    pragmas = DEVICES[DM1]["capabilities"]["action"][ACTION]["supportedPragmas"]
    if forbidden:
        braket_env.set_device(DM1, forbiddenPragmas=["braket_noise_bit_flip"])
    else:
        braket_env.set_device(DM1, supportedPragmas=[name for name in pragmas if name != "braket_noise_bit_flip"])
    noisy = NoiseModel(bit_flip=0.1).attach(Circuit(1, (Gate("RX", 0, 0.1),)))
    refused("dm1 has no noise of the kind bit_flip; it lists .*depolarizing", "braket-dm1", (Z(0),), noisy)
    assert braket_env.tasks() == []


def test_gradients_are_looked_for_before_the_values_are_paid_for(account, braket_env):
    braket_env.set_device(SV1, supportedResultTypes=listed(SV1, "AdjointGradient"))
    circuit = angle_encoder(2) + hardware_efficient(2, 1)
    weights = torch.zeros(circuit.num_weights, dtype=torch.float64)
    with pytest.raises(UnsupportedError, match=r"no exact AdjointGradient.*\nSet backend.gradient: parameter-shift"):
        get_backend(QUICK).at(circuit, weights, (Z(0),))
    assert braket_env.tasks() == []
    get_backend(QUICK | {"gradient": "parameter-shift"}).at(circuit, weights, (Z(0),))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"supportedResultTypes": listed(SV1, "AdjointGradient")}, "SV1 gives no exact AdjointGradient"),
        ({"supportedOperations": ["h", "rz", "ry"]}, "SV1 has no gates that CZ can be written with"),
        ({"actionType": "braket.ir.jaqcd.program"}, "SV1 runs no OpenQASM circuits"),
    ],
    ids=["gradient", "gates", "no circuits"],
)
def test_a_run_is_refused_before_there_is_a_folder(tmp_path, braket_env, changes, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    braket_env.set_device(SV1, **changes)
    told = run(
        "train", write_experiment(tmp_path), "--backend", "braket-sv1", *sets(budget__max_usd=5), "--out", "run", code=2
    )
    assert words in told.stderr
    assert len(told.stderr.strip().splitlines()) == 2
    assert braket_env.tasks() == []
    assert not (tmp_path / "run").exists()


def test_a_qpu_with_two_native_gates(account, braket_env):
    """Whatever is asked goes out in cz and rotations; a set that cannot is named."""
    braket_env.set_device(GARNET, supportedOperations=["cz", "rx", "rz"])
    garnet = get_backend({"name": f"braket:{GARNET}", "region": "eu-north-1"})
    circuit = Circuit(3, (Gate("H", 0), Gate("CNOT", (0, 2)), Gate("CRX", (2, 1), 0.4)))
    measured = garnet.expectation(circuit, ROW, NONE, (Z(0) @ Z(2),), shots=1000)
    assert abs(measured.value.item() - 1.0) < 1e-12  # a Bell pair, and a CRX that commutes with it
    braket_env.set_device(GARNET, supportedOperations=["cz", "prx"])
    with spending(Budget(max_usd=100), ":memory:"), pytest.raises(UnsupportedError, match="it lists cz, prx"):
        garnet.expectation(circuit, ROW, NONE, (Z(0),), shots=10)
