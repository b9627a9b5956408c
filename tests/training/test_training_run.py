"""A run: that it learns, what it writes, and that it can be repeated to the last digit."""

import json
import math

import pytest
import torch
from tiny_runs import read_metrics, tiny_spec, untimed

from qdeq.builders import build_data, build_model
from qdeq.training import Progress, RunFolder, RunSummary, evaluate, evaluate_run, load_checkpoint, train


def test_loss_goes_down_and_every_promised_file_is_there(finished):
    _, summary, folder = finished
    first, last = read_metrics(folder, "epoch")
    assert last["train"]["loss"] < first["train"]["loss"]
    assert last["validation"]["loss"] < math.log(4)
    for name in ("spec.yaml", "metrics.jsonl", "summary.json", "curves.png"):
        assert (folder / name).stat().st_size > 0
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {
        "best.safetensors",
        "step-00000004.safetensors",
        "step-00000008.safetensors",
    }
    assert RunSummary.read(folder / "summary.json") == summary


def test_every_image_is_used_once_an_epoch_the_last_batch_being_smaller(finished):
    _, _, folder = finished
    assert [record["samples"] for record in read_metrics(folder, "step")] == [16, 16, 16, 12] * 2
    assert [record["train"]["samples"] for record in read_metrics(folder, "epoch")] == [60, 60]


def test_same_spec_gives_the_same_numbers_to_the_last_digit_whatever_the_global_generator_holds(finished, tmp_path):
    spec, summary, folder = finished
    torch.manual_seed(12345)
    again = train(spec, tmp_path / "again")
    assert untimed(read_metrics(tmp_path / "again")) == untimed(read_metrics(folder))
    assert (again.validation, again.test) == (summary.validation, summary.test)
    for which in ("best", "last"):
        one, other = (RunFolder(path).checkpoint(which) for path in (tmp_path / "again", folder))
        assert one.read_bytes() == other.read_bytes()


def test_another_seed_gives_other_numbers_on_the_same_splits(finished, tmp_path):
    _, _, folder = finished
    train(tiny_spec(seed=1), tmp_path / "run")
    ours, theirs = read_metrics(tmp_path / "run", "step"), read_metrics(folder, "step")
    assert ours[0]["loss"] != theirs[0]["loss"]
    assert torch.equal(build_data(tiny_spec(seed=1)).test.features, build_data(tiny_spec()).test.features)


def test_best_checkpoint_is_the_one_of_lowest_validation_loss(tmp_path):
    # a rate this large makes the loss jump, so that the best epoch is not simply the last
    spec = tiny_spec(seed=3, model={"mode": "direct", "layers": 1}, training={"epochs": 20, "learning_rate": 2.0})
    summary = train(spec, tmp_path / "run")
    losses = {record["epoch"]: record["validation"]["loss"] for record in read_metrics(tmp_path / "run", "epoch")}
    best = min(losses, key=losses.__getitem__)
    assert best < 20
    info = load_checkpoint(tmp_path / "run/checkpoints/best.safetensors").info
    assert (info.epoch, info.validation_loss) == (best, losses[best]) == (summary.best_epoch, summary.validation.loss)
    assert load_checkpoint(RunFolder(tmp_path / "run").checkpoint("last")).info.epoch == 20


@pytest.mark.parametrize("which", ["best", "last"])
def test_an_evaluated_run_has_the_figures_of_its_training(finished, which):
    _, summary, folder = finished
    again = evaluate_run(folder, checkpoint=which)
    if which == "best":
        assert (again.validation, again.test) == (summary.validation, summary.test)
    else:
        assert again.validation.loss == read_metrics(folder, "epoch")[-1]["validation"]["loss"]


def test_evaluation_leaves_the_model_in_the_mode_it_was_in(finished):
    spec, _, _ = finished
    splits, model = build_data(spec), build_model(spec, 4)
    for training in (True, False):
        model.train(training)
        evaluate(model, splits.validation, spec)
        assert model.training is training


