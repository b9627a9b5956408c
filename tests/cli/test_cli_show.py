"""`qdeq show`, `schema`, `solvers` and `backends`: what the user can look up."""

import json
from importlib.metadata import EntryPoint

import pytest
import yaml
from cli_files import CONFIGS, TINY
from json_schema import errors

from qdeq import plugins
from qdeq.plugins import BACKENDS, DATASETS, SOLVERS
from qdeq.spec import load_spec


@pytest.fixture
def broken_solver(monkeypatch):
    """Install a solver that cannot be imported, beside the others."""
    original = plugins._entry_points

    def patched(group):
        bad = EntryPoint("shaky", "no_such_module:Shaky", group)
        return {**original(group), **({"shaky": bad} if group == SOLVERS.group else {})}

    monkeypatch.setattr(plugins, "_entry_points", patched)


def test_show_has_spec_circuit_sizes_and_parameters(qdeq):
    text = qdeq("show", "tiny.yaml").stdout
    shown = yaml.safe_load(text.partition("\n")[2].partition("# content hash")[0])
    assert shown == load_spec("tiny.yaml").model_dump(mode="json")
    assert load_spec("tiny.yaml").content_hash in text
    assert "|v⟩" in text
    assert "depth                      27                 51" in text
    assert "weights              39" in text
    assert "readout.weight   4 x 16" in text
    assert text.rstrip().endswith("107")
    assert "\x1b" not in text


def test_show_writes_nothing(qdeq, tmp_path):
    qdeq("show", "tiny.yaml", "--set", "model.qubits=6", "--backend", "torch")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


@pytest.fixture
def schema(qdeq):
    return json.loads(qdeq("schema").stdout)


def test_schema_is_valid_where_that_can_be_checked(schema):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configs_fit_the_schema(schema, config):
    assert errors(yaml.safe_load(config.read_text()), schema, schema) == []


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "solver: anderson",
        "solver: {max_steps: 5}",
        "solver: {name: naive, damping: 0.5, on_failure: fallback, fallback: [broyden, {name: anderson, memory: 2}]}",
        "adjoint: {name: anderson, rtol: 0.001}",
        "adjoint: dense",
        "adjoint: {name: dense, order: 2, tolerance: 0.001}",
        "adjoint: {name: gmres, restart: 10}",
        "adjoint: {name: phantom, steps: 5, damping: 0.5}",
        "adjoint: jacobian-free",
        "adjoint: unrolled",
        "backend: {name: torch}",
        "data: {dataset: {name: npz, path: a.npz}, normalise: [0.1, 0.3]}",
    ],
)
def test_good_files_fit_the_schema_and_load(qdeq, schema, text):
    assert errors(yaml.safe_load(text), schema, schema) == []
    with open("good.yaml", "w") as file:
        file.write(text)
    spec = load_spec("good.yaml")
    assert errors(spec.model_dump(mode="json"), schema, schema) == []  # and so does what it resolves to


@pytest.mark.parametrize(
    "text",
    [
        "solver: andersen",
        "solver: {name: naive, memory: 3}",
        "solver: {damping: 0.5}",
        "solver: {name: naive, damping: 1.5}",
        "backend: {name: torch, shots: 3}",
        "adjoint: densee",
        "adjoint: {name: phantom, step: 5}",
        "adjoint: {name: phantom, damping: 0}",
        "adjoint: {name: dense, order: 3}",
        "adjoint: {name: unrolled, steps: 5}",
        "data: {dataset: npz}",
        "data: {dataset: {name: npz}}",
        "training: {epocs: 3}",
        "training: {epochs: 0}",
    ],
)
def test_bad_files_do_not_fit_the_schema(schema, text):
    assert errors(yaml.safe_load(text), schema, schema)


def test_every_setting_in_the_schema_is_described(schema):
    for name in ("DataSpec", "ModelSpec", "TrainingSpec"):
        for key, about in schema["$defs"][name]["properties"].items():
            assert about.get("description"), (name, key)


def test_schema_lists_every_plugin(schema):
    for registry, place in ((SOLVERS, "Solver"), (BACKENDS, "Backend"), (DATASETS, "Dataset")):
        mappings = schema["$defs"][place]["anyOf"][1:]
        assert [mapping["properties"]["name"]["const"] for mapping in mappings] == registry.names()


def test_solver_table_has_names_packages_options_defaults_and_meanings(qdeq):
    text = qdeq("solvers").stdout
    for words in ("anderson", "broyden", "naive", "qdeq 0", "damping", "0.0001", "Step budget"):
        assert words in text


def test_backend_table_has_capabilities(qdeq):
    text = qdeq("backends").stdout
    for words in ("torch", "backprop", "costs money", "max qubits", "24"):
        assert words in text


def test_a_broken_plugin_is_named_and_breaks_nothing(qdeq, broken_solver):
    text = " ".join(qdeq("solvers").stdout.split())
    assert "broken: solver 'shaky'" in text
    assert "no_such_module" in text
    assert "broyden" in text
    schema = json.loads(qdeq("schema").stdout)
    assert errors({"solver": "broyden"}, schema, schema) == []
    assert "no_such_module" in qdeq("show", "tiny.yaml", "--solver", "shaky", code=2).stderr
    assert TINY  # the others go on
    qdeq("show", "tiny.yaml", "--solver", "naive")
