"""What a good experiment file means: defaults, overrides, plug-in options, round trips, hashes."""

from pathlib import Path

import pytest

from qdeq.adjoints import (
    ADJOINTS,
    DenseAdjoint,
    GmresAdjoint,
    IterativeAdjoint,
    JacobianFreeAdjoint,
    PhantomAdjoint,
    UnrolledAdjoint,
)
from qdeq.builders import build_adjoint, build_circuit, build_model
from qdeq.plugins import SOLVERS
from qdeq.solvers import Anderson, Broyden, get_solver
from qdeq.spec import ExperimentSpec, load_spec, parse_spec, parse_yaml

CONFIGS = sorted(Path(__file__).parents[2].joinpath("configs").glob("*.yaml"))


@pytest.fixture
def written(tmp_path):
    def write(text, *overrides):
        path = tmp_path / "experiment.yaml"
        path.write_text(text)
        return load_spec(path, overrides)

    return write


def test_an_empty_mapping_is_the_default_experiment(written):
    spec = written("{}")
    assert spec == ExperimentSpec()
    assert (spec.model.qubits, spec.model.encoding, spec.model.mode, spec.model.layers) == (
        4,
        "amplitude",
        "implicit",
        None,
    )
    assert spec.data.dataset["name"] == "digits"
    assert spec.backend["name"] == "torch"
    assert get_solver(spec.solver.choice()) == Broyden()
    assert build_adjoint(spec) == DenseAdjoint()


def test_what_the_file_says_replaces_the_default_and_nothing_else(written):
    spec = written("name: mine\nmodel: {qubits: 5}\n")
    default = ExperimentSpec().model_dump()
    changed = spec.model_dump()
    assert changed["name"] == "mine"
    assert changed["model"].pop("qubits") == 5
    del changed["name"], default["name"], default["model"]["qubits"]
    assert changed == default


def test_overrides_are_yaml_and_apply_in_order(written):
    spec = written(
        "model: {qubits: 4}",
        "model.qubits=6",
        "model.qubits=5",
        "training.learning_rate=1e-2",
        "data.classes=[1, 2]",
        "training.clip=null",
        "name = spaced",
    )
    assert spec.model.qubits == 5
    assert spec.training.learning_rate == 0.01
    assert spec.data.classes == [1, 2]
    assert spec.training.clip is None
    assert spec.name == "spaced"


def test_flags_can_be_switched_on_and_off(written):
    text = "model: {learn_state_scale: true}"
    assert written(text).model.learn_state_scale is True
    assert written(text, "model.learn_state_scale=false").model.learn_state_scale is False


def test_a_plug_ins_options_stand_beside_its_name_and_are_all_written_out(written):
    spec = written("solver: {name: anderson, memory: 3}\nadjoint: {name: broyden, rtol: 1.0e-6}")
    assert get_solver(spec.solver.choice()) == Anderson(memory=3)
    assert spec.solver.choice()["mixing"] == 1.0
    assert build_adjoint(spec) == IterativeAdjoint(Broyden(rtol=1e-6))
    assert "mixing: 1.0" in spec.to_yaml()


@pytest.mark.parametrize(
    ("text", "adjoint"),
    [
        ("dense", DenseAdjoint()),
        ("{name: dense, order: 2}", DenseAdjoint(order=2)),
        ("{name: gmres, rtol: 1.0e-8}", GmresAdjoint(rtol=1e-8)),
        ("{name: phantom, steps: 7, damping: 0.9}", PhantomAdjoint(steps=7, damping=0.9)),
        ("jacobian-free", JacobianFreeAdjoint()),
        ("unrolled", UnrolledAdjoint()),
        ("naive", IterativeAdjoint(get_solver("naive"))),
    ],
)
def test_an_adjoint_is_named_like_a_plug_in(written, text, adjoint):
    spec = written(f"adjoint: {text}")
    assert build_adjoint(spec) == adjoint
    assert build_model(spec, 4).equilibrium.adjoint == adjoint
    assert build_adjoint(written(spec.to_yaml())) == adjoint


def test_no_adjoint_hides_a_solver_of_its_name():
    assert not set(ADJOINTS) & set(SOLVERS.names())


def test_a_bare_name_can_be_given_options_by_an_override(written):
    spec = written("solver: anderson", "solver.max_steps=7", "backend.name=torch")
    assert get_solver(spec.solver.choice()) == Anderson(max_steps=7)


def test_changing_the_solver_by_name_drops_the_options_of_the_other(written):
    assert get_solver(written("solver: {name: anderson, memory: 3}", "solver=broyden").solver.choice()) == Broyden()


def test_fallback_solvers_reach_the_layer(written):
    spec = written(
        "solver: {name: broyden, max_steps: 3, on_failure: fallback, fallback: [anderson, {name: naive, damping: 0.5}]}"
    )
    layer = build_model(spec, 4).equilibrium
    assert layer.solver == Broyden(max_steps=3)
    assert layer.on_failure == "fallback"
    assert layer.fallback == (Anderson(), get_solver({"name": "naive", "damping": 0.5}))
    assert isinstance(layer.adjoint, DenseAdjoint)


def test_every_combination_of_encoding_and_ansatz_builds():
    for encoding in ("amplitude", "angle", "paper-angle"):
        for ansatz in ("paper", "hardware-efficient", "strongly-entangling"):
            circuit = build_circuit(
                parse_spec({"model": {"encoding": encoding, "ansatz": ansatz, "ansatz_layers": 2}}, "x").model
            )
            assert (circuit.num_qubits, circuit.num_inputs) == (4, 16)
            single = build_circuit(parse_spec({"model": {"encoding": encoding, "ansatz": ansatz}}, "x").model)
            assert circuit.num_weights == 2 * single.num_weights


