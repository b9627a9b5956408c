"""The tutorial's commands, run one after the other as a newcomer does: minutes, so only where QDEQ_LONG is set."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from doc_pages import ROOT, blocks
from doc_shell import commands, programs
from doc_workspace import Workspace
from patience import HANG
from test_blocks import alike

PAGE = ROOT / "docs" / "tutorial.md"


@pytest.mark.skipif("QDEQ_LONG" not in os.environ, reason="takes minutes; set QDEQ_LONG=1")
def test_the_tutorial_does_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Workspace(tmp_path, PAGE):
        for block in blocks(PAGE, "console"):
            for command in commands(block):
                for program in programs(command.text, {}):
                    if program.words[0] == "qdeq":
                        printed, seconds = run(program.words[1:])
                        print(f"{seconds:5.1f} s  {command.text}")
                        missing = unseen(command.output, printed)
                        assert not missing, f"line {command.line}: {missing[0]!r} is not in\n{printed}"


def run(words: list[str]) -> tuple[str, float]:
    start = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [str(Path(sys.executable).with_name("qdeq")), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, time.perf_counter() - start


def unseen(shown: str, printed: str) -> list[str]:
    """Return the lines that are shown and not printed in this order; a line ``...`` stands for any."""
    lines = iter(printed.splitlines())
    wanted = [line for line in shown.splitlines() if line.strip() not in ("", "...")]
    return [line for line in wanted if not any(alike(line, each) for each in lines)]


def test_a_line_that_is_not_printed_is_seen():
    printed = "accuracy 97.2 %\nother\nloss 0.0814\n"
    assert unseen("accuracy  97.2 %\n...\nloss 0.0815\n", printed) == []
    assert unseen("loss 0.0814\naccuracy 97.2 %\n", printed) == ["accuracy 97.2 %"]
    assert unseen("accuracy 87.2 %\n", printed) == ["accuracy 87.2 %"]
