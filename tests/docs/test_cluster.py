"""The job script of docs/guides/cluster.md comes back after SIGTERM, with stand-ins for SLURM's programs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import ROOT
from doc_workspace import Workspace
from patience import HANG

SRUN = """#!/bin/sh
# Starts a program; the first time it gets SIGTERM when it has something to save.
"$@" &
if [ ! -e terminated ]; then
    touch terminated
    until [ -e runs/digits/checkpoints/best.safetensors ]; do sleep 0.05; done
    kill -TERM $!
fi
wait $!
"""
SCONTROL = """#!/bin/sh
echo "$@" >> requeued
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def job(tmp_path):
    """Run the script as SLURM does, and return its exit code."""
    Workspace(tmp_path, ROOT / "docs" / "guides" / "cluster.md")
    config = tmp_path / "configs" / "digits.yaml"
    config.write_text(config.read_text().replace("epochs: 60", "epochs: 10"))
    for path, text in ((".venv/bin/activate", ""), ("bin/srun", SRUN), ("bin/scontrol", SCONTROL)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        (tmp_path / path).chmod(0o755)
    paths = [str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(paths), "SLURM_JOB_ID": "7"}

    def run():
        command = ["bash", "digits.sbatch"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=HANG, check=False)

    return run


def test_a_job_that_is_terminated_comes_back_and_finishes(job, tmp_path):
    first = job()
    assert first.returncode == 143, first.stderr
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
    assert not (tmp_path / "runs/digits/summary.json").exists()
    second = job()
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "runs/digits/summary.json").exists()
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"
