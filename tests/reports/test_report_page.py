"""The page's content: the figures of the run, every section, one file, and nothing that could run or be fetched."""

import re

import numpy as np
import pytest
from page_reader import cards, read, rows
from report_runs import HOSTILE, page_of, small_spec

from qdeq.reports.html import gather_runs, page
from qdeq.reports.html.curves import QUANTITIES, _included
from qdeq.reports.html.intervals import wilson
from qdeq.reports.html.predictions import EXPLAINED
from qdeq.training import RunFolder, RunSummary, read_log

KINDS = ["implicit", "direct", "warm", "shots"]
SECTIONS = ["results", "training", "equilibria", "predictions", "circuit", "cost", "settings", "environment"]
NEAR = 0.06
"""A histogram's mean, every value in the middle of its bar: some dozen bars, and ends with two digits."""
LARGEST = 3_000_000
"""Bytes of a page about a run on the digits."""


@pytest.fixture(scope="module")
def text(runs):
    return page_of(runs["implicit"])


@pytest.fixture(scope="module")
def tree(text):
    return read(text)


@pytest.fixture(scope="module")
def summary(runs):
    return RunSummary.read(RunFolder(runs["implicit"]).summary)


@pytest.fixture(scope="module")
def several(runs):
    return read(page_of(*(runs[kind] for kind in KINDS)))


def test_the_headline_has_the_figures_of_the_run(tree, summary):
    shown, test = cards(tree), summary.test
    right = round(test.accuracy * test.samples)
    low, high = wilson(right, test.samples)
    assert shown["Test accuracy"] == (
        f"{100 * test.accuracy:.1f} %",
        f"95 % interval {100 * low:.1f} to {100 * high:.1f} %; {right} of 145 images",
    )
    assert shown["Residual"] == (f"{test.residual_mean:.1e}", f"mean; worst image {test.residual_max:.1e}")
    assert shown["Evaluations"][0] == f"{test.evaluations:.2f}"
    assert shown["Failed solves"] == ("0", "of 145 test images; 0 of 128 in training")
    assert shown["Spectral radius"] == (
        f"{test.spectral_radius_mean:.3f}",
        f"mean; largest {test.spectral_radius_max:.3f}",
    )


def test_solving_again_gives_the_figures_that_the_run_wrote(runs, summary):
    (run,) = gather_runs([runs["implicit"]])
    assert run.solves.complete
    assert run.solves.metrics == summary.test


@pytest.mark.parametrize("kind", ["direct", "shots"])
def test_also_with_direct_layers_and_with_shots(runs, kind):
    (run,) = gather_runs([runs[kind]])
    assert run.solves.metrics == run.summary.test
    assert not run.missing


def test_every_section_is_there_and_in_the_navigation(tree):
    assert [section.attributes["id"] for section in tree.all("section")] == SECTIONS
    assert [link.attributes["href"] for link in tree.one("nav").all("a")] == [f"#{name}" for name in SECTIONS]
    assert all(section.all("h2") and section.text.strip() for section in tree.all("section"))


def test_the_charts(tree):
    titles = [chart.attributes["aria-label"].partition(":")[0] for chart in tree.all("svg", role="img")]
    assert titles == ["Loss", "Accuracy", "Residual", "Evaluations", "Spectral radius", "Norm of the Jacobian",
                      "Residuals", "Spectral radii", "Residual by evaluation"]  # fmt: skip


def test_the_table_of_epochs_has_the_log(runs, tree):
    epochs = [record for record in read_log(RunFolder(runs["implicit"]).metrics) if record["kind"] == "epoch"]
    table = next(table for table in tree.one(id="training").all("table"))
    heads = [cell.text for cell in table.one("thead").all("th")]
    assert len(rows(table)) == len(epochs)
    for (name, cells), epoch in zip(rows(table).items(), epochs, strict=True):
        assert name == f"{epoch['epoch']}{' ★' if epoch['best'] else ''}"
        assert cells[heads.index("loss, validation") - 1] == f"{epoch['validation']['loss']:.3f}"
        assert cells[heads.index("accuracy, train") - 1] == f"{100 * epoch['train']['accuracy']:.1f}"


