"""What was run and what it cost: the circuit, the cost, the spec, and the versions of what ran."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from qdeq._version import __version__
from qdeq.billing.prices import dollars
from qdeq.circuit import Circuit
from qdeq.errors import printable
from qdeq.reports.html.markup import Markup, tag
from qdeq.reports.html.material import RunMaterial, environment, figure
from qdeq.reports.tables import ABSENT
from qdeq.training.environment import SMALL_REGISTER

MOST_DRAWN = 400
"""A circuit with more operations is told in numbers."""

_NOT_FOR_PAGES = re.compile(r' id="[a-z0-9]+_\d+"|<metadata>.*?</metadata>|<style .*?</style>', re.DOTALL)
"""Of matplotlib's SVG: names that a second picture would have too, and what would hold for the whole page."""


def circuit(of: Circuit, title: str) -> Markup:
    """Return a circuit as a picture and as text, and its size."""
    counts = [of.gate_counts(preparation=preparation) for preparation in (False, True)]
    depths = [of.depth(preparation=preparation) for preparation in (False, True)]
    rows = [("depth", depths), ("gates", [sum(count.values()) for count in counts])]
    rows += [(gate, [count.get(gate, 0) for count in counts]) for gate in sorted(counts[0] | counts[1])]
    rows += [("inputs", [of.num_inputs] * 2), ("weights", [of.num_weights] * 2)]
    if of.noisy:
        rows += [("noise channels", [len(of.channels)] * 2), ("readout errors", [len(of.readout)] * 2)]
    head = tag("tr", [tag("th", text, scope="col") for text in ("", "without state preparation", "with it")])
    body = [tag("tr", tag("th", name, scope="row"), [tag("td", f"{n:,}") for n in pair]) for name, pair in rows]
    table = tag("table", tag("caption", "Size"), tag("thead", head), tag("tbody", body))
    size = scroll(table, f"Size of the circuit {title}".strip())
    if len(of.operations) + len(of.readout) > MOST_DRAWN:
        return tag("div", tag("p", f"The circuit has {len(of.operations):,} operations, too many to draw.",
                              class_="note"), size)  # fmt: skip
    told = f"Circuit {title}: {of.num_qubits} qubits, depth {depths[0]}, {sum(counts[0].values())} gates".strip()
    picture = tag("div", tag("div", _picture(of), role="img", aria_label=told, class_="circuit"),
                  class_="scroll", tabindex="0", role="region", aria_label=told)  # fmt: skip
    text = tag("details", tag("summary", "As text"), tag("pre", of.draw(max_width=100), tabindex="0"))
    return tag("div", picture, text, size)


def _picture(of: Circuit) -> Markup:
    """Return matplotlib's drawing as SVG; its colours are for white; the page's style turns them."""
    import io

    import matplotlib

    file = io.StringIO()
    # glyphs as text: a fifth of the size, and letters that can be selected; a fixed salt: equal runs have equal pages
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": of.content_hash}):
        of.figure().savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()[file.getvalue().index("<svg") :]
    return Markup(_NOT_FOR_PAGES.sub("", svg))


def cost(run: RunMaterial) -> dict[str, str]:
    """Return what the run took, and what was paid, by name."""
    facts: dict[str, str] = {}
    summary = run.summary
    if run.steps:
        facts["training steps"] = f"{len(run.steps):,}"
        facts["evaluations of f in training"] = f"{_total(run.steps, 'evaluations'):,.0f}, over images and steps"
        shots = _total(run.steps, "shots")
        if shots:
            facts["shots of the training's forward solves"] = f"{shots:,.0f}"
    elif summary is not None:
        facts["training steps"] = f"{summary.steps:,}"
    if summary is not None:
        facts["time"] = f"{summary.seconds:,.1f} s, {summary.samples_per_second:,.0f} images/s in training"
        facts["peak memory"] = ", ".join(f"{value:,.0f} MiB ({_PLACES.get(key, key)})"
                                         for key, value in summary.memory.items())  # fmt: skip
        facts["trained parameters"] = f"{summary.parameters:,}"
    elif run.epochs:
        seconds = sum(figure(epoch["time"], "seconds") or 0.0 for epoch in run.epochs)
        facts["time so far"] = f"{seconds:,.1f} s"
    if run.ledger is not None:
        used = run.ledger
        facts["paid"] = f"{dollars(used.cost)} counted against the budget, {used.tasks:,} tasks, {used.shots:,} shots"
    elif "ledger" in run.missing:
        facts["paid"] = run.missing["ledger"]
    elif run.circuits:
        facts["backend"] = run.circuits
    return facts