def test_warmup_trains_direct_layers_for_so_many_steps_and_then_the_equilibrium(tmp_path):
    train(tiny_spec(training={"warmup_steps": 6, "warmup_layers": 3}), tmp_path / "run")
    steps = read_metrics(tmp_path / "run", "step")
    assert [step["layers"] for step in steps] == [3] * 6 + [None] * 2
    assert [step["converged"] is None for step in steps] == [True] * 6 + [False] * 2
    assert all(step["evaluations"] == 3 for step in steps[:6])
    # validation is in the spec's mode all along
    assert all(epoch["validation"]["converged"] is not None for epoch in read_metrics(tmp_path / "run", "epoch"))


def test_direct_mode_measures_the_residual_in_evaluation_only(tmp_path):
    summary = train(tiny_spec(model={"mode": "direct", "layers": 2}, training={"epochs": 1}), tmp_path / "run")
    assert summary.train.residual_mean is None
    assert summary.test.residual_mean > 0
    assert summary.test.converged is None
    assert summary.solves == 0


@pytest.mark.parametrize("estimate", ["exact", "hutchinson"])
def test_jacobian_penalty_is_recorded_and_changes_the_training(finished, tmp_path, estimate):
    _, _, folder = finished
    spec = tiny_spec(training={"epochs": 1, "jacobian_weight": 5.0, "jacobian_estimate": estimate})
    train(spec, tmp_path / "run")
    ours, plain = read_metrics(tmp_path / "run", "step"), read_metrics(folder, "step")
    assert all(step["penalty"] > 0 for step in ours)
    assert all(step["penalty"] is None for step in plain)
    assert ours[0]["loss"] == plain[0]["loss"]  # the cross entropy alone, and dropout has a stream of its own
    assert ours[0]["gradient_norm"] != plain[0]["gradient_norm"]


def test_a_heavy_penalty_shrinks_the_jacobian(tmp_path):
    spec = tiny_spec(training={"epochs": 3, "jacobian_weight": 50.0, "learning_rate": 0.05})
    train(spec, tmp_path / "run")
    penalties = [step["penalty"] for step in read_metrics(tmp_path / "run", "step")]
    assert penalties[-1] < 0.7 * penalties[0]


def test_each_step_records_the_solve_and_the_backward_solve(finished):
    _, _, folder = finished
    for step in read_metrics(folder, "step"):
        assert 0 < step["residual_mean"] <= step["residual_max"]
        assert step["evaluations"] > 1
        assert 0 <= step["adjoint_residual_max"] < 1e-3  # float32, one dense solve
        assert step["adjoint_failed"] == 0


def test_failed_solves_are_counted_by_name_in_metrics_and_summary(tmp_path):
    spec = tiny_spec(solver={"max_steps": 1}, training={"epochs": 1})
    summary = train(spec, tmp_path / "run")
    assert summary.solves == 60
    assert summary.failed == {
        "max_steps": sum(s["failed"]["max_steps"] for s in read_metrics(tmp_path / "run", "step"))
    }
    assert summary.test.failed["max_steps"] == round((1 - summary.test.converged) * summary.test.samples) > 0


def test_double_precision_and_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    spec = tiny_spec(training={"epochs": 1, "precision": "float64", "tensorboard": True})
    train(spec, tmp_path / "run")
    assert any((tmp_path / "run/tensorboard").iterdir())
    tensors = load_checkpoint(RunFolder(tmp_path / "run").checkpoint("last")).tensors
    assert {tensor.dtype for name, tensor in tensors.items() if not name.endswith(".step")} == {torch.float64}


def test_what_differs_between_equal_runs_stands_apart_in_the_summary(finished):
    _, _, folder = finished
    data = json.loads((folder / "summary.json").read_text())
    assert set(data["time"]) == {"seconds", "samples_per_second"}
    assert data["memory"]["process_mib"] > 1


def test_progress_is_told_everything_in_order(tmp_path):
    class Recorder(Progress):
        def __init__(self):
            self.seen = []

        def started(self, plan):
            self.seen.append(("started", plan.steps))

        def stepped(self, record):
            self.seen.append(("step", record.step))

        def finished_epoch(self, record):
            self.seen.append(("epoch", record.epoch))

        def closed(self):
            self.seen.append("closed")

    recorder = Recorder()
    train(tiny_spec(training={"batch_size": 30}), tmp_path / "run", progress=recorder)
    steps = [("step", 1), ("step", 2), ("epoch", 1), ("step", 3), ("step", 4), ("epoch", 2)]
    assert recorder.seen == [("started", 4), *steps, "closed"]
