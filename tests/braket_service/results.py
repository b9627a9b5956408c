"""Where results go: into S3 at once, later, or after somebody looked for them in vain."""

from __future__ import annotations

import threading
from typing import Any

from .objects import ObjectStore


class ResultWriter:
    """Writes result objects, late ones when they are due."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self._withheld: dict[tuple[str, str], tuple[int, str]] = {}

    def reset(self) -> None:
        """Forget what was withheld."""
        with self._lock:
            self._withheld.clear()

    def write(self, bucket: str, key: str, text: str, late: dict[str, Any] | None) -> None:
        """Write an object; ``late`` may have ``seconds``, or ``reads`` that fail first."""
        if late is None:
            self._objects.put(bucket, key, text)
        elif seconds := late.get("seconds"):
            timer = threading.Timer(seconds, self._objects.put, [bucket, key, text])
            timer.daemon = True
            timer.start()
        else:
            with self._lock:
                self._withheld[bucket, key] = late.get("reads", 1), text

    def before_read(self, bucket: str, key: str) -> None:
        """Put a withheld object in its place, if it was looked for often enough."""
        with self._lock:
            reads, text = self._withheld.get((bucket, key), (-1, ""))
            if reads < 0:
                return
            if reads > 0:
                self._withheld[bucket, key] = reads - 1, text
                return
            del self._withheld[bucket, key]
        self._objects.put(bucket, key, text)
