"""A run leaves its data and its folder behind, and knows data by their content."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import qdeq
from qdeq.data.pictures import read_images
from qdeq.errors import CheckpointError, DataError, DataWarning, SpecError
from qdeq.spec import load_spec
from qdeq.training import RunFolder, RunSummary, evaluate_run, load_checkpoint, resume, train
from qdeq.training.predict import predict_run

SPEC = """\
name: bars
data: {dataset: {name: npz, path: bars.npz}}
model: {qubits: 4}
training: {epochs: 2, batch_size: 16, learning_rate: 0.05}
"""


def bars(count, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.integers(0, 60, (count, 8, 8), dtype=np.uint8)
    images[np.arange(count), :, 1 + 3 * labels] = 200
    return images, labels


IMAGES, LABELS = bars(60, 0)
FRESH, FRESH_LABELS = bars(15, 7)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with an experiment, its data and its run, started from elsewhere."""
    folder = tmp_path_factory.mktemp("project")
    np.savez(folder / "bars.npz", images=IMAGES, labels=LABELS)
    (folder / "bars.yaml").write_text(SPEC)
    before = Path.cwd()
    os.chdir("/")
    try:
        train(load_spec(folder / "bars.yaml"), folder / "run")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def project(trained, tmp_path):
    """A copy whose data may be changed; the run's spec names the copy's data."""
    folder = Path(shutil.copytree(trained, tmp_path / "project"))
    spec = folder / "run/spec.yaml"
    spec.write_text(spec.read_text().replace(str(trained), str(folder)))
    return folder


@pytest.fixture
def alone(trained, tmp_path):
    """What a colleague is given: the run's folder, whose data are nowhere."""
    folder = Path(shutil.copytree(trained / "run", tmp_path / "alone"))
    spec = folder / "spec.yaml"
    spec.write_text(spec.read_text().replace(str(trained), "/nowhere"))
    return folder


def test_a_run_without_its_data_predicts_what_it_did_with_them(trained, alone):
    with_data = qdeq.load_run(trained / "run")
    assert torch.equal(qdeq.load_run(alone).predict(FRESH).logits, with_data.predict(FRESH).logits)
    # and that is plain PyTorch on features made by hand: 8 x 8 averaged to 4 x 4, normalised by the training split
    grey = torch.from_numpy(FRESH).float() / 255
    mean, std = with_data.splits.normalisation
    features = torch.nn.functional.avg_pool2d((grey[:, None] - mean) / std, 2).flatten(1)
    with torch.no_grad():
        expected = with_data.model(features).logits
    torch.testing.assert_close(qdeq.load_run(alone).predict(FRESH).logits, expected, rtol=0, atol=1e-4)


def test_one_checkpoint_that_lies_alone_is_enough(alone, tmp_path):
    shutil.copy(alone / "checkpoints/best.safetensors", tmp_path / "sent.safetensors")
    run = qdeq.load_run(tmp_path / "sent.safetensors")
    assert torch.equal(run.predict(FRESH).logits, qdeq.load_run(alone).predict(FRESH).logits)
    assert (run.spec.name, run.class_names, run.spec.training.threads) == ("bars", ("0", "1", "2"), 1)


def test_predictions_have_names_probabilities_and_what_became_of_each_solve(alone):
    found = qdeq.load_run(alone).predict(FRESH)
    assert len(found) == 15
    torch.testing.assert_close(found.probabilities.sum(dim=1), torch.ones(15))
    assert found.labels == tuple("012"[index] for index in found.probabilities.argmax(dim=1).tolist())
    assert found.converged.all()
    assert float(found.residual.max()) < 1e-3


@pytest.mark.parametrize(
    "array",
    [FRESH[:, None], FRESH[..., None], torch.from_numpy(FRESH), FRESH.astype(np.int64), FRESH.astype(float) / 255],
    ids=["channels first", "channels last", "tensor", "int64", "scaled"],
)
def test_arrays_of_several_kinds_are_the_same_images(alone, array):
    run = qdeq.load_run(alone)
    torch.testing.assert_close(run.predict(array).logits, run.predict(FRESH).logits, rtol=0, atol=1e-5)


def test_an_array_in_the_place_of_a_path_is_told_so_and_the_other_way_round(alone):
    with pytest.raises(DataError, match=r"load_run takes a path, not ndarray of shape \[15, 8, 8\]\nLoad the run"):
        qdeq.load_run(FRESH)
    with pytest.raises(DataError, match=r"takes a path, not ndarray.*\n.*load_run\(path\)\.predict\(array\)"):
        predict_run(alone, FRESH)
    with pytest.raises(DataError, match=r"takes a path, not ndarray.*\n.*predict\(array\)"):
        predict_run(alone, [FRESH[0]])
    with pytest.raises(DataError, match="not one path"):
        predict_run(alone, "one.png")
    with pytest.raises(DataError, match="read_images takes a path"):
        read_images(FRESH)
    with pytest.raises(DataError, match="is a path, not an array"):
        qdeq.load_run(alone).predict("one.png")


# -- data are what they say -------------------------------------------------------------------------------------------


def save(folder, images, labels, name="bars.npz"):
    np.savez(folder / name, images=images, labels=labels)
    return folder / name


@pytest.mark.parametrize(
    ("images", "labels", "changed"),
    [
        (255 - IMAGES, LABELS, "train and validation and test"),
        (IMAGES, (LABELS + 1) % 3, "train and validation and test"),
        (np.where(np.arange(60)[:, None, None] == 0, IMAGES[::-1], IMAGES), LABELS, "(train|validation|test)"),
    ],
    ids=["negative", "relabelled", "one image"],
)
def test_a_file_that_was_changed_in_place_is_refused(project, images, labels, changed):
    save(project, images, labels)
    with pytest.raises(DataError, match=f"not the data of the run: images or labels of {changed} differ"):
        evaluate_run(project / "run")
    qdeq.load_run(project / "run").predict(FRESH)  # which does not need them


