"""What a page is put together from: numbers against independent ones, markup that escapes, colours that differ."""

import base64
import io
import itertools
import math
import re
from importlib.resources import files

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from page_reader import read
from report_runs import HOSTILE, small_spec
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from qdeq.builders import build_data
from qdeq.data import FeatureMap
from qdeq.reports.html.chart import Chart
from qdeq.reports.html.comparison import best_of, flattened
from qdeq.reports.html.images import PIXELS, data_uri, pictures_of
from qdeq.reports.html.intervals import wilson
from qdeq.reports.html.markup import Markup, escape, tag
from qdeq.reports.html.predictions import confusion_counts, right_ones, wrong_ones
from qdeq.reports.html.scales import Scale, linear, logarithmic
from qdeq.reports.html.solves import TestSolves, Trajectories
from qdeq.solvers import Naive, Newton, solve, solve_in_turn

ROUNDED = 1e-12
"""Rounding of a few float64 operations on numbers of order one."""

FROM_FLOAT32 = 2e-6
"""The same features, once through images that were stored, once in a split: float32 sums over a few pixels."""


@pytest.mark.parametrize(("right", "of"), [(0, 7), (1, 7), (136, 145), (145, 145), (9_350, 10_000)])
def test_the_interval_is_wilsons(right, of):
    expected = binomtest(right, of).proportion_ci(0.95, method="wilson")
    assert wilson(right, of) == pytest.approx((expected.low, expected.high), abs=ROUNDED)


def test_all_text_is_escaped():
    shown = read(tag("p", HOSTILE, [HOSTILE, None, 3], title=HOSTILE, hidden=True, lang=None))
    paragraph = shown.one("p")
    assert paragraph.text == HOSTILE + HOSTILE + "3"
    assert paragraph.attributes == {"title": HOSTILE, "hidden": None}
    assert not paragraph.all()
    assert tag("b", Markup("<i>x</i>")) == "<b><i>x</i></b>"
    assert escape("\u202edrow\x00") == r"\u202edrow\x00"


def test_a_scale_goes_there_and_back():
    for scale in (Scale(-3.0, 5.0), Scale(1e-6, 10.0, log=True)):
        for place in (0.0, 0.3, 1.0):
            assert scale.at(scale.value(place)) == pytest.approx(place, abs=ROUNDED)
        assert (scale.at(scale.low / 2 if scale.log else -9), scale.at(1e9)) == (0.0, 1.0)


def test_ticks():
    assert [label for _, label in Scale(0, 1).ticks()] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [label for _, label in Scale(0, 2_000).ticks()] == ["0", "500", "1,000", "1,500", "2,000"]
    assert [label for _, label in Scale(0, 2, whole=True).ticks()] == ["0", "1", "2"]
    assert [label for _, label in Scale(5e-4, 20, log=True).ticks()] == ["10⁻³", "10⁻²", "10⁻¹", "10⁰", "10¹"]
    many = Scale(1e-12, 1, log=True).ticks()
    assert len(many) == 13
    assert 0 < sum(bool(label) for _, label in many) <= 7


def test_scales_hold_what_is_drawn():
    assert linear([2.0, 3.0], include=[0.0]).low == 0.0
    assert linear([99.0], most=100.0).high == 100.0
    assert linear([]).high > linear([]).low
    flat = linear([7.0])
    assert flat.low < 7 < flat.high
    narrow = logarithmic([1e-4, 1.1e-4, math.inf, 0.0])
    assert narrow.high / narrow.low == pytest.approx(100, rel=1e-6)  # two decades, so that noise is no trend


def test_a_line_is_broken_where_nothing_was_measured():
    chart = Chart("t", Scale(0, 4), Scale(0, 1), "x", "y", "told")
    chart.line([(0, 0.0), (1, 0.5), (2, None), (3, math.nan), (4, 1.0)], "c0", ["a", "b", "c", "d", "e"])
    svg = read(chart.figure()).one("svg", role="img")
    assert svg.attributes["aria-label"] == "t: told"
    assert len(svg.all("path", class_="line")) == 1
    assert len(svg.all("circle", class_="dot")) == 1  # a point alone
    assert [title.text for title in svg.all("title")] == ["a", "b", "e"]


# y -> y / 4 + 3 from 0: y_k = 4 (1 - 4^-k), the residual is 3 4^-k and f(y_k) = 4 - 4^-k.
def relative(k):
    return 3 * 4.0**-k / (4 - 4.0**-k)


def quarter(y, *_):
    return y / 4 + 3


def test_trajectories_of_plain_iteration():
    # the second one is there already, the third begins at the first one's second iterate
    y0 = torch.tensor([[0.0], [4.0], [3.0]], dtype=torch.float64)
    found = Trajectories.of(solve(Naive(rtol=1e-3, atol=0), quarter, y0, trace=True))
    expected = [relative(k) for k in range(6)]
    assert found.residuals[:, 0] == pytest.approx(expected, rel=1e-9)
    assert found.residuals[:, 1].tolist() == [0.0] * 6
    assert found.residuals[:, 2] == pytest.approx(expected[1:] + expected[-1:], rel=1e-9)
    assert found.ended.tolist() == [6, 1, 5]
    assert found.quantile(0.1).tolist() == [0.0] * 6
    assert found.quantile(0.5)[:2] == pytest.approx(expected[1:3], rel=1e-9)
    assert found.quantile(0.9) == pytest.approx(expected, rel=1e-9)


def test_trajectories_go_on_with_the_next_solver():
    y0 = torch.zeros(1, 1, dtype=torch.float64)
    found = Trajectories.of(solve_in_turn([Naive(max_steps=2, rtol=1e-9), Newton(rtol=1e-9)], quarter, y0, trace=True))
    again = [relative(k) for k in (0, 1, 2, 0)]
    assert found.residuals[:4, 0] == pytest.approx(again, rel=1e-9)
    assert found.residuals[-1, 0] < 1e-9


