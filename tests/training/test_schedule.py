"""The step size over a run."""

import math

import pytest
import torch
from tiny_runs import differences, tiny_record, tiny_spec
from torch import nn

from qdeq.builders import build_data, build_model
from qdeq.training import Progress, TrainingInterrupted, resume, train
from qdeq.training.schedule import learning_rate
from qdeq.training.state import TrainingState

COSINE = {"schedule": "cosine", "learning_rate": 0.2}


def test_the_cosine_begins_at_the_whole_rate_is_half_in_the_middle_and_ends_near_zero():
    options = tiny_spec(training=COSINE).training
    rates = [learning_rate(options, step, 8) for step in range(1, 9)]
    assert rates[0] == 0.2
    assert rates[4] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.1 * (1 - math.cos(math.pi / 8)))
    assert rates == sorted(rates, reverse=True)
    assert learning_rate(tiny_spec().training, 7, 8) == 0.03


def test_a_step_moves_the_weights_by_the_rate_that_it_is_given():
    """Adam's first step is the rate times the gradient's sign."""
    spec = tiny_spec()
    model = build_model(spec, 4)
    state = TrainingState(spec, model, build_data(spec).train, tiny_record(spec))
    before = nn.utils.parameters_to_vector(state.parameters).clone()
    for parameter in state.parameters:
        parameter.grad = torch.ones_like(parameter)
    state.take_step(0.125)
    assert state.step == 1
    moved = before - nn.utils.parameters_to_vector(state.parameters)
    torch.testing.assert_close(moved, torch.full_like(moved, 0.125), atol=1e-6, rtol=0)


def test_a_run_that_was_cut_goes_on_with_the_rate_of_its_step(tmp_path):
    class Cut(Progress):
        def stepped(self, record):
            if record.step == 3:
                raise KeyboardInterrupt

    spec = tiny_spec(training=COSINE)
    train(spec, tmp_path / "whole")
    with pytest.raises(TrainingInterrupted):
        train(spec, tmp_path / "cut", progress=Cut())
    resume(tmp_path / "cut")
    assert differences(tmp_path / "whole", tmp_path / "cut") == []
    train(tiny_spec(training={"learning_rate": 0.2}), tmp_path / "constant")
    assert "best.safetensors" in differences(tmp_path / "whole", tmp_path / "constant")
