"""What the service does with a request: tokens, refusals, limits, searches, the bill and the log."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from braket.aws import AwsDevice
from braket.circuits import Circuit, observables
from braket_requests import BELL, BUCKET, EXACT, task_request
from braket_service.client import DM1, EMERALD, FORTE, GARNET, SV1


def wait(client, arn):
    """Poll until the task has ended; return what GetQuantumTask says then."""
    while True:
        task = client.get_quantum_task(quantumTaskArn=arn)
        if task["status"] in ("COMPLETED", "FAILED", "CANCELLED"):
            return task


def refused(client, request):
    """Return code, HTTP status and message of a request that is refused."""
    with pytest.raises(ClientError) as caught:
        client.create_quantum_task(**request)
    response = caught.value.response
    return (
        response["Error"]["Code"],
        response["ResponseMetadata"]["HTTPStatusCode"],
        response["Error"]["Message"],
    )


def test_one_token_is_one_task(client, braket_service):
    arns = {client.create_quantum_task(**task_request())["quantumTaskArn"] for _ in range(3)}
    assert len(arns) == len(braket_service.tasks()) == 1
    wait(client, arns.pop())
    assert client.create_quantum_task(**task_request())["quantumTaskArn"] == braket_service.tasks()[0]["arn"]
    assert braket_service.bill()["tasks"] == 1


def test_another_token_is_another_task(client, braket_service):
    for token in ("one", "two"):
        wait(client, client.create_quantum_task(**task_request(token=token))["quantumTaskArn"])
    assert braket_service.bill()["tasks"] == 2


def test_a_token_with_other_parameters_is_refused(client, braket_service):
    client.create_quantum_task(**task_request())
    code, status, message = refused(client, task_request(EXACT.replace("0.3", "0.4")))
    assert (code, status) == ("ValidationException", 400)
    assert "client token was used before" in message
    assert len(braket_service.tasks()) == 1


def test_a_token_of_a_refused_request_is_free(client):
    refused(client, task_request("OPENQASM 3.0;\nqubit[1] q;\nnonsense q[0];\n"))
    assert client.create_quantum_task(**task_request())["quantumTaskArn"]


ONE, TWO = "qubit[1] q;\n", "qubit[2] q;\n"
RESULT = "#pragma braket result"
REFUSED = {
    # the service's own texts: issues of amazon-braket-sdk-python, the developer guide's page "Troubleshooting OpenQASM"
    "control": (TWO + "ctrl @ y q[0], q[1];", "[line 3] uses an unsupported GateModifer: 'ctrl'"),
    "power": (ONE + "pow(0.5) @ x q[0];", "[line 3] uses an unsupported GateModifer: 'pow'"),
    "inverse": (ONE + "inv @ s q[0];", "[line 3] uses an unsupported GateModifer: 'inv'"),
    "U": (ONE + "U(0.1, 0.2, 0.3) q[0];", "[line 3] uses Stmt. Stmt is not supported"),
    "gphase": (ONE + "x q[0];\ngphase(0.1);", "[line 4] uses Stmt. Stmt is not supported"),
    "include": ('include "stdgates.inc";\n' + ONE, "No terminal matches '\"'"),
    "gap": (
        "qubit[4] q;\nh q[0];\ncnot q[0], q[2];",
        "Device requires contiguous qubits. Qubit register q has unused qubits q[1], q[3].",
    ),
    "mixture": (TWO + "cnot q[0], $1;", "[line 3] mixes physical qubits and qubits registers."),
    "registers": (TWO + "qubit[2] b;", "[line 3] cannot declare a qubit register. Only 1 qubit register is supported."),
    "index": ("qubit q;\nh q[0];", "[line 3] single qubit cannot be indexed."),
    "measured": (ONE + "measure q[0];", "Qubits should not be explicitly measured when result types are requested."),
    "late gate": (ONE + "measure q[0];\nx q[0];", "[line 4] qubit q[0] is already measured or captured."),
    # texts of our own: that they are refused is known from the device's properties, the wording is not
    "definition": (ONE + "gate g a { x a; }\ng q[0];", "not supported"),
    "unlisted gate": (ONE + "prx(0.1, 0.2) q[0];", "the gate prx, which the device does not support"),
    "noise": (ONE + "#pragma braket noise bit_flip(0.1) q[0]", "noise bit_flip(0.1) q[0]', which the device does not"),
    "result": (f"{ONE}x q[0];\n{RESULT} state_vector", "the result type state_vector, which the device does not"),
    "sum": (f"{ONE}x q[0];\n{RESULT} variance 2 * z(q[0]) + x(q[0])", "cannot read the result"),
    "too many qubits": ("qubit[35] q;\nh q;", "at most 34 qubits"),
    "input": (f"input float alpha;\n{ONE}rx(alpha) q[0];", "Missing input variable 'alpha'"),
    "name": (ONE + "rx(alpha) q[0];", "alpha is not defined"),
    "angles": (ONE + "rx q[0];", "rx does not take these angles"),
    "qubits": (TWO + "cnot q[0];\nx q[1];", "cnot does not take these angles and qubits"),
    "repeated qubit": (ONE + "cnot q[0], q[0];", "cnot cannot act on q[0], q[0]"),
    "range": (ONE + "x q[1];", "qubit index 1 is out of range"),
    "physical qubit": ("x $0;", "uses physical qubits"),
    "nothing": ("", "The program has no instructions"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_sv1_refuses(client, braket_service, name):
    body, expected = REFUSED[name]
    shots = 10 if name in ("late gate", "physical qubit", "nothing") else 0
    source = f"OPENQASM 3.0;\n{body}\n" + ("" if shots else f"{RESULT} expectation z(q[0])\n")
    code, status, message = refused(client, task_request(source, shots=shots))
    assert (code, status) == ("ValidationException", 400)
    assert expected in message
    assert braket_service.tasks() == []


@pytest.mark.parametrize(
    ("device", "shots", "low", "high"),
    [(GARNET, 0, 1, 20000), (FORTE, 50, 100, 5000), (SV1, 100001, 0, 100000)],
)
def test_shots_out_of_range_are_refused(client, aws_session, device, shots, low, high):
    regional = AwsDevice(device, aws_session).aws_session.braket_client
    with pytest.raises(ClientError) as caught:
        regional.create_quantum_task(**task_request(BELL, device=device, shots=shots))
    assert f"Shot count should be between {low} and {high} on {device}, but found {shots}." in str(caught.value)


def test_exact_results_need_a_result_type(client):
    assert "shots=0" in refused(client, task_request("OPENQASM 3.0;\nqubit[1] q;\nx q[0];\n"))[2]


def test_a_program_that_measures_nothing_is_refused(client):
    assert "measures nothing" in refused(client, task_request("OPENQASM 3.0;\nqubit[1] q;\nx q[0];\n", shots=5))[2]


def test_a_qpu_refuses_gates_that_it_does_not_list(aws_session):
    with pytest.raises(ClientError, match="the gate swap, which the device does not support"):
        AwsDevice(GARNET, aws_session).run(Circuit().swap(0, 1), shots=10)


def test_an_ionq_device_refuses_more_than_two_thousand_gates(aws_session):
    device = AwsDevice(FORTE, aws_session)
    many = Circuit()
    for _ in range(2001):
        many.x(0)
    with pytest.raises(ClientError, match="at most 2000 gates"):
        device.run(many, shots=100)


def test_a_bucket_that_does_not_exist_is_refused(client, braket_service):
    request = task_request() | {"outputS3Bucket": "amazon-braket-nowhere"}
    code, _, message = refused(client, request)
    assert code == "ValidationException"
    assert message == "Caller doesn't have access to amazon-braket-nowhere or it doesn't exist."
    assert braket_service.tasks() == []


@pytest.mark.parametrize(
    "change",
    [{"clientToken": "x" * 65}, {"outputS3KeyPrefix": "k" * 1025}, {"action": "{"}, {"action": "{}"}],
    ids=["long token", "long prefix", "no JSON", "no action"],
)
def test_a_request_of_another_shape_is_refused(client, change):
    assert refused(client, task_request() | change)[0] == "ValidationException"


def test_an_action_of_more_than_five_megabytes_is_refused(client):
    assert "larger than 5 MB" in refused(client, task_request(EXACT + "// " + "x" * 5_000_000))[2]


def test_tasks_in_flight_and_the_rate_of_new_ones_are_limited(client, braket_service):
    braket_service.fail("CreateQuantumTask", "queue", polls=1)
    braket_service.limit(in_flight=2)
    arns = [client.create_quantum_task(**task_request(token=str(k)))["quantumTaskArn"] for k in range(2)]
    assert refused(client, task_request(token="2"))[:2] == ("ServiceQuotaExceededException", 402)
    wait(client, arns[0])
    client.create_quantum_task(**task_request(token="2"))
    braket_service.limit(creates_per_second=0.001, create_burst=2)
    for token in ("3", "4"):
        client.create_quantum_task(**task_request(token=token))
    assert refused(client, task_request(token="5"))[:2] == ("ThrottlingException", 429)


def test_a_cancelled_task_costs_nothing_and_stays_cancelled(client, braket_service):
    braket_service.fail("CreateQuantumTask", "queue", polls=10)
    arn = client.create_quantum_task(**task_request())["quantumTaskArn"]
    assert client.get_quantum_task(quantumTaskArn=arn)["status"] == "QUEUED"
    assert client.cancel_quantum_task(quantumTaskArn=arn)["cancellationStatus"] == "CANCELLING"
    assert [client.get_quantum_task(quantumTaskArn=arn)["status"] for _ in range(12)] == ["CANCELLED"] * 12
    with pytest.raises(client.exceptions.ConflictException):
        client.cancel_quantum_task(quantumTaskArn=arn)
    assert braket_service.bill() == {"tasks": 0, "shots": 0, "usd": 0.0, "by_device": {}}


def test_an_unknown_task_is_not_found(client):
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_quantum_task(quantumTaskArn="arn:aws:braket:us-east-1:123456789012:quantum-task/none")


def test_a_task_is_known_in_its_region_only(client):
    arn = client.create_quantum_task(**task_request())["quantumTaskArn"]
    elsewhere = boto3.client("braket", region_name="us-west-2")
    with pytest.raises(elsewhere.exceptions.ResourceNotFoundException):
        elsewhere.get_quantum_task(quantumTaskArn=arn)


def test_tasks_are_searched_newest_first_by_device_state_and_time(client):
    arns = []
    for k in range(5):
        device = SV1 if k % 2 == 0 else DM1
        arns.append(client.create_quantum_task(**task_request(token=str(k), device=device))["quantumTaskArn"])
        wait(client, arns[-1])

    def search(*filters, **settings):
        rows = [dict(zip(("name", "operator", "values"), each, strict=True)) for each in filters]
        pages = client.get_paginator("search_quantum_tasks").paginate(filters=rows, **settings)
        return [task["quantumTaskArn"] for page in pages for task in page["quantumTasks"]]

    assert search(PaginationConfig={"PageSize": 2}) == arns[::-1]
    assert search(("deviceArn", "EQUAL", [SV1])) == arns[::-2]
    assert search(("status", "EQUAL", ["COMPLETED"]), ("deviceArn", "EQUAL", [DM1])) == [arns[3], arns[1]]
    assert search(("status", "EQUAL", ["FAILED"])) == []
    third = client.get_quantum_task(quantumTaskArn=arns[2])["createdAt"].isoformat()
    assert arns[4] in search(("createdAt", "GT", [third]))
    assert arns[0] not in search(("createdAt", "GTE", [third]))


def test_the_bill(aws_session, braket_service):
    """Simulators by time, at least three seconds a task; QPUs by task and shot."""
    exact = Circuit().h(0).expectation(observables.Z(0))
    AwsDevice(SV1, aws_session).run(exact, shots=0).result()
    braket_service.fail("CreateQuantumTask", "duration", milliseconds=90_000, times=1)
    AwsDevice(SV1, aws_session).run(exact, shots=0).result()
    AwsDevice(DM1, aws_session).run(exact, shots=100).result()
    for arn in (GARNET, EMERALD):
        AwsDevice(arn, aws_session).run(exact, shots=1000).result()
    AwsDevice(FORTE, aws_session).run(exact, shots=100).result()
    bill = braket_service.bill()
    assert bill == {
        "tasks": 6,
        "shots": 2200,
        "usd": 12.07,
        "by_device": {
            SV1: {"tasks": 2, "shots": 0, "usd": 0.11625},  # 3 s and 90 s at $0.075 a minute
            DM1: {"tasks": 1, "shots": 100, "usd": 0.00375},
            GARNET: {"tasks": 1, "shots": 1000, "usd": 1.75},
            EMERALD: {"tasks": 1, "shots": 1000, "usd": 1.9},
            FORTE: {"tasks": 1, "shots": 100, "usd": 8.3},
        },
    }


def test_every_call_is_in_the_log(aws_session, braket_service):
    device = AwsDevice(SV1, aws_session)
    device.run(Circuit().h(0).expectation(observables.X(0)), shots=0).result()
    calls = braket_service.calls()
    assert [call["operation"] for call in calls] == [
        "GetDevice",
        "sts:GetCallerIdentity",
        "s3:CreateBucket",
        "CreateQuantumTask",
        "GetQuantumTask",
        "s3:GetObject",
        "GetQuantumTask",
    ]
    assert {call["service"] for call in calls} == {"braket", "sts", "s3"}
    assert all(call["status"] in (200, 201) and call["fault"] is None for call in calls)
    assert [call["operation"] for call in braket_service.calls("sts")] == ["sts:GetCallerIdentity"]


def test_the_record_of_a_task_says_what_was_asked_for(client, braket_service):
    request = task_request(tags={"run": "seven"})
    wait(client, client.create_quantum_task(**request)["quantumTaskArn"])
    (record,) = braket_service.tasks()
    assert record["token"] == request["clientToken"]
    assert record["tags"] == {"run": "seven"}
    assert json.loads(record["action"])["source"] == EXACT
    stored = boto3.client("s3").get_object(Bucket=BUCKET, Key=record["key"])
    assert json.loads(stored["Body"].read())["taskMetadata"]["id"] == record["arn"]
