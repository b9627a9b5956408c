"""``qdeq estimate``: what an experiment costs, before anything is sent."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from qdeq.cli import completion
from qdeq.cli.app import AsJson, Assignments, Backend, Config, Solver, app, examples, load, make_console, named


@app.command(
    epilog=examples(
        "qdeq estimate configs/digits.yaml --backend braket-sv1",
        "qdeq estimate configs/digits.yaml --backends braket-sv1,braket-dm1",
        "qdeq estimate configs/digits.yaml --json | jq '.estimates[0].bills'",
    )
)
def estimate(
    config: Config,
    backend: Backend = None,
    backends: Annotated[
        str | None,
        typer.Option(
            help="Several backends, by commas; one with options as {name: braket-dm1, region: us-west-2}.",
            show_default="the experiment's",
            autocompletion=completion.several(completion.backends),
        ),
    ] = None,
    solver: Solver = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Estimate circuits, tasks, shots and cost of an experiment: a step, an epoch, and all of it.

    Nothing is sent, and no credentials are needed.
    """
    from qdeq.cli.compare import backend_choices

    choices = [None] if backends is None else backend_choices(backends)
    spec = load(config, backend, solver, None, assignments)

    from qdeq.billing.bills import Sizes
    from qdeq.billing.estimate import estimate as run
    from qdeq.builders import build_data
    from qdeq.reports.estimates import estimate_table

    with named(config):
        sizes = Sizes.of(build_data(spec))
        found = [run(spec, sizes, backend=choice) for choice in choices]
    if as_json:
        estimates = [each.to_data() for each in found]
        head = {"format_version": 1, "name": spec.name, "spec_hash": spec.content_hash}
        typer.echo(json.dumps({**head, "estimates": estimates}, indent=2))
        return
    console = make_console()
    for number, each in enumerate(found):
        console.print(*([""] if number else []), estimate_table(each), sep="\n")
