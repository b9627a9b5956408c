"""Failures on demand: what the client sees of each, and what the service did."""

import contextlib

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError, ResponseStreamingError
from braket.aws import AwsDevice
from braket.circuits import Circuit, observables
from braket_requests import task_request
from braket_service.client import SV1
from patience import wait_until

ONCE = Config(retries={"total_max_attempts": 1})
CIRCUIT = Circuit().h(0).expectation(observables.X(0))


def created(service):
    return len(service.tasks())


@pytest.mark.parametrize(
    ("kind", "settings", "code", "status"),
    [
        ("throttle", {}, "ThrottlingException", 429),
        ("error", {}, "InternalServiceException", 500),
        ("error", {"code": "AccessDeniedException"}, "AccessDeniedException", 403),
        ("unavailable", {}, "503", 503),
    ],
)
def test_an_error_instead_of_work(client, braket_service, kind, settings, code, status):
    braket_service.fail("CreateQuantumTask", kind, times=1, **settings)
    with pytest.raises(ClientError) as caught:
        client.create_quantum_task(**task_request())
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert created(braket_service) == 0
    assert client.create_quantum_task(**task_request())["quantumTaskArn"]
    assert [call["fault"] for call in braket_service.calls("braket")] == [kind, None]


@pytest.mark.parametrize(("kind", "done"), [("drop", 0), ("lost", 1), ("reset", 1)])
def test_a_connection_without_an_answer(client, braket_service, kind, done):
    braket_service.fail("CreateQuantumTask", kind, times=1)
    with pytest.raises(ConnectionClosedError):
        client.create_quantum_task(**task_request())
    assert created(braket_service) == done
    arn = client.create_quantum_task(**task_request())["quantumTaskArn"]
    assert [task["arn"] for task in braket_service.tasks()] == [arn]


def test_an_answer_that_is_cut_in_the_middle_is_an_empty_one_to_boto3(client, braket_service):
    braket_service.fail("CreateQuantumTask", "cut", times=1)
    answer = client.create_quantum_task(**task_request())
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert "quantumTaskArn" not in answer
    assert created(braket_service) == 1


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_a_result_that_breaks_off_is_an_error_that_boto3_does_not_retry(client, braket_service, kind):
    arn = client.create_quantum_task(**task_request())["quantumTaskArn"]
    client.get_quantum_task(quantumTaskArn=arn)
    braket_service.fail("s3:GetObject", kind, times=1)
    s3, (task,) = boto3.client("s3"), braket_service.tasks()
    with pytest.raises(ResponseStreamingError, match="Connection broken"):
        s3.get_object(Bucket=task["bucket"], Key=task["key"])["Body"].read()


def test_a_slow_answer(client, braket_service):
    braket_service.fail("GetDevice", "delay", times=1, seconds=0.3)
    patient = boto3.client("braket", config=Config(read_timeout=0.1).merge(ONCE))
    with pytest.raises(HTTPClientError, match="Read timeout"):
        patient.get_device(deviceArn=SV1)
    client.get_device(deviceArn=SV1)
    assert [rule["hits"] for rule in braket_service.struck()] == [1]


@pytest.mark.parametrize("kind", ["throttle", "error", "unavailable", "drop", "lost", "reset"])
def test_the_sdk_gets_its_result_all_the_same_and_pays_once(aws_session, braket_service, kind):
    """boto3 sends the same token again."""
    device = AwsDevice(SV1, aws_session)
    operations = ("CreateQuantumTask", "GetQuantumTask", *(["s3:GetObject"] if kind != "reset" else []))
    for operation in operations:
        braket_service.fail(operation, kind, times=1)
    result = device.run(CIRCUIT, shots=0).result()
    assert result.values == [pytest.approx(1.0)]
    assert [rule["hits"] for rule in braket_service.struck()] == [1] * len(operations)
    assert braket_service.bill()["tasks"] == created(braket_service) == 1


def test_a_queue_that_takes_polls(client, braket_service):
    braket_service.fail("CreateQuantumTask", "queue", polls=3)
    arn = client.create_quantum_task(**task_request())["quantumTaskArn"]
    answers = [client.get_quantum_task(quantumTaskArn=arn) for _ in range(4)]
    assert [answer["status"] for answer in answers] == ["QUEUED"] * 3 + ["COMPLETED"]
    assert [answer["queueInfo"]["position"] for answer in answers] == ["1"] * 3 + ["None"]


def test_a_queue_that_takes_time_and_needs_no_polls(client, braket_service):
    braket_service.fail("CreateQuantumTask", "queue", seconds=1000, times=1)
    long = client.create_quantum_task(**task_request())["quantumTaskArn"]
    braket_service.heal()
    braket_service.fail("CreateQuantumTask", "queue", seconds=0.3)
    short = client.create_quantum_task(**task_request(token="another"))["quantumTaskArn"]
    wait_until(lambda: braket_service.bill()["tasks"])
    states = [client.get_quantum_task(quantumTaskArn=arn)["status"] for arn in (long, short)]
    assert states == ["QUEUED", "COMPLETED"]


