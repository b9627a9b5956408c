"""The record of a cell: who runs it, and what happened to it; its lock is gone with its process."""

import contextlib
import subprocess
import sys

import pytest

from qdeq.sweeps.record import CellBusy, CellRecord

HOLD = """
import sys
from pathlib import Path
from qdeq.sweeps.record import CellRecord
record = CellRecord(Path(sys.argv[1]))
with record.held():
    record.write("started")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_and_none_after_a_kill(tmp_path):
    record = CellRecord(tmp_path / "cell.jsonl")
    assert not record.busy()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(record.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        assert record.busy()
        with pytest.raises(CellBusy, match=rf"process {process.pid} on \S+"), record.held():
            raise AssertionError("two processes hold one lock")
    finally:
        process.kill()
        process.communicate()
    assert not record.busy()
    with record.held():
        record.write("resumed", checkpoint="step-00000004")
    assert [(event["event"], event.get("checkpoint")) for event in record.events()] == [
        ("started", None),
        ("resumed", "step-00000004"),
    ]


def test_the_lock_is_free_after_the_block_and_after_an_error_in_it(tmp_path):
    record = CellRecord(tmp_path / "cell.jsonl")
    with contextlib.suppress(ZeroDivisionError), record.held():
        assert CellRecord(record.path).busy()
        raise ZeroDivisionError
    assert not record.busy()


def test_a_line_that_was_cut_short_is_passed_over(tmp_path):
    record = CellRecord(tmp_path / "cell.jsonl")
    record.path.write_bytes(b'{"event": "started", "pid": 1, "host": "a"}\n{"event": "fini')
    with record.held():
        record.write("resumed")
    assert [event["event"] for event in record.events()] == ["started", "resumed"]
