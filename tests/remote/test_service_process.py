"""The service is a process of its own, on loopback, and outlives its clients."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from braket.aws import AwsQuantumTask
from braket_requests import task_request
from patience import HANG, wait_until

CLIENT = """
import json, os, signal, sys
import boto3
arn = boto3.client("braket").create_quantum_task(**json.loads(sys.argv[1]))["quantumTaskArn"]
print(arn, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_task_outlives_the_process_that_made_it(client, aws_session, braket_service):

    braket_service.fail("CreateQuantumTask", "queue", polls=2)
    command = [sys.executable, "-c", CLIENT, json.dumps(task_request())]
    killed = subprocess.run(command, env=os.environ | braket_service.env, capture_output=True, text=True, timeout=HANG)
    assert killed.returncode == -signal.SIGKILL
    arn = killed.stdout.strip()
    assert client.create_quantum_task(**task_request())["quantumTaskArn"] == arn
    result = AwsQuantumTask(arn, aws_session, poll_interval_seconds=0.02).result()
    assert result.values[0] == pytest.approx(0.9553364891256060)  # cos 0.3
    assert braket_service.bill()["tasks"] == 1


def test_nothing_but_loopback_reaches_it_and_its_credentials_are_fake(braket_service):
    host, port = urlsplit(braket_service.url).hostname, urlsplit(braket_service.url).port
    assert host == "127.0.0.1"
    assert answers(host, port)
    assert not answers("127.0.0.2", port)
    assert {value for name, value in braket_service.env.items() if "KEY" in name or "TOKEN" in name} == {"testing"}


def answers(host, port):
    try:
        socket.create_connection((host, port), timeout=HANG).close()
    except OSError:
        return False
    return True


PARENT = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
from braket_service.client import start_service
with start_service("--region", "us-west-2") as service:
    print(json.dumps([service.url, service.env["AWS_REGION"]]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_with_a_parent_that_is_killed():
    tests = str(Path(__file__).parents[1])
    killed = subprocess.run([sys.executable, "-c", PARENT, tests], capture_output=True, text=True, timeout=HANG)
    url, region = json.loads(killed.stdout)
    assert region == "us-west-2"
    wait_until(lambda: not answers("127.0.0.1", urlsplit(url).port))
