"""The figures of a run that is finished, or evaluated again, for a terminal or a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qdeq.reports.tables import number, percent, plain_table, residual
from qdeq.solvers import Status
from qdeq.training.folder import RunFolder

if TYPE_CHECKING:
    from qdeq.training.metrics import Metrics
    from qdeq.training.run_evaluation import RunEvaluation
    from qdeq.training.summary import RunSummary


def summary_table(summary: RunSummary) -> RenderableType:
    """Return the figures of a finished run, and where its files are."""
    facts = {} if summary.dataset is None else {"data": summary.dataset}
    facts |= {
        "checkpoint": (
            f"best: epoch {summary.best_epoch} of {summary.epochs}, step {summary.best_step} of {summary.steps}"
        ),
        "parameters trained": f"{summary.parameters:,}",
        "time": f"{summary.seconds:.1f} s ({summary.samples_per_second:,.0f} samples/s in training)",
        "peak memory": ", ".join(f"{value:,.0f} MiB ({_PLACES[key]})" for key, value in summary.memory.items()),
        "backend": f"{summary.backend} on {summary.device}",
        "failed solves": f"{sum(summary.failed.values()):,} of {summary.solves:,} in training",
    }
    if not summary.solves:
        facts["failed solves"] = "not tested for (direct layers, or a fixed number of steps)"
    if summary.machine is not None:
        facts["machine"] = str(summary.machine)
    if summary.start is not None:
        facts["started from"] = str(summary.start)
    if summary.continued:
        facts["continued"] = "; ".join(map(str, summary.continued))
    if summary.adjoint_failed:
        facts["failed solves"] += f", and {summary.adjoint_failed:,} backward"
    folder = RunFolder(summary.folder)
    paths = (folder.checkpoint("best"), folder.checkpoint("last"), folder.metrics, folder.summary, folder.curves)
    return Group(
        _metrics_table(
            f"{summary.name}, seed {summary.seed}", {"validation": summary.validation, "test": summary.test}
        ),
        _facts(facts),
        *_explain(summary.failed, *_endings(summary.validation, summary.test)),
        Text("files:"),
        *(Text(f"  {path}", no_wrap=True, overflow="ignore") for path in (folder.spec, *paths) if path.exists()),
    )


def evaluation_table(evaluation: RunEvaluation) -> RenderableType:
    """Return the figures of a saved run that was evaluated again."""
    info = evaluation.checkpoint.info
    splits = {"validation": evaluation.validation, "test": evaluation.test}
    known = {name: split for name, split in splits.items() if split is not None}
    return Group(
        _metrics_table(evaluation.spec.name, known),
        _facts(
            {
                "checkpoint": f"{evaluation.checkpoint.path.stem}: epoch {info.epoch}, step {info.step}",
                "data": evaluation.data + _WHOSE[evaluation.own],
            }
        ),
        *_explain(*_endings(*known.values())),
        Text(f"file: {evaluation.checkpoint.path}", no_wrap=True, overflow="ignore"),
    )


_WHOSE = {
    True: "",
    False: " (other data than the run was trained on)",
    None: " (the run, of qdeq 0.1.0, does not say whether it was trained on these)",
}
_PLACES = {"process_mib": "process", "device_mib": "tensors on the GPU"}


def _metrics_table(title: str, splits: Mapping[str, Metrics]) -> Table:
    table = plain_table(title)
    table.add_column("")
    for split in splits:
        table.add_column(split, justify="right")
    both = tuple(splits.values())
    table.add_row("accuracy", *(percent(split.accuracy) for split in both), style="bold")
    table.add_row("loss", *(number(split.loss) for split in both))
    table.add_row("residual, mean", *(residual(split, split.residual_mean) for split in both))
    table.add_row("residual, worst sample", *(residual(split, split.residual_max) for split in both))
    table.add_row("converged", *(percent(split.converged) for split in both))
    if any(split.noise_limited is not None for split in both):
        table.add_row("limited by noise", *(percent(split.noise_limited) for split in both))
    for status in Status:
        key = status.name.lower()
        if status.failed and any(key in split.failed for split in both):
            table.add_row(f"failed: {key}", *(f"{split.failed.get(key, 0):,}" for split in both), style="yellow")
    table.add_row("evaluations per solve", *(number(split.evaluations, ".2f") for split in both))
    if any(split.shots is not None for split in both):
        table.add_row("shots per solve", *(number(split.shots, ",.0f") for split in both))
    if any(split.spectral_radius_mean is not None for split in both):
        table.add_row("spectral radius, mean", *(number(split.spectral_radius_mean, ".3f") for split in both))
        table.add_row("spectral radius, largest", *(number(split.spectral_radius_max, ".3f") for split in both))
        table.add_row("||J||_2, mean", *(number(split.jacobian_norm_mean, ".3f") for split in both))
        table.add_row("||J||_2, largest", *(number(split.jacobian_norm_max, ".3f") for split in both))
        table.add_row("certified, ||J||_2 < 1", *(percent(split.certified) for split in both))
    table.add_row("samples", *(f"{split.samples:,}" for split in both))
    return table


def _facts(facts: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        table.add_row(Text(key), Text(value))
    return table


def _endings(*splits: Metrics) -> list[Mapping[str, int]]:
    """Return the failures of each split, and its solves that noise ended, which are none."""
    limited = Status.NOISE_LIMITED.name.lower()
    return [split.failed | ({limited: 1} if split.noise_limited else {}) for split in splits]


def _explain(*endings: Mapping[str, int]) -> list[Text]:
    """Say once of each kind of ending what it is and what helps."""
    seen = {key for counts in endings for key in counts}
    found = [status for status in Status if status.name.lower() in seen]
    texts = [f"{status.name.lower()}: {status.message}. Remedy: {status.remedy}." for status in found]
    return [Text(text, "yellow" if status.failed else "") for text, status in zip(texts, found, strict=True)]
