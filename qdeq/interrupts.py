"""Ctrl-C on the command line: no traceback, whatever is going on, and however often it is pressed."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType
from typing import NoReturn

CODE = 130
"""Exit code, that by which shells report Ctrl-C."""
PATIENCE = 2.0
"""Repeated within so many seconds, it is the same wish: what runs is saving its state [s]."""


class Interrupts:
    """The handler of SIGINT while a command runs.

    The first one raises KeyboardInterrupt, so that a run can save its state; one after :data:`PATIENCE` ends the
    process. While modules are imported, and after the command's end, there is nothing to save: the process ends at
    once, because an exception in the start of a C extension may become anything.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._over = False

    def watch(self) -> None:
        """Begin, unless SIGINT is ignored or somebody else's."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self)

    def finish(self) -> None:
        """Have nothing more to save: what is left is the interpreter's own end."""
        self._over = True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        if self._over or (_importing(frame) and not _saves_state()):
            leave()
        if self._first is None:
            self._first = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - self._first > PATIENCE:
            leave()


def leave() -> NoReturn:
    """End the process at once, without a traceback."""
    tell()
    os._exit(CODE)


def tell() -> None:
    """Say that it was Ctrl-C, by no stream that may be in use."""
    os.write(2, b"\ninterrupted\n")


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _saves_state() -> bool:
    """Whether something runs that has a state to save: it handles SIGTERM, too."""
    return signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