@pytest.mark.parametrize(("name", "figure"), [("Residuals", "residual"), ("Spectral radii", "spectral_radius")])
def test_a_histogram_has_every_test_image(tree, runs, name, figure):
    chart = next(c for c in tree.all("svg", role="img") if c.attributes["aria-label"].startswith(f"{name}:"))
    found = [re.fullmatch(r"(\S+) from (\S+) to (\S+)", title.text) for title in chart.all("title")]
    counts, low, high = (np.array([float(match[k]) for match in found]) for k in (1, 2, 3))
    assert counts.sum() == 145
    values = getattr(gather_runs([runs["implicit"]])[0].solves.outcomes, figure)
    # a value lies in its bar, so the mean lies between those of the bars' ends, which are rounded to two digits
    assert (counts * low).sum() * 0.95 <= values.sum() <= (counts * high).sum() * 1.05
    assert values.mean() == pytest.approx((counts * (low + high)).sum() / 290, rel=NEAR)
    limit = [line.attributes["x1"] for line in chart.all("line", class_="limit")]
    sides = [(float(bar.attributes["x"]), float(bar.attributes["width"])) for bar in chart.all("rect", class_="bar")]
    assert len(limit) == 1
    assert all(x + width <= float(limit[0]) or x >= float(limit[0]) for x, width in sides)


def test_the_confusion_matrix_has_every_test_image(tree, summary):
    table = rows(tree.one("table", class_="confusion"))
    assert list(table) == ["0", "3", "6", "9"]
    counts = [[int(cell) for cell in cells[:-1]] for cells in table.values()]
    assert sum(map(sum, counts)) == 145
    assert sum(counts[k][k] for k in range(4)) == round(summary.test.accuracy * 145)
    assert [cells[-1] for cells in table.values()] == [
        f"{100 * row[k] / sum(row):.0f} %" for k, row in enumerate(counts)
    ]


def test_an_axis_begins_where_the_figures_do_and_shows_a_limit_unless_it_flattens_them():
    by_key = {each.key: each for each in QUANTITIES}
    accuracy, radius = by_key["accuracy"], by_key["spectral_radius_mean"]
    assert _included(accuracy, [71.0, 97.0]) == ()
    assert _included(radius, [0.4, 0.6]) == (0.0, 1.05)
    assert _included(radius, [0.4, 60.0]) == (0.0,)


def test_examples_are_wrong_by_confidence_and_right_of_every_class(tree, summary):
    wrong, right = tree.all("div", class_="examples")
    count = 145 - round(summary.test.accuracy * 145)
    assert len(wrong.all("figure")) == min(12, count)
    said = [figure.all("img")[0].attributes["alt"] for figure in wrong.all("figure")]
    found = [re.fullmatch(r"Test image \d+: (.), taken for (.) with a probability of (\d+)\s%", text) for text in said]
    assert all(match[1] != match[2] for match in found)
    chances = [int(match[3]) for match in found]
    assert chances == sorted(chances, reverse=True)
    assert {figure.one("strong").text for figure in right.all("figure")} == {"0", "3", "6", "9"}
    below = [figure.one("span", class_="aside").text for figure in wrong.all("figure")]
    truths = [match[1] for match in found]
    assert [re.fullmatch(r"is (.) \((\d+)\s%\)", text)[1] for text in below] == truths
    assert EXPLAINED in tree.one(id="predictions").text


