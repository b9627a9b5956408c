"""The shipped experiments: they describe something, in all variants, and their comments are about themselves."""

import re

import pytest
from doc_pages import ROOT, name

from qdeq.builders import build_circuit
from qdeq.circuit import Circuit
from qdeq.spec import load_spec

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
VARIANTS = [
    [],
    ["model.mode=direct", "model.layers=5"],
    ["training.warmup_steps=750"],
    ["training.jacobian_weight=0.8"],
]


@pytest.mark.parametrize("path", CONFIGS, ids=name)
@pytest.mark.parametrize("overrides", VARIANTS, ids=" ".join)
def test_configs_and_their_variants_describe_experiments(path, overrides):
    spec = load_spec(path, overrides)
    assert spec.name == path.stem
    assert isinstance(build_circuit(spec.model), Circuit)


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_commands_in_a_config_are_about_that_config(path):
    commands = re.findall(r"^# .*qdeq train (\S+)(.*?)(?:  #.*)?$", path.read_text(encoding="utf-8"), re.M)
    assert commands
    for file, options in commands:
        assert ROOT / file == path
        overrides = re.findall(r"--set (\S+)", options)
        solver = re.search(r"--solver (\S+)", options)
        load_spec(path, [*([f"solver={solver[1]}"] if solver else []), *overrides])
