"""The readers of data: IDX, CIFAR-10 and its archive, NumPy archives, and the paths that an experiment names."""

from __future__ import annotations

import dataclasses
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import sklearn.model_selection  # noqa: F401 (what `prepare` would import on the first input's time)
import torch
from hypothesis import strategies as st

from benchmarks.fuzz import files
from benchmarks.fuzz.mutations import EXTREMES, PATHS, YAML_RAW, Draw, Pairs, altered, damaged, places, scalars
from benchmarks.fuzz.target import Target
from benchmarks.fuzz.text_targets import TARGETS as TEXT_TARGETS
from qdeq.data import make_dataset, prepare
from qdeq.data.base import Images
from qdeq.data.cifar import read_cifar, unpack
from qdeq.data.idx import read_idx
from qdeq.data.npz import NPZ
from qdeq.errors import DataError
from qdeq.spec import load_spec

KINDS = (
    tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.CONTTYPE,
    tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, b"?",
)  # fmt: skip
SIZES = (0, 1, 2, 3, 4, 28, 255, 2**16, 2**24, 2**31, 2**32 - 1)
HEADERS = (
    "{'descr': '|O', 'fortran_order': False, 'shape': (12,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 5, 7), }",
    "{'descr': '|u1', 'fortran_order': True, 'shape': (12, 5, 7), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (12, 50000000000, 7), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000000000000000, 5, 7), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 4611686018427387904, 4611686018427387904), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (True, 420, 1), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': " + str((1,) * 60 + (420,)) + ", }",
    "{'descr': '<U2000000000', 'fortran_order': False, 'shape': (), }",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (4611686018427387904, 1, 1), }",
    "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1, 52, 1), }",
    "{'descr': '<c16', 'fortran_order': False, 'shape': (1, 26, 1), }",
    "{'descr': '<f2', 'fortran_order': False, 'shape': (12, 35, 1), }",
    "{'descr': [('a', '|O'), ('b', '<f8')], 'fortran_order': False, 'shape': (12,), }",
    "{'descr': [('a', '|u1', (100000, 100000))], 'fortran_order': False, 'shape': (12,), }",
    "{'descr': '>i8', 'fortran_order': False, 'shape': (12,), }",
    "{'descr': '?', 'fortran_order': False, 'shape': (12, 5, 7), }",
    "{'descr': 'no\x1b[31m', 'fortran_order': False, 'shape': (12, 5, 7), }",
    "{'descr': '|u1', 'fortran_order': 1, 'shape': [12, 5, 7]}", "(" * 4000, "-" * 9000 + "1",
    "[" * 9000, "{}", "", "\0" * 99,
    "{'descr': '|u1', 'fortran_order': False, 'shape': (12L, 5L, 7L), }", "a\n" * 3000, "9" * 6000,
)  # fmt: skip


@st.composite
def idx_files(draw: Draw) -> bytes:
    """Draw a gzipped IDX file."""
    if draw(st.integers(0, 40)) == 0:
        return draw(st.sampled_from(files.idx_bombs()))
    shape, values = (6, 5, 7), files.pixels(6, 5, 7).tobytes()
    how = draw(st.integers(0, 5))
    if how == 0:
        return draw(damaged(gzip.compress(files.idx(shape, values), mtime=0)))
    if how == 1:
        content = draw(damaged(files.idx(shape, values)))
    elif how == 2:
        content = files.idx(shape, values, draw(st.sampled_from([8, 9, 0xB, 0xC, 0xD, 0xE, 0, 255])))
    elif how == 3:
        content = files.idx(tuple(draw(st.lists(st.sampled_from(SIZES), max_size=5))), values)
    else:
        sides = [draw(st.sampled_from([size, size, *SIZES])) for size in shape]
        content = files.idx(tuple(sides), values)
    return gzip.compress(content, compresslevel=1, mtime=0) + draw(
        st.sampled_from([b"", b"", b"", b"", b"\0", b"more"])
    )


