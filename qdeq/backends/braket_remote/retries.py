"""Which failures pass, and how long to wait before the next try: exponential backoff with full jitter."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from botocore import exceptions
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from qdeq.errors import is_hidden, printable

T = TypeVar("T")

THROTTLED = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
        "ServiceQuotaExceededException",  # as many tasks as the account may have at once: one of them may end
    }
)
"""Error codes of AWS that ask to come again later, and say that nothing was done."""
TRANSIENT = THROTTLED | frozenset(
    {
        "InternalServiceException",
        "InternalServerException",
        "InternalError",
        "InternalFailure",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "RequestTimeout",
        "RequestTimeoutException",
    }
)
"""Error codes of AWS that the same request may not meet again."""

_BROKEN_CONNECTIONS = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,  # reading, time-outs, closed connections
    exceptions.IncompleteReadError,
    exceptions.ResponseStreamingError,
    exceptions.ChecksumError,
    ResponseParserError,
    HTTPError,
    ConnectionError,
    TimeoutError,
)
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading an answer raises where it is not of the shape that it should have."""
SERVICE_ERRORS = (exceptions.BotoCoreError, exceptions.ClientError, ResponseParserError, HTTPError, OSError)
"""What a call of an AWS service may raise."""
LONGEST_NAME = 1024
"""Characters of an ARN, a state or a place in a bucket."""
FIRST_WAIT, LONGEST_WAIT = 0.25, 20.0
"""Upper ends [s] of the first random wait and of every later one, which double in between."""


class Stopped(Exception):
    """The run is to end: nobody waits for this any more."""


class Clock:
    """Waiting, which a stop ends at once; a test brings its own.

    Args:
        seed: Of the jitter; None for a different one each time.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._stop = threading.Event()
        self._random = random.Random(seed)

    def now(self) -> float:
        """Return a time [s] that only ever grows."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: The run is to end.
        """
        if self._stop.wait(seconds):
            raise Stopped

    def jittered(self, seconds: float) -> None:
        """Wait a random part of so many seconds."""
        self.wait(self._random.uniform(0.0, seconds))

    def stop(self) -> None:
        """End all waiting, until :meth:`resume`."""
        self._stop.set()

    def resume(self) -> None:
        """Let there be waiting again."""
        self._stop.clear()


class Retry:
    """Calls again what failed for a reason that may pass.

    Args:
        tries: Calls in all.
        clock: Waits.
    """

    def __init__(self, tries: int, clock: Clock) -> None:
        self._tries = tries
        self._clock = clock

    def __call__(self, call: Callable[[], T], passing: frozenset[str] = TRANSIENT, tries: int | None = None) -> T:
        """Return what the call returns; its last error goes on to the caller.

        Args:
            call: Has to be repeatable.
            passing: Error codes to call again after.
            tries: Calls in all; fewer where somebody waits for the first answer.
        """
        tries = min(self._tries, tries or self._tries)
        for number in range(1, tries + 1):
            try:
                return call()
            except SERVICE_ERRORS as error:
                if number == tries or not may_pass(error, passing):
                    raise
            self._clock.jittered(min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (number - 1)))
        raise AssertionError("unreachable")


def read_answer(read: Callable[[], T]) -> T:
    """Return what is read from an answer.

    boto3 hands on one that was cut off without a word, as one without members, and trips over others in its own ways.

    Raises:
        ConnectionError: It is not of the shape that it should have.
    """
    try:
        return read()
    except SERVICE_ERRORS:
        raise
    except KeyError as error:
        raise ConnectionError(f"the answer was cut off: it has no {error}") from error
    except UNREADABLE as error:
        raise ConnectionError(f"the answer cannot be read ({type(error).__name__}: {error})") from error


def text_in(answer: Mapping[str, Any], member: str) -> str:
    """Return a text of an answer that is fit to be shown, as names and states are.

    Raises:
        KeyError: It is not there.
        ValueError: It is none, or one that no name would be.
    """
    text = answer[member]
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_NAME or any(map(is_hidden, text)):
        raise ValueError(f"no {member}")
    return text


def may_pass(error: Exception, passing: frozenset[str] = TRANSIENT) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, exceptions.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error_code(error) in passing or status >= 500 or status == 429
    return isinstance(error, _BROKEN_CONNECTIONS)


def error_code(error: Exception) -> str:
    """Return AWS's code of an error, empty where it has none."""
    if not isinstance(error, exceptions.ClientError):
        return ""
    return printable(str(error.response.get("Error", {}).get("Code", "")), 80)


class Rate:
    """At most so many calls a second, in bursts of twice as many.

    Args:
        per_second: The rate.
        clock: Waits.
    """

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._per_second = per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._free = clock.now() - 2.0  # when the next call may be made, were they evenly spaced

    def wait(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = self._clock.now()
            self._free = max(self._free, now - 2.0) + 1 / self._per_second
            turn = self._free - now
        if turn > 0:
            self._clock.wait(turn)
