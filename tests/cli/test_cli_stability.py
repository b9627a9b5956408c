"""`qdeq stability`: a table, JSON alone, and a picture in the run's folder."""

import json

import pytest

IMPLICIT = ("--set", "model.mode=implicit", "--set", "model.layers=null", "--out", "run", "-q")


@pytest.fixture
def run(qdeq, tmp_path):
    qdeq("train", "tiny.yaml", *IMPLICIT)
    return tmp_path / "run"


def test_the_command_prints_a_table_and_writes_a_picture(qdeq, run):
    result = qdeq("stability", "run", "--samples", 9, "--starts", 4)
    for words in ("tiny: 9 of 145 test images, checkpoint best", "4 starts each", "spectral radius", "equilibria"):
        assert words in result.stdout
    assert "written: run/stability.png" in result.stdout
    assert (run / "stability.png").stat().st_size > 10_000
    assert not result.stderr
    assert "checkpoint step-00000004" in qdeq("stability", "run", "--samples", 2, "--checkpoint", "last").stdout
    qdeq("train", "tiny.yaml", *IMPLICIT, "--force")
    assert not (run / "stability.png").exists()  # it would be another run's


def test_json_is_all_that_is_printed(qdeq, run):
    found = json.loads(qdeq("stability", "run", "--samples", 3, "--starts", 2, "--json").stdout)
    assert len(found["images"]) == 3


def test_bad_input(qdeq, run):
    assert "there is no such run" in qdeq("stability", "nowhere", code=2).stderr
    assert "--samples" in qdeq("stability", "run", "--samples", 0, code=2).stderr
    (run / "stability.png").mkdir()
    shown = qdeq("stability", "run", "--samples", 2, "--starts", 1)
    assert shown.stderr.startswith("warning: run/stability.png: not written (Is a directory)")
    assert "spectral radius" in shown.stdout


def test_a_run_under_shots_is_refused(qdeq):
    qdeq("train", "tiny.yaml", *IMPLICIT, "--set", "shots=20", "--set", "data.limit=8")
    error = qdeq("stability", "run", code=2).stderr
    assert "shots: 20" in error
    assert len(error.splitlines()) == 2
