"""Braket's operations, as far as the SDK uses them for tasks."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from . import execution, shapes
from .catalogue import Catalogue
from .faults import Faults
from .limits import Limits
from .objects import ObjectStore
from .prices import price
from .reader import read
from .results import ResultWriter
from .searching import passes
from .tasks import TERMINAL, Task
from .wire import ACCOUNT, Request, Response, ServiceError, answer, stamp

PATIENCE = 50.0
"""Seconds that a poll waits for a running simulation, so that the number of polls does not depend on the machine."""
LARGEST_ACTION = 5_000_000
"""Bytes: "The Amazon Braket quantum task action is limited to 5MB in size"."""


class BraketApi:
    """The service's state, and what its operations do to it."""

    def __init__(self, objects: ObjectStore, faults: Faults) -> None:
        self.catalogue, self.limits, self.results = Catalogue(), Limits(), ResultWriter(objects)
        self._objects, self._faults = objects, faults
        self._workers = ThreadPoolExecutor(max_workers=2)
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self.tasks: dict[str, Task] = {}
            self._turns: dict[tuple[str, str], threading.Lock] = {}
            self._by_token: dict[tuple[str, str], Task] = {}
            self._repeats: Counter[str] = Counter()
        self.catalogue.reset()
        self.limits.set()
        self.results.reset()

    def perform(self, operation: str, request: Request) -> Response:
        """Carry out an operation that :func:`operation_of` named."""
        if operation not in _OPERATIONS:
            raise ServiceError("ResourceNotFoundException", f"this service does not have {operation}")
        return _OPERATIONS[operation](self, request)

    def create(self, request: Request) -> Response:
        """CreateQuantumTask: a client token makes one task, however often it comes."""
        self.limits.on_create()
        content, region = request.json, request.scope[0]
        shapes.check("CreateQuantumTask", content)
        key = (region, content["clientToken"])
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:
            task = self._by_token.get(key)
            if task is None:
                task = self._new_task(content, region)
                self._by_token[key] = self.tasks[task.arn] = task
                self._enqueue(task)
            elif task.request != content:
                raise ServiceError(
                    "ValidationException", "The client token was used before, in a request with other parameters."
                )
        return answer({"quantumTaskArn": task.arn}, 201)

    def _new_task(self, content: dict[str, Any], region: str) -> Task:
        arn, shots, bucket = content["deviceArn"], content["shots"], content["outputS3Bucket"]
        device = self.catalogue.for_task(arn, region)
        low, high = device["capabilities"]["service"]["shotsRange"]
        if not low <= shots <= high:
            raise ServiceError(
                "ValidationException", f"Shot count should be between {low} and {high} on {arn}, but found {shots}."
            )
        program = read(*_action(content["action"]), shots, device)
        if not self._objects.has_bucket(bucket):
            raise ServiceError("ValidationException", f"Caller doesn't have access to {bucket} or it doesn't exist.")
        in_flight = sum(task.region == region and task.status not in TERMINAL for task in list(self.tasks.values()))
        self.limits.on_task(in_flight)
        return Task(
            arn=f"arn:aws:braket:{region}:{ACCOUNT}:quantum-task/{uuid.uuid4()}",
            region=region,
            request=content,
            program=program,
            seed=self._seed(content),
            plan=self._faults.on_task(),
        )

    def _seed(self, content: dict[str, Any]) -> int:
        """Return a seed for sampling that depends on what is run and how often it was, not on order or tokens."""
        digest = hashlib.sha256(f"{content['deviceArn']}/{content['shots']}/{content['action']}".encode()).hexdigest()
        with self._lock:
            self._repeats[digest] += 1
            return int(digest[:16], 16) + self._repeats[digest]

    def _enqueue(self, task: Task) -> None:
        queue = task.plan.get("queue", {})
        if queue.get("polls"):
            return  # the poll that takes it out of the queue starts it
        if seconds := queue.get("seconds"):
            timer = threading.Timer(seconds, self._start, [task])
            timer.daemon = True
            timer.start()
        else:
            self._start(task)

    def _start(self, task: Task) -> None:
        with task.lock:
            if task.work is None and task.status not in TERMINAL:
                task.work = self._workers.submit(self._execute, task)

    def _execute(self, task: Task) -> None:
        request, failing = task.request, task.plan.get("fail")
        capabilities, shots = self.catalogue.capabilities(request["deviceArn"]), request["shots"]
        try:
            if failing is not None:
                raise RuntimeError(failing.get("reason", "The device failed."))
            text = self._result(task)
            with task.lock:
                if task.status not in TERMINAL:
                    bucket, directory = task.place
                    self.results.write(bucket, f"{directory}/results.json", text, task.plan.get("late_result"))
                    task.usd = price(capabilities, shots, task.milliseconds)
                    task.end("COMPLETED")
        except Exception as error:  # whatever goes wrong, the task has failed, and says why
            if failing is not None and failing.get("billed"):
                task.usd = price(capabilities, shots, 0)
            task.end("FAILED", str(error))

    def _result(self, task: Task) -> str:
        request, began = task.request, time.perf_counter()
        source, _ = _action(request["action"])
        density = not request["deviceArn"].endswith("/sv1")
        parts = execution.run(task.program, source, request["shots"], density=density, seed=task.seed)
        taken = int(1000 * (time.perf_counter() - began))
        if short := task.plan.get("short"):
            parts["measurements"] = parts["measurements"][: short["shots"]]
        task.milliseconds = task.plan.get("duration", {}).get("milliseconds", taken)
        return execution.result_json(
            parts,
            arn=task.arn,
            request=request,
            created=stamp(task.created),
            ended=stamp(time.time()),
            milliseconds=task.milliseconds,
        )

    def get(self, request: Request) -> Response:
        """GetQuantumTask; a poll that finds the task due waits for the simulation."""
        task = self._task(request)
        with task.lock:
            due = task.status not in TERMINAL and not task.must_wait()
            if due:
                self._start(task)
                task.status = "RUNNING"
        if due and task.work is not None:
            wait([task.work], timeout=PATIENCE)
        return answer(task.describe())

    def release(self) -> None:
        """Let go of all tasks that rules hold in the queue."""
        for task in list(self.tasks.values()):
            with task.lock:
                task.plan = {kind: settings for kind, settings in task.plan.items() if kind != "queue"}
            self._start(task)

    def cancel(self, request: Request) -> Response:
        """CancelQuantumTask: at once, and free of charge."""
        task = self._task(request)
        with task.lock:
            if task.status in TERMINAL:
                raise ServiceError("ConflictException", f"{task.arn} is in {task.status} status.")
            task.end("CANCELLED")
        return answer({"quantumTaskArn": task.arn, "cancellationStatus": "CANCELLING"})

    def search_tasks(self, request: Request) -> Response:
        """SearchQuantumTasks, newest first."""
        content = request.json
        shapes.check("SearchQuantumTasks", content)
        tasks = [task.summary() for task in reversed(list(self.tasks.values())) if task.region == request.scope[0]]
        found = [task for task in tasks if all(passes(task, each) for each in content["filters"])]
        return answer(_page(found, "quantumTasks", content))

    def get_device(self, request: Request) -> Response:
        """GetDevice."""
        arn = unquote(request.path.split("/")[2])
        queued = [task for task in list(self.tasks.values()) if task.request["deviceArn"] == arn]
        waiting = sum(task.status == "QUEUED" for task in queued)
        return answer(self.catalogue.describe(arn, request.scope[0], waiting))

    def search_devices(self, request: Request) -> Response:
        """SearchDevices."""
        content = request.json
        shapes.check("SearchDevices", content)
        return answer(_page(self.catalogue.search(content["filters"], request.scope[0]), "devices", content))

    def _task(self, request: Request) -> Task:
        arn = unquote(request.path.split("/")[2])
        task = self.tasks.get(arn)
        if task is None or task.region != request.scope[0]:
            raise ServiceError("ResourceNotFoundException", f"The quantum task {arn} was not found.")
        return task

    def bill(self) -> dict[str, Any]:
        """Return tasks, shots and USD billed, in all and by device."""
        rows: dict[str, dict[str, Any]] = {}
        for task in list(self.tasks.values()):
            for name in ("total", task.request["deviceArn"]) if task.usd else ():
                row = rows.setdefault(name, {"tasks": 0, "shots": 0, "usd": Decimal(0)})
                row["tasks"] += 1
                row["shots"] += task.request["shots"]
                row["usd"] += task.usd
        plain = {name: row | {"usd": float(row["usd"])} for name, row in rows.items()}
        total = plain.pop("total", {"tasks": 0, "shots": 0, "usd": 0.0})
        return total | {"by_device": plain}


