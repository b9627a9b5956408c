"""A quantum task: what was asked for, where it stands, and what it was billed."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .programs import Program
from .wire import stamp

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


@dataclass(kw_only=True)
class Task:
    """One quantum task. ``plan`` is what the rules in force at its creation do to it, by kind."""

    arn: str
    region: str
    request: dict[str, Any]
    program: Program
    seed: int
    plan: dict[str, dict[str, Any]]
    status: str = "QUEUED"
    failure: str | None = None
    created: float = field(default_factory=time.time)
    ended: float | None = None
    polls: int = 0
    milliseconds: int = 0
    usd: Decimal = Decimal(0)
    work: Future[None] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def place(self) -> tuple[str, str]:
        """Bucket and key prefix that the service writes under."""
        prefix = self.request["outputS3KeyPrefix"]
        return self.request["outputS3Bucket"], f"{prefix}/{self.arn.rpartition('/')[2]}"

    def must_wait(self) -> bool:
        """Count a poll, and say whether a rule holds the task in the queue still."""
        queue = self.plan.get("queue", {})
        self.polls += 1
        return self.polls <= queue.get("polls", 0) or time.time() < self.created + queue.get("seconds", 0)

    def end(self, status: str, failure: str | None = None) -> None:
        """Enter a terminal state, unless the task is in one."""
        with self.lock:
            if self.status not in TERMINAL:
                self.status, self.failure, self.ended = status, failure, time.time()

    def summary(self) -> dict[str, Any]:
        """Return what SearchQuantumTasks says."""
        bucket, directory = self.place
        described = {
            "quantumTaskArn": self.arn,
            "status": self.status,
            "deviceArn": self.request["deviceArn"],
            "shots": self.request["shots"],
            "outputS3Bucket": bucket,
            "outputS3Directory": directory,
            "createdAt": stamp(self.created),
            "tags": self.request.get("tags", {}),
        }
        return described if self.ended is None else described | {"endedAt": stamp(self.ended)}

    def describe(self) -> dict[str, Any]:
        """Return what GetQuantumTask says."""
        queue = {"queue": "QUANTUM_TASKS_QUEUE", "queuePriority": "Normal", "position": "1"}
        if self.status != "QUEUED":
            queue |= {"position": "None", "message": f"Task is in {self.status} status."}
        described = {
            **self.summary(),
            "deviceParameters": self.request.get("deviceParameters", "{}"),
            "actionMetadata": {"actionType": json.loads(self.request["action"])["braketSchemaHeader"]["name"]},
            "queueInfo": queue,
        }
        if self.failure is not None:
            described["failureReason"] = self.failure
        if self.status == "COMPLETED":
            described["numSuccessfulShots"] = self.request["shots"]
        return described

    def record(self) -> dict[str, Any]:
        """Return what tests may want to know."""
        bucket, directory = self.place
        return {
            "arn": self.arn,
            "region": self.region,
            "device": self.request["deviceArn"],
            "shots": self.request["shots"],
            "token": self.request["clientToken"],
            "tags": self.request.get("tags", {}),
            "action": self.request["action"],
            "status": self.status,
            "failure": self.failure,
            "polls": self.polls,
            "milliseconds": self.milliseconds,
            "usd": float(self.usd),
            "bucket": bucket,
            "key": f"{directory}/results.json",
        }
