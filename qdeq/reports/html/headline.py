"""The figures that a page begins with, for one run."""

from __future__ import annotations

from qdeq.reports.html.intervals import wilson
from qdeq.reports.html.markup import Markup, tag
from qdeq.reports.html.material import RunMaterial
from qdeq.reports.tables import number, percent, residual
from qdeq.training.metrics import Metrics


def headline(run: RunMaterial) -> Markup:
    """Return the figures as cards."""
    test = run.test
    if test is None:
        return tag("p", "There are no test figures yet.", class_="note")
    cards = [
        _card("Test accuracy", percent(test.accuracy), accuracy_note(test)),
        _card("Residual", residual(test, test.residual_mean), f"mean; worst image {residual(test, test.residual_max)}"),
        _card("Evaluations", number(test.evaluations, ".2f"), "of the circuit's function f, per image"),
        _card("Failed solves", failed(test), failed_note(run)),
        _card("Spectral radius", number(test.spectral_radius_mean, ".3f"), _radius_note(run, test)),
    ]
    if test.shots is not None:
        cards.append(_card("Shots", number(test.shots, ",.0f"), "per image"))
    return tag("dl", cards, class_="cards")


def accuracy_interval(test: Metrics) -> tuple[float, float] | None:
    """Return the 95 % interval of the accuracy; None where it is not known."""
    return None if test.accuracy is None else wilson(round(test.accuracy * test.samples), test.samples)


def accuracy_note(test: Metrics) -> str:
    """Return the interval of the accuracy, and what it comes from."""
    interval = accuracy_interval(test)
    if interval is None or test.accuracy is None:
        return "not measured"
    low, high = interval
    right = round(test.accuracy * test.samples)
    return f"95\u00a0% interval {100 * low:.1f} to {100 * high:.1f}\u00a0%; {right:,} of {test.samples:,} images"


def failed(test: Metrics) -> str:
    """Return how many solves failed; a dash where none was tested for convergence."""
    return number(None) if test.converged is None else f"{sum(test.failed.values()):,}"


def failed_note(run: RunMaterial) -> str:
    """Return of how many, and how it was in training."""
    test = run.test
    if test is None or test.converged is None:
        return "not tested for: direct layers" if run.spec.model.mode == "direct" else "not tested for: fixed steps"
    note = f"of {test.samples:,} test images"
    if run.summary is not None:
        note += f"; {sum(run.summary.failed.values()):,} of {run.summary.solves:,} in training"
    if test.noise_limited:
        note += f"; {percent(test.noise_limited)} ended in the noise of the shots"
    return note


def _radius_note(run: RunMaterial, test: Metrics) -> str:
    if test.spectral_radius_max is not None:
        return f"mean; largest {test.spectral_radius_max:.3f}"
    if run.spec.model.mode == "direct":
        return "not measured: direct layers have no equilibrium"
    return "not measured: see training.diagnostics"


def _card(name: str, value: str, note: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", value, class_="value"), tag("dd", note, class_="aside"), class_="card")
