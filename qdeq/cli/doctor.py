"""``qdeq doctor``: what works on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from qdeq.cli.app import AsJson, Quiet, app, examples, make_console
from qdeq.cli.exits import ExitCode
from qdeq.cli.outputs import teller


@app.command(
    epilog=examples(
        "qdeq doctor",
        "qdeq doctor --online                        # asks AWS, too",
        "qdeq doctor --json | jq '.findings[] | select(.state != \"ok\")'",
    )
)
def doctor(
    online: Annotated[
        bool, typer.Option("--online", help="Ask AWS whether it takes the credentials; that costs nothing.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Look at packages, backends, data, devices and AWS: what works, what does not, and how to mend it.

    Every local backend solves a small equilibrium. Exit code 1 if something is broken that qdeq cannot do without.
    """
    from qdeq.doctor import examine

    checkup = examine(online=online, watch=teller("looking at", quiet=quiet))
    if as_json:
        typer.echo(checkup.to_json())
    elif not quiet:
        from qdeq.reports.doctor import checkup_report

        make_console().print(checkup_report(checkup), highlight=False)
    if not checkup.ok:
        raise typer.Exit(ExitCode.CHECK_FAILED)