def test_a_residual_that_is_not_finite_does_not_spoil_the_band():
    found = Trajectories(np.array([[1.0, 2.0, 3.0, np.inf]]), np.ones(4, dtype=int))
    assert found.quantile(0.5).tolist() == [2.0]
    assert found.quantile(0.9).tolist() == [np.inf]


def solved(labels, probabilities):
    labels, probabilities = np.array(labels), np.array(probabilities)
    blank = Trajectories(np.ones((1, 1)), np.ones(1, dtype=int))
    places = np.arange(len(labels))
    return TestSolves(places, len(labels), np.zeros((len(labels), 2, 2)), labels, probabilities, None, True, blank)


def test_which_images_are_shown():
    chances = [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.05, 0.95], [0.6, 0.4], [0.51, 0.49]]
    solves = solved([0, 0, 1, 0, 1, 0], chances)
    assert wrong_ones(solves) == [3, 1, 4]
    assert right_ones(solves, 2) == [0, 2, 5]


def test_confusion_counts():
    draw = np.random.default_rng(1)
    labels, predicted = draw.integers(0, 5, (2, 300))
    labels[labels == 4] = 0  # a class without images keeps its row
    expected = confusion_matrix(labels, predicted, labels=range(5))
    assert confusion_counts(labels, predicted, 5).tolist() == expected.tolist()


def test_best():
    assert best_of([1.0, 3.0, None, 3.0], "most") == [1, 3]
    assert best_of([1.0, 3.0, None], "least") == [0]
    for nobody in ([2.0, 2.0], [None, 2.0], [None, None]):
        assert best_of(nobody, "most") == []
    assert best_of([1.0, 2.0], None) == []


def test_flattened_specs():
    data = {"a": {"b": None, "c": [1, {"d": 2}]}, "e": "text", "f": {}}
    assert flattened(data) == {"a.b": "null", "a.c": '[1, {"d": 2}]', "e": "text", "f": "{}"}


def test_pictures_are_those_of_the_test_images():
    spec = small_spec()
    splits = build_data(spec)
    places = np.array([0, 3, 144])
    pictures = pictures_of(spec.data.dataset, splits.test_images[places])
    mean, std = splits.normalisation
    seen = FeatureMap(size=4, kind="pool", mean=mean, std=std)(pictures)
    torch.testing.assert_close(seen, splits.test.features[places], atol=FROM_FLOAT32, rtol=0)


def test_pictures_of_an_official_test_split(tmp_path):
    draw = np.random.default_rng(3)
    arrays = {name: draw.integers(0, 256, (40, 3, 70, 90), dtype=np.uint8) for name in ("images", "test_images")}
    labels = {name: np.arange(40) % 3 for name in ("labels", "test_labels")}
    np.savez(tmp_path / "own.npz", **arrays, **labels)
    spec = small_spec(data={"dataset": {"name": "npz", "path": str(tmp_path / "own.npz")}, "classes": [2, 0]})
    pictures = pictures_of(spec.data.dataset, build_data(spec).test_images[:2])
    assert pictures.shape == (2, 3, round(70 * PIXELS / 90), PIXELS)
    # reducing keeps the mean grey, to what the edges of the filter take
    means = [arrays["test_images"][row].mean() / 255 for row in (0, 2)]  # labels 0, 2
    assert pictures.mean(dim=(1, 2, 3)).tolist() == pytest.approx(means, abs=2e-3)


def test_a_picture_is_a_png_with_its_values_cut_off():
    uri = data_uri(np.array([[-1.0, 0.5], [1.0, 7.0]]))
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    pixels = imread(io.BytesIO(base64.b64decode(content)))
    assert pixels[..., 0] == pytest.approx(np.array([[0, 128 / 255], [1, 1]]), abs=1e-6)
    colour = imread(io.BytesIO(base64.b64decode(data_uri(np.eye(3)[:, :, None]).partition(",")[2])))
    assert colour[:, 0, :3].tolist() == np.eye(3).tolist()


# -- colours ----------------------------------------------------------------------------------------------------------

LEAST_CONTRAST = 3.0
"""WCAG 2.1, 1.4.11, for graphical objects."""

LEAST_DISTANCE = 0.1
"""In OKLab, where black and white are 1 apart: several times a difference that is just seen side by side."""

# G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, IEEE Trans. Vis. Comput. Graph. 15, 1291 (2009), severity 1
VISION = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def modes():
    """Return the style's colours by name, in the light and in the dark mode."""
    text = files("qdeq.reports.html").joinpath("page.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--(\w+): (#\w+);", part)) for part in re.findall(r":root \{(.*?)\}", text, re.S))
    return {"light": light, "dark": dark}


def linear_rgb(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    value = np.array([int(digits[k : k + 2], 16) for k in (0, 2, 4)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    low, high = sorted(float(linear_rgb(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def oklab(rgb):
    cones = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                      [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
    mix = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                    [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip
    return mix @ np.cbrt(cones @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_run_colours_stand_out_and_differ_for_every_kind_of_colour_vision(mode):
    colours = modes()[mode]
    runs = [colours[f"c{k}"] for k in range(6)]
    assert min(contrast(colour, colours["surface"]) for colour in runs) >= LEAST_CONTRAST
    for vision in VISION.values():
        seen = [oklab(np.asarray(vision) @ linear_rgb(colour)) for colour in runs]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= LEAST_DISTANCE


def test_both_modes_name_all_colours():
    light, dark = modes().values()
    assert set(light) == set(dark)