def test_the_same_content_elsewhere_is_the_same_data(project):
    before = evaluate_run(project / "run")
    assert before.own
    moved = (project / "bars.npz").rename(project / "moved.npz")
    with pytest.raises(DataError, match="not found"):
        evaluate_run(project / "run")
    for after in (
        evaluate_run(project / "run", data=moved),
        evaluate_run(project / "run", overrides=[f"data.dataset.path={moved}"]),
    ):
        assert after.own
        assert (after.validation, after.test) == (before.validation, before.test)


def test_other_data_are_evaluated_where_they_are_named_with_the_runs_own_normalisation(project):
    fresh = save(project, FRESH, FRESH_LABELS, "fresh.npz")
    found = evaluate_run(project / "run", data=fresh)
    run = qdeq.load_run(project / "run")
    right = np.mean([int(label) for label in run.predict(FRESH).labels] == FRESH_LABELS)
    assert (found.own, found.data, found.validation, found.test.samples) == (False, "fresh", None, 15)
    assert found.test.accuracy == pytest.approx(right)
    # and with one class alone, which no split could be made of
    alone = save(project, FRESH[FRESH_LABELS == 1], FRESH_LABELS[FRESH_LABELS == 1], "ones.npz")
    assert evaluate_run(project / "run", data=alone).test.samples == 5
    strange = save(project, FRESH, FRESH_LABELS + 5, "strange.npz")
    with pytest.raises(DataError, match=r"15 images are of classes that the run does not know \('5', '6', '7'\)"):
        evaluate_run(project / "run", data=strange)
    with pytest.raises(SpecError, match=r"only data\.dataset can be set here"):
        evaluate_run(project / "run", overrides=["model.qubits=5"])


def test_a_path_is_no_part_of_an_experiment_and_its_content_is(project, tmp_path):
    here = load_spec(project / "bars.yaml")
    there = load_spec(project / "bars.yaml", [f"data.dataset.path={tmp_path / 'other.npz'}"])
    assert here.content_hash == there.content_hash
    assert here.content_hash != load_spec(project / "bars.yaml", ["data.limit=30"]).content_hash
    record = load_checkpoint(project / "run/checkpoints/best.safetensors").record
    assert set(record.digests) == {"train", "validation", "test"}
    assert len(set(record.digests.values())) == 3


def test_relative_paths_start_at_the_experiments_folder_and_those_of_the_command_line_here(
    project, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert load_spec(project / "bars.yaml").data.dataset["path"] == project / "bars.npz"
    assert load_spec("project/bars.yaml").data.dataset["path"] == project / "bars.npz"
    changed = load_spec(project / "bars.yaml", ["data.dataset.path=mine.npz", "training.init_from=runs/a"])
    assert changed.data.dataset["path"] == tmp_path / "mine.npz"
    assert changed.training.init_from == tmp_path / "runs/a"
    (project / "home.yaml").write_text(SPEC.replace("path: bars", "path: ~/bars"))
    assert str(load_spec(project / "home.yaml").data.dataset["path"]) == "~/bars.npz"


def test_a_run_whose_data_moved_goes_on_and_one_whose_data_changed_does_not(project):
    folder = RunFolder(project / "run")
    folder.summary.unlink()
    moved = (project / "bars.npz").rename(project / "moved.npz")
    assert resume(folder.path, overrides=[f"data.dataset.path={moved}"]).epochs == 2
    folder.summary.unlink()
    save(project, IMAGES, (LABELS + 1) % 3)
    with pytest.raises(CheckpointError, match="other training images"):
        resume(folder.path)


# -- pixel scales -----------------------------------------------------------------------------------------------------


def test_pixels_on_another_scale_are_refused_or_doubted(alone):
    run = qdeq.load_run(alone)
    with pytest.raises(DataError, match=r"has values from \d+ to 200, far outside.*\n.*divide them by 255"):
        run.predict(FRESH.astype(np.float32))
    with pytest.warns(DataWarning, match="so little contrast"):
        run.predict(FRESH.astype(np.float32) / 255**2)
    np.save(alone / "floats.npy", FRESH.astype(np.float32))
    np.save(alone / "good.npy", FRESH)
    found = predict_run(alone, [alone / "floats.npy", alone / "good.npy"])
    assert list(found.failed) == [str(alone / "floats.npy")]
    assert len(found.images) == 15


# -- what is written --------------------------------------------------------------------------------------------------


def test_a_runs_files_say_their_formats_and_the_threads_that_were_used(trained):
    text = (trained / "run/spec.yaml").read_text()
    assert text.startswith("# qdeq run, format 1")
    assert "threads: 1\n" in text
    summary = json.loads((trained / "run/summary.json").read_text())
    assert summary["format_version"] == 2
    assert summary["machine"]["threads"] == 1
    assert RunSummary.read(trained / "run/summary.json").machine.torch == torch.__version__
    lines = (trained / "run/metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["format_version"] for line in lines} == {1}


def test_a_later_format_is_refused_by_its_number(alone):
    spec = alone / "spec.yaml"
    spec.write_text(spec.read_text().replace("# qdeq run, format 1", "# qdeq run, format 7"))
    with pytest.raises(SpecError, match="has format 7"):
        qdeq.load_run(alone)
    summary = alone / "summary.json"
    summary.write_text(summary.read_text().replace('"format_version": 2', '"format_version": 9'))
    with pytest.raises(CheckpointError, match="has format version 9"):
        RunSummary.read(summary)
