"""Ctrl-C and SIGTERM: both end a run at a moment when there is a whole state to save."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which is what a cluster sends before it takes the machine away."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a run: its state was saved, and the message says where, and how to go on."""


class TrainingTerminated(TrainingInterrupted):
    """SIGTERM ended a run, likewise."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise :class:`Terminated` at SIGTERM within the block, as Ctrl-C raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block is done: half an update is no state to save."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[tuple[int, FrameType | None]] = []

    def remember(number: int, frame: FrameType | None) -> None:
        caught.append((number, frame))

    previous = {number: signal.signal(number, remember) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if caught:
            first, frame = caught[0]
            asked = previous[signal.Signals(first)]
            if callable(asked):
                asked(first, frame)
            elif asked == signal.SIG_DFL:  # nobody asked for more than SIGTERM's plain end
                signal.raise_signal(first)
