"""A disk that fills up while a picture is drawn costs the picture: the result comes first, then one line about it."""

import errno
import json
import os

import pytest

SHIFTED = "{name: torch, gradient: parameter-shift}"
LINE = "not written (No space left on device); all else is there"


@pytest.fixture
def full(monkeypatch):
    """Let every picture meet a full disk."""

    def savefig(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)


def test_train_keeps_summary_table_and_checkpoint(qdeq, tmp_path, full):
    done = qdeq("train", "tiny.yaml", "--out", "run")
    assert "accuracy" in done.stdout
    assert done.stderr.splitlines() == [f"warning: run/curves.png: {LINE}"]
    assert done.output.index("accuracy") < done.output.index(LINE) < done.output.index("next: qdeq report")
    assert json.loads((tmp_path / "run/summary.json").read_text())["test"]["accuracy"] is not None
    assert (tmp_path / "run/checkpoints/best.safetensors").is_file()
    assert not (tmp_path / "run/curves.png").exists()
    told = qdeq("train", "tiny.yaml", "--out", "again", "--json")
    assert json.loads(told.stdout)["test"]["accuracy"] is not None
    assert LINE in told.stderr


def test_tensorboard_that_cannot_write_is_left_out(qdeq, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")

    def write(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", write)
    done = qdeq("train", "tiny.yaml", "--out", "run", "--set", "training.tensorboard=true")
    assert "accuracy" in done.stdout
    assert done.stderr.splitlines() == [f"warning: run/tensorboard: {LINE}"]
    assert (tmp_path / "run/curves.png").is_file()


def test_stability_shows_its_table(qdeq, full, monkeypatch):
    qdeq("train", "tiny.yaml", "--out", "run", "--quiet", "--set", "model={}", "--set", "data.limit=20")
    done = qdeq("stability", "run", "--samples", 2, "--starts", 1)
    assert "spectral radius" in done.stdout
    assert "written" not in done.stdout
    assert done.stderr.splitlines() == [f"warning: run/stability.png: {LINE}"]


@pytest.mark.parametrize(
    ("line", "stem"),
    [
        (("compare", "tiny.yaml", "--backends", SHIFTED, "--samples", 1, "--steps", 1), "comparison"),
        (("solve-study", "tiny.yaml", "--solvers", "naive", "--samples", 2, "--set", "model={}"), "solve-study"),
    ],
)
def test_a_study_is_shown_and_its_data_are_written(qdeq, tmp_path, full, line, stem):
    done = qdeq(*line, "--out", "out")
    assert done.stderr.splitlines() == [f"warning: out/{stem}.png: {LINE}"]
    assert done.stdout.index("naive" if stem == "solve-study" else "torch") < done.stdout.index("written: ")
    assert json.loads((tmp_path / f"out/{stem}.json").read_text())
    (tmp_path / "taken").write_text("")
    shown = qdeq(*line, "--out", "taken/deeper", code=2)
    assert "--out taken/deeper: cannot be made" in shown.stderr
    assert len(shown.stdout) > 100  # the result, all the same
