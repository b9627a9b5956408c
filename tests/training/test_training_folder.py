"""Nothing is written over, and what a run needs is checked before anything is written."""

import pytest
import torch
from tiny_runs import tiny_spec

from qdeq.errors import DataError, SpecError, TrainingError
from qdeq.training import RunFolder, train

SHORT = tiny_spec(model={"mode": "direct", "layers": 1}, training={"epochs": 1})


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path):
    train(SHORT, tmp_path / "run")
    return tmp_path / "run"


def test_a_run_is_not_replaced_without_force(run):
    before = contents(run)
    with pytest.raises(TrainingError, match=r"already holds a run\n.*--out DIR.*--force"):
        train(SHORT, run)
    assert contents(run) == before


def test_force_replaces_a_run_and_spares_the_users_own_files(run):
    (run / "notes.txt").write_text("mine")
    (run / "tensorboard").mkdir()
    other = tiny_spec(seed=3, model={"mode": "direct", "layers": 1}, training={"epochs": 1})
    assert train(other, run, force=True).seed == 3
    assert "seed: 3" in (run / "spec.yaml").read_text()
    assert (run / "notes.txt").read_text() == "mine"
    assert not (run / "tensorboard").exists()


def test_force_touches_nothing_when_the_new_experiment_cannot_be_run(run):
    before = contents(run)
    with pytest.raises(DataError, match="12"):
        train(tiny_spec(data={"classes": [0, 12]}), run, force=True)
    assert contents(run) == before


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_holds_no_run_is_never_written_to(tmp_path, force):
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(TrainingError, match="holds no qdeq run"):
        train(SHORT, tmp_path, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(TrainingError, match="is a file"):
        train(SHORT, tmp_path / "run")
    with pytest.raises(TrainingError, match=r"cannot be written|is a file"):
        train(SHORT, tmp_path / "run" / "below")


def test_an_empty_folder_is_used(tmp_path):
    assert train(SHORT, tmp_path).epochs == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TrainingError, match=r"sees no CUDA GPU\nUse --device cpu"):
        train(tiny_spec(training={"device": "cuda"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_training_on_a_gpu_gives_the_numbers_of_the_cpu(tmp_path):
    ours = train(tiny_spec(training={"device": "cuda", "precision": "float64"}, model={"dropout": 0}), tmp_path / "gpu")
    theirs = train(tiny_spec(training={"precision": "float64"}, model={"dropout": 0}), tmp_path / "cpu")
    assert ours.test.loss == pytest.approx(theirs.test.loss, rel=1e-3)  # the solver's tolerance
    assert ours.memory["device_mib"] > 0


def test_tensorboard_without_the_extra_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=r'pip install "tensorboard'):
        train(tiny_spec(training={"tensorboard": True}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["name: [", "modle: {}"])
def test_a_damaged_spec_says_how_to_go_on(run, text):
    (run / "spec.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        RunFolder(run).load_spec()
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{run / 'spec.yaml'}")
    assert second == "Undo what was changed in the run's spec, or train again."
