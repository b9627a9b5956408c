"""Trained models under noise and shots: what has to come out where it is known."""

import csv
import io

import pytest
from reproduce_files import ON_DIGITS, documented_keys

from qdeq.reports.noise_study import blocks, noise_csv, noise_markdown
from qdeq.reports.plots.noise_study import draw_noise
from qdeq.reproduce import load_table, reproduce, study_noise
from qdeq.sweeps import SweepFolder
from qdeq.training import evaluate_run, train

TABLE = load_table("noise").model_copy(
    update={"noise": load_table("noise").noise.model_copy(update={"rates": [0.0, 0.01, 0.75], "shots": [20, 20_000]})}
)
SAME_RESIDUAL = 1e-6
"""float32 residuals of order 1e-3 to 1, by two orders of summation."""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("noise")
    options = {"seeds": 1, "epochs": 6, "changes": ON_DIGITS}
    sweep = TABLE.sweep(**options, train_images=60)
    folder = SweepFolder(path)
    folder.create(sweep)
    for cell in sweep.cells:
        train(cell.spec, folder.run(cell))
    return study_noise(reproduce(TABLE, path, **options))


def one(study, row, kind, level, figure):
    return study.of(row, kind, level, figure).mean


def test_without_noise_it_is_the_evaluation_of_the_run(study):
    for result in study.trained.result.cells:
        test = evaluate_run(result.folder).test
        for kind, level in (("depolarising", 0.0), ("shots", None)):
            row = result.cell.variant
            assert one(study, row, kind, level, "accuracy") == test.accuracy
            assert one(study, row, kind, level, "circuits") == test.evaluations
            assert one(study, row, kind, level, "residual") == pytest.approx(test.residual_mean, abs=SAME_RESIDUAL)
            assert one(study, row, kind, level, "agreement") == 1.0


def test_full_noise_leaves_nothing_to_see(study):
    # with p = 3/4 every gate leaves the maximally mixed state, whose expectations of Z are 0: the labels are constant
    assert {each.images for each in study.measurements} == {145}
    for row in study.rows:
        assert one(study, row, "depolarising", 0.75, "accuracy") < 0.3
        assert one(study, row, "depolarising", 0.01, "agreement") > one(study, row, "depolarising", 0.75, "agreement")


def test_circuits_and_shots_of_a_prediction(study):
    for layers in (1, 5, 10):
        assert one(study, f"DIRECT {layers}", "shots", 20, "circuits") == layers
        assert one(study, f"DIRECT {layers}", "shots", 20, "shots") == 20 * layers
    assert one(study, "IMPLICIT, 5 steps", "shots", 20, "circuits") == 6
    assert one(study, "IMPLICIT, 5 steps", "shots", 20, "shots") == 120
    few, many = (one(study, "IMPLICIT", "shots", shots, "circuits") for shots in (20, 20_000))
    assert 1 <= few < many
    assert one(study, "IMPLICIT", "shots", 20_000, "shots") == pytest.approx(20_000 * many)


def test_many_shots_come_close_to_exact_expectations(study):
    for row in study.rows:
        assert one(study, row, "shots", 20_000, "agreement") > 0.9
        assert one(study, row, "shots", 20_000, "residual") < one(study, row, "shots", 20, "residual")
        # the gates are perfect, so that the noisy map is the noiseless one
        assert one(study, row, "shots", 20, "residual") == one(study, row, "shots", 20, "noiseless_residual")


def test_noise_moves_the_equilibrium_and_not_only_the_value(study):
    # the solver solves the noisy map; that of the model it was trained with is another one
    noisy, noiseless = (
        one(study, "IMPLICIT", "depolarising", 0.01, f"{which}residual") for which in ("", "noiseless_")
    )
    assert noisy < 1e-3 < 0.01 < noiseless


def test_text_and_pictures(study):
    assert study.rows == ("IMPLICIT", "IMPLICIT, 5 steps", "DIRECT 1", "DIRECT 5", "DIRECT 10")
    text = noise_markdown(study)
    assert "| p | IMPLICIT | IMPLICIT, 5 steps | DIRECT 1 | DIRECT 5 | DIRECT 10 |" in text
    assert [row[0] for row in blocks(study)[0][2]] == ["0", "0.01", "0.75"]
    rows = list(csv.DictReader(io.StringIO(noise_csv(study))))
    assert len(rows) == len(study.measurements) == 5 * 6
    for figure in ("accuracy", "residual"):
        panels = draw_noise(study, figure).axes
        assert len(panels) == 2
        lines = {line.get_label(): line for line in panels[0].lines if not line.get_label().startswith("_")}
        assert set(lines) == set(study.rows)
    drawn = draw_noise(study).axes[0].lines
    implicit = next(line for line in drawn if line.get_label() == "IMPLICIT")
    wanted = [100 * one(study, "IMPLICIT", "depolarising", level, "accuracy") for level in (0.0, 0.01, 0.75)]
    assert list(implicit.get_ydata()) == pytest.approx(wanted)
    assert study.to_json().count('"kind": "shots"') == 2 * 15
    assert documented_keys("qdeq reproduce noise") == list(study.to_data())
