"""Files of other formats that people have images in: recognised by content, with the lines that convert them.

None of them is read here: a converter would need a package each, and pickles run code. What a file is, is told from its
beginning, however it is named or compressed.
"""

from __future__ import annotations

import bz2
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from qdeq.data.arrays import picture_shape
from qdeq.data.files import open_unpacked

_BEGIN = 1 << 16
_BZIP2_BLOCK = 1 << 20  # nothing comes out before a whole block has gone in
_LABELS = ("label", "labels", "class", "target", "y")
_SAVE = "save images and labels by numpy.savez_compressed."
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_SPARSE = re.compile(r"[-+.\d]+( +\d+:[-+.\deE]+)+")


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A file of another format.

    Args:
        kind: What it is.
        load: A statement of Python that reads it; ``{path}`` stands for its path.
        images: An expression for its images; empty: it cannot be told.
        labels: One for its labels; empty: it has none.
        hint: What else there is to say, in place of the way of converting it where there is none.
    """

    kind: str
    load: str = ""
    images: str = ""
    labels: str = ""
    hint: str = ""

    def as_npz(self, path: Path) -> str:
        """Return how to make a data set of it, in a line."""
        if not self.images:
            return self.hint
        labels = self.labels or "..."
        return self._convert(
            path, f"numpy.savez_compressed({_target(path, '.npz')}, images={self.images}, labels={labels})"
        )

    def as_npy(self, path: Path) -> str:
        """Return how to make images without labels of it, in a line."""
        return self._convert(path, f"numpy.save({_target(path, '.npy')}, {self.images})") if self.images else self.hint

    def _convert(self, path: Path, save: str) -> str:
        why = f" ({self.hint})" if self.hint else ""
        return f"Convert it once, in Python{why}: {self.load}; {save}".replace("{path}", repr(str(path)))


def _target(path: Path, ending: str) -> str:
    """Return the literal of a file's name that is not the converted one's."""
    return repr(f"{path.stem}{'-converted' if path.suffix == ending else ''}{ending}")


_STACK = "Stack pictures of one size by numpy.stack, and save them with their labels by numpy.savez_compressed."
_BY_BEGIN = {
    b"\x89HDF\r\n\x1a\n": Foreign(
        kind="HDF5",
        load="import h5py, numpy; part = h5py.File({path})['train']",
        images="part['data'][:].reshape(-1, 16, 16)",
        labels="part['target'][:]",
        hint="names and shape are those of USPS",
    ),
    b"PAR1": Foreign(kind="Parquet", hint="Read it with pandas, and save images and labels by numpy.savez_compressed."),
    b"MATLAB 5.0": Foreign(
        kind="a MATLAB file", hint="Read it by scipy.io.loadmat, and save images and labels by numpy.savez_compressed."
    ),
    b"\x93NUMPY": Foreign(kind="a single array (.npy)", load="import numpy", images="numpy.load({path})"),
    b"\x89PNG\r\n": Foreign(kind="a PNG picture", hint=_STACK),
    b"\xff\xd8\xff": Foreign(kind="a JPEG picture", hint=_STACK),
    b"\0\0\x08": Foreign(
        kind="an IDX file", hint="IDX files are read in fours: by the data sets mnist and fashion-mnist, with root."
    ),
}
_PICKLE = Foreign(
    kind="a Python pickle, which is never loaded",
    load="import numpy, pickle; batch = pickle.load(open({path}, 'rb'), encoding='bytes')",
    images="batch[b'data'].reshape(-1, 3, 32, 32)",
    labels="numpy.array(batch[b'labels'])",
    hint="for a CIFAR-10 batch; pickles run code, so only if you trust its source",
)
_LIBSVM = Foreign(
    kind="a LIBSVM file",
    load="import numpy; from sklearn.datasets import load_svmlight_file; x, y = load_svmlight_file({path})",
    images="x.toarray().astype('f4').reshape(-1, 16, 16)",
    labels="y",
    hint="the shape is that of USPS",
)


def recognise(path: Path) -> Foreign | None:
    """Return what a file is; None where that cannot be told, or it is an archive as NumPy writes it."""
    try:
        begin = _begin(path)
    except (OSError, EOFError, zlib.error):
        return None
    for magic, foreign in _BY_BEGIN.items():
        if begin.startswith(magic):
            return foreign
    if begin[:1] == b"\x80" and begin[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _PICKLE
    try:
        line, end, rest = begin.decode("ascii").partition("\n")
    except UnicodeDecodeError:
        return None
    if _SPARSE.fullmatch(line.strip()):
        return _LIBSVM
    return _table(line, rest.partition("\n")[0]) if end else None


def _begin(path: Path) -> bytes:
    with open_unpacked(path) as file:
        begin = file.read(_BEGIN)
        if not begin.startswith(b"BZh"):
            return begin
        return bz2.BZ2Decompressor().decompress(begin + file.read(_BZIP2_BLOCK), _BEGIN)


def _table(first: str, second: str) -> Foreign | None:
    """Return how a table is read that has an image in each row, and its label in a column; None if it is no table."""
    delimiter = "," if "," in first else None
    names = [name.strip().strip('"') for name in first.split(delimiter)]
    numbers = second.split(delimiter)
    if len(names) < 2 or len(names) != len(numbers) or not all(_NUMBER.fullmatch(cell.strip()) for cell in numbers):
        return None
    header = not all(_NUMBER.fullmatch(name) for name in names)
    column = next((i for i, name in enumerate(names) if name.lower() in _LABELS), None) if header else None
    if column is None and not picture_shape(len(names)) and picture_shape(len(names) - 1):
        column = 0
    shape = picture_shape(len(names) - (column is not None))
    # whole numbers are pixels from 0 to 255, and stay integers
    whole = all(cell.strip().lstrip("-").isdecimal() for cell in numbers)
    options = f"{', delimiter=' + repr(delimiter) if delimiter else ''}{', skiprows=1' if header else ''}"
    pixels = "table" if column is None else f"numpy.delete(table, {column}, axis=1)"
    return Foreign(
        kind=f"a table of text, {len(names)} columns"
        + (f", {names[column]!r} the label" * header if column is not None else ""),
        load=f"import numpy; table = numpy.loadtxt({{path}}{options}, dtype={'int' if whole else 'float'})",
        images=f"{pixels}.reshape({shape})" if shape else "",
        labels="" if column is None else f"table[:, {column}]",
        hint="" if shape else f"Its rows are no square pictures: reshape them to [N, H, W] and {_SAVE}",
    )
