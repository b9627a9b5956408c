"""examples/qdeq-example-backend, installed as its own package, is a backend like any other."""

import os
from pathlib import Path

import pytest
from plugin_packages import install, run

PACKAGE = Path(__file__).parents[2] / "examples" / "qdeq-example-backend"

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
    return install(PACKAGE, tmp_path_factory.mktemp("plugin"))


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
