"""From a sweep file to cells: which there are, how they are named, and that each is what `qdeq train` would run."""

import re
from pathlib import Path

import jsonschema
import pytest
from sweep_files import BASE, MODES, sweep_data, tiny_sweep, write_sweep

from qdeq.errors import SpecError
from qdeq.spec import load_spec, parse_yaml, read_yaml
from qdeq.sweeps import SweepSpec, expand, load_sweep
from qdeq.sweeps.cells import label
from qdeq.sweeps.spec import sweep_schema

ROOT = Path(__file__).resolve().parents[2]


def test_every_variant_has_every_seed():
    sweep = tiny_sweep(seeds=[3, 1, 4])
    assert [(cell.variant, cell.seed) for cell in sweep.cells] == [(v, s) for s in (3, 1, 4) for v in MODES]
    assert all(cell.spec.seed == cell.seed for cell in sweep.cells)
    assert [cell.spec.model.layers for cell in sweep.cells[:2]] == [None, 1]


def test_a_grid_is_a_product_and_multiplies_the_list():
    grid = {"training.learning_rate": [0.01, 0.1], "solver": ["naive", {"name": "anderson", "memory": 3}]}
    sweep = tiny_sweep(grid=grid, seeds=[0])
    points = [
        f"learning_rate={rate}, solver={name}" for rate in ("0.01", "0.1") for name in ("naive", "anderson(memory=3)")
    ]
    assert list(sweep.variants) == [f"{mode}, {point}" for mode in MODES for point in points]
    last = sweep.cells[-1].spec
    assert (last.training.learning_rate, last.solver.choice()["memory"], last.model.mode) == (0.1, 3, "direct")
    assert [cell.variant for cell in tiny_sweep(list={}, grid=grid, seeds=[0]).cells] == points


def test_a_cell_is_the_experiment_that_train_runs_with_the_same_assignments(tmp_path):
    file = write_sweep(tmp_path, set={"training.epochs": 3}, grid={"solver.max_steps": [7]}, seeds=[5])
    cell = load_sweep(file).cells[1]
    assignments = ["training.epochs=3", "model.mode=direct", "model.layers=1", "solver.max_steps=7", "seed=5"]
    assert cell.spec == load_spec(tmp_path / "base.yaml", assignments)
    assert cell.name == f"direct-1-max_steps=7-seed5-{cell.spec.content_hash[:12]}"
    assert BASE["training"]["epochs"] == 2  # the base is left as it is


def test_relative_paths_start_at_the_file_that_they_stand_in_and_tell_cells_apart(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    data = {"name": "npz", "path": "base.npz"}
    grid = {"data.dataset.path": ["one.npz", "two.npz"]}
    file = write_sweep(tmp_path / "a", base={"data": {"dataset": data}}, list={}, grid=grid, seeds=[0])
    monkeypatch.chdir("/")
    cells = load_sweep(file).cells
    assert [cell.spec.data.dataset["path"] for cell in cells] == [tmp_path / "a/one.npz", tmp_path / "a/two.npz"]
    assert cells[0].spec.content_hash == cells[1].spec.content_hash  # a path is no part of it
    assert cells[0].name.rpartition("-")[2] != cells[1].name.rpartition("-")[2]
    alone = write_sweep(tmp_path / "a", base={"data": {"dataset": data}}, list={}, seeds=[0])
    assert load_sweep(alone).cells[0].spec.data.dataset["path"] == tmp_path / "a/base.npz"


def test_the_list_wins_over_what_is_set_for_all():
    sweep = tiny_sweep(set={"training.epochs": 5}, list={"short": {"training.epochs": 1}, "long": {}})
    assert [cell.spec.training.epochs for cell in sweep.cells[:2]] == [1, 5]


def test_without_list_and_grid_there_is_one_variant():
    assert tiny_sweep(list={}).variants == ("base",)


def test_keys_that_end_alike_are_named_in_full():
    grid = {"training.clip": [None], "solver": ["naive"], "solver.rtol": [0.1], "adjoint": ["gmres"]}
    sweep = tiny_sweep(list={}, grid={**grid, "adjoint.rtol": [0.2]})
    assert sweep.variants == ("clip=null, solver=naive, solver.rtol=0.1, adjoint=gmres, adjoint.rtol=0.2",)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1e-05, "1e-05"), (True, "true"), (None, "null"), ([0, 3], "[0, 3]"), ("naive", "naive")],
)
def test_values_are_named_as_yaml_has_them(value, text):
    assert label(value) == text


