"""examples/qdeq-example-backend, installed as its own package, is a backend like any other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "qdeq-example-backend"

pytestmark = pytest.mark.slow

USE = """
from qdeq.backends import get_backend
from qdeq.testing import check_backend
backend = get_backend({"name": "example", "max_qubits": 9})
assert backend.capabilities.max_qubits == 9, backend
check_backend(backend, examples=6).raise_if_failed()
print("right")
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Install the package, without a network, into a folder of its own on the path."""
    folder = tmp_path_factory.mktemp("plugin")
    source, target = folder / "source", folder / "site"
    shutil.copytree(PACKAGE, source)  # building leaves files beside the sources
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    path = [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}


def run(environment, *arguments):
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_small():
    lines = sum(len((PACKAGE / name).read_text().splitlines()) for name in os.listdir(PACKAGE) if name[0] not in "._")
    assert lines < 100


def test_it_is_listed(environment):
    listed = run(environment, "-m", "qdeq", "backends")
    assert "qdeq-example-backend 0.1" in listed
    assert "max_qubits" in listed


def test_it_is_had_by_name_and_passes_the_kit(environment):
    assert run(environment, "-c", USE) == "right\n"


def test_it_is_used_from_yaml_by_name(environment, tmp_path):
    config = str(PACKAGE / "experiment.yaml")
    assert "example" in run(environment, "-m", "qdeq", "show", config)
    short = ["--set", "data.limit=24", "--set", "training.epochs=1", "--set", "training.batch_size=8"]
    run(environment, "-m", "qdeq", "train", config, "--out", str(tmp_path / "run"), *short)
    assert (tmp_path / "run" / "metrics.jsonl").exists()
