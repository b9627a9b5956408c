"""MNIST and Fashion-MNIST: IDX files, gzipped or not (Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist/)."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor

from qdeq.data.base import Images, RawDataset
from qdeq.data.files import most_bytes, open_unpacked
from qdeq.data.stored import StoredDataset, digest, move_into_place, told, verified_download
from qdeq.errors import DataError

_UNSIGNED_BYTE = 0x08
_TRAIN_IMAGES, _TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


_MOST_BYTES = {_TRAIN_IMAGES: 47_040_016, _TRAIN_LABELS: 60_008, _TEST_IMAGES: 7_840_016, _TEST_LABELS: 10_008}
"""Of the published files, decompressed; they are the same for MNIST and Fashion-MNIST."""
_OVERHEAD = 1 << 16
"""Bytes that gzip may add where it cannot compress anything."""


def read_idx(path: Path, *, dimensions: int) -> Tensor:
    """Read an IDX file of unsigned bytes, gzipped or not, whatever its name.

    The header is two zero bytes, the type (8: unsigned byte), the number of dimensions d, then d big-endian 32-bit
    sizes; the values follow, the last index running fastest. Nothing is allocated before the sizes are known to be
    possible.

    Args:
        path: The file.
        dimensions: How many it must have: 3 for images [N, H, W], 1 for labels [N].

    Returns:
        A uint8 tensor.

    Raises:
        DataError: The file is missing, damaged, cut off, too long, or something else.
    """
    remedy = "\nDelete the file to have it downloaded again, or put an intact copy in its place."
    try:
        with open_unpacked(path) as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0":
                raise DataError(f"{path}: not an IDX file, which begins with two zero bytes{remedy}")
            if head[2] != _UNSIGNED_BYTE or head[3] != dimensions:
                raise DataError(
                    f"{path}: holds type {head[2]:#04x} in {head[3]} dimensions; "
                    f"wanted are unsigned bytes (0x08) in {dimensions}{remedy}"
                )
            header = file.read(4 * dimensions)
            if len(header) < 4 * dimensions:
                raise DataError(f"{path}: cut off within its header{remedy}")
            shape = struct.unpack(f">{dimensions}I", header)
            length = math.prod(shape)
            if length > most_bytes(path.stat().st_size):
                raise DataError(f"{path}: its header asks for {list(shape)} bytes, more than the file can hold{remedy}")
            if length == 0:
                raise DataError(f"{path}: its header says that it is empty, {list(shape)}{remedy}")
            # One byte more than wanted: it shows excess data, and at the end of the file gzip checks its own sum.
            data = file.read(length + 1)
    except (OSError, EOFError, zlib.error) as error:
        what = "not found" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise DataError(f"{path}: {what}{remedy}") from error
    if len(data) != length:
        held = "more" if len(data) > length else f"only {len(data)}"
        raise DataError(f"{path}: its header says {list(shape)}, {length} bytes, but it holds {held}{remedy}")
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(shape)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class _IDXDataset(StoredDataset):
    """Four IDX files: images and labels, for training and test."""

    files: ClassVar[tuple[str, ...]] = (_TRAIN_IMAGES, _TRAIN_LABELS, _TEST_IMAGES, _TEST_LABELS)
    url: ClassVar[str]
    hashes: ClassVar[dict[str, str]]
    class_names: ClassVar[tuple[str, ...]]

    def load(self) -> RawDataset:
        """Read the four files, downloading those that are missing if that is allowed.

        Raises:
            DataError: A file is missing or damaged, or images and labels do not fit.
        """
        folder, name = self.locate()
        paths = self._paths(folder)
        train = self._read(paths[_TRAIN_IMAGES], paths[_TRAIN_LABELS])
        test = self._read(paths[_TEST_IMAGES], paths[_TEST_LABELS])
        name, notes = self._called(folder, name)
        return RawDataset(name=name, train=train, test=test, notes=notes)

    @classmethod
    def spellings(cls, file: str) -> tuple[str, ...]:
        """Return the names that a file goes by: gzipped, unpacked, and with a dot."""
        plain = file.removesuffix(".gz")
        dotted = plain.replace("-idx", ".idx")
        return file, plain, f"{dotted}.gz", dotted

    def _paths(self, folder: Path) -> dict[str, Path]:
        return {file: path for file in self.files if (path := self.find(folder, file))}

    def _read(self, images: Path, labels: Path) -> Images:
        pixels = read_idx(images, dimensions=3).unsqueeze(1)
        numbers = read_idx(labels, dimensions=1).to(torch.int64)
        try:
            return Images(images=pixels, labels=numbers, class_names=self.class_names)
        except DataError as error:
            raise DataError(f"{images} and {labels.name}: {error}") from error

    def altered(self, folder: Path) -> list[str] | None:
        """Return the files that are not the published ones, by content; None where that cannot be told."""
        return self._altered(self._strangers(folder))

    def _altered(self, strangers: dict[str, Path]) -> list[str] | None:
        if strangers and all(self._may_be_published(file, path) for file, path in strangers.items()):
            return None
        return [path.name for path in strangers.values()]

    def _strangers(self, folder: Path) -> dict[str, Path]:
        """Return the files that have not the hash of the published ones.

        Raises:
            DataError: One is a published file of another data set.
        """
        strangers = {}
        for file, path in self._paths(folder).items():
            kind, most = self.hashes[file].partition(":")[0], _most(file)
            if digest(path, kind, most) == self.hashes[file]:
                continue
            strangers[file] = path
            for other in (MNIST, FashionMNIST):
                expected = other.hashes[file]
                if other.title != self.title and digest(path, expected.partition(":")[0], most) == expected:
                    raise DataError(
                        f"{path}: is {other.title}'s file, not {self.title}'s\n"
                        f"Name the data set {other.title}, with its files in {self.data_root() / other.folders[0]}."
                    )
        return strangers

    def _called(self, folder: Path, name: str) -> tuple[str, tuple[str, ...]]:
        """Return the data set's name with what is known of its files, and notes of it."""
        altered = self._altered(self._strangers(folder))
        if name != self.title:
            return name, ()
        if altered is None:
            note = (
                f"{folder}: the sizes are {name}'s; the content can be verified in the gzipped files as published only"
            )
            return f"{name} (unverified)", (note,)
        return told(name, folder, altered)

    @classmethod
    def _may_be_published(cls, file: str, path: Path) -> bool:
        """Return whether no hash of the content is known, and it has the published size."""
        if cls.hashes[file].startswith("gunzip-"):
            return False
        with open_unpacked(path) as content:
            return len(content.read(_MOST_BYTES[file] + 1)) == _MOST_BYTES[file]

    def fetch(self, folder: Path, missing: list[str]) -> None:
        """Put the missing files into the folder."""
        for file in missing:
            with verified_download(self.url + file, folder, self.hashes[file], _most(file)) as path:
                move_into_place(path, folder / file)


