"""Tables, curves and the screen."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from tiny_runs import read_metrics

from qdeq.reports.curves import draw_curves
from qdeq.reports.tables import summary_table
from qdeq.training import EpochRecord, Metrics, Plan, StepRecord
from qdeq.training.display import LineDisplay, LiveDisplay, make_progress
from qdeq.training.metrics import Outcomes

FIGURES = Metrics(10, 0.5, 0.8, 1e-4, 1e-3, 0.9, {"max_steps": 1}, 5.0)


def epoch(number, best=False):
    return EpochRecord(number, 4 * number, FIGURES, FIGURES, best, 0.1)


def step(number):
    return StepRecord(number, 1, None, FIGURES, None, 0.1, 1e-7, 0, 0.01)


def printed(renderable, **options):
    console = Console(file=io.StringIO(), width=100, **options)
    console.print(renderable)
    return console.file.getvalue()


def test_final_table_has_every_figure_and_every_file(finished):
    _, summary, folder = finished
    text = printed(summary_table(summary))
    for what in (
        "accuracy",
        "loss",
        "residual, mean",
        "worst sample",
        "converged",
        "evaluations per solve",
        "peak memory",
    ):
        assert what in text
    assert f"{100 * summary.test.accuracy:.1f} %" in text
    assert f"parameters trained  {summary.parameters:,}" in text
    assert str(folder / "checkpoints/best.safetensors") in text  # in one piece, however long
    assert "\x1b" not in text


def test_final_table_names_failures_with_their_remedy(finished):
    _, summary, _ = finished
    failing = replace(
        summary, failed={"max_steps": 7}, test=replace(FIGURES, residual_max=None, failed={"non_finite": 2})
    )
    text = " ".join(printed(summary_table(failing)).split())
    assert f"7 of {summary.solves} in training" in text
    assert "failed: non_finite 0 2" in text
    assert "not finite" in text
    assert "max_steps: no convergence within max_steps" in text
    assert "Remedy:" in text


def test_metrics_of_a_sample_that_blew_up_do_not_hide_the_others():
    nan = math.nan
    outcomes = Outcomes(
        loss=np.array([1.0, 3.0, 2.0]),
        correct=np.array([1.0, 0.0, 0.0]),
        evaluations=np.array([2.0, 4.0, 6.0]),
        residual=np.array([1e-3, 3e-3, np.inf]),
        status=np.array([0.0, 1.0, 2.0]),
    )
    metrics = outcomes.metrics()
    assert metrics.residual_mean == pytest.approx(2e-3)
    assert metrics.residual_max is None
    assert metrics.failed == {"max_steps": 1, "non_finite": 1}
    assert metrics.converged == pytest.approx(1 / 3)
    assert replace(outcomes, loss=np.array([nan, 1, 1])).metrics().loss is None


def test_lines_are_few_and_plain():
    console = Console(file=io.StringIO(), width=80)
    display = make_progress(console)
    assert isinstance(display, LineDisplay)
    display.started(Plan("x", 100, 400, 4, 0))
    for number in range(1, 101):
        display.finished_epoch(epoch(number))
    display.closed()
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 3  # the plan, the first and the last epoch
    assert lines[2].startswith("epoch 100: train loss 0.500 accuracy 80.0 %")
    assert "failed 1" in lines[2]
    assert "\x1b" not in console.file.getvalue()


def test_live_display_shows_training_and_validation():
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    display = make_progress(console)
    assert isinstance(display, LiveDisplay)
    display.started(Plan("x", 2, 8, 4, 0))
    display.stepped(step(1))
    display.finished_epoch(epoch(1, best=True))
    display.noted("[warning] a note")
    display._live.refresh()
    display.closed()
    text = console.file.getvalue()
    for what in (
        "epoch 1/2",
        "1/8",
        "loss 0.500",
        "accuracy 80.0 %",
        "residual 1.0e-04",
        "evaluations 5.0",
        "samples/s",
    ):
        assert what in text
    assert "validation  loss 0.500" in text
    assert "[warning] a note" in text  # brackets are no markup here


def test_curves_have_four_panels_with_both_splits(finished):
    _, _, folder = finished
    figure = draw_curves(read_metrics(folder))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Loss", "Accuracy", "Residual of the equilibrium", "Solver effort"]
    assert figure.axes[2].get_yscale() == "log"
    assert all(len(axes.lines) >= 2 for axes in figure.axes)


def test_curves_of_a_run_that_was_cut_short_can_be_drawn():
    draw_curves([]).canvas.draw()
    draw_curves([step(1).to_dict()]).canvas.draw()
    blank = replace(FIGURES, loss=None, residual_mean=None, residual_max=0.0)
    draw_curves([step(1).to_dict(), EpochRecord(1, 4, blank, blank, True, 1.0).to_dict()]).canvas.draw()
