"""``qdeq show`` and ``qdeq schema``: what an experiment file describes, and what one may hold."""

from __future__ import annotations

from typing import Annotated

import typer

from qdeq.cli.app import AsJson, Assignments, Backend, Config, Solver, app, examples, load, make_console, named


@app.command(
    epilog=examples(
        "qdeq show configs/digits.yaml",
        "qdeq show configs/digits.yaml --set model.qubits=6     # what would change",
        "qdeq show configs/digits.yaml --json | jq .circuit.depth",
    )
)
def show(
    config: Config,
    backend: Backend = None,
    solver: Solver = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Show what a file describes: all settings, the circuit, its depth, and the parameters."""
    spec = load(config, backend, solver, None, assignments)

    from qdeq.reports.experiment import experiment_json, experiment_report

    if as_json:
        with named(config):
            typer.echo(experiment_json(spec))
        return
    console = make_console()
    with named(config):
        report = experiment_report(spec, width=console.width)
    console.print(report)


@app.command(
    epilog=examples(
        "qdeq schema > experiment.schema.json     # `qdeq init` does that, too",
        "qdeq schema --sweep > sweep.schema.json",
    )
)
def schema(
    sweep: Annotated[bool, typer.Option("--sweep", help="That of the file for `qdeq sweep`.")] = False,
) -> None:
    """Print the JSON schema of the experiment file, for editors; it lists the options of all installed plug-ins."""
    import json

    if sweep:
        from qdeq.sweeps.spec import sweep_schema as described
    else:
        from qdeq.spec.schema import experiment_schema as described

    typer.echo(json.dumps(described(), indent=2, ensure_ascii=False))
