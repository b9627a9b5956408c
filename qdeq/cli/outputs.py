"""Folders that commands write to, and lists that they take: what several of them have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

from qdeq.errors import SpecError
from qdeq.files import Content, write_optional


def check_folder(out: Path | None) -> None:
    """Refuse an ``--out`` that is no folder, before any work.

    Raises:
        SpecError: There is a file of that name.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise SpecError(f"--out {out}: there is a file of that name; give a folder")


def write_shown(contents: Mapping[Path, Callable[[], Content]], *, quiet: bool) -> list[Path]:
    """Write what was shown into files, after it was shown, and name them; one that cannot be written costs itself only.

    Args:
        contents: What makes the content, by file.
        quiet: Name only those that could not be written.

    Returns:
        The files that were written.
    """
    written = write_optional(contents, lambda line: typer.echo(line, err=True))
    for file in () if quiet else written:
        typer.echo(f"written: {file}")
    return written


def write_out(folder: Path, contents: Mapping[str, Callable[[], Content]], *, quiet: bool) -> None:
    """Write what was shown into the folder of ``--out``, as :func:`write_shown` does; the folder is made if need be.

    Raises:
        SpecError: Not one file could be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"--out {folder}: cannot be made ({error.strerror}); give another folder") from error
    if not write_shown({folder / name: make for name, make in contents.items()}, quiet=quiet):
        raise SpecError(f"--out {folder}: cannot be written; make room, or give another folder")


def teller(doing: str, *, quiet: bool) -> Callable[[str], None]:
    """Return what tells on a terminal what is going on, such as ``solving with anderson ...``."""

    def tell(what: str) -> None:
        if not quiet and sys.stderr.isatty():
            typer.echo(f"{doing} {what} ...", err=True)

    return tell


def plugin_choices(option: str, text: str, *, example: str, with_options: str) -> list[Any]:
    """Return the plug-ins that an option names: names, and mappings with options, in YAML's flow style.

    Args:
        option: Its name, for messages.
        text: Its value.
        example: Of names.
        with_options: Of a name and one with options.

    Raises:
        SpecError: The text is no such list.
    """
    from qdeq.spec import parse_yaml

    try:
        choices = parse_yaml(f"[{text}]", option)
    except SpecError:
        choices = None
    good = isinstance(choices, list) and all(
        isinstance(choice, str) or (isinstance(choice, dict) and isinstance(choice.get("name"), str))
        for choice in choices
    )
    if not good or not choices:
        raise SpecError(
            f"{option} {text}: expected names with commas between them, such as {example}\n"
            f'Options go in braces: {option} "{with_options}"'
        )
    return list(choices)
