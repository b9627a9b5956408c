"""A run that was cut short goes on, and ends bit for bit as if it had never been."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_runs import differences, read_metrics, tiny_spec

from qdeq.errors import CheckpointError, TrainingError
from qdeq.training import (
    Progress,
    RunFolder,
    TrainingInterrupted,
    TrainingTerminated,
    load_checkpoint,
    resume,
    train,
)
from qdeq.training.log import MetricsWriter, cut_log, read_log
from qdeq.training.signals import Terminated

KINDS = {
    "implicit": {},
    "direct": {"model": {"mode": "direct", "layers": 2}},
    "shots": {"shots": 200, "solver": {"fixed_steps": 2, "name": "naive"}},
    "all that draws or remembers": {
        "model": {"state_dropout": 0.2, "dropout": 0.2, "learn_state_scale": True},
        "training": {
            "warm_start": True,
            "warmup_steps": 2,
            "jacobian_weight": 0.3,
            "jacobian_estimate": "hutchinson",
            "checkpoint_steps": 3,
            "epochs": 3,
        },
    },
}


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr("qdeq.training.trainer.Trainer._curves", lambda _: b"")  # it takes longer than these runs


class CutShort(Progress):
    """Ends the run as soon as it has told of so many steps and epochs."""

    def __init__(self, after=None, error=KeyboardInterrupt):
        self.left, self.error, self.notes = after, error, []

    def stepped(self, record):
        self.count()

    def finished_epoch(self, record):
        self.count()

    def noted(self, message):
        self.notes.append(message)

    def count(self):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise self.error


def cut_short(spec, folder, after, error=KeyboardInterrupt):
    with pytest.raises(TrainingInterrupted) as caught:
        train(spec, folder, progress=CutShort(after, error))
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_wherever_a_run_is_cut_it_ends_as_if_it_had_not_been(tmp_path, kind):
    spec = tiny_spec(**KINDS[kind])
    whole = train(spec, tmp_path / "whole")
    moments = 5 * spec.training.epochs  # four steps and a validation an epoch
    for after in range(1, moments + 1, 1 if kind == "all that draws or remembers" else 4):
        folder = tmp_path / f"cut-{after}"
        cut_short(spec, folder, after)
        again = resume(folder)
        assert differences(tmp_path / "whole", folder) == []
        assert (again.train, again.validation, again.test) == (whole.train, whole.validation, whole.test)


def test_a_run_that_is_cut_at_every_step_ends_the_same(tmp_path):
    spec = tiny_spec(training={"warm_start": True})
    train(spec, tmp_path / "whole")
    cut_short(spec, tmp_path / "cut", 1)
    for _ in range(7):
        with pytest.raises(TrainingInterrupted):
            resume(tmp_path / "cut", progress=CutShort(1))
    resume(tmp_path / "cut")
    assert differences(tmp_path / "whole", tmp_path / "cut") == []


def test_a_difference_would_be_seen(tmp_path):
    """What the tests above compare by: a run of another seed, and one that forgot its warm states, are different."""
    spec = tiny_spec(training={"warm_start": True})
    train(spec, tmp_path / "whole")
    train(tiny_spec(seed=1, training={"warm_start": True}), tmp_path / "other")
    assert {"best.safetensors", "metrics.jsonl", "summary.json"} <= set(
        differences(tmp_path / "whole", tmp_path / "other")
    )


@pytest.mark.parametrize("where", ["evaluate", "peak_memory"])
def test_a_run_that_is_cut_in_an_evaluation_ends_the_same(tmp_path, monkeypatch, where):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    spec = tiny_spec()
    train(spec, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(f"qdeq.training.trainer.{where}", interrupted)
        cut_short(spec, tmp_path / "cut", None)
    resume(tmp_path / "cut")
    assert differences(tmp_path / "whole", tmp_path / "cut") == []


def test_termination_is_told_from_an_interrupt(tmp_path):
    error = cut_short(tiny_spec(), tmp_path / "run", 3, Terminated)
    assert isinstance(error, TrainingTerminated)
    assert str(error).startswith("terminated after step 3 (0 epochs done)\nkept: ")
    assert load_checkpoint(RunFolder(tmp_path / "run").checkpoint("last")).info.step == 3


@pytest.mark.parametrize("harm", ["truncated", "flipped", "empty"])
def test_a_damaged_checkpoint_is_put_aside_for_the_one_before_it(tmp_path, harm):
    spec = tiny_spec(training={"checkpoint_steps": 1})
    train(spec, tmp_path / "whole")
    cut_short(spec, tmp_path / "cut", 7)
    newest = RunFolder(tmp_path / "cut").states()[-1]
    content = bytearray(newest.read_bytes())
    content[-3] ^= 4
    newest.write_bytes({"truncated": content[:-40], "flipped": content, "empty": b""}[harm])
    watcher = CutShort()
    resume(tmp_path / "cut", progress=watcher)
    assert any("step-00000006.safetensors: truncated or damaged" in note for note in watcher.notes)
    assert any("after step 5" in note for note in watcher.notes)
    assert newest.with_name("step-00000006.safetensors.damaged").exists()
    assert differences(tmp_path / "whole", tmp_path / "cut") == []


def test_the_last_checkpoints_are_kept_and_the_rest_dropped(tmp_path):
    for kept in (1, 3):
        train(tiny_spec(training={"checkpoint_steps": 2, "checkpoints_kept": kept}), tmp_path / str(kept))
        steps = [load_checkpoint(path).info.step for path in RunFolder(tmp_path / str(kept)).states()]
        assert steps == [2, 4, 6, 8][-kept:]


def test_checkpoints_are_written_by_the_clock_too(tmp_path):
    train(tiny_spec(training={"checkpoint_minutes": 1e-9, "checkpoints_kept": 99}), tmp_path / "run")
    assert len(RunFolder(tmp_path / "run").states()) == 8
    train(tiny_spec(training={"checkpoint_minutes": None, "checkpoints_kept": 99}), tmp_path / "without")
    assert len(RunFolder(tmp_path / "without").states()) == 2


def test_how_often_checkpoints_are_written_is_no_part_of_the_experiment(tmp_path):
    often = tiny_spec(training={"checkpoint_steps": 1, "checkpoint_minutes": 1.0, "checkpoints_kept": 5})
    assert often.content_hash == tiny_spec().content_hash
    train(often, tmp_path / "often")
    train(tiny_spec(), tmp_path / "run")
    best = "checkpoints/best.safetensors"
    assert (tmp_path / "often" / best).read_bytes() == (tmp_path / "run" / best).read_bytes()


def test_a_run_without_a_checkpoint_begins_again_and_a_finished_one_stays(finished, tmp_path):
    _, summary, whole = finished
    (tmp_path / "young/checkpoints").mkdir(parents=True)
    shutil.copy(whole / "spec.yaml", tmp_path / "young")
    watcher = CutShort()
    resume(tmp_path / "young", progress=watcher)
    (note,) = [note for note in watcher.notes if note.startswith("warning: ")]
    assert note.endswith("starts from the beginning: it ended before its first checkpoint")
    assert differences(whole, tmp_path / "young") == []
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    assert resume(whole) == summary
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def test_a_run_that_lost_its_checkpoints_begins_again_and_says_what_is_lost(finished, tmp_path):
    _, _, whole = finished
    cut_short(tiny_spec(), tmp_path / "cut", 6)
    shutil.rmtree(tmp_path / "cut/checkpoints")
    watcher = CutShort()
    resume(tmp_path / "cut", progress=watcher)
    (note,) = [note for note in watcher.notes if note.startswith("warning: ")]
    assert note.endswith(
        "starts from the beginning: of the 5 steps in its log no whole checkpoint is left to go on from"
    )
    assert differences(whole, tmp_path / "cut") == []


def test_nothing_to_go_on_with_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="there is no such run"):
        resume(tmp_path / "nowhere")
    cut_short(tiny_spec(), tmp_path / "cut", 3)
    spec = tmp_path / "cut/spec.yaml"
    text = spec.read_text()
    spec.write_text(text.replace("limit: 60", "limit: 61"))
    with pytest.raises(CheckpointError, match="belongs to another experiment"):
        resume(tmp_path / "cut")
    spec.write_text(text)
    metrics = tmp_path / "cut/metrics.jsonl"
    metrics.write_bytes(b"{}\n" + metrics.read_bytes())
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: missing or damaged"):
        resume(tmp_path / "cut")


def test_other_images_under_the_same_spec_are_refused(tmp_path, monkeypatch):
    from qdeq.builders import build_data

    def touched(spec):
        splits = build_data(spec)
        return replace(splits, digests={**splits.digests, "train": "0" * 64})

    cut_short(tiny_spec(), tmp_path / "cut", 3)
    monkeypatch.setattr("qdeq.training.run.build_data", touched)
    with pytest.raises(CheckpointError, match="other training images"):
        resume(tmp_path / "cut")


def test_a_log_that_ends_in_half_a_line_is_cut_back(tmp_path):
    spec = tiny_spec()
    train(spec, tmp_path / "whole")
    cut_short(spec, tmp_path / "cut", 6)
    with (tmp_path / "cut/metrics.jsonl").open("ab") as file:
        file.write(b'{"kind": "step", "st')
    resume(tmp_path / "cut")
    assert differences(tmp_path / "whole", tmp_path / "cut") == []


def test_time_adds_up_over_the_parts(tmp_path):
    cut_short(tiny_spec(), tmp_path / "cut", 7)  # four steps, a validation, two steps
    steps, (epoch,) = read_metrics(tmp_path / "cut", "step"), read_metrics(tmp_path / "cut", "epoch")
    elapsed = cut_log(tmp_path / "cut/metrics.jsonl", 6, 1)
    assert elapsed.steps == pytest.approx(sum(step["time"]["seconds"] for step in steps))
    late = sum(step["time"]["seconds"] for step in steps[4:])
    assert elapsed.total == pytest.approx(epoch["time"]["seconds"] + late)
    assert resume(tmp_path / "cut").seconds > elapsed.total


def test_a_finished_run_whose_spec_was_edited_says_so(finished, tmp_path):
    _, _, whole = finished
    shutil.copytree(whole, tmp_path / "edited")
    spec = tmp_path / "edited/spec.yaml"
    spec.write_text(spec.read_text().replace("learning_rate: 0.03", "learning_rate: 0.02"))
    with pytest.raises(CheckpointError, match=r"another experiment \(training\.learning_rate: 0\.03, not 0\.02\)"):
        resume(tmp_path / "edited")


def test_a_run_that_lost_its_log_goes_on_and_says_so(tmp_path):
    spec = tiny_spec()
    train(spec, tmp_path / "whole")
    cut_short(spec, tmp_path / "cut", 6)
    (tmp_path / "cut/metrics.jsonl").unlink()
    watcher = CutShort()
    resume(tmp_path / "cut", progress=watcher)
    assert any("metrics.jsonl is gone" in note for note in watcher.notes)
    assert differences(tmp_path / "whole", tmp_path / "cut") == ["metrics.jsonl"]
    assert [record["step"] for record in read_metrics(tmp_path / "cut", "step")] == [6, 7, 8]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_two_processes_do_not_write_one_run(tmp_path):
    cut_short(tiny_spec(), tmp_path / "run", 3)
    with RunFolder(tmp_path / "run").writing():
        with pytest.raises(TrainingError, match="another process is writing this run"):
            resume(tmp_path / "run")
        with pytest.raises(TrainingError, match="another process is writing this run"):
            train(tiny_spec(), tmp_path / "run", force=True)
    resume(tmp_path / "run")


class FullDisk(MetricsWriter):
    """Writes to a disk without room, and tells of the file that it should have written."""

    def __init__(self, path):
        super().__init__(Path("/dev/full"))
        self._path = path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_a_full_disk_is_said_and_the_last_checkpoint_stays(tmp_path):
    spec = tiny_spec()
    train(spec, tmp_path / "whole")
    cut_short(spec, tmp_path / "cut", 6)
    before = RunFolder(tmp_path / "cut").states()[-1].read_bytes()
    folder = RunFolder(tmp_path / "cut")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qdeq.training.recorder.MetricsWriter", FullDisk)
        with pytest.raises(TrainingError, match=r"No space left on device\)\nMake room, then .*--resume"):
            resume(tmp_path / "cut")
    assert folder.states()[-1].read_bytes() == before
    resume(tmp_path / "cut")
    assert differences(tmp_path / "whole", tmp_path / "cut") == []


def test_warm_states_and_moments_are_in_the_checkpoint(tmp_path):
    cut_short(tiny_spec(training={"warm_start": True}), tmp_path / "run", 4)
    tensors = load_checkpoint(RunFolder(tmp_path / "run").checkpoint("last")).tensors
    assert tensors["warm_states"].shape == (60, 4)
    assert (tensors["warm_states"] != 0).any(dim=1).sum() == 60  # four steps are all images
    assert tensors["outcomes"].shape == (8, 60)
    assert {"optimizer.weights.exp_avg", "optimizer.weights.exp_avg_sq", "optimizer.weights.step"} <= set(tensors)
    assert torch.equal(tensors["optimizer.weights.step"], torch.tensor(4.0))


def test_the_log_can_be_read_while_it_is_written(tmp_path):
    seen = []

    class Reader(Progress):
        def stepped(self, record):
            seen.append(read_log(tmp_path / "run/metrics.jsonl")[-1]["step"])

    train(tiny_spec(), tmp_path / "run", progress=Reader())
    assert seen == list(range(1, 9))
    with (tmp_path / "run/metrics.jsonl").open("ab") as file:
        file.write(b'{"kind": "step", "step": 9')
    assert len(read_log(tmp_path / "run/metrics.jsonl")) == 10
