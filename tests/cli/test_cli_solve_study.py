"""`qdeq solve-study`: a table, JSON alone, four files, a run's folder; a mistake is one or two lines and exits 2."""

import csv
import json
import struct

import pytest

from qdeq.solvers import Broyden
from qdeq.study import SolverStudy

QUICK = ("--samples", 6, "--solvers", "broyden,naive", "--tolerances", "1e-2,1e-4")


def test_a_file_gives_tables_and_files(qdeq, tmp_path):
    result = qdeq("solve-study", "tiny.yaml", *QUICK, "--out", "out/here")
    text = " ".join(result.stdout.split())
    assert "tiny: 6 test images of digits, 4 qubits, amplitude, torch, float32; weights: untrained, seed 0" in text
    for words in ("rtol 0.0001, atol 1e-06, 50 steps", "broyden", "naive", "0.01", "DIRECT (1 layer)"):
        assert words in text
    assert not result.stderr

    folder = tmp_path / "out/here"
    assert sorted(path.suffix for path in folder.iterdir()) == [".csv", ".json", ".md", ".png"]
    study = SolverStudy.from_json((folder / "solve-study.json").read_text())
    first = study.results[0]
    rows = list(csv.DictReader((folder / "solve-study.csv").open()))
    assert [row["solver"] for row in rows] == ["broyden", "naive"]
    assert float(rows[0]["evaluations_mean"]) == first.solve.evaluations.mean
    assert rows[0]["median_to_0.01"] == str(first.reached[0].median)
    table = (folder / "solve-study.md").read_text()
    assert f"| broyden | 100.0 % | {first.solve.evaluations.mean:.1f} |" in table
    width, height = png_size(folder / "solve-study.png")
    assert 1000 < width < 3000
    assert 500 < height < 2000


def png_size(path):
    """Return width and height from the header (RFC 2083, section 4.1.1)."""
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert 20_000 < len(content) < 1_000_000
    return struct.unpack(">II", content[16:24])


def test_json_is_all_that_is_printed(qdeq):
    result = qdeq("solve-study", "tiny.yaml", *QUICK, "--json")
    assert [row["label"] for row in json.loads(result.stdout)["results"]] == ["broyden", "naive"]
    assert not result.stderr


def test_by_default_all_solvers_that_need_no_options(qdeq):
    found = json.loads(qdeq("solve-study", "tiny.yaml", "--samples", 1, "--json").stdout)
    assert {"anderson", "broyden", "naive", "newton"} <= {row["label"] for row in found["results"]}
    assert found["tolerances"] == [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]


def test_a_run_is_studied_with_its_weights(qdeq):
    qdeq("train", "tiny.yaml", "--out", "run", "--quiet", "--set", "model={}")
    result = qdeq("solve-study", "run", *QUICK, "--checkpoint", "last", "--set", "solver.rtol=1e-3")
    assert "weights: epoch 1 of run" in " ".join(result.stdout.split())
    assert "rtol 0.001" in result.stdout
    refused = qdeq("solve-study", "run", *QUICK, "--set", "model.qubits=5", code=2)
    assert "run: its weights belong to the model" in refused.stderr


def test_a_solver_that_raises_exits_1_and_is_named(qdeq, monkeypatch):
    monkeypatch.setattr(Broyden, "step", lambda *arguments: 1 / 0)
    result = qdeq("solve-study", "tiny.yaml", *QUICK, code=1)
    assert "ZeroDivisionError: division by zero" in " ".join(result.stdout.split())
    alone = qdeq("solve-study", "tiny.yaml", *QUICK, "--solvers", "broyden", code=2)
    assert alone.stderr.startswith("error: no solver could be studied: broyden: ")
    assert alone.stdout == ""


def test_ctrl_c_ends_it_in_one_line(qdeq, monkeypatch):
    def step(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Broyden, "step", step)
    result = qdeq("solve-study", "tiny.yaml", *QUICK, "--out", "out", code=130)
    assert result.stderr == "\ninterrupted\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--solvers", "brodyen"), "Did you mean 'broyden'?"),
        (("--solvers", ""), "expected names with commas"),
        (("--solvers", "{memory: 3}"), "expected names with commas"),
        (("--solvers", "{name: anderson, memry: 3}"), "unknown option 'memry'"),
        (("--solvers", "{name: anderson, atol: 1.0e-9}"), "atol is the same for all solvers of a study"),
        (("--tolerances", "1e-2,x"), "--tolerances 1e-2,x: expected numbers"),
        (("--tolerances", "2"), "tolerance 2: a relative residual lies between 0 and 1"),
        (("--tolerances", "1e-9"), "float32 resolves no less than 1.2e-07; --set training.precision=float64"),
        (("--samples", "146"), "tiny.yaml: data: 146 samples: there are 145 test images of digits"),
        (("--out", "tiny.yaml"), "--out tiny.yaml: there is a file of that name"),
        (("--set", "shots=9"), "shots: 9: a study of solvers needs exact expectations; --set shots=null"),
        (("--set", "solver.rtl=1"), "Did you mean 'rtol'?"),
    ],
)
def test_bad_input(qdeq, options, expected):
    result = qdeq("solve-study", "tiny.yaml", *options, code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert 1 <= len(result.stderr.splitlines()) <= 2
    assert expected in result.stderr


def test_what_is_neither_a_file_nor_a_run(qdeq, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty: holds no qdeq run" in qdeq("solve-study", "empty", code=2).stderr
    assert "nowhere.yaml: cannot be read" in qdeq("solve-study", "nowhere.yaml", code=2).stderr
    assert "--samples" in qdeq("solve-study", "tiny.yaml", "--samples", 0, code=2).stderr
