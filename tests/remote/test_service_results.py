"""Results through the real SDK: the local simulators' numbers, which the SDK gets from the same circuits itself."""

import warnings

import numpy as np
import pytest
from braket.aws import AwsDevice
from braket.circuits import Circuit, FreeParameter, observables
from braket.devices import LocalSimulator
from braket_service.client import DM1, FORTE, GARNET, SV1
from tolerances import EXACT64, FALSE_ALARM_Z

EVERY_GATE = (
    Circuit().h(0).h(1).x(2).y(0).z(1).s(2).si(0).t(1).ti(2).v(0).vi(1).i(2).rx(0, 0.3).ry(1, -1.2).rz(2, 2.5)
    .phaseshift(0, 0.4).cnot(0, 1).cy(1, 2).cz(2, 0).swap(0, 2).iswap(1, 0).pswap(0, 1, 0.3).xy(1, 2, 0.7)
    .xx(0, 1, 0.2).yy(1, 2, -0.5).zz(2, 0, 1.1).cphaseshift(0, 1, 0.9).cphaseshift00(1, 2, 0.1)
    .cphaseshift01(2, 0, 0.6).cphaseshift10(0, 1, -0.8).ccnot(0, 1, 2).cswap(2, 0, 1)
    .unitary(matrix=np.array([[0.6, 0.8], [0.8, -0.6]]), targets=[1])
)  # fmt: skip
HERMITIAN = observables.Hermitian(np.array([[1.0, 0.5 - 0.5j], [0.5 + 0.5j, -2.0]]))
EXACT = {
    "expectations": Circuit(EVERY_GATE).expectation(observables.Z(0) @ observables.Y(2)).expectation(observables.X(1)),
    "variances": Circuit(EVERY_GATE).variance(observables.H(0)).expectation(HERMITIAN, target=[1]),
    "all qubits": Circuit(EVERY_GATE).expectation(observables.Z()),
    "amplitudes": Circuit(EVERY_GATE).amplitude(["000", "101", "111"]),
}
NOISY = (
    Circuit().h(0).cnot(0, 1).ry(1, 0.7).bit_flip(0, 0.1).phase_flip(1, 0.2).depolarizing(0, 0.05)
    .amplitude_damping(1, 0.3).generalized_amplitude_damping(0, 0.1, 0.6).phase_damping(1, 0.15)
    .pauli_channel(0, 0.1, 0.05, 0.02).two_qubit_depolarizing(0, 1, 0.1).two_qubit_dephasing(0, 1, 0.2)
    .kraus([0], [np.sqrt(0.9) * np.eye(2), np.sqrt(0.1) * np.array([[0, 1], [1, 0]])])
)  # fmt: skip


