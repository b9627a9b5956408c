"""Training under shots: what ended the solves and what they spent is on record, and the same run gives the same."""

import io

import pytest
from rich.console import Console
from tiny_runs import read_metrics, tiny_spec, untimed

from qdeq.reports.live.runs import figures_line
from qdeq.reports.runs import summary_table
from qdeq.training import train

SHOTS = {"shots": 100, "data": {"limit": 24}, "training": {"epochs": 1, "batch_size": 16}}
GROWING = {"name": "broyden", "rtol": 1e-3, "first_shots": 25}


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("growing")
    return train(tiny_spec(solver=GROWING, **SHOTS), folder / "run"), folder / "run"


def test_metrics_say_what_ended_a_solve_and_what_it_spent(growing):
    summary, folder = growing
    for split in (summary.train, summary.validation, summary.test):
        assert split.noise_limited == 1.0
        assert split.converged == 0.0
        assert split.failed == {}
        # at least one evaluation with 25 shots and one with 100; at most all of them with 100
        assert 125 <= split.shots <= 100 * split.evaluations
    (epoch,) = read_metrics(folder, "epoch")
    assert epoch["train"]["noise_limited"] == 1.0
    assert epoch["validation"]["shots"] == pytest.approx(summary.validation.shots)
    assert summary.failed == {}
    assert summary.solves == 24


def test_tables_and_progress_show_it(growing):
    summary, _ = growing
    console = Console(file=io.StringIO(), width=100)
    console.print(summary_table(summary))
    text = " ".join(console.file.getvalue().split())
    assert "limited by noise 100.0 % 100.0 %" in text
    assert f"shots per solve {summary.validation.shots:,.0f} {summary.test.shots:,.0f}" in text
    assert "failed:" not in text
    assert "noise_limited: the residual cannot be told from the noise" in text
    assert "limited by noise 100.0 %" in figures_line(summary.validation)


def test_the_same_run_draws_the_same_shots(growing, tmp_path):
    _, folder = growing
    train(tiny_spec(solver=GROWING, **SHOTS), tmp_path / "run")
    assert untimed(read_metrics(tmp_path / "run")) == untimed(read_metrics(folder))


def test_exact_runs_have_nothing_to_say_of_noise(tmp_path):
    summary = train(tiny_spec(data={"limit": 24}, training={"epochs": 1}), tmp_path / "run")
    assert summary.test.noise_limited is summary.test.shots is None
    assert "noise" not in figures_line(summary.test)


def test_a_fixed_number_of_steps_is_no_verdict(tmp_path):
    spec = tiny_spec(solver={"name": "broyden", "fixed_steps": 2}, **SHOTS)
    summary = train(spec, tmp_path / "run")
    assert summary.test.noise_limited is summary.test.converged is None
    assert summary.test.shots == 300
    assert summary.test.evaluations == 3
