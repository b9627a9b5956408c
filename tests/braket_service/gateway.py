"""One door for every call: it names the operation, strikes it with the rules in force, and writes it down."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import unquote

from . import api, objects
from .faults import Faults, Rule
from .wire import STATUS, Request, Response, ServiceError, answer, refusal

Ending = Literal["whole", "cut", "reset", "none"]


@dataclass
class Outcome:
    """An answer, and how much of it the client gets."""

    response: Response
    ending: Ending = "whole"


class Gateway:
    """Routes calls to Braket's operations, to moto and to the control interface."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.objects = objects.ObjectStore()
        self.api = api.BraketApi(self.objects, self.faults)
        self._calls: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Outcome:
        """Answer one request."""
        if request.path.startswith("/_control/"):
            try:
                return Outcome(self._control(request))
            except ServiceError as error:
                return Outcome(refusal(error))
        region, service = request.scope
        braket = service == "braket"
        operation = api.operation_of(request) if braket else objects.operation(request)
        began = time.time()
        rule = self.faults.on_call(operation)
        outcome = self._struck(request, operation, rule)
        with self._lock:
            self._calls.append(
                {
                    "at": began,
                    "seconds": time.time() - began,
                    "service": service,
                    "operation": operation,
                    "region": region,
                    "target": request.target,
                    "status": outcome.response.status,
                    "fault": rule.kind if rule else None,
                    "token": request.json.get("clientToken") if operation == "CreateQuantumTask" else None,
                }
            )
        return outcome

    def _struck(self, request: Request, operation: str, rule: Rule | None) -> Outcome:
        if rule is None:
            return Outcome(self._perform(request, operation))
        match rule.kind:
            case "throttle":
                return Outcome(_error(operation, "ThrottlingException", 429, "Rate exceeded"))
            case "error":
                code = rule.settings.get("code", "InternalServiceException")
                message = rule.settings.get("message", "The request failed because of an unknown error.")
                return Outcome(_error(operation, code, rule.settings.get("status", STATUS.get(code, 500)), message))
            case "unavailable":
                page = b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"
                return Outcome(Response(503, page, {"content-type": "text/html"}))
            case "drop":
                return Outcome(Response(0, b""), "none")
            case "delay":
                time.sleep(rule.settings.get("seconds", 0.1))
                return Outcome(self._perform(request, operation))
            case "lost":
                return Outcome(self._perform(request, operation), "none")
            case "cut":
                return Outcome(self._perform(request, operation), "cut")
            case "body":
                performed = self._perform(request, operation)
                body = (
                    b64decode(rule.settings["base64"]) if "base64" in rule.settings else rule.settings["text"].encode()
                )
                return Outcome(replace(performed, body=body, headers={"content-type": "application/json"}))
            case "edit":
                performed = self._perform(request, operation)
                edited = _edited(json.loads(performed.body), rule.settings["changes"])
                return Outcome(replace(performed, body=json.dumps(edited).encode(), headers={}))
            case _:
                return Outcome(self._perform(request, operation), "reset")

    def _perform(self, request: Request, operation: str) -> Response:
        if request.scope[1] == "braket":
            try:
                return self.api.perform(operation, request)
            except ServiceError as error:
                return refusal(error)
        if operation == "s3:GetObject":
            bucket, _, key = request.path.lstrip("/").partition("/")
            self.api.results.before_read(bucket, unquote(key))
        return self.objects.call(request)

    def _control(self, request: Request) -> Response:
        what = (request.method, request.path.removeprefix("/_control/"))
        match what:
            case ("GET", "tasks"):
                return answer([task.record() for task in list(self.api.tasks.values())])
            case ("GET", "bill"):
                return answer(self.api.bill())
            case ("GET", "calls"):
                with self._lock:
                    return answer(list(self._calls))
            case ("GET", "faults"):
                return answer(self.faults.counts())
            case ("POST", "faults"):
                self.faults.add(request.json)
            case ("DELETE", "faults"):
                self.faults.clear()
            case ("POST", "devices"):
                self.api.catalogue.change(**request.json)
            case ("POST", "limits"):
                self.api.limits.set(**request.json)
            case ("POST", "release"):
                self.api.release()
            case ("POST", "reset"):
                self.faults.clear()
                self.api.reset()
                self.objects.reset()
                with self._lock:
                    self._calls.clear()
            case _:
                raise ServiceError("ResourceNotFoundException", f"no such control: {' '.join(what)}")
        return answer({})


def _edited(content: Any, changes: list[tuple[list[str | int], Any]]) -> Any:
    """Return JSON content with other values at some places; an empty place is all of it."""
    for place, value in changes:
        if not place:
            content = value
            continue
        within = content
        for step in place[:-1]:
            within = within[step]
        within[place[-1]] = value
    return content


def _error(operation: str, code: str, status: int, message: str) -> Response:
    if not operation.startswith("s3:"):
        return refusal(ServiceError(code, message, status))
    if code == "ThrottlingException":
        code, status = "SlowDown", 503
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(status, body.encode(), {"content-type": "application/xml"})
