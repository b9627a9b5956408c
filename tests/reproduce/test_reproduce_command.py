"""``qdeq reproduce``: lists, shows, refuses, and puts tables together that are finished."""

import json

import pytest
import yaml
from reproduce_files import ON_DIGITS, OPTIONS, finish
from typer.testing import CliRunner

from qdeq.cli.commands import app
from qdeq.reproduce import load_table, table_names
from qdeq.sweeps import SweepFolder, load_sweep
from qdeq.training import train

SMALL = ["--seeds", "1", "--epochs", "1", *OPTIONS]


@pytest.fixture
def qdeq(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="qdeq")
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run


def test_it_lists_the_tables(qdeq):
    text = qdeq("reproduce", "--list").stdout
    assert [line.split()[0] for line in text.splitlines()] == table_names()
    data = json.loads(qdeq("reproduce", "--list", "--json").stdout)
    assert [table["name"] for table in data["tables"]] == table_names()
    assert data["tables"][0]["modes"] == ["corrected", "reference"]


def test_what_it_shows_is_a_sweep_file_of_the_same_cells(qdeq, tmp_path):
    shown = qdeq("reproduce", "mnist4-angle", "--mode", "reference", "--seeds", 2, "--show").stdout
    (tmp_path / "sweep.yaml").write_text(shown)
    cells = load_sweep(tmp_path / "sweep.yaml").cells
    assert [cell.name for cell in cells] == [
        cell.name for cell in load_table("mnist4-angle").sweep("reference", seeds=2).cells
    ]
    assert yaml.safe_load(shown)["name"] == "mnist4-angle-reference"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnist5"], "there is no table 'mnist5'"),
        ([], "which table? `qdeq reproduce --list` names them"),
        (["noise", "--mode", "reference"], "noise has no mode 'reference'"),
        (["mnist10", "--set", "seed=3"], "give their number with --seeds"),
        (["mnist10", "--set", "epochs"], "expected KEY.KEY=VALUE"),
        (["mnist10", "--set", "model.bogus=1"], "model.bogus: unknown key"),
        (["mnist10", "--out", "a-file"], "there is a file of that name"),
    ],
)
def test_refusals(qdeq, tmp_path, arguments, message):
    (tmp_path / "a-file").touch()
    assert message in qdeq("reproduce", *arguments, code=2).stderr


def prepared(table, path):
    sweep = load_table(table).sweep(seeds=1, epochs=1, changes=ON_DIGITS, train_images=60)
    folder = SweepFolder(path)
    folder.create(sweep)
    return sweep, folder


def test_a_finished_table_is_put_together_and_written(qdeq, tmp_path):
    sweep, folder = prepared("mnist4-amplitude", tmp_path / "out")
    for cell in sweep.cells:
        finish(folder, cell)
    shown = qdeq("reproduce", "mnist4-amplitude", "--out", folder.path, *SMALL).stdout
    assert "IMPLICIT − logistic regression" in shown
    assert "What the paper claims" in shown
    names = {path.name for path in folder.path.iterdir() if path.is_file()}
    assert names == {"table.md", "table.csv", "table.json", "table.png", "cells.jsonl", "sweep.yaml"}
    assert [cell.name for cell in load_sweep(folder.spec).cells] == [cell.name for cell in sweep.cells]
    assert qdeq("reproduce", "mnist4-amplitude", "--out", folder.path, *SMALL, "--quiet").stdout == ""


def test_trained_models_are_measured_under_noise(qdeq, tmp_path):
    sweep, folder = prepared("noise", tmp_path / "out")
    for cell in sweep.cells:
        train(cell.spec, folder.run(cell))
    data = json.loads(qdeq("reproduce", "noise", "--out", folder.path, *SMALL, "--json").stdout)
    assert data == json.loads((folder.path / "noise.json").read_text())
    assert {(each["kind"], each["row"]) for each in data["measurements"]} == {
        (kind, row)
        for kind in ("depolarising", "shots")
        for row in ("IMPLICIT", "IMPLICIT, 5 steps", "DIRECT 1", "DIRECT 5", "DIRECT 10")
    }
    for name in ("noise.md", "noise.csv", "noise.png", "noise-residual.png", "table.md"):
        assert (folder.path / name).stat().st_size > 500