def test_one_file_without_scripts_or_requests(text, tree):
    assert len(text.encode()) < LARGEST
    assert not [
        element.name for element in tree.all() if element.name in ("script", "link", "iframe", "object", "base")
    ]
    for element in tree.all():
        assert not [name for name in element.attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert re.match(r"data:image/png;base64,|#|$", element.attributes.get(name) or "")
    assert "url(h" not in text
    assert "@import" not in text
    assert "default-src 'none'" in tree.one("meta", http_equiv="Content-Security-Policy").attributes["content"]


def test_what_others_than_eyes_read(tree, several):
    for each in (tree, several):
        assert each.one("html").attributes["lang"] == "en"
        assert [len(each.all(name)) for name in ("header", "nav", "main", "footer", "h1")] == [1] * 5
        ids = [element.attributes["id"] for element in each.all() if "id" in element.attributes]
        assert len(ids) == len(set(ids))
        assert all(head.attributes.get("scope") in ("row", "col") for head in each.all("th"))
        assert all("alt" in image.attributes for image in each.all("img"))
        assert all(table.all("caption") or table.all("thead") for table in each.all("table"))
        for drawing in each.all(role="img"):
            assert drawing.attributes["aria-label"]


def test_the_same_run_has_the_same_page(runs, text):
    assert page_of(runs["implicit"]) == text


def test_how_to_have_the_run_again(runs, tree):
    command = tree.one(id="environment").one("pre").text
    folder = runs["implicit"]
    assert command == f"qdeq train {folder}/spec.yaml --out {folder}-again"
    kept = RunFolder(folder).load_spec()  # with the number of threads that was used
    training = small_spec(name="implicit").training.model_copy(update={"threads": kept.training.threads})
    assert kept == small_spec(name="implicit").model_copy(update={"training": training})
    assert tree.one(id="settings").one("pre").text == kept.to_yaml().rstrip()


def test_the_cost_counts_what_training_took(runs, tree):
    steps = [record for record in read_log(RunFolder(runs["implicit"]).metrics) if record["kind"] == "step"]
    spent = sum(step["evaluations"] * step["samples"] for step in steps)
    assert rows(tree.one(id="cost").one("table"))["evaluations of f in training"] == [
        f"{round(spent):,}, over images and steps"
    ]


# -- several runs -----------------------------------------------------------------------------------------------------


def test_runs_side_by_side(runs, several):
    table = several.one(id="results").one("table")
    assert [head.text for head in table.one("thead").all("th")][1:] == KINDS
    shown, tests = rows(table), [RunSummary.read(RunFolder(runs[name]).summary).test for name in KINDS]
    accuracies = [test.accuracy for test in tests]
    assert [cell.split()[0] for cell in shown["test accuracy"]] == [f"{100 * value:.1f}" for value in accuracies]
    assert ["★" in cell for cell in shown["test accuracy"]] == [value == max(accuracies) for value in accuracies]
    residuals = [test.residual_mean for test in tests]
    assert ["★" in cell for cell in shown["residual, mean"]] == [value == min(residuals) for value in residuals]
    assert shown["failed solves"][1] == "-"  # direct layers are not tested for convergence
    assert not any("★" in cell for cell in shown["spectral radius, mean"])


def test_only_settings_that_differ_are_listed(several):
    shown = rows(several.one(id="differences").one("table"))
    assert shown["model.mode"] == ["implicit", "direct", "implicit", "implicit"]
    assert shown["training.warmup_steps"] == ["0", "0", "4", "0"]
    assert shown["shots"] == ["null", "null", "null", "100"]
    assert shown["solver.name"] == ["broyden", "broyden", "anderson", "broyden"]
    assert "name" not in shown
    assert "training.batch_size" not in shown


def test_warm_up_is_shaded_in_one_run_and_a_strip_among_several(runs, several):
    alone = read(page_of(runs["warm"]))
    # 4 of 8 steps: half of the axis
    charts = [float(shade.attributes["width"]) for chart in alone.one(id="training").all("svg", class_="chart")
              for shade in chart.all("rect", class_="shade")]  # fmt: skip
    axis = next(line for line in alone.one(id="training").all("line", class_="rule"))
    whole = float(axis.attributes["x2"]) - float(axis.attributes["x1"])
    assert charts == pytest.approx([whole / 2] * 6, abs=0.2)
    assert not several.one(id="training").all("rect", class_="shade")
    assert {strip.attributes["class"] for strip in several.one(id="training").all("line", class_="strip")} == {
        "strip c2",
        "line plain strip",  # in the legend
    }


def test_runs_with_one_name_are_told_apart_by_their_folders(runs):
    (heading,) = read(page_of(runs["direct"], runs["direct"])).all("h1")
    assert heading.text == "2 runs compared"
    labels = [run.label for run in gather_runs([runs["direct"], runs["implicit"], runs["direct"]])]
    assert labels == [f"direct ({runs['direct']})", "implicit", f"direct ({runs['direct']})"]


def test_runs_on_other_test_images_are_not_ranked(runs, tmp_path):
    from qdeq.training import train

    train(small_spec(name="others", data={"split_seed": 1}, training={"epochs": 1}), tmp_path / "others")
    results = read(page_of(runs["implicit"], tmp_path / "others")).one(id="results")
    assert "not tested on the same images" in results.text
    assert not any("★" in cell for cell in rows(results.one("table"))["test accuracy"])


def test_nothing_of_a_name_becomes_markup(runs):
    gathered = gather_runs([runs["implicit"], runs["direct"]])
    for run in gathered:
        run.label = HOSTILE
        run.class_names = (HOSTILE, "3", "6", "9")
        run.missing["ledger"] = HOSTILE
    for shown in (gathered, gathered[:1]):
        tree = read(page(shown))
        assert not tree.all("script")
        assert not [image for image in tree.all("img") if image.attributes.get("src") == "x"]
        assert HOSTILE in tree.one("header").text
        assert tree.one("style").text == read(page_of(runs["direct"])).one("style").text


def test_fewer_images_on_request(runs):
    (run,) = gather_runs([runs["implicit"]], samples=10)
    assert len(run.solves.positions) == 10
    whole = gather_runs([runs["implicit"]])[0].solves
    chosen = run.solves.positions
    assert run.solves.labels.tolist() == whole.labels[chosen].tolist()
    assert run.solves.outcomes.evaluations.tolist() == whole.outcomes.evaluations[chosen].tolist()
    assert "10 of 145 test images" in read(page([run])).one(id="environment").text
