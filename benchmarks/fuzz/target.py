"""What is fuzzed: a reader, valid files for it, and ways to make them invalid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True, kw_only=True)
class Target:
    """One reader of files that may come from anybody.

    Args:
        name: As the table has it.
        file: The file's name.
        inputs: Draws the contents of a file: a valid one, mutated.
        parses: Whether contents get past the first parser: the YAML or JSON is well formed, the archive opens.
        read: Reads the file (and may write into the folder); raises a `QdeqError`, or checks what it got by assertions.
    """

    name: str
    file: str
    inputs: SearchStrategy[bytes]
    parses: Callable[[bytes], bool]
    read: Callable[[Path, Path], None]
