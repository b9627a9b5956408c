"""``qdeq init``: a first experiment file."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from qdeq.cli import completion
from qdeq.cli.app import Quiet, app, examples
from qdeq.errors import SpecError

SCHEMA_FILE = "experiment.schema.json"


@app.command(
    epilog=examples(
        "qdeq init",
        "qdeq init fashion.yaml --dataset fashion-mnist --qubits 10",
        'qdeq init own.yaml --dataset "{name: npz, path: images.npz}"',
        "qdeq init sv1.yaml --backend braket-sv1     # with a budget",
    )
)
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The experiment file to write.")] = Path(
        "experiment.yaml"
    ),
    dataset: Annotated[
        str,
        typer.Option(
            help="Data set: a name, or name and options as {name: npz, path: images.npz}.",
            autocompletion=completion.datasets,
        ),
    ] = "digits",
    qubits: Annotated[int, typer.Option(help="Size of the register.")] = 4,
    backend: Annotated[
        str,
        typer.Option(
            help="Backend: a name of `qdeq backends`, or name and options as {name: qsim, threads: 2}.",
            autocompletion=completion.backends,
        ),
    ] = "torch",
    schema: Annotated[
        Path | None,
        typer.Option(
            help="The JSON schema by which editors check and complete the file; several files may share one.",
            show_default=f"{SCHEMA_FILE} beside FILE",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write a commented experiment file to start from, and the JSON schema by which editors check and complete it.

    The schema lists the options of the plug-ins that are installed now; `qdeq init` and `qdeq schema` write it anew.
    """
    from qdeq.spec import parse_yaml
    from qdeq.spec.schema import experiment_schema
    from qdeq.spec.starter import starter

    chosen = schema or file.parent / SCHEMA_FILE
    text = starter(
        re.sub(r"[^A-Za-z0-9._-]+|^[._-]+", "-", file.stem).strip("._-")[:64] or "experiment",
        dataset=parse_yaml(dataset, f"--dataset {dataset}"),
        qubits=qubits,
        backend=parse_yaml(backend, f"--backend {backend}"),
        schema=Path(os.path.relpath(chosen, file.parent)).as_posix(),
    )
    described = json.dumps(experiment_schema(), indent=2, ensure_ascii=False) + "\n"
    for path, ours in ((file, False), (chosen, _is_schema(chosen))):
        if path.exists() and not (force or ours):
            raise SpecError(f"{path}: is there already, and nothing was written\nName another file, or give --force.")
    for path, content in ((chosen, described), (file, text)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        except OSError as error:
            raise SpecError(f"{path}: cannot be written ({error.strerror})\nName a file elsewhere.") from error
    if not quiet:
        typer.echo(f"written: {file}\nwritten: {chosen}\nnext:    qdeq train {file}")


def _is_schema(path: Path) -> bool:
    """Return whether a file is an older schema of ours, which may be written anew."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and data.get("title") == "ExperimentSpec"
