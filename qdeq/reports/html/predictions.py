"""What the test images were taken for: the confusion matrix, and some of the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qdeq.errors import printable
from qdeq.reports.html.images import data_uri
from qdeq.reports.html.markup import Markup, tag
from qdeq.reports.html.material import RunMaterial
from qdeq.reports.html.solves import IntArray, TestSolves
from qdeq.solvers import Status
from qdeq.training.metrics import FloatArray

SHOWN = 12
"""Images of each kind, right and wrong."""
EXPLAINED = (
    "Below an image: its predicted class with the probability, and where that is wrong the true class with the one "
    "that it got. Small picture: the features, which are what the circuit is given."
)
STRONGEST = 62
"""Per cent of its colour that a cell has where all images of a class are: the text stays legible."""


def confusion(run: RunMaterial, title: str) -> Markup | None:
    """Return the confusion matrix: a row for each true class, a column for each prediction."""
    if run.solves is None:
        return None
    names = [printable(name, 24) for name in run.class_names]
    counts = confusion_counts(run.solves.labels, run.solves.predicted, len(names))
    corner = tag("th", "true ↓ predicted →", scope="col", class_="corner")
    head = tag("tr", corner, [tag("th", name, scope="col") for name in names], tag("th", "right", scope="col"))
    rows = []
    for label, (name, row) in enumerate(zip(names, counts, strict=True)):
        cells = [_cell(int(count), int(row.sum()), right=label == column) for column, count in enumerate(row)]
        share = f"{100 * row[label] / row.sum():.0f} %" if row.sum() else "-"
        rows.append(tag("tr", tag("th", name, scope="row"), cells, tag("td", share, class_="share")))
    table = tag("table", tag("caption", title), tag("thead", head), tag("tbody", rows), class_="confusion")
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=title)


def confusion_counts(labels: IntArray, predicted: IntArray, classes: int) -> IntArray:
    """Return how many images of each class (rows) were taken for each (columns), ``[K, K]``."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def _cell(count: int, of: int, *, right: bool) -> Markup:
    if not count:
        return tag("td", "0", class_="none")
    # the square root lets a single mistake among many be seen
    strength = round(STRONGEST * (count / of) ** 0.5)
    return tag("td", f"{count:,}", class_="hit" if right else "miss", style=f"--heat:{strength}%")


def examples(run: RunMaterial) -> Markup | None:
    """Return images that were classified wrong, the most confident first, and some of each class that were right."""
    solves, pictures = run.solves, run.pictures
    if solves is None or pictures is None:
        return None
    low, high = min(0.0, float(pictures.min())), max(1.0, float(pictures.max()))
    wrong, right = wrong_ones(solves), right_ones(solves, len(run.class_names))
    parts: list[Markup] = [tag("p", EXPLAINED, class_="aside")]
    count = int((solves.predicted != solves.labels).sum())
    for title, chosen in (
        (f"Wrong: {_several(len(wrong), count)}, the most confident first", wrong),
        (f"Right: {_several(len(right), len(solves.labels) - count)}, from every class", right),
    ):
        cards = [_card(run, solves, row, ((pictures[row] - low) / (high - low)).double().numpy()) for row in chosen]
        parts.append(tag("h4", title))
        parts.append(tag("div", cards, class_="examples") if cards else tag("p", "None.", class_="note"))
    return tag("div", parts)


def _several(shown: int, count: int) -> str:
    return f"{shown} of {count:,}" if shown < count else f"all {count}"


def wrong_ones(solves: TestSolves) -> list[int]:
    """Return the rows of images that were classified wrong, the most confident first."""
    wrong = np.nonzero(solves.predicted != solves.labels)[0]
    confidence = solves.probabilities[wrong].max(axis=1)
    return [int(row) for row in wrong[np.argsort(-confidence, kind="stable")][:SHOWN]]


def right_ones(solves: TestSolves, classes: int) -> list[int]:
    """Return the rows of images that were classified right: the first of each class, then the second, and so on."""
    right = [np.nonzero((solves.predicted == solves.labels) & (solves.labels == label))[0] for label in range(classes)]
    turns = [(turn, label, int(row)) for label, rows in enumerate(right) for turn, row in enumerate(rows[:SHOWN])]
    return [row for _, _, row in sorted(turns)[:SHOWN]]


def _card(run: RunMaterial, solves: TestSolves, row: int, image: FloatArray) -> Markup:
    true, taken = (printable(run.class_names[int(labels[row])], 24) for labels in (solves.labels, solves.predicted))
    confidence = f"{100 * solves.probabilities[row].max():.0f}\u00a0%"
    right = true == taken
    position = int(solves.positions[row])
    said = f"Test image {position}: {true}, taken for {taken} with a probability of {confidence}"
    seen = _scaled(solves.features[row])
    ended = solves.outcomes.status[row]
    failure = next((status for status in Status if status == ended and status.failed), None)
    return tag(
        "figure",
        tag(
            "div",
            tag("img", src=data_uri(image), alt=said, title=said, width=72, height=72),
            tag("img", src=data_uri(seen), alt="", title="what the circuit is given", width=36, height=36),
            class_="pictures",
        ),
        tag(
            "figcaption",
            tag("span", "✓ " if right else "✗ ", class_="good" if right else "bad", aria_hidden="true"),
            tag("strong", taken),
            f" {confidence}",
            None if right else tag("span", f"is {true} ({_share(solves, row)})", class_="aside"),
            tag("span", f"solve failed: {failure.name.lower()}", class_="aside bad") if failure else None,
        ),
    )


def _share(solves: TestSolves, row: int) -> str:
    """Return the probability that the true class was given."""
    return f"{100 * solves.probabilities[row, solves.labels[row]]:.0f}\u00a0%"


def _scaled(features: FloatArray) -> FloatArray:
    low, high = features.min(), features.max()
    return (features - low) / (high - low) if high > low else np.zeros_like(features)


def mistaken(runs: Sequence[RunMaterial]) -> str | None:
    """Return how many images several runs all get wrong; None where they were not tested on the same ones."""
    solves = [run.solves for run in runs if run.solves is not None]
    if len(solves) < 2 or len(solves) < len(runs):
        return None
    first = solves[0]
    if any(not np.array_equal(first.positions, each.positions) for each in solves):
        return None
    wrong = np.stack([each.predicted != each.labels for each in solves])
    by_all, by_any = int(wrong.all(axis=0).sum()), int(wrong.any(axis=0).sum())
    return f"Wrong in all runs: {by_all:,} of {len(wrong[0]):,} test images; in at least one: {by_any:,}."