def test_pairs_of_the_list_are_compared_at_every_point_of_the_grid():
    sweep = tiny_sweep(grid={"training.epochs": [1, 2]}, compare=[["implicit", "direct-1"]])
    assert sweep.pairs == tuple((f"implicit, epochs={n}", f"direct-1, epochs={n}") for n in (1, 2))
    points = [["implicit, epochs=1", "implicit, epochs=2"]]
    assert tiny_sweep(grid={"training.epochs": [1, 2]}, compare=points).pairs == (tuple(points[0]),)


BAD = {
    "no name": ({"name": None}, ["sweep.yaml: name", "string"]),
    "name with a slash": ({"name": "../out"}, ["sweep.yaml: name", "letters"]),
    "unknown key": ({"sets": {}}, ["sweep.yaml: sets: unknown key", "Did you mean 'set'?"]),
    "no seeds": ({"seeds": []}, ["sweep.yaml: seeds", "at least 1"]),
    "a seed twice": ({"seeds": [1, 1]}, ["sweep.yaml: seeds: seed 1 stands twice"]),
    "a seed that is none": ({"seeds": [-1]}, ["sweep.yaml: seeds.0", "greater than or equal to 0"]),
    "seed in the grid": ({"grid": {"seed": [1, 2]}}, ["sweep.yaml: grid", "list the seeds under `seeds`"]),
    "seed in a variant": ({"list": {"a": {"seed": 1}}}, ["sweep.yaml: list", "list the seeds under `seeds`"]),
    "below the seed": ({"set": {"seed.a": 1}}, ["sweep.yaml: set", "list the seeds under `seeds`"]),
    "key that is none": ({"set": {"a b": 1}}, ["sweep.yaml: set.a b", "training.epochs"]),
    "empty axis": ({"grid": {"training.epochs": []}}, ["sweep.yaml: grid.training.epochs", "at least 1"]),
    "axis and variant": (
        {"grid": {"model.layers": [1, 2]}},
        ["sweep.yaml: model.layers is in `grid` and in the variant 'direct-1'"],
    ),
    "a value twice": ({"grid": {"training.epochs": [1, 1]}}, ["sweep.yaml: grid", "'implicit, epochs=1' comes twice"]),
    "unknown metric": ({"metrics": ["test.acuracy"]}, ["sweep.yaml: metrics", "Did you mean 'test.accuracy'?"]),
    "unknown variant": (
        {"compare": [["implicit", "direct1"]]},
        ["sweep.yaml: compare", "'direct1'", "Did you mean 'direct-1'?"],
    ),
    "with itself": ({"compare": [["implicit", "implicit"]]}, ["sweep.yaml: compare", "compared with itself"]),
    "a trio": ({"compare": [["a", "b", "c"]]}, ["sweep.yaml: compare.0"]),
    "too many cells": ({"seeds": list(range(5001))}, ["sweep.yaml: 10,002 cells", "10,000"]),
    "too many retries": ({"retries": 1000}, ["sweep.yaml: retries", "100"]),
    "the same twice": ({"list": {"a": {}, "b": {"shots": None}}}, ["'a' and 'b' are the same experiment"]),
    "cell with a wrong value": (
        {"list": {"fine": {}, "bad": {"training.epochs": 0}}},
        ["sweep.yaml: variant 'bad': training.epochs", "greater than or equal to 1"],
    ),
    "cell with an unknown key": (
        {"grid": {"training.epocs": [1]}},
        ["sweep.yaml: variant 'implicit, epocs=1': training.epocs", "Did you mean 'epochs'?"],
    ),
    "cell that contradicts itself": ({"set": {"model.layers": 2}}, ["variant 'implicit': model: layers"]),
    "path through a number": (
        {"set": {"training.epochs.x": 1}},
        ["sweep.yaml: variant 'implicit': training.epochs.x does not lead"],
    ),
    "no base": ({"base": "gone.yaml"}, ["gone.yaml: cannot be read"]),
}