def read_images(path: Path, out: Path) -> None:
    """Read an IDX file, and take it for images."""
    images = read_idx(path, dimensions=3).unsqueeze(1)
    _use(Images(images=images, labels=torch.arange(len(images)) % 2, class_names=("a", "b")))


def _use(images: Images) -> None:
    """Make features of the first images."""
    from qdeq.data.features import FeatureMap

    for kind in ("paper", "pool"):
        features = FeatureMap(size=4, kind=kind)(images.images[:64])
        assert features.shape == (min(64, len(images)), 16), "the features' shape"
        assert torch.isfinite(features).all() or images.images.abs().max() > 1e30, "features are not finite"


@st.composite
def cifar_files(draw: Draw) -> bytes:
    """Draw a file of CIFAR-10's records."""
    content = files.cifar(draw(st.integers(1, 3)))
    how = draw(st.integers(0, 3))
    if how == 0:
        return draw(damaged(content))
    if how == 1:  # whole records, one label of which is any
        at = 3073 * draw(st.integers(0, len(content) // 3073 - 1))
        return content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
    if how == 2:
        return content[: 3073 * draw(st.integers(0, 3))]
    at = draw(st.integers(0, len(content) - 1))
    return content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]


def read_records(path: Path, out: Path) -> None:
    """Read a file of records, and take it for images."""
    images, labels = read_cifar(path)
    _use(Images(images=images, labels=labels, class_names=tuple("0123456789")))


@st.composite
def archives(draw: Draw) -> bytes:
    """Draw a packed archive: members with other names, kinds, links and sizes."""
    members = []
    for name in ("data_batch_1.bin", "test_batch.bin"):
        info, content = tarfile.TarInfo(f"{files.CIFAR_FOLDER}/{name}"), files.cifar(1)
        info.size = len(content)
        if draw(st.integers(0, 2)) == 0:
            info.name = draw(st.sampled_from([*PATHS, "../" + info.name, "/" + info.name, info.name + "/x"]))
        if draw(st.integers(0, 2)) == 0:
            info.type = draw(st.sampled_from(KINDS))
            info.linkname = draw(st.sampled_from([*PATHS, info.name, f"{files.CIFAR_FOLDER}/test_batch.bin"]))
        info.mode = draw(st.sampled_from([0o644, 0o4777, 0]))
        if draw(st.integers(0, 5)) == 0:
            info.size = draw(st.sampled_from([0, 1, 512, 3072, 30_730_000, 30_730_001, 2**33, 2**62]))
        members.append((info, content))
    content = files.tar(members)
    how = draw(st.integers(0, 5))
    if how == 0:
        content = draw(damaged(content))
    packed = gzip.compress(content, compresslevel=1, mtime=0)
    return draw(damaged(packed)) if how == 1 else packed


def read_archive(path: Path, out: Path) -> None:
    """Take two files out of an archive in the folder that may be written."""
    made = unpack(path, ["data_batch_1.bin", "test_batch.bin"])
    assert [file.parent for file in made] == [out, out], "a file outside the folder"
    assert all(file.is_file() and not file.is_symlink() for file in made), "a link"


@st.composite
def npz_files(draw: Draw) -> bytes:
    """Draw a NumPy archive: damaged as a whole, or with members that are."""
    if draw(st.integers(0, 40)) == 0:
        return draw(st.sampled_from(files.npz_bombs()))
    kind = draw(st.sampled_from(["plain", "packed", "colour"]))
    how = draw(st.integers(0, 6))
    if how == 0:
        return draw(damaged(files.npz(kind)))
    members = dict(files.npz_members(kind))
    name = draw(st.sampled_from(sorted(members)))
    if how == 1:
        members[name] = draw(damaged(members[name]))
    elif how == 2:
        other = draw(
            st.sampled_from(
                ["images", "image.npy", "../images.npy", "/labels.npy", "é.npy", "a\nb\x1b.npy", "x" * 60_000]
            )
        )
        members[other] = members.pop(name)
    elif how == 3:
        members[name] = draw(st.sampled_from(sorted(members.values())))
    else:
        values = members[name][128:]
        members[name] = _npy(draw(st.sampled_from(HEADERS)), draw(st.sampled_from([1, 1, 2, 3, 9])), values, draw)
    packing = draw(st.sampled_from([0, 0, 8, 8, 8, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content, packing)
    return file.getvalue()


def _npy(header: str, version: int, values: bytes, draw: Draw) -> bytes:
    text = header.encode("latin1")
    length = draw(st.sampled_from([len(text), len(text), len(text), *EXTREMES]))
    size = struct.pack("<H", length & 0xFFFF) if version == 1 else struct.pack("<I", length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + values


def read_npz(path: Path, out: Path) -> None:
    """Read an archive as a data set, and make features of it."""
    raw = NPZ(path=path).load()
    for images in filter(None, (raw.train, raw.test)):
        _use(images)


@cache
def _namings() -> tuple[tuple[Any, Any], ...]:
    choices = (
        Pairs([["name", "npz"], ["path", "good.npz"]]),
        Pairs([["name", "mnist"], ["root", "."], ["download", False]]),
    )
    trees = [
        Pairs([["name", "x"], ["data", Pairs([["dataset", choice], ["classes", [0, 1]], ["features", "pool"]])]])
        for choice in choices
    ]
    return tuple((tree, places(tree)) for tree in trees)


@st.composite
def namings(draw: Draw) -> bytes:
    """Draw an experiment whose data set is named by a path."""
    paths = [path for path in PATHS for _ in range(4)]
    return draw(altered(*draw(st.sampled_from(_namings())), scalars(YAML_RAW, paths))).encode(errors="surrogatepass")


def read_named(path: Path, out: Path) -> None:
    """Read the data that an experiment names, without downloading any, and prepare them as training does."""
    spec = load_spec(path)
    dataset = make_dataset(spec.data.dataset)
    if hasattr(dataset, "download"):  # where no folder is named, not the machine's: what lies there is not an input
        dataset = dataclasses.replace(dataset, download=False, root=dataset.root or path.parent)
    data = spec.data
    prepare(
        dataset.load(), size=spec.model.qubits, classes=data.classes, feature_map=data.features,
        normalise=data.normalise, split_seed=data.split_seed, validation_fraction=data.validation_fraction,
        limit=data.limit,
    )  # fmt: skip


def _opens(*errors: type[Exception]) -> Callable[[Callable[[bytes], Any]], Callable[[bytes], bool]]:
    """Turn a parser into a question: whether it raises none of these errors."""

    def decorate(parse: Callable[[bytes], Any]) -> Callable[[bytes], bool]:
        def parses(content: bytes) -> bool:
            try:
                parse(content)
            except errors:
                return False
            return True

        return parses

    return decorate


@_opens(OSError, EOFError, zlib.error)
def _unpacks(content: bytes) -> None:
    with gzip.open(io.BytesIO(content)) as file:
        while file.read(1 << 16):
            pass


@_opens(DataError)
def _is_records(content: bytes) -> None:
    if not content or len(content) % 3073:
        raise DataError("not whole records")


@_opens(OSError, EOFError, zlib.error, tarfile.TarError, ValueError)
def _lists_members(content: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        tar.getmembers()


@_opens(zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError)
def _lists_files(content: bytes) -> None:
    zipfile.ZipFile(io.BytesIO(content)).close()


TARGETS = (
    Target(name="idx", file="x.gz", inputs=idx_files(), parses=_unpacks, read=read_images),
    Target(name="cifar", file="x.bin", inputs=cifar_files(), parses=_is_records, read=read_records),
    Target(name="archive", file="out/x.tar.gz", inputs=archives(), parses=_lists_members, read=read_archive),
    Target(name="npz", file="x.npz", inputs=npz_files(), parses=_lists_files, read=read_npz),
    Target(name="paths", file="x.yaml", inputs=namings(), parses=TEXT_TARGETS[0].parses, read=read_named),
)