def _action(text: str) -> tuple[str, dict[str, float]]:
    """Return the source and the inputs of an OpenQASM action."""
    if len(text.encode()) > LARGEST_ACTION:
        raise ServiceError("ValidationException", "The action is larger than 5 MB.")
    try:
        content = json.loads(text)
        if content["braketSchemaHeader"]["name"] != "braket.ir.openqasm.program":
            raise ServiceError("ValidationException", "The device does not support this action.")
        return content["source"], content.get("inputs") or {}
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceError("ValidationException", f"The action cannot be read: {error!r}.") from error


def _page(found: list[dict[str, Any]], name: str, content: dict[str, Any]) -> dict[str, Any]:
    start, size = int(content.get("nextToken", 0)), content.get("maxResults", 100)
    page: dict[str, Any] = {name: found[start : start + size]}
    return page | ({"nextToken": str(start + size)} if start + size < len(found) else {})


def operation_of(request: Request) -> str:
    """Name a Braket operation by method and path."""
    segments = request.path.strip("/").split("/")
    return _ROUTES.get((request.method, segments[0], *segments[2:]), f"{request.method} {segments[0]}")


_ROUTES = {
    ("POST", "quantum-task"): "CreateQuantumTask",
    ("GET", "quantum-task"): "GetQuantumTask",
    ("PUT", "quantum-task", "cancel"): "CancelQuantumTask",
    ("POST", "quantum-tasks"): "SearchQuantumTasks",
    ("GET", "device"): "GetDevice",
    ("POST", "devices"): "SearchDevices",
}
_OPERATIONS: dict[str, Callable[[BraketApi, Request], Response]] = {
    "CreateQuantumTask": BraketApi.create,
    "GetQuantumTask": BraketApi.get,
    "CancelQuantumTask": BraketApi.cancel,
    "SearchQuantumTasks": BraketApi.search_tasks,
    "GetDevice": BraketApi.get_device,
    "SearchDevices": BraketApi.search_devices,
}