_PLACES = {"process_mib": "process", "device_mib": "tensors on the GPU"}


def _total(steps: Sequence[Mapping[str, object]], key: str) -> float:
    """Return a figure of a sample, times the samples, over all steps."""
    return sum((figure(step, key) or 0.0) * (figure(step, "samples") or 0.0) for step in steps)


def spec(run: RunMaterial, title: str) -> Markup:
    """Return the resolved spec, closed at first."""
    text = tag("pre", tag("code", run.spec.to_yaml().rstrip()), tabindex="0")
    note = tag("p", "Content hash ", tag("code", run.spec.content_hash), class_="aside")
    return tag("details", tag("summary", title), text, note)


def surroundings(run: RunMaterial) -> dict[str, str]:
    """Return versions, device and threads, by name."""
    training, summary = run.spec.training, run.summary
    small = run.spec.model.qubits <= SMALL_REGISTER
    facts = {"folder": printable(str(run.folder))}
    if summary is not None:
        facts["trained with"] = f"qdeq {summary.qdeq_version}, {summary.backend}"
        shared = f"{summary.processes} processes" if summary.processes > 1 else "one process"
        facts["trained on"] = f"{summary.device}, {shared}"
    else:
        facts["trained on"] = training.device
    if summary is not None and summary.machine is not None:
        facts["machine"] = str(summary.machine)
    if summary is not None and summary.start is not None:
        facts["started from"] = str(summary.start)
    if summary is not None and summary.continued:
        facts["continued"] = "; ".join(map(str, summary.continued))
    facts["threads"] = str(training.threads or ("1, for a small register" if small else "PyTorch's own choice"))
    facts["precision"] = training.precision
    facts["seed"] = str(run.spec.seed)
    if run.checkpoint is not None:
        info = run.checkpoint.info
        facts["checkpoint"] = f"{run.checkpoint.path.stem}: epoch {info.epoch}, step {info.step:,}"
    if run.solves is not None:
        which = "all" if run.solves.complete else f"{len(run.solves.positions):,} of"
        facts["this page"] = f"{which} {run.solves.of:,} test images solved for on {run.device}"
    facts["made with"] = f"qdeq {__version__}, " + ", ".join(f"{name} {text}" for name, text in environment().items())
    return facts


def commands(runs: Sequence[RunMaterial]) -> Markup:
    """Return how to have the runs again."""
    lines = []
    for run in runs:
        folder = run.folder.resolve() if run.folder.name in ("", "..") else run.folder
        again = folder.with_name(f"{folder.name}-again")
        lines.append(shlex.join(["qdeq", "train", str(folder / "spec.yaml"), "--out", str(again)]))
    told = "To have the run again:" if len(runs) == 1 else "To have the runs again:"
    return tag("div", tag("p", told), tag("pre", tag("code", "\n".join(lines)), tabindex="0"))


def table(facts: Sequence[Mapping[str, str]], labels: Sequence[str], title: str) -> Markup:
    """Return names and values of one run, or of several in columns, as a table."""
    alone = len(facts) == 1
    rows = [
        tag("tr", tag("th", name, scope="row"), [tag("td", each.get(name, ABSENT)) for each in facts])
        for name in dict.fromkeys(name for each in facts for name in each)
    ]
    head = None if alone else tag("thead", tag("tr", [tag("th", text, scope="col") for text in ("", *labels)]))
    made = tag("table", tag("caption", title, class_="hidden"), head, tag("tbody", rows), class_="facts")
    return made if alone else scroll(made, title)


def scroll(table: Markup, title: str) -> Markup:
    """Return a table that scrolls within its box where it is wider than the page."""
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=title)
