"""The service's quotas, off unless a test sets them: the rate of new tasks, and the number of tasks in flight."""

from __future__ import annotations

import threading
import time

from .wire import ServiceError


class Limits:
    """A bucket of tokens for CreateQuantumTask, and a cap on tasks that have not ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.set()

    def set(
        self, in_flight: int | None = None, creates_per_second: float | None = None, create_burst: float = 1.0
    ) -> None:
        """Set all limits; AWS's defaults in us-east-1 are 100 in flight, 20 creates a second and a burst of 40."""
        with self._lock:
            self._in_flight, self._rate, self._burst = in_flight, creates_per_second, create_burst
            self._tokens, self._filled = create_burst, time.monotonic()

    def on_create(self) -> None:
        """Take one token.

        Raises:
            ServiceError: A ThrottlingException, if there is none.
        """
        with self._lock:
            if self._rate is None:
                return
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
            self._filled = now
            if self._tokens < 1:
                raise ServiceError("ThrottlingException", "Rate exceeded")
            self._tokens -= 1

    def on_task(self, in_flight: int) -> None:
        """Refuse a new task if there are too many.

        Raises:
            ServiceError: A ServiceQuotaExceededException.
        """
        if self._in_flight is not None and in_flight >= self._in_flight:
            raise ServiceError(
                "ServiceQuotaExceededException", f"You have exceeded the quota of {self._in_flight} concurrent tasks."
            )
