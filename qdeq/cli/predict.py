"""``qdeq predict``: the classes of images of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qdeq.cli.app import AsJson, Checkpoint, Device, Run, app, examples, make_console, named
from qdeq.cli.exits import ExitCode
from qdeq.errors import DataError


@app.command(
    epilog=examples(
        "qdeq predict runs/digits seven.png",
        "qdeq predict runs/digits scans/*.png --csv > classes.csv",
        "qdeq predict runs/digits stack.npy --json | jq -r '.images[].label'",
    )
)
def predict(
    run: Run,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES...",
            help="PNG, JPEG, .npy ([H, W] or several [N, H, W]) or gzipped IDX files.",
            show_default=False,
        ),
    ],
    checkpoint: Checkpoint = "best",
    device: Device = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, and nothing else on the standard output.")] = False,
    as_json: AsJson = False,
) -> None:
    """Classify images with a saved run: class, probability, and whether the equilibrium behind it converged.

    They are prepared as the run's own images were. A file that cannot be read is named, the others are classified, and
    the exit code is 2.
    """
    if as_csv and as_json:
        raise DataError("--csv and --json are two forms of the same\nLeave one of them out.")

    from qdeq.reports.predictions import prediction_table
    from qdeq.training.environment import convergence_warnings_once
    from qdeq.training.predict import predict_run

    with named(run / "spec.yaml"), convergence_warnings_once(lambda message: typer.echo(message, err=True)):
        found = predict_run(run, images, checkpoint=checkpoint, device=device)
    if as_csv:
        typer.echo(found.to_csv(), nl=False)
    elif as_json:
        typer.echo(found.to_json())
    elif found.images:
        make_console().print(prediction_table(found), highlight=False)
    for reason in found.failed.values():
        typer.echo(f"error: {reason}", err=True)
    if found.failed:
        raise typer.Exit(ExitCode.BAD_INPUT)
