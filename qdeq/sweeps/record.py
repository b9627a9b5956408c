"""What happened to a cell: a file of JSON lines beside its folder, which is its lock as well.

Whoever runs the cell holds a lock of the operating system on the file, so that no two sweeps run it at the same time,
and the lock of a process that died is gone with it. The last line that begins a run says whose lock it is.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from qdeq.errors import TrainingError

BEGINNINGS = ("started", "resumed")


class CellBusy(Exception):
    """Another process runs the cell."""


class CellRecord:
    """The record of one cell.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the cell's lock within the block.

        Raises:
            CellBusy: Another process has it.
            TrainingError: The file cannot be written, or its file system has no locks.
        """
        import fcntl  # not on Windows, where Ray is no more than a beta either

        with ExitStack() as stack:
            try:
                file = stack.enter_context(self.path.open("a+b"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                size = file.seek(0, os.SEEK_END)
                if size and (file.seek(size - 1), file.read())[1] != b"\n":
                    file.write(b"\n")  # a process died while it wrote the last line
            except BlockingIOError as error:
                raise CellBusy(self.owner()) from error
            except OSError as error:
                raise TrainingError(
                    f"{self.path}: cannot be written and locked ({error.strerror})\n"
                    "Give --out a folder on a file system that has locks."
                ) from error
            self._file = file
            try:
                yield
            finally:
                self._file = None

    def busy(self) -> bool:
        """Return whether another process runs the cell at this moment."""
        if not self.path.exists():
            return False
        try:
            with self.held():
                return False
        except CellBusy:
            return True

    def write(self, event: str, **facts: Any) -> None:
        """Append an event; the lock is held."""
        assert self._file is not None
        line = {"event": event, **facts, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        line |= {"host": socket.gethostname(), "pid": os.getpid()}
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def events(self) -> list[dict[str, Any]]:
        """Return what happened, the first first. A line that a dying process left unfinished is passed over."""
        found = []
        for line in self.path.read_bytes().splitlines() if self.path.exists() else ():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return [event for event in found if isinstance(event, dict)]

    def owner(self) -> str:
        """Return who began to run the cell last, as ``process 123 on host``."""
        begun = [event for event in self.events() if event.get("event") in BEGINNINGS]
        return f"process {begun[-1].get('pid')} on {begun[-1].get('host')}" if begun else "another process"
