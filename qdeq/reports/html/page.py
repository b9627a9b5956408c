"""The page as a whole: its sections in order, one file that needs no other."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from qdeq._version import __version__
from qdeq.reports.html import facts
from qdeq.reports.html.comparison import comparison, differences
from qdeq.reports.html.curves import curves, has_warmup, legend, run_style
from qdeq.reports.html.distributions import radius_histograms, residual_histograms, trajectories
from qdeq.reports.html.headline import headline
from qdeq.reports.html.markup import Markup, join, tag
from qdeq.reports.html.material import RunMaterial
from qdeq.reports.html.predictions import confusion, examples, mistaken
from qdeq.reports.html.solves import LOWER, UPPER

GENERATOR = f"qdeq {__version__}"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Browsers that read it fetch nothing and run no script, whatever should have got into the page."""


def page(runs: Sequence[RunMaterial]) -> str:
    """Return the page about one run, or several beside each other, as HTML."""
    title = runs[0].label if len(runs) == 1 else f"{len(runs)} runs compared"
    sections = [(name, key, body) for name, key, body in _sections(runs) if body is not None]
    nav = tag("nav", tag("ul", [tag("li", tag("a", name, href=f"#{key}")) for name, key, _ in sections]),
              aria_label="Sections")  # fmt: skip
    main = [
        tag("section", tag("h2", name, id=f"{key}-title"), body, id=key, aria_labelledby=f"{key}-title")
        for name, key, body in sections
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=GENERATOR),
        tag("title", f"{title}: qdeq report"),
        tag("style", Markup(files(__package__).joinpath("page.css").read_text(encoding="utf-8"))),
    )
    body = tag(
        "body",
        tag("a", "Skip to the figures", href="#main", class_="skip"),
        tag("header", tag("h1", title), tag("p", _subtitle(runs), class_="subtitle"), _missing(runs)),
        nav,
        tag("main", main, id="main"),
        tag("footer", tag("p", f"Written by {GENERATOR}. This page is one file and asks no other host for anything.")),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _subtitle(runs: Sequence[RunMaterial]) -> str:
    """Return what was run, of one run; what runs have in common, of several."""
    told = [_told(run) for run in runs]
    return " · ".join(text for text in told[0] if all(text in other for other in told))


def _told(run: RunMaterial) -> list[str]:
    model = run.spec.model
    mode = "equilibrium (implicit)" if model.layers is None else _layers(model.layers)
    classes = f"{len(run.class_names)} classes" if run.class_names else ""
    shots = "exact expectations" if run.spec.shots is None else f"{run.spec.shots:,} shots"
    noisy = "with noise" if run.spec.noise is not None else ""
    named = run.summary.dataset if run.summary is not None else None
    data = named or run.spec.data.dataset["name"]
    parts = [data, classes, f"{model.qubits} qubits", f"{model.encoding} encoding", mode,
             f"backend {run.spec.backend['name']}", shots, noisy]  # fmt: skip
    return [part for part in parts if part]


def _layers(number: int) -> str:
    return f"{number} direct layer{'s' if number > 1 else ''}"


def _missing(runs: Sequence[RunMaterial]) -> Markup | None:
    """Return what is not on the page, and why."""
    several = len(runs) > 1
    lines = [
        tag("li", tag("strong", f"{run.label}: ") if several else None, sentence)
        for run in runs
        for sentence in run.missing.values()
    ]
    return tag("aside", tag("ul", lines), class_="missing", aria_label="What is missing") if lines else None


def _sections(runs: Sequence[RunMaterial]) -> list[tuple[str, str, Markup | None]]:
    """Return name, anchor and content of each section; without content there is none."""
    if len(runs) == 1:
        first = [("Results", "results", headline(runs[0]))]
    else:
        first = [("Results", "results", comparison(runs)), ("Differences", "differences", differences(runs))]
    labels, around = [run.label for run in runs], [facts.surroundings(run) for run in runs]
    return [
        *first,
        ("Training", "training", join([_legend(runs), curves(runs)])),
        ("Equilibria", "equilibria", _equilibria(runs)),
        ("Predictions", "predictions", _predictions(runs)),
        ("Circuit", "circuit", _circuits(runs)),
        ("Cost", "cost", facts.table([facts.cost(run) for run in runs], labels, "Cost")),
        ("Settings", "settings", join([facts.spec(run, _of("Resolved spec", run, runs)) for run in runs])),
        ("Environment", "environment", join([facts.table(around, labels, "Environment"), facts.commands(runs)])),
    ]


def _of(what: str, run: RunMaterial, runs: Sequence[RunMaterial]) -> str:
    return f"{what} of {run.label}" if len(runs) > 1 else what


def _legend(runs: Sequence[RunMaterial]) -> Markup:
    if len(runs) == 1:
        entries = [("c0 faint", "training, by step"), ("c0", "training, by epoch"), ("c1", "validation"),
                   ("best", "best checkpoint")]  # fmt: skip
        return legend([*entries, *([("shade", "warm-up: direct layers")] if has_warmup(runs) else [])])
    entries = [(run_style(place), run.label) for place, run in enumerate(runs)]
    entries += [("plain", "validation"), ("plain dashed", "training")]
    return legend([*entries, *([("plain strip", "warm-up: direct layers")] if has_warmup(runs) else [])])


def _equilibria(runs: Sequence[RunMaterial]) -> Markup | None:
    fallen = trajectories(runs)
    if fallen is None:
        return None
    direct = [run for run in runs if run.spec.model.mode == "direct"]
    alone = len(runs) == 1
    what = "Line: median of the test images; band: the middle " + f"{100 * (UPPER - LOWER):.0f} %"
    notes = [f"{what}; thin lines: single images." if alone else f"{what}."]
    if direct:
        who = "The run has" if alone else f"{', '.join(run.label for run in direct)}:"
        notes.append(f"{who} direct layers, and no solver: the residual is that of each layer's output.")
    groups = [residual_histograms(runs), [*radius_histograms(runs), fallen]]
    if alone:
        groups = [[chart for group in groups for chart in group]]
    names = [(run_style(place), run.label) for place, run in enumerate(runs)]
    return tag(
        "div",
        None if alone else legend(names),
        [tag("div", group, class_="grid charts") for group in groups if group],
        [tag("p", note, class_="aside") for note in notes],
    )


def _predictions(runs: Sequence[RunMaterial]) -> Markup | None:
    made = [confusion(run, _of("Confusion matrix", run, runs)) for run in runs]
    matrices = [matrix for matrix in made if matrix is not None]
    if not matrices:
        return None
    note = mistaken(runs)
    return tag(
        "div",
        tag("div", matrices, class_="grid charts"),
        tag("p", note, class_="aside") if note else None,
        examples(runs[0]) if len(runs) == 1 else _folded(runs),
    )


def _folded(runs: Sequence[RunMaterial]) -> list[Markup]:
    """Return the images of several runs, each run's closed at first."""
    made = [(run, examples(run)) for run in runs]
    return [tag("details", tag("summary", f"Images of {run.label}"), body) for run, body in made if body is not None]


def _circuits(runs: Sequence[RunMaterial]) -> Markup:
    """Return every circuit once, with the runs that have it."""
    owners: dict[str, list[RunMaterial]] = {}
    for run in runs:
        owners.setdefault(run.circuit.content_hash, []).append(run)
    if len(owners) == 1:
        shared = tag("p", "All runs have the same circuit.", class_="note") if len(runs) > 1 else None
        return join([shared, facts.circuit(runs[0].circuit, "")])
    parts = []
    for having in owners.values():
        names = ", ".join(run.label for run in having)
        parts.append(tag("div", tag("h3", names), facts.circuit(having[0].circuit, names)))
    return tag("div", parts)
