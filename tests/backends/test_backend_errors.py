"""What a backend cannot do is refused before any work: the message says what, where and what would do."""

import pytest
import torch

from qdeq.backends import Backend, Capabilities, get_backend
from qdeq.circuit import Circuit, Gate, Input, Weight
from qdeq.errors import BackendError, CircuitError, PluginError, QdeqError, UnsupportedError
from qdeq.models import QuantumFunction
from qdeq.observables import Z

CIRCUIT = Circuit(2, (Gate("RX", 0, Input(1)), Gate("RY", 1, Weight(2))))
GOOD = {"circuit": CIRCUIT, "inputs": torch.zeros(3, 2), "weights": torch.zeros(3), "observables": (Z(0),)}


def run(**changes):
    given = {**GOOD, **changes}
    return get_backend("torch").expectation(
        given.pop("circuit"), given.pop("inputs"), given.pop("weights"), given.pop("observables"), **given
    )


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"circuit": Circuit(25)}, UnsupportedError, r"at most 24 qubits, not 25.*256 MiB per sample"),
        ({"circuit": Circuit(60)}, UnsupportedError, r"at most 24 qubits, not 60.*8 EiB per sample"),
        ({"shots": 0}, UnsupportedError, r"null for exact expectations.*at least 1, not 0"),
        ({"shots": -5}, UnsupportedError, r"not -5"),
        ({"weights": torch.zeros(2)}, CircuitError, r"3 weights, not a tensor of shape \[2\]"),
        ({"weights": torch.zeros(3, 1)}, CircuitError, r"not a tensor of shape \[3, 1\]"),
        ({"inputs": torch.zeros(3, 1)}, CircuitError, r"\[batch, 2\], not \[3, 1\]"),
        ({"inputs": torch.zeros(2)}, CircuitError, r"\[batch, 2\], not \[2\]"),
        ({"inputs": torch.zeros(3, 2, dtype=torch.int64)}, CircuitError, r"inputs are float32 or float64, not int64"),
        ({"inputs": torch.zeros(3, 2, dtype=torch.complex64)}, CircuitError, r"inputs are .*, not complex64"),
        ({"observables": (Z(2),)}, CircuitError, r"observable Z2: qubits run from 0 to 1"),
        ({"observables": ()}, CircuitError, r"no observable given"),
        ({"observables": ("Z0",)}, CircuitError, r"PauliString or PauliSum, not str"),
    ],
)
def test_the_impossible_is_refused(changes, error, says):
    with pytest.raises(error, match=says) as caught:
        run(**changes)
    assert isinstance(caught.value, QdeqError)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("weights", [torch.zeros(2), torch.zeros(3, 3)])
def test_freezing_checks_the_weights(weights):
    with pytest.raises(CircuitError, match="3 weights"):
        QuantumFunction(CIRCUIT).at(weights)


def test_inputs_and_weights_must_have_one_precision():
    f = QuantumFunction(CIRCUIT).at(torch.zeros(3))
    with pytest.raises(CircuitError, match=r"float64.*float32"):
        f(torch.zeros(1, 2, dtype=torch.float64))
    with pytest.raises(CircuitError, match=r"\[batch, 2\], not \[1, 1\]"):
        f(torch.zeros(1, 1))


class _Limited(Backend):
    name = "limited"
    version = "0"
    capabilities = Capabilities(exact=False, shots=True, max_qubits=2)

    def evaluate(self, circuits, inputs, weights, observables, **options):
        raise AssertionError("no work before the check")

    def freeze(self, circuit, weights, observables, shots, key):
        raise AssertionError("no work before the check")


def test_capabilities_decide_before_any_work():
    with pytest.raises(UnsupportedError, match=r"'limited' has no exact expectations; give a number of shots"):
        _Limited().check(CIRCUIT, torch.zeros(3), (Z(0),))
    with pytest.raises(UnsupportedError, match=r"'limited' takes at most 2 qubits, not 3"):
        _Limited().check(Circuit(3), torch.zeros(0), (Z(0),), shots=5)
    with pytest.raises(UnsupportedError, match="no exact expectations"):
        _Limited().expectation(CIRCUIT, torch.zeros(3, 2), torch.zeros(3), (Z(0),))
    with pytest.raises(UnsupportedError, match="no exact expectations"):
        _Limited().at(CIRCUIT, torch.zeros(3), (Z(0),))
    _Limited().check(CIRCUIT, torch.zeros(3), (Z(0),), shots=5)
    exact_only = type("_Exact", (_Limited,), {"name": "exact", "capabilities": Capabilities(shots=False)})()
    message = r"'exact' has exact expectations only; set shots to null; backends that have it: .*torch"
    with pytest.raises(UnsupportedError, match=message):
        exact_only.check(CIRCUIT, torch.zeros(3), (Z(0),), shots=5)


def test_a_backend_is_had_by_name_by_mapping_or_as_it_is():
    backend = get_backend("torch")
    assert get_backend({"name": "torch"}) == backend
    assert get_backend(backend) is backend
    assert backend.name == "torch"
    can = backend.capabilities
    assert can.exact
    assert can.shots
    assert can.seedable
    assert can.noise
    assert not any([can.remote, can.costs_money])


@pytest.mark.parametrize(
    ("choice", "error", "says"),
    [
        ("torhc", PluginError, r"unknown backend 'torhc'; installed: .*torch.*Did you mean 'torch'\?"),
        ({"name": "torch", "nose": 1}, BackendError, r"backend 'torch': unknown option 'nose'"),
        ({"nose": 1}, BackendError, r"a backend is a name or a mapping with 'name'"),
        (7, BackendError, r"not 7; installed"),
        ({"name": "torch", 3: 1}, BackendError, r"a backend is a name or a mapping"),
    ],
)
def test_a_choice_that_names_no_backend_is_explained(choice, error, says):
    with pytest.raises(error, match=says) as caught:
        get_backend(choice)
    assert len(str(caught.value).splitlines()) <= 2
