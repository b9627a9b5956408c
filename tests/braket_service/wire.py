"""Requests, answers and errors as they go over the wire: REST-JSON, version 2019-09-01 of the Braket API."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

ACCOUNT = "123456789012"
"""The account that moto's STS tells everybody."""

STATUS = {
    "AccessDeniedException": 403,
    "ConflictException": 409,
    "DeviceOfflineException": 424,
    "DeviceRetiredException": 410,
    "InternalServiceException": 500,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 402,
    "ThrottlingException": 429,
    "ValidationException": 400,
}
"""HTTP status of every error in botocore's service model (braket/2019-09-01/service-2.json)."""

_CREDENTIAL = re.compile(r"Credential=[^/]+/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")


class ServiceError(Exception):
    """An error that the service answers with."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.status = STATUS.get(code, 400) if status is None else status


@dataclass(frozen=True)
class Request:
    """One HTTP request; its signature's scope names the region and the service that it is for."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @cached_property
    def path(self) -> str:
        """The path as it was sent: an ARN in it is still percent-encoded, so slashes separate segments only."""
        return urlsplit(self.target).path

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @cached_property
    def json(self) -> Any:
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise ServiceError("ValidationException", f"the body is not JSON: {error}") from error

    @cached_property
    def scope(self) -> tuple[str, str]:
        """Region and service; ``("", "")`` of a request that carries no signature of version 4."""
        found = _CREDENTIAL.search(self.headers.get("authorization", ""))
        return (found["region"], found["service"]) if found else ("", "")


@dataclass
class Response:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def answer(content: Any, status: int = 200) -> Response:
    """Return JSON content as an answer."""
    return Response(status, json.dumps(content).encode(), {"content-type": "application/json"})


def refusal(error: ServiceError) -> Response:
    """Return an error as Braket sends it: its name in a header, its text in the body."""
    response = answer({"message": error.message}, error.status)
    response.headers["x-amzn-errortype"] = error.code
    return response


def stamp(seconds: float) -> str:
    """Return a time since the epoch as ISO 8601, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
