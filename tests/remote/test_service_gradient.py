"""AdjointGradient: the numbers of AWS's own integration tests against SV1, and qdeq's native gradients."""

import numpy as np
import pytest
import torch
from braket.aws import AwsDevice
from braket.circuits import Circuit as BraketCircuit
from braket.circuits import FreeParameter, observables
from braket_requests import task_request
from braket_service.client import DM1, SV1
from tolerances import EXACT64

from qdeq.backends import get_backend
from qdeq.circuit import Circuit, Gate, Weight
from qdeq.models import QuantumFunction
from qdeq.observables import X, Y, Z

THETA = FreeParameter("theta")
MINUS_6_YI = (-2 * observables.Y()) @ (3 * observables.I())
AWS_TESTS = {  # test/integ_tests/test_adjoint_gradient.py of amazon-braket-sdk-python, theta = 0.2
    "nested targets": (
        MINUS_6_YI + 0.75 * observables.Y() @ observables.Z(),
        [[0, 1], [2, 3]],
        "-6 * y @ i + 0.75 * y @ z",
        (1.1920159847703675, 5.880399467047451),
    ),
    "standard terms": (
        2 * observables.X() + 3 * observables.Y() - observables.Z(),
        [[0], [1], [2]],
        "2 * x + 3 * y - 1 * z",
        (-1.0, 0.0),
    ),
    "the same targets twice": (
        MINUS_6_YI + 0.75 * observables.Y() @ observables.Z(),
        [[0, 1], [0, 1]],
        "-6 * y @ i + 0.75 * y @ z",
        (1.0430139866740715, 5.145349533666519),
    ),
    "one product": (
        (2 * observables.Y()) @ (3 * observables.I()),
        [0, 1],
        "6 * y @ i",
        (-1.1920159847703675, -5.880399467047451),
    ),
}


@pytest.mark.parametrize("name", AWS_TESTS)
def test_the_numbers_of_the_sdks_integration_tests(aws_session, name):
    observable, target, text, (expectation, slope) = AWS_TESTS[name]
    circuit = BraketCircuit().rx(0, THETA).adjoint_gradient(observable, target, parameters=["theta"])
    result = AwsDevice(SV1, aws_session).run(circuit, shots=0, inputs={"theta": 0.2}).result()
    assert result.values[0]["expectation"] == pytest.approx(expectation, abs=EXACT64)
    assert result.values[0]["gradient"] == pytest.approx({"theta": slope}, abs=EXACT64)
    assert result.result_types[0].type.observable == text
    assert result.additional_metadata.action.inputs == {"theta": 0.2}


ROTATIONS = ("RX", "RY", "RZ", "PhaseShift", "RXX", "RYY", "RZZ")
BRAKET = {"RX": "rx", "RY": "ry", "RZ": "rz", "PhaseShift": "phaseshift", "RXX": "xx", "RYY": "yy", "RZZ": "zz"}


def test_it_is_qdeqs_native_gradient(aws_session):
    """Every rotation twice, each angle a weight of its own; H and CNOT in between so that no derivative is zero."""
    angles = np.random.default_rng(5).uniform(-2, 2, 2 * len(ROTATIONS))
    native = [Gate(name, qubit) for name in ("H", "T") for qubit in range(3)]
    remote = BraketCircuit().h([0, 1, 2]).t([0, 1, 2])
    for number, name in enumerate(ROTATIONS * 2):
        qubits = [number % 3, (number + 1) % 3][: 2 if name in ("RXX", "RYY", "RZZ") else 1]
        native += [
            Gate(name, qubits, Weight(number)),
            Gate("CNOT", (number % 3, (number + 2) % 3)),
            Gate("H", number % 3),
        ]
        getattr(remote, BRAKET[name])(*qubits, FreeParameter(f"w{number}"))
        remote.cnot(number % 3, (number + 2) % 3).h(number % 3)
    remote.adjoint_gradient(
        0.5 * observables.X(0) @ observables.Y(1) - 2 * observables.Z(1) + 0.3 * observables.X(2) @ observables.X(0)
    )

    weights = torch.from_numpy(angles).requires_grad_()
    function = QuantumFunction(
        Circuit(3, native), (0.5 * X(0) @ Y(1) - 2.0 * Z(1) + 0.3 * X(2) @ X(0),), backend=get_backend("torch")
    )
    value = function(torch.zeros(1, 0, dtype=torch.float64), weights)
    (gradient,) = torch.autograd.grad(value.sum(), weights)

    inputs = {f"w{number}": float(angle) for number, angle in enumerate(angles)}
    answer = AwsDevice(SV1, aws_session).run(remote, shots=0, inputs=inputs).result().values[0]
    assert answer["expectation"] == pytest.approx(value.item(), abs=EXACT64)
    found = [answer["gradient"][f"w{number}"] for number in range(len(angles))]
    np.testing.assert_allclose(found, gradient.numpy(), atol=EXACT64)
    assert np.abs(found).min() > 1e-3


def test_a_parameter_in_several_gates_and_in_arithmetic(aws_session):
    circuit = BraketCircuit().rx(0, 2 * THETA + 0.1).rx(0, THETA * THETA).rx(0, THETA / (THETA + 1) - 0.2)
    circuit.adjoint_gradient(observables.Z(0), parameters=[THETA])
    answer = AwsDevice(SV1, aws_session).run(circuit, shots=0, inputs={"theta": 0.4}).result().values[0]
    angle = (2 * 0.4 + 0.1) + 0.4**2 + (0.4 / 1.4 - 0.2)
    assert answer["expectation"] == pytest.approx(np.cos(angle), abs=EXACT64)
    slope = 2 + 2 * 0.4 + 1 / 1.4**2
    assert answer["gradient"]["theta"] == pytest.approx(-np.sin(angle) * slope, abs=EXACT64)


HEAD = "OPENQASM 3.0;\ninput float a;\nqubit[1] q;\nrx(a) q[0];\n"


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ("expectation(z(q[0])) b", "are not inputs"),
        ("expectation(hermitian([[1, 0], [0, 1]]) q[0]) a", "cannot read the observable"),
        ("z(q[0]) a", "cannot read the result"),
        ("expectation(z(q[0])) a\n#pragma braket result expectation z(q[0])", "no other results"),
        ("expectation(z(q[0])) a\n#pragma braket unitary([[0, 1], [1, 0]]) q[0]", "no other results"),
    ],
)
def test_what_has_no_gradient_is_refused(client, tail, message):
    source = f"{HEAD}#pragma braket result adjoint_gradient {tail}\n"
    with pytest.raises(client.exceptions.ValidationException, match=message):
        client.create_quantum_task(**task_request(source, inputs={"a": 0.1}))


def test_only_sv1_has_gradients_and_only_exact_ones(client):
    source = f"{HEAD}#pragma braket result adjoint_gradient expectation(z(q[0])) all\n"
    with pytest.raises(client.exceptions.ValidationException, match="adjoint_gradient"):
        client.create_quantum_task(**task_request(source, device=DM1, inputs={"a": 0.1}))
    with pytest.raises(client.exceptions.ValidationException, match="takes 0 to 0 shots"):
        client.create_quantum_task(**task_request(source, shots=10, inputs={"a": 0.1}))
    assert client.create_quantum_task(**task_request(source, inputs={"a": 0.1}))["quantumTaskArn"]
