"""examples/qdeq-example-solver, installed as its own package, is a solver like any other."""

import json
from pathlib import Path

import pytest
import yaml
from plugin_packages import install, run

PACKAGE = Path(__file__).parents[2] / "examples" / "qdeq-example-solver"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return install(PACKAGE, tmp_path_factory.mktemp("plugin"))


def test_it_is_small():
    assert sum(len(path.read_text().splitlines()) for path in PACKAGE.glob("*.py")) < 100


def test_it_is_listed_with_its_options(environment):
    listed = run(environment, "-m", "qdeq", "solvers")
    assert "qdeq-example-solver 0.1" in listed
    assert all(option in listed for option in ("squarem", "scheme", "shortest", "growth"))


def test_it_passes_the_kit_by_name(environment):
    report = json.loads(run(environment, "-m", "qdeq", "check-solver", "squarem", "--set", "growth=8", "--json"))
    assert report["ok"]
    assert report["options"]["growth"] == 8
    assert {result["status"] for result in report["results"]} == {"passed"}


def test_its_own_tests_pass(environment, tmp_path):
    printed = run(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PACKAGE / "test_squarem.py"))
    assert "4 passed" in printed


def test_it_is_picked_by_name_in_yaml_with_its_options(environment, tmp_path):
    config, out = str(PACKAGE / "experiment.yaml"), tmp_path / "run"
    short = ["--set", "data.limit=24", "--set", "training.epochs=1", "--set", "training.batch_size=8"]
    run(environment, "-m", "qdeq", "train", config, "--out", str(out), *short)
    saved = yaml.safe_load((out / "spec.yaml").read_text())["solver"]
    assert (saved["name"], saved["scheme"], saved["growth"], saved["shortest"]) == ("squarem", "S3", 8.0, 0.1)
    epoch = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][-1]
    assert epoch["validation"]["evaluations"] > 3  # three a step
