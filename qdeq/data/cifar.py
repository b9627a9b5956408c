"""CIFAR-10 (A. Krizhevsky, 2009) in its binary version: https://www.cs.toronto.edu/~kriz/cifar.html."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.data.base import Images, RawDataset
from qdeq.data.files import exists, open_file
from qdeq.data.stored import StoredDataset, move_into_place, told, verified_download
from qdeq.errors import DataError, printable

_FOLDER = "cifar-10-batches-bin"
_PYTHON = "cifar-10-batches-py"
_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_TEST = "test_batch.bin"
_RECORD = 1 + 3 * 32 * 32
_PUBLISHED = 10_000
_MOST_ARCHIVE_BYTES = 180_000_000
"""The published archive has 170 million."""


def read_cifar(path: Path) -> tuple[Tensor, Tensor]:
    """Read one file of records: a label byte, then 3 x 32 x 32 bytes, red, green, blue, each row by row.

    Args:
        path: The file.

    Returns:
        Images [N, 3, 32, 32], uint8, and labels [N], int64.

    Raises:
        DataError: The file is missing, is not a whole number of records, has more than the 10 000 of the published
            files, or holds a label above 9.
    """
    remedy = f"\nPut an intact copy in its place, or delete the folder {path.parent} to have it downloaded again."
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0 or size % _RECORD or size > _PUBLISHED * _RECORD:
                raise DataError(f"{path}: holds {size} bytes, not 1 to {_PUBLISHED} records of {_RECORD}{remedy}")
            data = file.read(size)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}){remedy}") from error
    if len(data) != size:
        raise DataError(f"{path}: only {len(data)} of {size} bytes can be read{remedy}")
    records = torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].to(torch.int64)
    if (labels > 9).any():
        first = int((labels > 9).nonzero()[0])
        raise DataError(f"{path}: record {first} (counted from 0) has the label {int(labels[first])}, above 9{remedy}")
    return records[:, 1:].reshape(-1, 3, 32, 32), labels


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CIFAR10(StoredDataset):
    """CIFAR-10: 50 000 training and 10 000 test images of ten kinds of things, 32 x 32, RGB.

    Looked for in ``<root>/cifar-10-batches-bin/``, ``<root>/cifar-10/cifar-10-batches-bin/`` and then, as a sample, in
    ``<root>/cifar-10-sample/cifar-10-batches-bin/``.
    """

    title: ClassVar[str] = "cifar10"
    files: ClassVar[tuple[str, ...]] = (*_TRAIN, _TEST)
    folders: ClassVar[tuple[str, ...]] = (_FOLDER, f"cifar-10/{_FOLDER}")
    sample_folders: ClassVar[tuple[str, ...]] = (f"cifar-10-sample/{_FOLDER}",)
    url: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    archive_hash: ClassVar[str] = "md5:c32a1d4ab5d03f1284b67883e8d87530"
    class_names: ClassVar[tuple[str, ...]] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )

    def load(self) -> RawDataset:
        """Read the six files, downloading those that are missing if that is allowed.

        Raises:
            DataError: A file is missing or damaged.
        """
        folder, name = self.locate()
        batches = [read_cifar(folder / file) for file in _TRAIN]
        images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
        test_images, test_labels = read_cifar(folder / _TEST)
        name, notes = (name, ()) if name != self.title else told(name, folder, self.altered(folder) or [])
        return RawDataset(
            name=name,
            train=Images(images=images, labels=labels, class_names=self.class_names),
            test=Images(images=test_images, labels=test_labels, class_names=self.class_names),
            notes=notes,
        )

    def altered(self, folder: Path) -> list[str] | None:
        """Return the files that have another size than the published ones; None where that cannot be told."""
        return [file for file in self.files if (folder / file).stat().st_size != _PUBLISHED * _RECORD] or None

    def remedy(self, folder: Path) -> str:
        """Return how to mend what is missing, in a line."""
        batches = self.data_root() / _PYTHON
        if not exists(batches):
            return super().remedy(folder)
        return (
            f"{batches} has Python pickles, which are never loaded: take the binary version from {self.url}, "
            "or convert them as the guide to your own data shows."
        )

    def fetch(self, folder: Path, missing: list[str]) -> None:
        """Put the missing files into the folder."""
        with verified_download(self.url, folder, self.archive_hash, _MOST_ARCHIVE_BYTES) as archive:
            try:
                unpacked = unpack(archive, missing)
            except DataError as error:
                raise DataError(f"the archive {self.url} cannot be unpacked ({error})") from error
            for file in unpacked:
                move_into_place(file, folder / file.name)


def unpack(archive: Path, files: Sequence[str]) -> list[Path]:
    """Take files of records out of the published archive, into its own folder, and return their paths.

    Whatever the archive's members are called or link to, nothing but these files is written.

    Raises:
        DataError: It is damaged, or a file is not in it, is no file or is too large; the message is one line.
    """
    made = []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for name in files:
                member = tar.getmember(f"{_FOLDER}/{name}")
                source = tar.extractfile(member) if member.isfile() and member.size <= _PUBLISHED * _RECORD else None
                if source is None:
                    raise DataError(f"{name} is no file of at most {_PUBLISHED} records")
                made.append(archive.parent / name)
                made[-1].write_bytes(source.read())
    except (tarfile.TarError, KeyError, OSError, EOFError, ValueError, zlib.error) as error:
        raise error if isinstance(error, DataError) else DataError(printable(str(error))) from error
    return made
