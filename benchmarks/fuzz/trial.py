"""One input, one trial: what a reader made of it, under a deadline, with little memory and with its writes watched."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fuzz.target import Target
from qdeq.errors import QdeqError, is_hidden

DEADLINE = 5.0
"""Seconds that a reader has for one input; a busy machine has to be allowed for, the slowest input takes far less."""
MEMORY = 160 << 20
"""Bytes of address space that one input may add: the 16 MiB that any file may unpack to, a few copies of them, and room
for what Python's and PyTorch's allocators reserve ahead."""
LONGEST_MESSAGE = 6000
"""Characters: a message may name a path of 1 024 three times."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = (
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect", "socket.getaddrinfo",
    "sqlite3.connect", "pickle.find_class", "shutil.rmtree", "shutil.move", "shutil.copyfile",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """What came of one input.

    Attributes:
        parsed: Whether it got past the first parser.
        accepted: Whether it was read, not refused.
        failure: What must not happen and did, in a line; None where all is well.
        seconds: How long it took.
    """

    parsed: bool
    accepted: bool
    failure: str | None
    seconds: float


class _Hang(BaseException):
    """Raised into a reader that does not answer; not an Exception, so that no reader mistakes it for its own."""


class _Watch:
    """Python's audit hook, which cannot be removed: it looks while ``writes`` is a list."""

    def __init__(self) -> None:
        self.forbidden: list[str] | None = None
        self.allowed: Path | None = None
        self.installed = False

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.forbidden is None:
            return
        if event == "open":
            path, _, flags = args
            if isinstance(path, str | bytes) and flags & _WRITING and not self.may_write(os.fsdecode(path)):
                self.forbidden.append(f"writes {os.fsdecode(path)!r}")
        elif event in _FORBIDDEN:
            self.forbidden.append(f"{event}{args[:1]!r}")

    def may_write(self, path: str) -> bool:
        if path.endswith(".pyc") or "__pycache__" in path or path == os.devnull:  # Python's own, of a first import
            return True
        return self.allowed is not None and Path(os.path.realpath(path)).parent == self.allowed


_WATCH = _Watch()


def attempt(target: Target, content: bytes, folder: Path) -> Trial:
    """Let a target read one input.

    Args:
        target: The reader.
        content: What the file holds.
        folder: Where the file is written; what a target may write goes into its subfolder ``out``.
    """
    file = folder / target.file
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    out = folder / "out"
    out.mkdir(exist_ok=True)
    failure, accepted = None, False
    with ExitStack() as stack:
        forbidden = stack.enter_context(_watched(out.resolve()))
        stack.enter_context(_memory(MEMORY))
        begin = time.perf_counter()
        try:
            with _deadline(DEADLINE):
                target.read(file, out)
            accepted = True
        except QdeqError as error:
            failure = _fault(str(error))
        except _Hang:
            failure = f"no answer within {DEADLINE:g} s"
        except (Exception, RecursionError) as error:
            failure = f"{type(error).__name__}: {str(error)[:200]!r} at {_place(error)}"
        seconds = time.perf_counter() - begin
    if forbidden:
        failure = forbidden[0]
    return Trial(accepted or target.parses(content), accepted, failure, seconds)


def _fault(message: str) -> str | None:
    """Return what is wrong with a message, if anything is."""
    if not 1 <= len(message.splitlines()) <= 2:
        return f"a message of {len(message.splitlines())} lines: {message[:300]!r}"
    if len(message) > LONGEST_MESSAGE:
        return f"a message of {len(message)} characters: {message[:300]!r}"
    if any(is_hidden(character) for character in message if character != "\n"):
        return f"a message with characters that cannot be printed: {message[:300]!r}"
    return None


def _place(error: BaseException) -> str:
    """Return the innermost lines of the traceback that are qdeq's or the target's, innermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/qdeq/" in frame.filename or "/fuzz/" in frame.filename]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(own[-3:]))


@contextmanager
def _watched(allowed: Path) -> Iterator[list[str]]:
    if not _WATCH.installed:
        sys.addaudithook(_WATCH.hook)
        _WATCH.installed = True
    forbidden: list[str] = []
    _WATCH.forbidden, _WATCH.allowed = forbidden, allowed
    try:
        yield forbidden
    finally:
        _WATCH.forbidden = None


@contextmanager
def _memory(more: int) -> Iterator[None]:
    """Let the process's address space grow by so many bytes at most: beyond, an allocation fails."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + more
    if before[0] != resource.RLIM_INFINITY:
        most = min(most, before[0])
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise `_Hang` after so many seconds; in the main thread only, as signals are."""

    def stop(number: int, frame: Any) -> None:
        raise _Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
