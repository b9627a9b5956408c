"""Files that may come from anybody: opened only if they are files, unpacked only as far as their size makes likely.

A data path may lead anywhere: the user says where images lie, reading yields images or a refusal, and what is written
are the published files alone (`qdeq.data.stored`). But it must be printable, since it stands in messages, and a device
or a named pipe would be read for ever.
"""

from __future__ import annotations

import gzip
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import numpy as np
from pydantic import AfterValidator
from torch import Tensor

from qdeq.errors import DataError, is_hidden, printable

GZIP = b"\x1f\x8b"
"""How a gzipped file begins."""

_LONGEST_PATH = 1024
_UNSUSPICIOUS = 16 << 20
_LIKELY_EXPANSION = 100
# No deflate stream expands more than 1032-fold; and 64 more bytes for the smallest files.
_MOST_EXPANSION = 1032


def _check_path(path: Path) -> Path:
    text = str(path)
    if len(text) > _LONGEST_PATH:
        raise ValueError(f"a path of {len(text)} characters; at most {_LONGEST_PATH} are allowed")
    if any(map(is_hidden, text)):
        raise ValueError(f"a path with characters that cannot be printed: {printable(text)}")
    return path


DataPath = Annotated[Path, AfterValidator(_check_path)]
"""The type of an option that names a file or folder of images."""


def as_path(value: Any, function: str, instead: str) -> Path:
    """Return what a caller gave as a path.

    Args:
        value: A string or a path.
        function: Who takes it.
        instead: What to do with an array, a sentence.

    Raises:
        DataError: It is something else, such as an array.
    """
    if not isinstance(value, str | os.PathLike):
        raise DataError(f"{function} takes a path, not {_described(value)}\n{instead}")
    return Path(value)


def _described(value: Any) -> str:
    shape = f" of shape {list(value.shape)}" if isinstance(value, np.ndarray | Tensor) else ""
    return f"{type(value).__name__}{shape}"


def expanded(path: Path) -> Path:
    """Return the path with ``~`` replaced.

    Raises:
        DataError: There is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise DataError(f"{path}: there is no such home folder; write the path out") from error


def exists(path: Path) -> bool:
    """Return whether there is something at the path.

    Raises:
        DataError: That cannot be found out, say for want of a permission.
    """
    try:
        return path.exists()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        OSError: It cannot be opened, or is no file: a folder, a device, a named pipe.
    """
    # Without waiting: a named pipe has no end, and opening one waits for whoever writes into it.
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("it is no file")
    return file


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading what it holds: decompressed, if its content is gzip, whatever its name.

    Raises:
        OSError: As :func:`open_file`.
    """
    with open_file(path) as file:
        packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        if packed:
            with gzip.open(file) as unpacked:
                yield cast(BinaryIO, unpacked)
        else:
            yield file


def most_bytes(packed: int) -> int:
    """Return how many bytes a compressed file of ``packed`` bytes may unpack to.

    Anything that deflate can do, up to 16 MiB; beyond that a hundredfold. Handwriting is packed to a tenth at best.
    """
    return min(_MOST_EXPANSION * (packed + 64), max(_UNSUSPICIOUS, _LIKELY_EXPANSION * packed))
