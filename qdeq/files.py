"""Files that are written whole or not at all, and those that a result can do without."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

Content = str | bytes
Tell = Callable[[str], None]


def replace_file(file: Path, content: Content) -> None:
    """Write a file; readers see the old content or the new one, and a full disk leaves the old one.

    Raises:
        OSError: It cannot be written.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def optional(file: Path, tell: Tell) -> Iterator[None]:
    """Let a file that cannot be made or written in the block cost that file only.

    Args:
        file: What is written; it is named.
        tell: Takes one line, where it could not be.
    """
    try:
        yield
    except OSError as error:
        tell(f"warning: {file}: not written ({error.strerror or error}); all else is there")


def write_optional(contents: Mapping[Path, Callable[[], Content]], tell: Tell) -> list[Path]:
    """Write files that show what is safe elsewhere: tables, pictures. Each one fails for itself.

    Args:
        contents: What makes the content, by file: drawing may need the disk, too.
        tell: Takes a line for each that could not be written.

    Returns:
        The files that were written.
    """
    written = []
    for file, make in contents.items():
        with optional(file, tell):
            replace_file(file, make())
            written.append(file)
    return written
