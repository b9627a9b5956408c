"""The equilibria of a saved run, examined: figures, other starts, table, picture and JSON."""

import io
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny_runs import tiny_spec

from qdeq.builders import build_data, build_model
from qdeq.errors import UnsupportedError
from qdeq.reports.plots.stability import draw_stability
from qdeq.reports.stability import SHOWN, stability_table
from qdeq.solvers import Broyden, Status
from qdeq.stability import Equilibria, Stability
from qdeq.training import evaluate_run, train
from qdeq.training.examine import examine_run


@pytest.fixture(scope="module")
def examined(finished):
    _, _, folder = finished
    return examine_run(folder, samples=20, starts=6)


def printed(renderable):
    console = Console(file=io.StringIO(), width=100)
    console.print(renderable)
    return console.file.getvalue()


def test_it_is_about_the_equilibria_that_an_evaluation_finds(finished):
    _, summary, folder = finished
    result = examine_run(folder, samples=10_000, starts=2)
    assert len(result.images) == result.of == 145  # no more than there are
    test = evaluate_run(folder).test
    assert float(result.stability.spectral_radius.mean()) == pytest.approx(test.spectral_radius_mean, rel=1e-6)
    assert float(result.stability.norm.max()) == pytest.approx(test.jacobian_norm_max, rel=1e-6)
    assert float(result.certified.double().mean()) == test.certified
    assert float(result.residual.max()) == pytest.approx(summary.test.residual_max, rel=1e-6)


def test_start_zero_is_the_runs_own_and_every_equilibrium_is_a_fixed_point(finished, examined):
    spec, _, _ = finished
    assert examined.equilibria.value.shape == (20, 6, 4)
    assert (examined.equilibria.label[:, 0] == 0).all()
    own = examined.equilibria.stability.spectral_radius[:, 0]
    torch.testing.assert_close(own, examined.stability.spectral_radius, rtol=1e-6, atol=0)
    assert (examined.equilibria.count >= 1).all()
    assert len(build_data(spec).test.labels[examined.images]) == 20


def test_images_and_starts_are_drawn_by_the_seed(finished, examined):
    _, _, folder = finished
    assert examine_run(folder, samples=20, starts=6).to_json() == examined.to_json()
    assert not torch.equal(examine_run(folder, samples=20, starts=1, seed=1).images, examined.images)


def test_an_images_figures_do_not_depend_on_how_many_are_examined(finished, examined):
    _, _, folder = finished
    every = examine_run(folder, samples=145, starts=6)
    chosen = every.equilibria.label[examined.images]
    assert torch.equal(chosen, examined.equilibria.label)


def test_the_json_has_every_image(examined):
    data = json.loads(examined.to_json())
    assert (data["name"], data["starts"], data["space"]) == ("tiny", 6, "y")
    assert [image["image"] for image in data["images"]] == examined.images.tolist()
    for image in data["images"]:
        assert sum(found["starts"] for found in image["equilibria"]) + image["failed_starts"] == 6
        assert image["equilibria"][0]["spectral_radius"] <= image["equilibria"][0]["norm"]
        assert image["certified"] == (image["norm"] < 1)
        assert image["status"] == "converged"


def test_the_table_has_all_figures(examined):
    text = printed(stability_table(examined))
    for words in ("20 of 145 test images", "6 starts each", "spectral radius of J", "||J||_2", "||(1 - J)^-1||_2",
                  "certified contraction", "equilibria found, from all starts", "0 of 120 solves did not"):  # fmt: skip
        assert words in text


def several(examined):
    """The same images with two equilibria each: starts 0 to 3 led to one, 5 to another that repels, 4 nowhere."""
    label = torch.tensor([0, 0, 0, 0, -1, 5]).repeat(20, 1)
    radius = torch.tensor([0.4] * 5 + [1.6], dtype=torch.float64).repeat(20, 1)
    stability = Stability(radius, 2 * radius, 3 * radius)
    return replace(examined, equilibria=Equilibria(examined.equilibria.value, label, stability))


def test_images_with_several_equilibria_are_named(examined):
    text = printed(stability_table(several(examined)))
    assert (
        f"image {int(examined.images[0])}: radius 0.400 (4 starts, y0 = 0 among them); radius 1.600 (1 start)" in text
    )
    assert f"... and {20 - SHOWN} more" in text
    assert "20 of 120 solves did not converge" in text
    assert "20 of 40" in text  # attract


def test_the_picture_has_three_histograms_of_all_images(examined):
    for result in (examined, several(examined)):
        radius, norm, number = draw_stability(result).axes
        for axes, figure in ((radius, result.stability.spectral_radius), (norm, result.stability.norm)):
            assert sum(patch.get_height() for patch in axes.patches) == 20
            assert axes.get_xlim()[1] >= max(1.0, float(figure.max()))
        assert sum(patch.get_height() for patch in number.patches) == 20
    broken = replace(examined, stability=examined.stability.map(lambda row: torch.full_like(row, np.inf)))
    draw_stability(broken).canvas.draw()


@pytest.mark.parametrize("on_failure", ["warn", "raise"])
def test_failed_solves_are_findings_also_where_training_would_stop_at_one(finished, monkeypatch, on_failure):
    def with_too_few_steps(*arguments, **options):
        model = build_model(*arguments, **options)
        model.equilibrium.solver = Broyden(max_steps=3, rtol=1e-6)
        model.equilibrium.on_failure = on_failure
        return model

    monkeypatch.setattr("qdeq.training.saved.build_model", with_too_few_steps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = examine_run(finished[2], samples=10, starts=3)
    assert (result.status == Status.MAX_STEPS).any()
    assert not result.certified[result.status != Status.CONVERGED].any()
    assert int(result.equilibria.failed.sum()) > 0


def test_a_run_of_direct_layers_is_examined_at_the_equilibria_of_its_function(tmp_path):
    train(tiny_spec(model={"mode": "direct", "layers": 1}, training={"epochs": 1}), tmp_path / "run")
    result = examine_run(tmp_path / "run", samples=4, starts=2)
    assert (result.status == Status.CONVERGED).all()


@pytest.mark.parametrize("options", [{"shots": 50}, {"solver": {"name": "broyden", "fixed_steps": 2}}])
def test_a_run_without_convergence_is_refused(tmp_path, options):
    spec = tiny_spec(training={"epochs": 1, "batch_size": 60}, data={"limit": 8}, **options)
    train(spec, tmp_path / "run")
    with pytest.raises(UnsupportedError, match=r"no state is an equilibrium.*\n.*shots: null"):
        examine_run(tmp_path / "run")
