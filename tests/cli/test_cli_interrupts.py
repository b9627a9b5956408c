"""Ctrl-C at any moment, and pressed several times: no traceback, and exit code 130."""

import os
import signal
import subprocess
import sys

import pytest
from cli_files import TINY
from patience import HANG

from qdeq.interrupts import Interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

AT_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            for _ in range({times}):
                os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["qdeq", "train", "tiny.yaml"]
from runpy import run_module
run_module("qdeq", run_name="__main__")
"""


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("module", ["typer", "qdeq.cli.group", "rich", "pydantic", "torch", "qdeq.training.trainer"])
def test_while_modules_are_imported(tmp_path, module, times):
    (tmp_path / "tiny.yaml").write_text(TINY)
    code = AT_IMPORT.format(module=module, times=times)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=HANG)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\ninterrupted\n")
    assert os.listdir(tmp_path) == ["tiny.yaml"]


IN_TRAINING = """
import os, signal, sys
from qdeq.training.recorder import Recorder
write, kept = Recorder.write, Recorder.kept
def press(): os.kill(os.getpid(), signal.SIGINT)
def writing(self, record):
    write(self, record)
    press()
def keeping(self, *options):
    press()
    press()
    return kept(self, *options)
Recorder.write, Recorder.kept = writing, keeping
sys.argv = ["qdeq", "train", "tiny.yaml", "--out", "run"]
from runpy import run_module
run_module("qdeq", run_name="__main__")
"""


def test_three_times_in_training_and_its_state_is_saved(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    done = subprocess.run(
        [sys.executable, "-c", IN_TRAINING], cwd=tmp_path, capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "interrupted after step 1" in done.stderr
    assert "go on with: qdeq train --resume run" in done.stderr
    assert (tmp_path / "run/checkpoints/step-00000001.safetensors").is_file()


def test_somebody_elses_handler_stays():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup has it
    try:
        Interrupts().watch()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
