"""What the shell's Tab key offers; names come from the entry points, so that no plug-in is imported for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

Complete = Callable[[str], list[str]]


def backends(incomplete: str) -> list[str]:
    """Return the backends that begin so."""
    from qdeq.plugins import BACKENDS

    return _beginning(BACKENDS.names(), incomplete)


def solvers(incomplete: str) -> list[str]:
    """Return the solvers that begin so."""
    from qdeq.plugins import SOLVERS

    return _beginning(SOLVERS.names(), incomplete)


def datasets(incomplete: str) -> list[str]:
    """Return the data sets that begin so."""
    from qdeq.plugins import DATASETS

    return _beginning(DATASETS.names(), incomplete)


def tables(incomplete: str) -> list[str]:
    """Return the tables of the paper that begin so."""
    from importlib import resources

    files = (file.name for file in resources.files("qdeq").joinpath("reproduce", "tables").iterdir())
    return _beginning(sorted(name.removesuffix(".yaml") for name in files if name != "shared.yaml"), incomplete)


def devices(incomplete: str) -> list[str]:
    """Return the kinds of devices that begin so."""
    return _beginning(["cpu", "cuda"], incomplete)


def several(complete: Complete) -> Complete:
    """Return the completion of a list with commas: that of its last part, but for what stands there already."""

    def complete_last(incomplete: str) -> list[str]:
        *before, last = incomplete.split(",")
        given = "".join(f"{part}," for part in before)
        return [given + name for name in complete(last) if name not in before]

    return complete_last


def checkpoints(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the checkpoints of the run that stands on the line; best and last where it is none."""
    # a line that ends with an option is not parsed to its end: the run is then among the words that are left
    given = [*(ctx.params.get(name) for name in ("run", "runs", "config")), *ctx.args]
    first = next((each[0] if isinstance(each, list | tuple) else each for each in given if each), ".")
    try:
        found = sorted(path.stem for path in Path(str(first), "checkpoints").glob("step-*.safetensors"))
    except OSError:
        found = []
    return _beginning(["best", "last", *found], incomplete)


def _beginning(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
