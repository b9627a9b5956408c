"""Files that are whole or not there, and those whose loss costs nothing else."""

import errno
import os

import pytest

from qdeq.files import replace_file, write_optional


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_old_content_and_no_remains(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    replace_file(file, "old ä")
    assert file.read_bytes() == "old ä".encode()
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="space"):
        replace_file(file, b"new")
    assert file.read_text(encoding="utf-8") == "old ä"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_each_file_fails_for_itself_with_one_line(tmp_path):
    told = []
    contents = {tmp_path / "a.png": full, tmp_path / "gone" / "b.csv": lambda: "b", tmp_path / "c.md": lambda: "c"}
    assert write_optional(contents, told.append) == [tmp_path / "c.md"]
    assert told[0] == f"warning: {tmp_path / 'a.png'}: not written (No space left on device); all else is there"
    assert [str(tmp_path / "gone" / "b.csv") in line for line in told] == [False, True]
    assert os.listdir(tmp_path) == ["c.md"]


def test_what_is_no_matter_of_the_disk_is_not_hidden(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_optional({tmp_path / "a": lambda: str(1 / 0)}, print)
