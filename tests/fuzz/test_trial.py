"""The fuzzer itself: each kind of failure is noticed, and what is as it should be is none."""

import os
import socket

import pytest
from hypothesis import strategies as st

from benchmarks.fuzz import trial
from benchmarks.fuzz.target import Target
from benchmarks.fuzz.trial import attempt
from qdeq.errors import DataError, QdeqError


@pytest.fixture
def outcome(tmp_path):
    """Return what came of a reader."""

    def run(read, parses=lambda content: content == b"content"):
        target = Target(name="t", file="x", inputs=st.binary(), parses=parses, read=read)
        return attempt(target, b"content", tmp_path)

    return run


def refuse(message):
    def read(path, out):
        raise DataError(message)

    return read


def test_a_value_and_a_refusal_are_no_failures(outcome):
    read = outcome(lambda path, out: path.read_bytes())
    assert (read.parsed, read.accepted, read.failure) == (True, True, None)
    refused = outcome(refuse("what\nremedy"), parses=lambda content: False)
    assert (refused.parsed, refused.accepted, refused.failure) == (False, False, None)


@pytest.mark.parametrize(
    ("message", "says"),
    [("", "0 lines"), ("a\nb\nc", "3 lines"), ("x" * 10_000, "10000 characters"), ("\x1b[31m", "cannot be printed")],
)
def test_messages_that_are_too_long_or_cannot_be_printed(outcome, message, says):
    assert says in outcome(refuse(message)).failure


@pytest.mark.parametrize(
    "error", [ValueError("no"), RecursionError(), MemoryError(), OverflowError(), AssertionError()]
)
def test_any_other_exception(outcome, error):
    def read(path, out):
        raise error

    assert type(error).__name__ in outcome(read).failure


def test_a_reader_that_does_not_answer(outcome, tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "DEADLINE", 0.2)
    os.mkfifo(tmp_path / "pipe")

    def wait(path, out):
        try:
            (tmp_path / "pipe").read_bytes()
        except Exception as error:
            raise QdeqError("swallowed") from error

    assert outcome(wait).failure == "no answer within 0.2 s"


def test_memory_beyond_what_an_input_deserves(outcome):
    assert outcome(lambda path, out: bytearray(trial.MEMORY // 2)).failure is None
    assert "MemoryError" in outcome(lambda path, out: bytearray(2 * trial.MEMORY)).failure


def test_writes_outside_the_folder(outcome, tmp_path):
    assert outcome(lambda path, out: (out / "inside").write_text("x")).failure is None
    assert "outside" in outcome(lambda path, out: (tmp_path / "outside").write_text("x")).failure
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    assert "link" in outcome(lambda path, out: (out / "link").write_text("x")).failure
    assert "os.mkdir" in outcome(lambda path, out: (tmp_path / "folder").mkdir()).failure
    assert "os.remove" in outcome(lambda path, out: path.unlink()).failure


def test_connections_and_processes(outcome):
    assert "socket" in outcome(lambda path, out: socket.getaddrinfo("127.0.0.1", 9)).failure
    assert "os.system" in outcome(lambda path, out: os.system("true")).failure
