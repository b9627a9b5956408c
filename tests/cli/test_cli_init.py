"""`qdeq init`: a file that loads, that says what the spec says, and that editors can check."""

import json
import re

import pytest
import yaml
from cli_files import CONFIGS
from json_schema import errors

from qdeq import plugins
from qdeq.backends import get_backend
from qdeq.plugins import BACKENDS, DATASETS, SOLVERS
from qdeq.spec import ExperimentSpec, load_spec
from qdeq.spec.schema import experiment_schema
from qdeq.spec.starter import KEYS, SUITED, starter
from qdeq.sweeps.spec import sweep_schema

HEAD = "# yaml-language-server: $schema="


def test_the_file_loads_fits_the_schema_beside_it_and_is_what_was_asked_for(qdeq, tmp_path):
    said = qdeq("init").stdout
    text = (tmp_path / "experiment.yaml").read_text()
    assert text.startswith(f"{HEAD}experiment.schema.json\n")
    schema = json.loads((tmp_path / "experiment.schema.json").read_text())
    assert schema == json.loads(qdeq("schema").stdout)
    assert errors(yaml.safe_load(text), schema, schema) == []
    expected = ExperimentSpec(
        data={"dataset": "digits", **SUITED["digits"]["data"]}, training=SUITED["digits"]["training"]
    )
    assert load_spec(tmp_path / "experiment.yaml") == expected
    assert said.splitlines()[-1].endswith("qdeq train experiment.yaml")
    qdeq("train", "experiment.yaml", "-q", "--set", "training.epochs=1", "--set", "data.limit=40")


def test_digits_start_as_the_shipped_config_does(qdeq):
    qdeq("init", "digits.yaml")
    assert load_spec("digits.yaml") == load_spec(CONFIGS / "digits.yaml")


def test_every_key_stands_below_its_description(qdeq, tmp_path):
    qdeq("init", "--backend", "braket-sv1", "-q")
    lines = (tmp_path / "experiment.yaml").read_text().splitlines()
    assert max(map(len, lines)) <= 120
    sections = {name: field.annotation for name, field in ExperimentSpec.model_fields.items()}
    data = yaml.safe_load("\n".join(lines))
    assert list(data) == list(KEYS)
    said = []
    for name, inner in KEYS.items():
        assert list(data[name]) == list(inner) if inner else not isinstance(data[name], dict)
        for key in inner or (name,):
            where = next(i for i, line in enumerate(lines) if re.match(rf"{'  ' * bool(inner)}{key}:", line) and i > 3)
            comment = []
            while lines[where - 1].lstrip().startswith("#"):
                where -= 1
                comment.insert(0, lines[where].strip().removeprefix("# "))
            fields = getattr(sections[name], "model_fields", {}) if inner else ExperimentSpec.model_fields
            said.append(" ".join(comment))
            if key in fields:
                assert said[-1].startswith(fields[key].description)
            else:
                assert said[-1]  # an option of the solver, or of a section that may be null
    assert any(text.endswith(" One of amplitude, angle, paper-angle.") for text in said)


def test_it_is_never_written_over_without_force(qdeq, tmp_path):
    (tmp_path / "mine.yaml").write_text("seed: 1\n")
    assert "is there already" in qdeq("init", "mine.yaml", code=2).stderr
    assert (tmp_path / "mine.yaml").read_text() == "seed: 1\n"
    assert not (tmp_path / "experiment.schema.json").exists()
    (tmp_path / "experiment.schema.json").write_text('{"title": "of somebody else"}')
    assert "experiment.schema.json: is there already" in qdeq("init", "new.yaml", code=2).stderr
    assert not (tmp_path / "new.yaml").exists()
    qdeq("init", "mine.yaml", "--force")
    assert load_spec("mine.yaml").name == "mine"
    (tmp_path / "experiment.schema.json").write_text('{"title": "ExperimentSpec", "old": true}')
    qdeq("init", "second.yaml")  # an older schema of ours is written anew
    assert "old" not in json.loads((tmp_path / "experiment.schema.json").read_text())


def test_choices_reach_the_file(qdeq, tmp_path):
    qdeq("init", "deep/own set.yaml", "--dataset", "{name: npz, path: a.npz}", "--qubits", "3", "--schema", "s.json")
    text = (tmp_path / "deep/own set.yaml").read_text()
    assert text.startswith(f"{HEAD}../s.json\n")
    spec = load_spec(tmp_path / "deep/own set.yaml")
    assert (spec.name, spec.model.qubits, spec.model.encoding) == ("own-set", 3, "angle")  # 9 features, 8 amplitudes
    assert spec.data.dataset["name"] == "npz"
    qdeq("init", "sv1.yaml", "--backend", "braket-sv1")
    paid = load_spec("sv1.yaml")
    assert paid.budget.max_usd > 0
    assert "qdeq estimate" in (tmp_path / "sv1.yaml").read_text()
    assert load_spec("deep/own set.yaml").budget is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--backend", "tor"], "Did you mean 'torch'?"),
        (["--dataset", "digit"], "Did you mean 'digits'?"),
        (["--dataset", "npz"], "'path' is missing"),
        (["--qubits", "25"], "model.qubits"),
        (["--dataset", "{name"], "--dataset {name"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(qdeq, tmp_path, options, expected):
    assert expected in qdeq("init", *options, code=2).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_every_data_set_and_local_backend_can_be_started_with():
    for name in DATASETS.names():
        if name != "npz":
            assert yaml.safe_load(starter(dataset=name, schema="s"))["data"]["dataset"] == name
    for name in BACKENDS.names():
        if not get_backend(name).capabilities.costs_money:
            assert yaml.safe_load(starter(backend=name, schema="s"))["backend"] == name


# -- the shipped configs ----------------------------------------------------------------------------------------------


@pytest.fixture
def own_plugins(monkeypatch):
    """qdeq's own plug-ins alone, as a schema that is shipped lists them; skipped where one lacks its extra."""
    every = plugins._entry_points
    monkeypatch.setattr(
        plugins, "_entry_points", lambda group: {k: v for k, v in every(group).items() if v.value.startswith("qdeq.")}
    )
    for registry in (BACKENDS, SOLVERS, DATASETS):
        for name in registry.names():
            try:
                registry.load(name)
            except plugins.PluginError as error:
                missing = getattr(error.__cause__, "name", None) if isinstance(error.__cause__, ImportError) else None
                if missing is None or missing.split(".")[0] == "qdeq":
                    raise  # not an extra: a fault of qdeq's own
                pytest.skip(str(error))


def test_the_shipped_schemas_are_up_to_date(own_plugins):
    made = {"": experiment_schema(), " --sweep": sweep_schema()}
    for option, schema in made.items():
        path = CONFIGS / f"{'sweep' if option else 'experiment'}.schema.json"
        assert json.loads(path.read_text()) == schema, f"write it anew: qdeq schema{option} > configs/{path.name}"


@pytest.mark.parametrize("config", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_config_names_its_schema_in_its_first_line(config):
    first = config.read_text().splitlines()[0]
    assert first.startswith(HEAD)
    schema = (config.parent / first.removeprefix(HEAD)).resolve()
    assert schema == CONFIGS / ("sweep.schema.json" if "sweeps" in config.parts else "experiment.schema.json")
