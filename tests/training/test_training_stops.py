"""What ends a run early, and what is kept then."""

import math
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from dataclasses import replace

import pytest
import torch
from patience import HANG, wait_until
from tiny_runs import read_metrics, tiny_spec

from qdeq.builders import build_model
from qdeq.errors import ConvergenceError, ConvergenceWarning, TrainingError
from qdeq.training import Progress, RunFolder, TrainingInterrupted, evaluate_run, load_checkpoint, train
from qdeq.training.environment import convergence_warnings_once
from qdeq.training.signals import deferred_interrupt

DIRECT = {"model": {"mode": "direct", "layers": 1}}


def poison(monkeypatch, spoil, at):
    """Make the logits of training step ``at`` go through ``spoil``."""

    def build(spec, num_classes):
        model, calls = build_model(spec, num_classes), []
        forward = model.forward

        def poisoned(x, **options):
            prediction = forward(x, **options)
            calls.append(model.training)
            return replace(prediction, logits=spoil(prediction.logits)) if sum(calls) == at else prediction

        model.forward = poisoned
        return model

    monkeypatch.setattr("qdeq.training.run.build_model", build)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda logits: logits * math.nan, "the loss is nan"),
        # zero in value, but the derivative of a root at zero is not finite
        (lambda logits: logits + 0 * (0 * logits).sqrt(), "the gradient's norm is nan"),
    ],
)
def test_a_loss_or_gradient_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
    monkeypatch, tmp_path, spoil, what
):
    poison(monkeypatch, spoil, at=6)  # the second step of the second epoch
    with pytest.raises(TrainingError, match=rf"step 6 \(epoch 2\): {what}.*\n.*learning_rate") as caught:
        train(tiny_spec(**DIRECT), tmp_path / "run")
    last = tmp_path / "run/checkpoints/step-00000004.safetensors"
    assert str(last) in str(caught.value)
    assert RunFolder(tmp_path / "run").checkpoint("last") == last
    assert all(bool(tensor.isfinite().all()) for tensor in load_checkpoint(last).tensors.values())
    assert len(read_metrics(tmp_path / "run", "step")) == 5


def test_weights_that_are_no_longer_finite_stop_it_too(tmp_path):
    with pytest.raises(TrainingError, match=r"step 1 \(epoch 1\): the weights that it leads to.*\n.*learning_rate"):
        train(tiny_spec(**DIRECT, training={"learning_rate": 1e38}), tmp_path / "run")


def test_nothing_good_yet_is_said_so(monkeypatch, tmp_path):
    poison(monkeypatch, lambda logits: logits * math.inf, at=1)
    with pytest.raises(TrainingError, match="no checkpoint was written yet"):
        train(tiny_spec(**DIRECT), tmp_path / "run")


class Interrupt(Progress):
    def __init__(self, at):
        self.at, self.notes, self.was_closed = at, [], False

    def stepped(self, record):
        if record.step == self.at:
            raise KeyboardInterrupt

    def noted(self, message):
        self.notes.append(message)

    def closed(self):
        self.was_closed = True


def test_interrupt_keeps_and_names_the_last_checkpoint(tmp_path):
    watcher = Interrupt(at=6)
    with pytest.raises(TrainingInterrupted) as caught:
        train(tiny_spec(**DIRECT), tmp_path / "run", progress=watcher)
    assert watcher.was_closed
    last = tmp_path / "run/checkpoints/step-00000006.safetensors"
    assert str(last) in str(caught.value)
    assert f"qdeq train --resume {tmp_path / 'run'}" in str(caught.value)
    assert (load_checkpoint(last).info.step, load_checkpoint(last).info.epoch) == (6, 1)
    assert evaluate_run(tmp_path / "run", checkpoint="last").test.samples == 145
    assert load_checkpoint(tmp_path / "run/checkpoints/best.safetensors").info.step == 4


def test_interrupt_in_the_final_evaluation_leaves_the_last_weights_in_last(monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("qdeq.training.trainer.peak_memory", interrupted)
    with pytest.raises(TrainingInterrupted):
        train(tiny_spec(**DIRECT), tmp_path / "run")
    assert load_checkpoint(RunFolder(tmp_path / "run").checkpoint("last")).info.validation_loss is not None


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_to_the_command_line_keeps_everything_and_says_how_to_go_on(tmp_path, number, code, word):
    config = tmp_path / "config.yaml"
    config.write_text(tiny_spec(**DIRECT, training={"epochs": 100_000}).to_yaml())
    process = subprocess.Popen(
        [sys.executable, "-m", "qdeq", "train", str(config), "--out", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        metrics = tmp_path / "run/metrics.jsonl"
        wait_until(lambda: metrics.exists() and metrics.stat().st_size > 5_000, process)
        process.send_signal(number)
        output, errors = process.communicate(timeout=HANG)
    finally:
        process.kill()
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    last = RunFolder(tmp_path / "run").checkpoint("last")
    assert str(last) in errors
    assert f"qdeq train --resume {tmp_path / 'run'}" in errors
    step = load_checkpoint(last).info.step
    assert int(re.search(rf"{word} after step (\d+)", errors)[1]) == step == len(read_metrics(tmp_path / "run", "step"))
    assert "\x1b" not in output


def test_failed_solves_are_warned_of_once_in_one_line(tmp_path):
    watcher = Interrupt(at=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none may get past the trainer
        train(tiny_spec(solver={"max_steps": 1}, training={"epochs": 1}), tmp_path / "run", progress=watcher)
    data, note = watcher.notes
    assert data.startswith("data: digits, ")
    assert "\n" not in note
    assert "max_steps" in note


def test_other_warnings_go_their_way():
    notes = []

    def work():
        with convergence_warnings_once(notes.append):
            warnings.warn("unrelated", UserWarning, stacklevel=1)
            warnings.warn("a solve\nfailed.", ConvergenceWarning, stacklevel=1)
            warnings.warn("another", ConvergenceWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="unrelated"):
        work()
    assert notes == ["warning: a solve; failed. Later failures are only counted."]


def test_on_failure_raise_stops_the_run(tmp_path):
    with pytest.raises(ConvergenceError, match=r"after step 0: (.|\n)*max_steps"):
        train(tiny_spec(solver={"max_steps": 1, "on_failure": "raise"}), tmp_path / "run")


def test_deferred_interrupt_waits_for_the_end_of_the_block():
    reached = []

    def work():
        with deferred_interrupt():
            signal.raise_signal(signal.SIGINT)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_works_in_another_thread(tmp_path):
    done = []

    def run():
        torch.set_num_threads(1)
        done.append(train(tiny_spec(**DIRECT, training={"epochs": 1}), tmp_path / "run"))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done
