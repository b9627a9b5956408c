"""S3 and STS: moto's server, called inside this process, so that its calls are counted and fail with Braket's."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import EnvironBuilder, run_wsgi_app

from .wire import Request, Response

_OWN = "AWS4-HMAC-SHA256 Credential=service/20250101/us-east-1/s3/aws4_request"
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length"}


class ObjectStore:
    """moto's server application."""

    def __init__(self) -> None:
        self._dispatcher = DomainDispatcherApplication(create_backend_app)
        self._apps: dict[str, Any] = {}
        self._buckets: set[str] = set()
        self._lock = threading.Lock()

    def call(self, request: Request) -> Response:
        """Pass a request on to moto; one at a time, as moto's state has no locks of its own."""
        parts = urlsplit(request.target)
        if request.method == "DELETE":
            self._buckets.clear()
        environ = EnvironBuilder(
            path=parts.path,
            query_string=parts.query,
            method=request.method,
            headers=[(name, value) for name, value in request.headers.items() if name not in _HOP_BY_HOP],
            data=request.body,
        ).get_environ()
        environ["RAW_URI"] = environ["REQUEST_URI"] = request.target
        with self._lock:
            # moto finds the application anew for each call, which takes longer than the call
            _, service = request.scope
            kind = service if service and not parts.path.startswith("/moto-api") else parts.path
            if kind not in self._apps:
                self._apps[kind] = self._dispatcher.get_application(environ)
            body, status, headers = run_wsgi_app(self._apps[kind], environ, buffered=True)
            content = b"".join(body)
        kept = {name.lower(): value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
        return Response(int(status.split()[0]), content, kept)

    def has_bucket(self, bucket: str) -> bool:
        """Say whether a bucket exists."""
        if bucket not in self._buckets and self._own("HEAD", f"/{bucket}").status == 200:
            self._buckets.add(bucket)
        return bucket in self._buckets

    def put(self, bucket: str, key: str, content: str) -> None:
        """Write an object."""
        response = self._own("PUT", f"/{bucket}/{quote(key)}", content.encode())
        if response.status != 200:
            raise RuntimeError(f"writing s3://{bucket}/{key}: {response.status} {response.body[:200]!r}")

    def reset(self) -> None:
        """Forget all buckets."""
        self._buckets.clear()
        self._own("POST", "/moto-api/reset")

    def _own(self, method: str, target: str, body: bytes = b"") -> Response:
        headers = {} if target.startswith("/moto-api") else {"authorization": _OWN}
        return self.call(Request(method, target, headers | {"host": "127.0.0.1"}, body))


def operation(request: Request) -> str:
    """Name what an S3 or STS request does, as in ``s3:GetObject``."""
    _, service = request.scope
    if service != "s3":
        return f"{service}:{parse_qs(request.body.decode(errors='replace')).get('Action', ['?'])[0]}"
    kind = "Object" if request.path.strip("/").count("/") else "Bucket"
    verbs = {"GET": "Get", "HEAD": "Head", "PUT": "Put" if kind == "Object" else "Create", "DELETE": "Delete"}
    if kind == "Bucket" and request.method == "GET":
        return "s3:ListObjects" if request.path.strip("/") else "s3:ListBuckets"
    return f"s3:{verbs.get(request.method, request.method)}{kind}"