@pytest.mark.parametrize(("changes", "expected"), BAD.values(), ids=BAD)
def test_bad_sweeps(tmp_path, changes, expected):
    with pytest.raises(SpecError) as caught:
        load_sweep(write_sweep(tmp_path, **changes))
    message = re.sub(r"sweep\.yaml, line \d+: ", "sweep.yaml: ", str(caught.value))
    assert len(message.splitlines()) <= 2
    for words in expected:
        assert words in message


def test_all_bad_variants_are_told_of_in_two_lines(tmp_path):
    bad = {f"bad-{epochs}": {"training.epochs": -epochs} for epochs in range(5)}
    with pytest.raises(SpecError) as caught:
        load_sweep(write_sweep(tmp_path, list={"fine": {}, **bad}))
    first, second = str(caught.value).splitlines()
    assert "sweep.yaml: variant 'bad-0': training.epochs" in first
    assert second.startswith("5 of 6 variants are wrong; the others: variant 'bad-1' (training.epochs: ")
    assert second.count("bad-") == 3
    assert second.endswith("not -3.) and 1 more")


def test_an_experiment_is_told_from_a_sweep(tmp_path):
    write_sweep(tmp_path)
    with pytest.raises(
        SpecError, match=r"base.yaml: is an experiment, not a sweep; `qdeq train .*base.yaml` trains it"
    ):
        load_sweep(tmp_path / "base.yaml")


def test_bad_files(tmp_path):
    file = write_sweep(tmp_path)
    file.write_text("name: x\nseeds: [0]\n")
    with pytest.raises(SpecError, match=r"sweep.yaml: base: is missing. The experiment file"):
        load_sweep(file)
    file.write_text("- 1\n")
    with pytest.raises(SpecError, match=r"sweep.yaml: expected a mapping with the keys name, base, set, list, grid"):
        load_sweep(file)
    (tmp_path / "base.yaml").write_text("[1]")
    write_sweep_text = "\n".join(f"{key}: {value}" for key, value in sweep_data().items() if key != "list")
    file.write_text(write_sweep_text)
    with pytest.raises(SpecError, match=r"base.yaml: expected a mapping"):
        load_sweep(file)


@pytest.mark.parametrize("path", sorted((ROOT / "configs/sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_sweeps_are_good_and_fit_the_schema(path):
    sweep = load_sweep(path)
    assert sweep.spec.name == path.stem
    jsonschema.validate(read_yaml(path), sweep_schema())


def test_the_sweeps_in_the_guide_are_good():
    text = (ROOT / "docs/guides/sweeps.md").read_text(encoding="utf-8")
    found = re.findall(r"^```yaml[^\n]*\n(.*?)^```$", text, re.M | re.S)
    specs = [SweepSpec.model_validate(parse_yaml(block, "guide")) for block in found]
    base = read_yaml(ROOT / "configs/digits.yaml")
    assert [len(expand(spec, base, "guide").cells) for spec in specs] == [12, 40]
    assert specs[0] == load_sweep(ROOT / "configs/sweeps/digits-modes.yaml").spec  # shown as it is


def test_the_schema_refuses_what_the_reader_refuses():
    for bad in ({"seeds": []}, {"sets": {}}, {"name": "../out"}, {"retries": 1000}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(sweep_data(**bad), sweep_schema())
