"""``qdeq train`` and ``qdeq eval``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdeq.cli.app import (
    AsJson,
    Assignments,
    Backend,
    Checkpoint,
    DataAssignments,
    Device,
    Quiet,
    Run,
    Solver,
    app,
    examples,
    load,
    make_console,
    named,
)
from qdeq.errors import TrainingError, printable

if TYPE_CHECKING:
    from qdeq.billing.budget import Budget
    from qdeq.training import Progress, RunSummary


@app.command(
    epilog=examples(
        "qdeq train configs/digits.yaml",
        "qdeq train configs/digits.yaml --set training.epochs=5 --out runs/short",
        "qdeq train configs/digits.yaml --solver anderson --set solver.memory=3",
        "qdeq train --resume runs/digits             # goes on after Ctrl-C",
        "qdeq train --resume runs/digits --set training.epochs=90   # more of it",
        "qdeq train configs/digits.yaml --set training.init_from=runs/a --out runs/b",
        "qdeq train configs/digits.yaml --json | jq .test.accuracy",
    )
)
def train(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="The experiment, a YAML file.", show_default=False)
    ] = None,
    backend: Backend = None,
    solver: Solver = None,
    assignments: Assignments = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME")] = None,
    device: Device = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a run that lies in the folder.")] = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Go on with the run in this folder from its last checkpoint. No CONFIG then, and of the other options "
            "only --set: a budget, places of the data, threads; or training.epochs, schedule, learning_rate and clip, "
            "with which a finished run goes on, too.",
            show_default=False,
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train an experiment, and report on its best checkpoint.

    With `torchrun --nproc-per-node N -m qdeq train CONFIG` several processes share the work.

    Under --json the progress is told on the standard error.
    """
    from qdeq.reports.live.runs import make_progress
    from qdeq.reports.runs import summary_table
    from qdeq.training import Progress
    from qdeq.training.team import leads_here

    if (config is None) == (resume is None):
        what = "neither CONFIG nor --resume RUN was" if config is None else "CONFIG and --resume RUN were both"
        raise TrainingError(f"{what} given\nGive CONFIG to begin a run, or --resume RUN to go on with one.")
    if config is not None and config.is_dir() and (config / "spec.yaml").is_file():
        raise TrainingError(
            f"{config}: is a run\nGo on with it: qdeq train --resume {config}. "
            f"Train the same anew: qdeq train {config / 'spec.yaml'} --out DIR."
        )
    leads = leads_here()
    console = make_console(stderr=as_json)
    progress = make_progress(console) if leads and not quiet else Progress()
    if resume is not None:
        others = {"--backend": backend, "--solver": solver, "--device": device, "--out": out, "--force": force}
        summary = _go_on(resume, [key for key, given in others.items() if given], assignments or [], progress)
    else:
        from qdeq.training import train as run

        assert config is not None
        spec = load(config, backend, solver, device, assignments)
        with named(config):
            summary = run(spec, out or Path("runs") / spec.name, force=force, progress=progress)
    if leads and as_json:
        typer.echo(json.dumps({**json.loads(summary.to_json()), "folder": str(summary.folder)}, indent=2))
    elif leads and not quiet:
        console.print()
        console.print(summary_table(summary), crop=False)
    for line in summary.unwritten:
        typer.echo(line, err=True)
    if leads and not quiet and not as_json:
        typer.echo(f"next: qdeq report {shlex.quote(str(summary.folder))} --open")


def _go_on(run: Path, others: list[str], assignments: list[str], progress: Progress) -> RunSummary:
    from qdeq.training import resume

    if others:
        raise TrainingError(
            f"{run}: a run goes on as it began, so {others[0]} does not go with --resume\n"
            "Leave it out, or train anew with --out DIR. Only --set goes with it."
        )
    budget, overrides = _parted(run, assignments)
    with named(run / "spec.yaml"):
        return resume(run, budget=budget, overrides=overrides, progress=progress)


def _parted(run: Path, assignments: list[str]) -> tuple[Budget | None, list[str]]:
    """Return the budget that assignments ask for, if they do, and the other assignments."""
    from qdeq.training import RunFolder

    of_budget = [each for each in assignments if each.startswith("budget.")]
    others = [each for each in assignments if not each.startswith("budget.")]
    if not of_budget:
        return None, others
    folder = RunFolder(run)
    began = folder.load_spec()
    if began.budget is None:
        raise TrainingError(
            f"{run}: the run has no budget, as its backend {began.backend['name']!r} costs nothing\n"
            f"Leave --set {printable(of_budget[0])} out."
        )
    return folder.load_spec(of_budget).budget, others


@app.command(
    name="eval",
    epilog=examples(
        "qdeq eval runs/digits",
        "qdeq eval runs/digits --checkpoint last",
        "qdeq eval runs/bars --data new-bars.npz",
        "qdeq eval runs/digits --json | jq .test.accuracy",
    ),
)
def evaluate(
    run: Run,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Evaluate on these data: an .npz file, or the folder (root) that the run's data set lies in now.",
            show_default=False,
        ),
    ] = None,
    assignments: DataAssignments = None,
    checkpoint: Checkpoint = "best",
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a saved run on its validation and test images, or on data that are named; nothing is written.

    Data that are not those of the run are refused unless they are named.
    """
    from qdeq.reports.runs import evaluation_table
    from qdeq.training import evaluate_run
    from qdeq.training.environment import convergence_warnings_once

    with named(run / "spec.yaml"), convergence_warnings_once(lambda message: typer.echo(message, err=True)):
        evaluation = evaluate_run(
            run, checkpoint=checkpoint, device=device, data=data, overrides=tuple(assignments or ())
        )
    if as_json:
        typer.echo(evaluation.to_json())
    else:
        make_console().print(evaluation_table(evaluation), crop=False)
