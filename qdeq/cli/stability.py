"""``qdeq stability``: how stable a run's equilibria are, and whether there are others."""

from __future__ import annotations

from typing import Annotated

import typer

from qdeq.cli.app import AsJson, Checkpoint, Device, Quiet, Run, app, examples, make_console, named
from qdeq.cli.outputs import write_shown


@app.command(
    epilog=examples(
        "qdeq stability runs/digits",
        "qdeq stability runs/digits --samples 32 --starts 64",
        "qdeq stability runs/digits --json | jq '[.images[].spectral_radius] | max'",
    )
)
def stability(
    run: Run,
    checkpoint: Checkpoint = "best",
    samples: Annotated[int, typer.Option(min=1, help="Test images to examine, drawn at random.")] = 256,
    starts: Annotated[int, typer.Option(min=1, help="Solves for each image: from 0 and from random states.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws of images and starts.")] = 0,
    device: Device = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Examine the equilibria of a saved run: spectral radius, norm, certificate, and how many there are.

    A histogram is written into the run's folder (stability.png).
    """
    from qdeq.reports.plots.stability import draw_stability
    from qdeq.reports.plots.style import figure_png
    from qdeq.reports.stability import stability_table
    from qdeq.training.examine import examine_run
    from qdeq.training.folder import RunFolder

    with named(run / "spec.yaml"):
        result = examine_run(run, checkpoint=checkpoint, samples=samples, starts=starts, seed=seed, device=device)
    if as_json:
        typer.echo(result.to_json())
    elif not quiet:
        make_console().print(stability_table(result), highlight=False)
    pictures = {RunFolder(run).stability: lambda: figure_png(draw_stability(result))}
    write_shown(pictures, quiet=quiet or as_json)
