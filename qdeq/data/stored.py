"""Data sets kept as files: where they are looked for, and how what is missing is downloaded."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from qdeq.data.files import DataPath, exists, expanded, open_file, open_unpacked
from qdeq.errors import DataError, printable

DATA_VARIABLE = "QDEQ_DATA"
"""Environment variable that names the folder with the data sets, where the option ``root`` does not."""

_TIMEOUT = 30.0
_CHUNK = 1 << 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class StoredDataset(ABC):
    """Options of a data set that is kept in a folder, and the search for that folder.

    A subclass names its files and its folders below the root. The first folder that holds any of the files is used;
    what it lacks is downloaded into it. Samples come last, are never completed by a download, and show in the data
    set's name.
    """

    title: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    folders: ClassVar[tuple[str, ...]]
    sample_folders: ClassVar[tuple[str, ...]] = ()

    root: DataPath | None = Field(
        default=None,
        description="Folder that holds the data sets' folders. "
        f"Default: the environment variable {DATA_VARIABLE}, or else qdeq's folder in the user's cache.",
    )
    download: bool = Field(default=True, description="Download the files that are missing; their hashes are checked.")

    def data_root(self) -> Path:
        """Return the folder that holds the data sets' folders; it need not exist."""
        if self.root is not None:
            return expanded(self.root)
        if os.environ.get(DATA_VARIABLE):
            return expanded(Path(os.environ[DATA_VARIABLE]))
        import pooch  # here, so that importing qdeq.data stays fast

        return Path(pooch.os_cache("qdeq"))

    def search(self) -> tuple[Path, bool, list[str]]:
        """Return the folder that is used, whether it holds a sample, and the files that it lacks.

        Raises:
            DataError: That cannot be found out.
        """
        root = self.data_root()
        name = next(
            (
                name
                for name in (*self.folders, *self.sample_folders)
                if any(self.find(root / name, file) for file in self.files)
            ),
            self.folders[0],
        )
        missing = [file for file in self.files if not self.find(root / name, file)]
        return root / name, name in self.sample_folders, missing

    @classmethod
    def spellings(cls, file: str) -> tuple[str, ...]:
        """Return the names that a file goes by, its published one first."""
        return (file,)

    @classmethod
    def find(cls, folder: Path, file: str) -> Path | None:
        """Return where the file lies in the folder, under any of its names; None if it does not.

        Raises:
            DataError: That cannot be found out.
        """
        return next((folder / name for name in cls.spellings(file) if exists(folder / name)), None)

    def locate(self) -> tuple[Path, str]:
        """Return the folder that now holds every file, and the data set's name, which tells a sample from the whole.

        Raises:
            DataError: Files are missing and could not be, or may not be, downloaded.
        """
        folder, sample, missing = self.search()
        named = os.environ.get(DATA_VARIABLE)
        if missing and self.root is None and named and not self.data_root().is_dir():
            what = "is no folder" if exists(self.data_root()) else "does not exist"
            raise DataError(
                f"{self.title}: {DATA_VARIABLE} names {printable(named)}, which {what}\n"
                f"Point it to the folder that holds {self.folders[0]}/, make the folder to have the data downloaded "
                "into it, or unset the variable."
            )
        if missing and (sample or not self.download):
            why = "it is a sample, which is never downloaded" if sample else "download is off"
            raise DataError(f"{self.title}: {folder} lacks {', '.join(missing)}, and {why}\n{self.remedy(folder)}")
        if missing:
            try:
                self.fetch(folder, missing)
            except DataError as error:
                raise DataError(f"{self.title}: {error}\n{self.remedy(folder)}") from error
        return folder, f"{self.title} (sample)" if sample else self.title

    @abstractmethod
    def fetch(self, folder: Path, missing: list[str]) -> None:
        """Put the missing files into the folder; a DataError of one line if that fails."""

    @abstractmethod
    def altered(self, folder: Path) -> list[str] | None:
        """Return the files that are not the published ones, by content; None where that cannot be told."""

    def remedy(self, folder: Path) -> str:
        """Return how to mend what is missing, in a line."""
        return (
            f"Put the files into {folder} yourself, or point {DATA_VARIABLE} (or the option root) "
            f"to the folder that holds {self.folders[0]}/."
        )


def told(title: str, folder: Path, altered: list[str]) -> tuple[str, tuple[str, ...]]:
    """Return what a data set is called where files in its folder are not the published ones, and a note of it."""
    if not altered:
        return title, ()
    note = f"{folder}: not the published files: {', '.join(altered)}; a part of {title}, or something else"
    return f"{title} (not the published files)", (note,)


@contextmanager
def verified_download(url: str, folder: Path, expected: str, most: int) -> Iterator[Path]:
    """Download a file into a temporary place inside ``folder``, check it, and yield its path.

    Whoever needs the file moves it within ``folder``, which is atomic; otherwise it is gone when the context ends.

    Args:
        url: Where to download from.
        folder: Made if it does not exist.
        expected: ``"md5:<hex>"`` or ``"sha256:<hex>"`` of the file, or ``"gunzip-sha256:<hex>"`` of what it
            decompresses to, which holds whoever compressed it.
        most: Bytes that the file, and what it decompresses to, may have; no more are taken from the server.

    Raises:
        DataError: The download failed, the folder cannot be written, the file is too large, or its hash is another one.
    """
    import pooch

    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=folder, prefix=".download-")
    except OSError as error:
        raise DataError(f"cannot write to {folder} ({error.strerror})") from error
    with temporary as scratch:
        path = Path(scratch) / "file"
        _log.info("downloading %s", url)
        try:
            with path.open("wb") as file:
                pooch.HTTPDownloader(timeout=_TIMEOUT, chunk_size=_CHUNK)(url, _Limited(file, most), None)
        except _TooLarge as error:
            raise DataError(
                f"{url} is not the published file: it has more than {most:,} bytes; it was not kept"
            ) from error
        except (OSError, ValueError) as error:  # the errors of requests, and of a full disk, are OSErrors
            raise DataError(f"downloading {url} failed ({type(error).__name__})") from error
        actual = digest(path, expected.partition(":")[0], most)
        if actual != expected:
            raise DataError(f"{url} is not the published file: its hash is {actual}, not {expected}; it was not kept")
        yield path


class _TooLarge(Exception):
    """A server sends more than the file can have."""


class _Limited:
    """A file that takes so many bytes and no more.

    Args:
        file: What it writes to.
        most: Bytes.
    """

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file = file
        self._left = most

    def write(self, chunk: bytes) -> int:
        """Write a chunk."""
        self._left -= len(chunk)
        if self._left < 0:
            raise _TooLarge
        return self._file.write(chunk)

    def flush(self) -> None:
        """Hand everything to the system."""
        self._file.flush()


def move_into_place(source: Path, target: Path) -> None:
    """Move a file within one file system, atomically, unless the target exists: what is there is never overwritten."""
    if not target.exists():
        os.replace(source, target)


def digest(path: Path, kind: str, most: int) -> str:
    """Return the hash of a file as :func:`verified_download` takes it.

    Args:
        path: The file.
        kind: Such as ``"md5"``.
        most: Bytes that are hashed; what has more is none of the published files.
    """
    algorithm = kind.removeprefix("gunzip-")
    found = hashlib.new(algorithm, usedforsecurity=False)
    try:
        with open_unpacked(path) if algorithm != kind else open_file(path) as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
                most -= len(chunk)
                if most < 0:
                    return f"{kind}:(too large)"
    except (OSError, EOFError, zlib.error):
        return f"{kind}:(damaged gzip)"
    return f"{kind}:{found.hexdigest()}"