def _most(file: str) -> int:
    """Return how many bytes a file, and what it decompresses to, may have."""
    return _MOST_BYTES[file] + _OVERHEAD


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class MNIST(_IDXDataset):
    """MNIST: 60 000 training and 10 000 test images of handwritten digits, 28 x 28, grey.

    Looked for in ``<root>/mnist/``, then in ``<root>/MNIST/raw/``, gzipped or unpacked; known by content.
    """

    title: ClassVar[str] = "mnist"
    folders: ClassVar[tuple[str, ...]] = ("mnist", "MNIST/raw")
    url: ClassVar[str] = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    # Of the decompressed files, since mirrors compress them anew.
    hashes: ClassVar[dict[str, str]] = {
        _TRAIN_IMAGES: "gunzip-sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        _TRAIN_LABELS: "gunzip-sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        _TEST_IMAGES: "gunzip-sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        _TEST_LABELS: "gunzip-sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FashionMNIST(_IDXDataset):
    """Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747): 60 000 and 10 000 images, 28 x 28, grey.

    Looked for in ``<root>/fashion-mnist/``, ``<root>/FashionMNIST/raw/`` and then, as a sample, in
    ``<root>/fashion-mnist-sample/``; gzipped or unpacked.
    """

    title: ClassVar[str] = "fashion-mnist"
    folders: ClassVar[tuple[str, ...]] = ("fashion-mnist", "FashionMNIST/raw")
    sample_folders: ClassVar[tuple[str, ...]] = ("fashion-mnist-sample",)
    url: ClassVar[str] = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    hashes: ClassVar[dict[str, str]] = {
        _TRAIN_IMAGES: "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        _TRAIN_LABELS: "md5:25c81989df183df01b3e8a0aad5dffbe",
        _TEST_IMAGES: "md5:bef4ecab320f06d8554ea6380940ec79",
        _TEST_LABELS: "md5:bb300cfdad3c16e7a12a480ee83cd310",
    }
    class_names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
