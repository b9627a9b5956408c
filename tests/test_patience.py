"""Waiting in tests: for events, and no test has a limit of its own that a busy machine could pass."""

import re
import subprocess
import sys
from pathlib import Path

import patience
import pytest
from patience import wait_until

TESTS = Path(__file__).parent
LIMITS = re.compile(r"(?<!_)timeout=(?!HANG)[\d.]+|\.(?:wait|join|result)\((?:timeout=)?\d+\)|deadline=(?!None)")
"""Seconds to wait for a process, a thread or an answer, and hypothesis' deadline for one example."""
BACKEND_OPTION = re.compile(r"(?:one_circuit|expectation)\(.*timeout=")


def test_it_waits_until_it_has_happened():
    left = [3]

    def happened():
        left[0] -= 1
        return left[0] == 0

    wait_until(happened)
    assert left == [0]


def test_a_process_that_ends_before_is_said_and_one_that_ends_afterwards_is_fine(tmp_path):
    done = tmp_path / "done"
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"]) as process:
        with pytest.raises(AssertionError, match="ended before, with status 7"):
            wait_until(done.exists, process)
        done.touch()
        wait_until(done.exists, process)


def test_what_hangs_is_said(monkeypatch):
    monkeypatch.setattr(patience, "HANG", 0.0)
    with pytest.raises(AssertionError, match="has not happened"):
        wait_until(lambda: False)


def test_nothing_is_waited_for_less_than_what_hangs():
    found = [
        f"{path.relative_to(TESTS)}:{number}: {line.strip()}"
        for path in sorted(TESTS.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if LIMITS.search(line) and not BACKEND_OPTION.search(line) and path != Path(__file__)
    ]
    assert not found, "wait for HANG seconds, or for an event (tests/patience.py):\n" + "\n".join(found)
