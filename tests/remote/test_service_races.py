"""A task that is cancelled while its simulation runs: inside one process, where a test can hold the moment."""

import json

import pytest
from braket_requests import task_request
from braket_service import execution
from braket_service.api import BraketApi
from braket_service.faults import Faults
from braket_service.wire import Request
from patience import HANG

SCOPE = {"authorization": "AWS4-HMAC-SHA256 Credential=testing/20250101/us-east-1/braket/aws4_request"}


class Store:
    """An S3 that has every bucket, and remembers what is put there."""

    def __init__(self):
        self.written = []

    def has_bucket(self, bucket):
        return True

    def put(self, bucket, key, content):
        self.written.append(key)


@pytest.mark.parametrize("broken", [False, True], ids=["finishes", "fails"])
def test_it_stays_cancelled_without_a_result_and_without_a_price(monkeypatch, broken):
    store = Store()
    api = BraketApi(store, Faults())
    original = execution.run

    def run(*arguments, **settings):
        (task,) = api.tasks.values()
        api.cancel(Request("PUT", f"/quantum-task/{task.arn.replace('/', '%2F')}/cancel", SCOPE, b"{}"))
        if broken:
            raise RuntimeError("the simulator broke")
        return original(*arguments, **settings)

    monkeypatch.setattr(execution, "run", run)
    api.create(Request("POST", "/quantum-task", SCOPE, json.dumps(task_request()).encode()))
    (task,) = api.tasks.values()
    assert task.work is not None
    task.work.result(timeout=HANG)
    assert (task.status, task.failure, task.usd) == ("CANCELLED", None, 0)
    assert store.written == []
    assert api.bill()["tasks"] == 0
