"""Devices as the SDK sees them: properties in the SDK's own classes, states and regions."""

import boto3
import pytest
from braket.aws import AwsDevice, AwsSession
from braket.device_schema import DeviceActionType
from braket.device_schema.iqm import IqmDeviceCapabilities
from braket.device_schema.simulators import GateModelSimulatorDeviceCapabilities
from braket_requests import BELL, task_request
from braket_service.client import DM1, EMERALD, FORTE, GARNET, OFFLINE, RETIRED, SV1


@pytest.fixture
def action(aws_session):
    return lambda arn: AwsDevice(arn, aws_session).properties.action[DeviceActionType.OPENQASM]


@pytest.mark.parametrize(
    ("arn", "status"),
    [(arn, "ONLINE") for arn in (SV1, DM1, GARNET, EMERALD, FORTE)]
    + [(OFFLINE, "OFFLINE")]
    + [(arn, "RETIRED") for arn in RETIRED],
)
def test_the_sdk_reads_every_device(aws_session, arn, status, recwarn):
    device = AwsDevice(arn, aws_session)
    assert (device.arn, device.status) == (arn, status)
    assert device.type == ("SIMULATOR" if "simulator" in arn else "QPU")
    assert device.properties.action[DeviceActionType.OPENQASM].supportedOperations
    assert not [w for w in recwarn if "Unable to determine device capabilities" in str(w.message)]


def test_properties_are_of_the_classes_that_the_real_devices_have(aws_session):
    assert isinstance(AwsDevice(SV1, aws_session).properties, GateModelSimulatorDeviceCapabilities)
    assert isinstance(AwsDevice(GARNET, aws_session).properties, IqmDeviceCapabilities)


def test_sv1_has_gradients_and_no_modifiers(aws_session, action):
    properties = AwsDevice(SV1, aws_session).properties
    assert properties.paradigm.qubitCount == 34
    assert properties.service.shotsRange == (0, 100000)
    assert (properties.service.deviceCost.price, properties.service.deviceCost.unit) == (0.075, "minute")
    results = {row.name: (row.minShots, row.maxShots) for row in action(SV1).supportedResultTypes}
    assert results["AdjointGradient"] == results["Amplitude"] == (0, 0)
    assert "StateVector" not in results
    assert action(SV1).supportedModifiers == []
    assert not {"U", "u", "gphase"} & set(action(SV1).supportedOperations)


def test_dm1_has_noise_and_no_gradients(action):
    names = {row.name for row in action(DM1).supportedResultTypes}
    assert "DensityMatrix" in names
    assert not {"AdjointGradient", "Amplitude"} & names
    assert {"braket_noise_depolarizing", "braket_noise_kraus"} <= set(action(DM1).supportedPragmas)
    assert not [name for name in action(SV1).supportedPragmas if "noise" in name]


def test_a_qpu_has_few_gates_and_needs_shots(aws_session, action):
    properties = AwsDevice(GARNET, aws_session).properties
    assert len(action(GARNET).supportedOperations) < len(action(SV1).supportedOperations) / 2
    assert properties.service.shotsRange == (1, 20000)
    assert all(row.minShots == 1 for row in action(GARNET).supportedResultTypes)
    assert properties.paradigm.connectivity.connectivityGraph["1"] == ["2"]


def test_the_sdk_finds_a_qpu_in_its_own_region(aws_session):
    assert aws_session.region == "us-east-1"
    assert AwsDevice(GARNET, aws_session).aws_session.region == "eu-north-1"


def test_a_simulator_is_not_found_in_a_region_without_it(braket_env):
    session = AwsSession(boto3.Session(region_name="eu-north-1"))
    with pytest.raises(ValueError, match="not found in 'eu-north-1'"):
        AwsDevice(SV1, session)


def test_an_unknown_device_is_not_found(aws_session):
    with pytest.raises(ValueError, match="not found"):
        AwsDevice("arn:aws:braket:us-east-1::device/qpu/ionq/Nonesuch", aws_session)


def test_devices_are_searched_by_state_and_type(aws_session):
    found = {row["deviceArn"] for row in aws_session.search_devices(types=["SIMULATOR"], statuses=["ONLINE"])}
    assert found == {SV1, DM1}
    assert aws_session.search_devices(arns=[FORTE])[0]["deviceName"] == "Forte 1"
    everywhere = {device.arn for device in AwsDevice.get_devices(aws_session=aws_session, types=["QPU"])}
    assert everywhere == {GARNET, EMERALD, FORTE, OFFLINE}


def test_no_task_for_a_device_that_is_offline_or_retired(braket_service, client):
    with pytest.raises(client.exceptions.DeviceRetiredException, match="has been retired"):
        client.create_quantum_task(**task_request(device=RETIRED[0]))
    with pytest.raises(client.exceptions.DeviceOfflineException, match="currently offline"):
        client.create_quantum_task(**task_request(BELL, device=OFFLINE, shots=100))
    braket_service.set_device(SV1, "OFFLINE")
    assert client.get_device(deviceArn=SV1)["deviceStatus"] == "OFFLINE"
    with pytest.raises(client.exceptions.DeviceOfflineException):
        client.create_quantum_task(**task_request())
    assert braket_service.tasks() == []


def test_a_device_takes_tasks_in_its_own_regions_only(client):
    with pytest.raises(client.exceptions.ValidationException, match="not found in us-east-1"):
        client.create_quantum_task(**task_request(BELL, device=GARNET, shots=10))
