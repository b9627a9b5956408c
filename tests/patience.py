"""How tests wait: for what has to happen, never for a time that a fast machine would need."""

import subprocess
import time
from collections.abc import Callable

HANG = 1800.0
"""Seconds after which something hangs. No machine is so busy that it is only slow: tests wait for nothing shorter."""


def wait_until(happened: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Wait until ``happened()`` is true, while the process that has to bring it about is running.

    Raises:
        AssertionError: It hangs, or the process ended first.
    """
    end = time.monotonic() + HANG
    while not happened():
        ended = process is not None and process.poll() is not None
        assert not ended or happened(), f"the process ended before, with status {process.returncode}"
        assert time.monotonic() < end, f"it has not happened in {HANG:.0f} s"
        time.sleep(0.02)
