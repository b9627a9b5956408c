"""A finished run goes on, or is the start of another; a run that goes on otherwise says so."""

import shutil

import pytest
import torch
from tiny_runs import read_metrics, tiny_spec

from qdeq.errors import CheckpointError, TrainingError
from qdeq.training import Progress, RunFolder, RunSummary, TrainingInterrupted, load_checkpoint, resume, train


class Listening(Progress):
    def __init__(self, cut_at=None):
        self.notes, self.cut_at = [], cut_at

    def noted(self, message):
        self.notes.append(message)

    def stepped(self, record):
        if record.step == self.cut_at:
            raise KeyboardInterrupt


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run of two epochs."""
    return shutil.copytree(finished[2], tmp_path / "run")


def weights(folder, which="last"):
    return load_checkpoint(RunFolder(folder).checkpoint(which)).tensors


def assert_equal_weights(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_more_epochs_at_a_constant_rate_are_those_of_a_run_that_had_them_from_the_start(run, tmp_path):
    before = RunSummary.read(run / "summary.json")
    after = resume(run, overrides=["training.epochs=4"])
    train(tiny_spec(training={"epochs": 4}), tmp_path / "whole")
    assert_equal_weights(weights(run), weights(tmp_path / "whole"))
    assert_equal_weights(weights(run, "best"), weights(tmp_path / "whole", "best"))
    assert [record["step"] for record in read_metrics(run, "step")] == list(range(1, 17))
    (done,) = after.continued
    assert (done.epoch, done.step, done.accuracy) == (2, 8, before.test.accuracy)
    assert dict(done.changes) == {"training.epochs": (2, 4)}
    assert RunSummary.read(run / "summary.json") == after
    assert RunFolder(run).load_spec().training.epochs == 4


def test_another_schedule_begins_anew_over_the_epochs_that_are_left(run, monkeypatch):
    from qdeq.training import trainer
    from qdeq.training.schedule import learning_rate

    rates = []

    def watched(*arguments):
        rates.append(learning_rate(*arguments))
        return rates[-1]

    monkeypatch.setattr(trainer, "learning_rate", watched)
    changes = ["training.epochs=4", "training.schedule=cosine", "training.learning_rate=0.2"]
    resume(run, overrides=changes)
    assert rates[0] == 0.2  # the whole rate, as in a run of eight steps
    assert rates[4] == pytest.approx(0.1)
    assert len(rates) == 8


def test_a_continuation_that_is_cut_goes_on_as_if_it_had_not_been(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    changes = ["training.epochs=4", "training.schedule=cosine"]
    whole = resume(run, overrides=changes)
    with pytest.raises(TrainingInterrupted):
        resume(other, overrides=changes, progress=Listening(cut_at=11))
    again = resume(other)
    assert_equal_weights(weights(run), weights(other))
    assert again.continued == whole.continued
    assert resume(other) == again


@pytest.mark.parametrize("place", ["save", "write_spec"])
def test_a_continuation_that_dies_as_it_begins_can_be_had_again(run, tmp_path, monkeypatch, place):
    other = shutil.copytree(run, tmp_path / "other")
    resume(run, overrides=["training.epochs=3"])

    def dies(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("qdeq.training.state.TrainingState.save" if place == "save" else
                      "qdeq.training.folder.RunFolder.write_spec", dies)  # fmt: skip
        with pytest.raises(MemoryError):
            resume(other, overrides=["training.epochs=3"])
    resume(other, overrides=["training.epochs=3"])
    assert_equal_weights(weights(run), weights(other))


def test_what_a_run_cannot_go_on_with_is_refused(run):
    for change in ("training.batch_size=8", "model.dropout=0.5", "data.limit=50", "seed=3"):
        with pytest.raises(TrainingError, match=r"does not go with --resume.*\n.*training\.init_from"):
            resume(run, overrides=[change])
    with pytest.raises(TrainingError, match=r"has trained 2 epochs.*nothing is left to do\n.*training\.epochs=4"):
        resume(run, overrides=["training.learning_rate=0.1"])
    assert RunFolder(run).finished


def test_threads_may_change_and_that_is_said(run):
    folder = RunFolder(run)
    folder.summary.unlink()
    listening = Listening()
    summary = resume(run, overrides=["training.threads=2"], progress=listening)
    (note,) = [note for note in listening.notes if note.startswith("warning: ")]
    assert "threads 1 -> 2" in note
    assert "last digits" in note
    assert summary.machine.threads == 2
    assert torch.get_num_threads() == 1


def test_a_run_starts_from_another_ones_best_weights(run, tmp_path):
    best = load_checkpoint(RunFolder(run).checkpoint("best"))
    still = {"init_from": str(run), "epochs": 1, "learning_rate": 1e-12}
    listening = Listening()
    summary = train(tiny_spec(training=still), tmp_path / "after", progress=listening)
    for name, value in best.tensors.items():
        torch.testing.assert_close(weights(tmp_path / "after")[name], value, rtol=0, atol=1e-9)
    start = summary.start
    assert (start.name, start.checkpoint, start.step, start.digest) == (
        "tiny",
        "best",
        best.info.step,
        best.info.digest,
    )
    assert any(note.startswith("starts from the weights of tiny, best") for note in listening.notes)
    # the run that it started from is not needed any more
    shutil.rmtree(run)
    assert resume(tmp_path / "after") == summary
    (tmp_path / "after/summary.json").unlink()
    assert resume(tmp_path / "after").start == start


def test_weights_that_do_not_fit_are_refused_before_anything_is_written(run, tmp_path):
    for changes in ({"model": {"qubits": 5}}, {"data": {"classes": [0, 1, 2]}}):
        spec = tiny_spec(**changes, training={"init_from": str(run)})
        with pytest.raises(CheckpointError, match=r"training\.init_from: .*does not fit the model.*\nGive a run"):
            train(spec, tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"training\.init_from: .*no such"):
        train(tiny_spec(training={"init_from": str(tmp_path / "nowhere")}), tmp_path / "other")
    assert not (tmp_path / "other").exists()