EXPERIMENTS = {
    "default": {},
    "direct": {"model": {"mode": "direct", "layers": 5}},
    "fallback": {"solver": {"name": "anderson", "memory": 2, "on_failure": "fallback", "fallback": ["naive"]}},
    "iterative adjoint": {"adjoint": {"name": "anderson", "rtol": 1e-9}, "data": {"normalise": [0.1307, 0.3081]}},
    "npz": {
        "data": {"dataset": {"name": "npz", "path": "/some/where.npz"}, "classes": [3, 1]},
        "training": {"clip": None},
    },
}


@pytest.mark.parametrize(
    "data", [*EXPERIMENTS.values(), *CONFIGS], ids=[*EXPERIMENTS, *(path.stem for path in CONFIGS)]
)
def test_the_resolved_spec_reads_back_to_itself(data, tmp_path):
    spec = parse_spec(data, "x") if isinstance(data, dict) else load_spec(data)
    path = tmp_path / "resolved.yaml"
    path.write_text(spec.to_yaml())
    again = load_spec(path)
    assert again == spec
    assert again.content_hash == spec.content_hash
    assert again.to_yaml() == spec.to_yaml()


CHANGES = {
    "name": "other",
    "seed": 1,
    "data.dataset": "mnist",
    "data.classes": "[0, 1]",
    "data.features": "paper",
    "data.normalise": "[0.1, 0.3]",
    "data.split_seed": 1,
    "data.validation_fraction": 0.3,
    "data.limit": 10,
    "model.qubits": 5,
    "model.encoding": "angle",
    "model.ansatz": "hardware-efficient",
    "model.ansatz_layers": 2,
    "model.state_scale": 2.0,
    "model.learn_state_scale": "true",
    "model.dropout": 0.1,
    "model.state_dropout": 0.1,
    "solver": "anderson",
    "solver.max_steps": 12,
    "solver.on_failure": "raise",
    "solver.fixed_steps": 4,
    "solver.shots_growth": 2.0,
    "shots": 100,
    "noise": "{readout: 0.1}",
    "adjoint": "broyden",
    "training.schedule": "cosine",
    "training.epochs": 3,
    "training.batch_size": 8,
    "training.learning_rate": 0.1,
    "training.clip": 1.0,
    "training.warmup_steps": 5,
    "training.warmup_layers": 3,
    "training.jacobian_weight": 0.8,
    "training.jacobian_estimate": "hutchinson",
    "training.warm_start": "true",
    "training.precision": "float64",
    "training.init_from": "runs/one",
}


def test_the_hash_changes_with_everything_that_changes_the_experiment(written):
    hashes = {path: written("{}", f"{path}={value}").content_hash for path, value in CHANGES.items()}
    hashes["model.layers"] = written("model: {mode: direct, layers: 2}").content_hash
    hashes["model.layers again"] = written("model: {mode: direct, layers: 3}").content_hash
    hashes["nothing"] = written("{}").content_hash
    assert len(set(hashes.values())) == len(hashes)


def test_every_field_is_among_those_changes():
    untested = {
        "model.mode",
        "model.layers",
        "training.device",
        "training.threads",
        "training.tensorboard",
        "training.diagnostics",
        "training.checkpoint_steps",
        "training.checkpoint_minutes",
        "training.checkpoints_kept",
        "backend",
        "budget",  # what may be spent on an experiment is no part of it
        "solver.fallback",
        "solver.name",
        "solver.first_shots",
    }
    sections = {"data", "model", "solver", "training"}
    fields = {name for name in ExperimentSpec.model_fields if name not in sections}
    for section in sections:
        fields |= {f"{section}.{name}" for name in ExperimentSpec.model_fields[section].annotation.model_fields}
    assert fields - set(CHANGES) == untested


def test_the_hash_does_not_change_with_the_device_or_the_way_a_thing_is_written(written):
    same = [
        written("{}"),
        written("{}", "training.device=cuda:1"),
        written("{}", "training.threads=2"),
        written("{}", "training.tensorboard=true"),
        written("{}", "training.diagnostics=never"),
        written("solver: {name: broyden}\nbackend: {name: torch}"),
        written("solver: {max_steps: 50, name: broyden}"),
        written("model: {qubits: 4}"),
    ]
    assert len({spec.content_hash for spec in same}) == 1


def test_a_spec_cannot_be_changed():
    spec = ExperimentSpec()
    for target, field in ((spec, "seed"), (spec.model, "qubits"), (spec.training, "epochs"), (spec.solver, "name")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(target, field, 5)


def test_the_callers_data_are_left_alone():
    data = {"solver": {"name": "anderson", "memory": 3}, "data": {"dataset": {"name": "digits"}}}
    parse_spec(data, "x")
    assert data == {"solver": {"name": "anderson", "memory": 3}, "data": {"dataset": {"name": "digits"}}}


def test_every_field_is_described_and_the_schema_is_json():
    schema = ExperimentSpec.model_json_schema()
    for section in [schema, *schema["$defs"].values()]:
        for name, field in section.get("properties", {}).items():
            assert "description" in field or "$ref" in field, name
            assert (
                "default" in field or "$ref" in field or name in ("data", "model", "solver", "training", "max_usd")
            ), name


def test_yaml_is_read_as_plain_data():
    assert parse_yaml("a: [1, 2.5, null, true, text]\nb: {c: 1e-3}", "x")["a"] == [1, 2.5, None, True, "text"]
