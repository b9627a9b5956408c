"""Tables, curves and the screen."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from tiny_runs import read_metrics

from qdeq.reports.live.runs import LineDisplay, LiveDisplay, make_progress
from qdeq.reports.plots.curves import draw_curves
from qdeq.reports.runs import summary_table
from qdeq.training import EpochRecord, Metrics, Plan, StepRecord
from qdeq.training.metrics import Outcomes

FIGURES = Metrics(
    samples=10, loss=0.5, accuracy=0.8, residual_mean=1e-4, residual_max=1e-3, converged=0.9, failed={"max_steps": 1},
    evaluations=5.0,
)  # fmt: skip
STABILITY = ("spectral_radius_mean", "spectral_radius_max", "jacobian_norm_mean", "jacobian_norm_max", "certified")


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
        "spectral radius, mean",
        "||J||_2, largest",
        "certified, ||J||_2 < 1",
        "peak memory",
    ):
        assert what in text
    assert f"{100 * summary.test.accuracy:.1f} %" in text
    assert f"parameters trained  {summary.parameters:,}" in text
    assert str(folder / "checkpoints/best.safetensors") in text  # in one piece, however long
    assert "\x1b" not in text
    blank = dict.fromkeys(STABILITY)
    plain = replace(summary, validation=replace(summary.validation, **blank), test=replace(summary.test, **blank))
    assert "radius" not in printed(summary_table(plain))


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
        shots=np.full(3, nan),
        spectral_radius=np.full(3, nan),
        jacobian_norm=np.full(3, nan),
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


def test_live_display_shows_training_and_validation(monkeypatch):
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


PANELS = ["Accuracy", "Loss", "Residual of the equilibrium", "Solver effort"]


def panels(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def test_curves_have_a_panel_for_every_figure_with_both_splits(finished):
    _, _, folder = finished
    found = panels(draw_curves(read_metrics(folder)))
    assert sorted(found) == [*PANELS[:2], "Norm of the Jacobian", *PANELS[2:], "Spectral radius of the Jacobian"]
    assert found["Residual of the equilibrium"].get_yscale() == "log"
    assert all(len(axes.lines) >= 2 for axes in found.values())
    radius = found["Spectral radius of the Jacobian"]
    validation = [epoch["validation"]["spectral_radius_max"] for epoch in read_metrics(folder, "epoch")]
    assert validation in [list(line.get_ydata()) for line in radius.lines]
    assert radius.get_ylim()[1] > 1  # the line at 1 is in sight


def test_curves_of_a_run_whose_jacobians_were_not_measured_have_four_panels(finished):
    _, _, folder = finished
    records = read_metrics(folder)
    for record in records:  # as an older version wrote them
        for part in (record, record.get("train", {}), record.get("validation", {})):
            for key in STABILITY:
                part.pop(key, None)
    assert sorted(panels(draw_curves(records))) == PANELS
    without = epoch(1).to_dict()  # and as this one does, with null
    assert without["validation"]["certified"] is None
    assert sorted(panels(draw_curves([without]))) == PANELS


def test_a_norm_far_above_one_takes_a_logarithmic_axis():
    large = replace(FIGURES, spectral_radius_mean=0.5, spectral_radius_max=2.0, jacobian_norm_mean=3.0)
    records = [EpochRecord(n, n, large, replace(large, jacobian_norm_max=500.0), True, 1.0).to_dict() for n in (1, 2)]
    found = panels(draw_curves(records))
    assert found["Norm of the Jacobian"].get_yscale() == "log"
    assert found["Spectral radius of the Jacobian"].get_yscale() == "linear"


def test_curves_of_a_run_that_was_cut_short_can_be_drawn():
    draw_curves([]).canvas.draw()
    draw_curves([step(1).to_dict()]).canvas.draw()
    blank = replace(FIGURES, loss=None, residual_mean=None, residual_max=0.0)
    draw_curves([step(1).to_dict(), EpochRecord(1, 4, blank, blank, True, 1.0).to_dict()]).canvas.draw()


def test_final_table_says_what_the_data_were(finished):
    _, summary, _ = finished
    assert summary.dataset == "digits"
    other = "mnist (not the published files)"
    assert other in printed(summary_table(replace(summary, dataset=other)))