def test_a_queue_that_is_let_go_of(client, braket_service):
    braket_service.fail("CreateQuantumTask", "queue", seconds=1000)
    arn = client.create_quantum_task(**task_request())["quantumTaskArn"]
    assert client.get_quantum_task(quantumTaskArn=arn)["status"] == "QUEUED"
    braket_service.release()
    assert client.get_quantum_task(quantumTaskArn=arn)["status"] == "COMPLETED"


def test_a_task_that_fails(aws_session, braket_service):
    braket_service.fail("CreateQuantumTask", "fail", times=1, reason="the fridge is warm")
    device = AwsDevice(SV1, aws_session)
    task = device.run(CIRCUIT, shots=0)
    assert task.result() is None
    assert task.state() == "FAILED"
    assert task.metadata()["failureReason"] == "the fridge is warm"
    assert braket_service.bill()["tasks"] == 0
    assert device.run(CIRCUIT, shots=0).result().values


def test_a_task_that_fails_and_costs(client, braket_service):
    braket_service.fail("CreateQuantumTask", "fail", billed=True)
    arn = client.create_quantum_task(**task_request())["quantumTaskArn"]
    assert client.get_quantum_task(quantumTaskArn=arn)["status"] == "FAILED"
    assert braket_service.bill()["usd"] == 0.00375


def test_a_circuit_that_is_too_large_for_this_machine_fails(client):
    source = "OPENQASM 3.0;\nqubit[30] q;\nh q;\n#pragma braket result expectation z(q[0])\n"
    arn = client.create_quantum_task(**task_request(source))["quantumTaskArn"]
    answer = client.get_quantum_task(quantumTaskArn=arn)
    assert answer["status"] == "FAILED"
    assert "at most 22 qubits" in answer["failureReason"]


def test_a_result_that_appears_at_the_third_look(aws_session, braket_service):
    braket_service.fail("CreateQuantumTask", "late_result", reads=2)
    task = AwsDevice(SV1, aws_session).run(CIRCUIT, shots=0)
    for _ in range(2):
        with pytest.raises(ClientError, match="NoSuchKey"):
            task.result()
    assert task.result().values == [pytest.approx(1.0)]


def test_a_result_that_appears_after_a_while(aws_session, braket_service):
    device = AwsDevice(SV1, aws_session)
    braket_service.fail("CreateQuantumTask", "late_result", seconds=1000)
    with pytest.raises(ClientError, match="NoSuchKey"):
        device.run(CIRCUIT, shots=0).result()
    braket_service.heal()
    braket_service.fail("CreateQuantumTask", "late_result", seconds=0.3)
    task = device.run(CIRCUIT, shots=0)

    def appeared():
        with contextlib.suppress(ClientError):
            return task.result().values

    wait_until(appeared)
    assert task.result().values == [pytest.approx(1.0)]


def test_throttled_s3_says_slow_down(client, braket_service):
    braket_service.fail("s3:ListBuckets", "throttle", times=1)
    s3 = boto3.client("s3", config=ONCE)
    with pytest.raises(ClientError) as caught:
        s3.list_buckets()
    assert caught.value.response["Error"]["Code"] == "SlowDown"
    assert s3.list_buckets()["Buckets"]


def strikes(client, service, seed):
    """Return which of 60 calls are struck with probability 0.3."""
    service.fail("GetDevice", "throttle", probability=0.3, seed=seed)
    pattern = []
    for _ in range(60):
        try:
            client.get_device(deviceArn=SV1)
            pattern.append(False)
        except client.exceptions.ThrottlingException:
            pattern.append(True)
    service.heal()
    return pattern


def test_random_faults_are_the_same_for_the_same_seed(client, braket_service):
    first = strikes(client, braket_service, seed=1)
    assert first == strikes(client, braket_service, seed=1)
    assert first != strikes(client, braket_service, seed=2)
    assert 5 <= sum(first) <= 32  # mean 18, five standard deviations of 3.5 either way; the seed is fixed


def test_rules_can_begin_late_and_are_removed(client, braket_service):
    braket_service.fail("GetDevice", "throttle", skip=2, times=1)
    for _ in range(2):
        client.get_device(deviceArn=SV1)
    with pytest.raises(client.exceptions.ThrottlingException):
        client.get_device(deviceArn=SV1)
    braket_service.fail("*", "throttle")
    braket_service.heal()
    assert client.get_device(deviceArn=SV1)["deviceName"] == "SV1"
