"""Small valid files of every kind of data, and the folder in which readers are let loose on them."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.text_targets import SECTIONS
from qdeq.data.cifar import CIFAR10
from qdeq.data.idx import MNIST

BOMB = 256 << 20
"""Bytes of zeros that some hundred kilobytes unpack to: more than a trial may take."""
_PIECE = 4 << 20
CIFAR_FOLDER = CIFAR10.folders[0]


def pixels(*shape: int) -> np.ndarray[Any, Any]:
    """Return an image-like array, uint8, no two images of which are equal."""
    return (np.arange(np.prod(shape)).reshape(shape) * 7 % 251).astype(np.uint8)


def idx(shape: tuple[int, ...], values: bytes, kind: int = 8) -> bytes:
    """Return an IDX file, not yet packed; the shape need not be that of the values."""
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values


@cache
def npz(kind: str) -> bytes:
    """Return an archive of images: ``plain``, ``packed`` (with test images) or ``colour`` (floating-point numbers)."""
    file = io.BytesIO()
    images, labels = pixels(12, 5, 7), np.arange(12) % 3
    if kind == "plain":
        np.savez(file, images=images, labels=labels)
    elif kind == "packed":
        np.savez_compressed(file, images=images, labels=labels, test_images=images[:6], test_labels=labels[:6])
    else:
        np.savez(file, images=pixels(12, 4, 6, 3) / 255, labels=labels.astype(np.uint8))
    return file.getvalue()


@cache
def npz_members(kind: str) -> dict[str, bytes]:
    """Return the files within such an archive."""
    with zipfile.ZipFile(io.BytesIO(npz(kind))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@cache
def _zeros() -> bytes:
    """Return `BOMB` zeros as deflate blocks that may follow any others: one piece, many times."""
    piece = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = piece.compress(bytes(_PIECE)) + piece.flush(zlib.Z_FULL_FLUSH)
    return packed * (BOMB // _PIECE)


def _deflated(head: bytes) -> bytes:
    """Return a head and `BOMB` zeros, packed; nothing of that size is ever held."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH) + _zeros() + b"\x03\x00"


@cache
def idx_bombs() -> tuple[bytes, ...]:
    """Return small gzip files that unpack to much: with a true header, with one that asks for less, and without.

    Their checksum is wrong, which shows only after the last byte: a reader that gets there has taken the memory.
    """
    heads = (idx((BOMB >> 10, 32, 32), b""), idx((2, 3, 4), b""), idx((2**32 - 1,) * 3, b""), b"")
    return tuple(b"\x1f\x8b\x08" + bytes(7) + _deflated(head) + bytes(8) for head in heads)


@cache
def npz_bombs() -> tuple[bytes, ...]:
    """Return small archives that unpack to much: as values, as a header, and as a file that nobody asks for."""
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (BOMB >> 10, 32, 32)}
    np.lib.format.write_array_header_1_0(header, shape)
    long = b"\x93NUMPY\x02\x00" + struct.pack("<I", BOMB)
    bombs = []
    for name, head in (("images.npy", header.getvalue()), ("labels.npy", long), ("other.npy", b"")):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for member, data in npz_members("plain").items():
                if member != name:
                    archive.writestr(member, data)
            bomb = zipfile.ZipInfo(name)
            archive.writestr(bomb, _deflated(head))
            bomb.compress_type, bomb.file_size, bomb.CRC = zipfile.ZIP_DEFLATED, len(head) + BOMB, 0
        bombs.append(file.getvalue())
    return tuple(bombs)


def cifar(records: int) -> bytes:
    """Return a file of CIFAR-10's records."""
    return b"".join(bytes([label % 10]) + pixels(3, 32, 32).tobytes() for label in range(records))


def tar(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return an archive of such members, not yet packed; their sizes need not be true."""
    blocks = (info.tobuf(errors="surrogateescape") + content + bytes(-len(content) % 512) for info, content in members)
    return b"".join(blocks) + bytes(1024)


def make_playground(folder: Path) -> Path:
    """Fill a folder with what hostile paths lead to: good data, links, a named pipe; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "base.yaml").write_text(SECTIONS[0])
    for name in ("good.npz", "folder/good.npz"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(npz("packed"))
    (folder / "mnist").mkdir(exist_ok=True)
    for file, shape in zip(MNIST.files, ((12, 5, 7), (12,), (6, 5, 7), (6,)), strict=True):
        values = pixels(*shape) if len(shape) == 3 else np.arange(shape[0]) % 3
        (folder / "mnist" / file).write_bytes(gzip.compress(idx(shape, values.astype(np.uint8).tobytes()), mtime=0))
    for link, to in (("link", "/etc"), ("loop", "loop")):
        (folder / link).symlink_to(to)
    os.mkfifo(folder / "pipe")
    return folder
