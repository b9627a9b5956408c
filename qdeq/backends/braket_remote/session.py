"""The SDK's session, with three things of ours: client tokens, retries, and no secret in any text.

boto3 makes a random token for every call, and ``AwsQuantumTask`` passes none through, so the session is where the
ledger's token gets into the request.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from braket.aws import AwsSession

from qdeq.backends.braket_remote.refusals import NOTHING_DONE
from qdeq.backends.braket_remote.retries import (
    SERVICE_ERRORS,
    TRANSIENT,
    Clock,
    Rate,
    Retry,
    error_code,
    read_answer,
    text_in,
)
from qdeq.errors import BackendError, printable

POLLS_PER_SECOND = 90.0
"""GetQuantumTask calls; an account may make 100 a second."""
FIRST_TRIES = 4
"""Tries of calls that somebody waits for: before the first task, what is wrong is rather the configuration than the
service; after an interrupt, the run is to end."""

# a new task and its result may not be known everywhere at once
_NEW_TASK = TRANSIENT | {"ResourceNotFoundException"}
_NEW_RESULT = TRANSIENT | {"NoSuchKey", "404"}


class LedgerSession(AwsSession):
    """Makes tasks under tokens that are given to it, and calls again what failed in passing.

    Args:
        boto_session: The user's.
        tries: Calls in all before an error is one.
        creates_per_second: CreateQuantumTask calls.
        connections: How many calls may be open at once.
        clock: Waits.
    """

    def __init__(
        self, boto_session: boto3.Session, *, tries: int, creates_per_second: float, connections: int, clock: Clock
    ) -> None:
        config = Config(
            retries={"total_max_attempts": 1, "mode": "standard"},  # boto's own would not show in the ledger's log
            max_pool_connections=connections,
            connect_timeout=15,
            read_timeout=60,
        )
        super().__init__(boto_session=boto_session, config=config)
        region = boto_session.region_name
        self._s3 = boto_session.client("s3", region_name=region, config=config)
        self._sts = boto_session.client("sts", region_name=region, config=config)
        self.retry = Retry(tries, clock)
        self._creates, self._polls = Rate(creates_per_second, clock), Rate(POLLS_PER_SECOND, clock)
        self._current = threading.local()
        self._unanswered: set[str] = set()
        self.redact = Redactor(boto_session)

    @contextmanager
    def token(self, token: str) -> Iterator[None]:
        """Make tasks under this client token, in this thread and within the block."""
        self._current.token = token
        try:
            yield
        finally:
            self._current.token = None

    def create_quantum_task(self, **boto3_kwargs: Any) -> str:
        """Make a task under the token in force; the same token never makes a second one."""
        token = getattr(self._current, "token", None)
        if token is None:
            raise BackendError("a task was to be made without a client token from the ledger; none was")
        return self.retry(lambda: self._create(clientToken=token, **boto3_kwargs))

    def _create(self, **boto3_kwargs: Any) -> str:
        self._creates.wait()
        try:
            create = super().create_quantum_task
            return read_answer(lambda: text_in({"quantumTaskArn": create(**boto3_kwargs)}, "quantumTaskArn"))
        except SERVICE_ERRORS as error:
            if error_code(error) not in NOTHING_DONE:
                self._unanswered.add(boto3_kwargs["clientToken"])
            raise

    def unanswered(self, token: str) -> bool:
        """Whether a request under this token ended so that a task may have been made of it."""
        return token in self._unanswered

    def get_quantum_task(self, arn: str) -> dict[str, Any]:
        """Return what the service says of a task."""
        return self.retry(lambda: self._get(arn), _NEW_TASK)

    def _get(self, arn: str) -> dict[str, Any]:
        self._polls.wait()

        def read() -> dict[str, Any]:
            response: dict[str, Any] = self.braket_client.get_quantum_task(quantumTaskArn=arn)
            members = ("outputS3Bucket", "outputS3Directory") if text_in(response, "status") == "COMPLETED" else ()
            for member in members:
                text_in(response, member)
            return response

        return read_answer(read)

    def cancel_quantum_task(self, arn: str) -> None:
        """Ask the service to cancel a task."""
        self.retry(lambda: read_answer(lambda: super(LedgerSession, self).cancel_quantum_task(arn)), tries=FIRST_TRIES)

    def get_device(self, arn: str) -> dict[str, Any]:
        """Return what the service says of a device."""
        return self.retry(lambda: self._device(arn), tries=FIRST_TRIES)

    def _device(self, arn: str) -> dict[str, Any]:
        ask = super().get_device

        def read() -> dict[str, Any]:
            described: dict[str, Any] = ask(arn)
            for member in ("deviceName", "deviceStatus"):
                text_in(described, member)
            described["deviceCapabilities"]
            return described

        return read_answer(read)

    def default_bucket(self) -> str:
        """Return the account's default bucket for Braket, made where there is none."""
        return self.retry(lambda: read_answer(super(LedgerSession, self).default_bucket), tries=FIRST_TRIES)

    def check_bucket(self, name: str) -> None:
        """Ask after a bucket."""
        self.retry(lambda: read_answer(lambda: self._s3.head_bucket(Bucket=name)), tries=FIRST_TRIES)

    def read_object(self, bucket: str, key: str) -> bytes:
        """Return an object; one that is not there yet is waited for."""

        def read() -> bytes:
            body: bytes = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            return body

        return self.retry(lambda: read_answer(read), _NEW_RESULT)


class Redactor:
    """Takes the session's secrets out of texts.

    Args:
        boto_session: Whose credentials they are; they may change with time.
    """

    def __init__(self, boto_session: boto3.Session) -> None:
        self._session = boto_session
        self._seen: set[str] = set()

    def __call__(self, text: object) -> str:
        """Return the text as one line that can be shown, with ``***`` for keys, tokens, and passwords in addresses."""
        with suppress(BotoCoreError):  # credentials that cannot be renewed just now: those before them are known
            credentials = self._session.get_credentials()
            if credentials is not None:
                self._seen.update(filter(None, credentials.get_frozen_credentials()[:3]))
        shown = " ".join(str(text).split())
        for secret in sorted(self._seen, key=len, reverse=True):
            shown = shown.replace(secret, "***")
        return printable(re.sub(r"(?<=://)[^/\s@]+@", "***@", shown))