def local(circuit, backend="braket_sv", **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK tells of better devices for this
        return LocalSimulator(backend).run(circuit, shots=0, **settings).result()


@pytest.mark.parametrize("name", EXACT)
def test_sv1_gives_the_local_simulators_numbers(aws_session, name):
    result = AwsDevice(SV1, aws_session).run(EXACT[name], shots=0).result()
    for value, expected in zip(result.values, local(EXACT[name]).values, strict=True):
        if isinstance(expected, dict):
            assert value == pytest.approx(expected, abs=EXACT64)
        else:
            np.testing.assert_allclose(value, expected, atol=EXACT64)


def test_dm1_gives_the_local_simulators_numbers_with_every_noise_channel(aws_session):
    circuit = Circuit(NOISY).expectation(observables.Z(0) @ observables.X(1)).density_matrix([1])
    result = AwsDevice(DM1, aws_session).run(circuit, shots=0).result()
    expectation, matrix = local(circuit, "braket_dm").values
    assert result.values[0] == pytest.approx(expectation, abs=EXACT64)
    pairs = np.array(result.values[1])  # the SDK leaves the schema's pairs of numbers as they are
    np.testing.assert_allclose(pairs[..., 0] + 1j * pairs[..., 1], matrix, atol=EXACT64)


def test_inputs_and_arithmetic_on_them_are_understood(aws_session):
    alpha, beta = FreeParameter("alpha"), FreeParameter("beta")
    circuit = Circuit().rx(0, 2 * alpha + 0.5).ry(1, alpha * beta - 1).cnot(0, 1).rz(1, -beta / 3)
    circuit.expectation(observables.Z(0)).expectation(observables.X(1))
    inputs = {"alpha": 0.3, "beta": -0.8}
    result = AwsDevice(SV1, aws_session).run(circuit, shots=0, inputs=inputs).result()
    np.testing.assert_allclose(result.values, local(circuit, inputs=inputs).values, atol=EXACT64)


def test_a_result_names_its_task_its_device_and_the_time_it_took(aws_session):
    task = AwsDevice(SV1, aws_session).run(EXACT["expectations"], shots=0)
    result = task.result()
    assert result.task_metadata.id == task.id
    assert result.task_metadata.deviceId == SV1
    assert result.additional_metadata.action.source == EXACT["expectations"].to_ir("OPENQASM").source
    assert 0 <= result.additional_metadata.simulatorMetadata.executionDuration < 60_000
    assert task.metadata()["outputS3Directory"] == f"tasks/{task.id.split('/')[-1]}"


@pytest.mark.parametrize("arn", [SV1, DM1, GARNET, FORTE])
def test_shots_follow_the_exact_distribution(aws_session, arn):
    circuit, shots = Circuit().ry(0, 1.0).cnot(0, 1).h(2), 4000
    result = AwsDevice(arn, aws_session).run(circuit, shots=shots).result()
    assert result.measurements.shape == (shots, 3)
    assert list(result.measured_qubits) == [0, 1, 2]
    one = np.sin(0.5) ** 2
    for outcome, probability in {"000": (1 - one) / 2, "111": one / 2, "010": 0.0}.items():
        spread = np.sqrt(shots * probability * (1 - probability))
        assert abs(result.measurement_counts[outcome] - shots * probability) <= FALSE_ALARM_Z * spread


def test_measured_qubits_are_those_that_were_asked_for(aws_session):
    circuit = Circuit().x(0).i(1).x(2).measure([2, 1])
    result = AwsDevice(SV1, aws_session).run(circuit, shots=5).result()
    assert list(result.measured_qubits) == [2, 1]
    assert result.measurement_counts == {"10": 5}


def test_sampled_results_are_computed_from_the_measurements(aws_session):
    circuit = Circuit().ry(0, 1.0).rx(1, 0.4).expectation(observables.X(0)).sample(observables.Y(1))
    result = AwsDevice(SV1, aws_session).run(circuit, shots=1000).result()
    assert result.values[0] == pytest.approx((1 - 2 * result.measurements[:, 0]).mean(), abs=EXACT64)
    assert abs(result.values[0] - np.sin(1.0)) < FALSE_ALARM_Z * np.cos(1.0) / np.sqrt(1000)
    assert set(result.values[1]) <= {-1.0, 1.0}


def test_a_batch_runs(aws_session, braket_service):
    circuits = [Circuit().ry(0, 0.1 * k).expectation(observables.Z(0)) for k in range(5)]
    batch = AwsDevice(SV1, aws_session).run_batch(circuits, shots=0, max_parallel=3)
    values = [result.values[0] for result in batch.results()]
    np.testing.assert_allclose(values, np.cos(0.1 * np.arange(5)), atol=EXACT64)
    assert braket_service.bill()["tasks"] == 5


def test_the_same_circuit_gives_other_shots_each_time_but_the_same_ones_after_a_reset(braket_service, aws_session):
    def draw():
        result = AwsDevice(SV1, aws_session).run(Circuit().h(range(8)), shots=20).result()
        return result.measurements.tolist()

    first, second = draw(), draw()
    assert first != second
    braket_service.reset()
    aws_session._default_bucket = None  # it is gone
    assert [draw(), draw()] == [first, second]
