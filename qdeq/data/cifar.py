"""CIFAR-10 (A. Krizhevsky, 2009) in its binary version: https://www.cs.toronto.edu/~kriz/cifar.html."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.data.base import Images, RawDataset
from qdeq.data.stored import StoredDataset, move_into_place, verified_download
from qdeq.errors import DataError

_FOLDER = "cifar-10-batches-bin"
_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_TEST = "test_batch.bin"
_RECORD = 1 + 3 * 32 * 32


def read_cifar(path: Path) -> tuple[Tensor, Tensor]:
    """Read one file of records: a label byte, then 3 x 32 x 32 bytes, red, green, blue, each row by row.

    Args:
        path: The file.

    Returns:
        Images [N, 3, 32, 32], uint8, and labels [N], int64.

    Raises:
        DataError: The file is missing, is not a whole number of records, or holds a label above 9.
    """
    remedy = f"\nPut an intact copy in its place, or delete the folder {path.parent} to have it downloaded again."
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}){remedy}") from error
    if not data or len(data) % _RECORD:
        raise DataError(f"{path}: holds {len(data)} bytes, not a whole number of records of {_RECORD}{remedy}")
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
        return RawDataset(
            name=name,
            train=Images(images=images, labels=labels, class_names=self.class_names),
            test=Images(images=test_images, labels=test_labels, class_names=self.class_names),
        )

    def _fetch(self, folder: Path, missing: list[str]) -> None:
        with verified_download(self.url, folder, self.archive_hash) as archive:
            scratch = archive.parent
            try:
                with tarfile.open(archive, "r:gz") as tar:
                    for file in missing:
                        tar.extract(f"{_FOLDER}/{file}", scratch, filter="data")
            except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
                raise DataError(f"the archive {self.url} cannot be unpacked ({error})") from error
            for file in missing:
                move_into_place(scratch / _FOLDER / file, folder / file)
