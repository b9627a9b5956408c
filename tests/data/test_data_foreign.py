"""Files that people have: read as they are, or refused with lines that convert them, which are run here."""

import bz2
import gzip
import pickle
import re

import numpy as np
import pytest

from qdeq.data.npz import NPZ
from qdeq.data.pictures import read_images
from qdeq.errors import DataError
from tests.data.conftest import idx_bytes

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (6, 28, 28)).astype(np.uint8)
LABELS = np.array([3, 0, 1, 1, 2, 0])


def rows(*columns, delimiter=","):
    table = np.concatenate([part.reshape(6, -1) for part in columns], axis=1)
    return "".join(delimiter.join(str(value) for value in row) + "\n" for row in table.tolist())


def told(load):
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert len(message.splitlines()) == 2
    return message


def converted(message, tmp_path, monkeypatch):
    """Run the lines that the message gives, and return the file that they make."""
    code = re.search(r"in Python(?: \([^)]*\))?: (.*)", message)[1]
    monkeypatch.chdir(tmp_path)
    before = {*tmp_path.iterdir()}
    exec(code, {})
    (made,) = {*tmp_path.iterdir()} - before
    return made


def header(names):
    return ",".join(names) + "\n"


def cifar_batch(protocol):
    images = RNG.integers(0, 256, (4, 3, 32, 32)).astype(np.uint8)
    content = {b"data": images.reshape(4, -1), b"labels": [1, 0, 3, 1]}
    return images, np.array([1, 0, 3, 1]), pickle.dumps(content, protocol=protocol)


def sparse(labels, pictures):
    cells = (" ".join(f"{i + 1}:{v}" for i, v in enumerate(row)) for row in pictures.reshape(len(labels), -1).tolist())
    return "".join(f"{label} {row}\n" for label, row in zip(labels, cells, strict=True)).encode()


USPS = RNG.integers(-1000, 1000, (6, 16, 16)) / 1000
KAGGLE = header(["label", *(f"pixel{i}" for i in range(784))])
LAST = header([*(f"p{i}" for i in range(784)), "class"])
DIGIT_CSV = (KAGGLE + rows(LABELS, PICTURES)).encode()
CASES = {
    "train.csv": (DIGIT_CSV, PICTURES, LABELS),
    "train.csv.gz": (gzip.compress(DIGIT_CSV), PICTURES, LABELS),
    "no-header.csv": (rows(LABELS, PICTURES).encode(), PICTURES, LABELS),
    "last.csv": ((LAST + rows(PICTURES.reshape(6, -1), LABELS)).encode(), PICTURES, LABELS),
    "zip.train.gz": (gzip.compress(rows(LABELS.astype(float), USPS, delimiter=" ").encode()), USPS, LABELS),
    "usps.bz2": (bz2.compress(sparse(LABELS + 1, USPS)), USPS, LABELS + 1),
    "data_batch_1": (cifar_batch(2)[2], *cifar_batch(2)[:2]),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in CASES if name != "data_batch_1"])
def test_the_lines_that_convert_a_file_make_a_data_set(tmp_path, monkeypatch, name):
    content, pictures, labels = CASES[name]
    (tmp_path / name).write_bytes(content)
    made = converted(told(NPZ(path=tmp_path / name).load), tmp_path, monkeypatch)
    train = NPZ(path=made).load().train
    np.testing.assert_allclose(train.images[:, 0].numpy(), pictures.astype(np.float32))
    assert train.labels.tolist() == labels.tolist()


def test_a_large_bzip2_file_is_recognised_by_its_first_block(tmp_path):
    many = RNG.integers(-1000, 1000, (2000, 256)) / 1000
    (tmp_path / "usps.bz2").write_bytes(bz2.compress(sparse(np.arange(2000) % 10, many)))
    assert "LIBSVM" in told(NPZ(path=tmp_path / "usps.bz2").load)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_batch_of_cifar_is_never_unpickled_but_how_to_is_told(tmp_path, monkeypatch, protocol):
    images, labels, content = cifar_batch(protocol)
    (tmp_path / "data_batch_1").write_bytes(content)
    message = told(NPZ(path=tmp_path / "data_batch_1").load)
    assert "never loaded" in message
    assert "only if you trust its source" in message
    train = NPZ(path=converted(message, tmp_path, monkeypatch)).load().train
    assert train.images.tolist() == images.tolist()
    assert train.labels.tolist() == labels.tolist()


def test_a_table_without_labels_is_converted_for_predict(tmp_path, monkeypatch):
    names = [f"pixel{i}" for i in range(784)]
    (tmp_path / "test.csv").write_text(header(names) + rows(PICTURES))
    made = converted(told(lambda: read_images(tmp_path / "test.csv")), tmp_path, monkeypatch)
    assert read_images(made)[:, 0].tolist() == PICTURES.tolist()


@pytest.mark.parametrize(
    ("content", "kind", "remedy"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5", "h5py"),
        (b"PAR1" + bytes(100), "Parquet", "pandas"),
        (b"MATLAB 5.0 MAT-file" + bytes(100), "MATLAB", "scipy.io.loadmat"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG", "numpy.stack"),
        (idx_bytes(PICTURES), "IDX", "mnist"),
        (gzip.compress(idx_bytes(PICTURES)), "IDX", "mnist"),
        (b"a,b,c\n1,2,3\n", "3 columns", "reshape"),
    ],
)
def test_other_formats_are_named_with_a_way(tmp_path, content, kind, remedy):
    (tmp_path / "mine.dat").write_bytes(content)
    first, second = told(NPZ(path=tmp_path / "mine.dat").load).splitlines()
    assert kind in first
    assert remedy in second


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"\x1f\x8bno", b"BZhno", b"name,value\nx,y\n", b"<html>\n", bytes([255] * 99)]
)
def test_what_is_unknown_is_unreadable_as_before(tmp_path, content):
    (tmp_path / "mine.npz").write_bytes(content)
    assert "cannot be read as an .npz file" in told(NPZ(path=tmp_path / "mine.npz").load)


def test_keras(tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=PICTURES, y_train=LABELS.astype(np.uint8), x_test=PICTURES[:2], y_test=LABELS[:2])
    raw = NPZ(path=path).load()
    assert raw.train.images[:, 0].tolist() == PICTURES.tolist()
    assert raw.train.labels.tolist() == LABELS.tolist()
    assert raw.test.images[:, 0].tolist() == PICTURES[:2].tolist()
    assert raw.test.labels.tolist() == LABELS[:2].tolist()


VOLUMES = np.zeros((3, 28, 28, 28), np.uint8)
MED = {
    "train_images": PICTURES[:3],
    "train_labels": LABELS[:3, None].astype(np.uint8),
    "val_images": PICTURES[3:5],
    "val_labels": LABELS[3:5, None].astype(np.uint8),
    "test_images": PICTURES[5:],
    "test_labels": LABELS[5:, None].astype(np.uint8),
}


def test_medmnist(tmp_path):
    np.savez(tmp_path / "breastmnist.npz", **MED)
    raw = NPZ(path=tmp_path / "breastmnist.npz").load()
    assert raw.train.images[:, 0].tolist() == PICTURES[:5].tolist()
    assert raw.train.labels.tolist() == LABELS[:5].tolist()
    assert raw.test.images[:, 0].tolist() == PICTURES[5:].tolist()
    assert raw.test.labels.tolist() == LABELS[5:].tolist()
    (note,) = raw.notes
    assert "val_images are joined to train_images" in note


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"val_images": PICTURES[3:5, :14]}, r"val_images is uint8 of shape \[2, 14, 28\]"),
        ({"val_images": PICTURES[3:5] / 255}, "val_images is float64"),
        ({"train_images": VOLUMES, "val_images": VOLUMES}, r"shape \[6, 28, 28, 28\]"),
        ({"train_labels": np.ones((3, 14), int), "val_labels": np.ones((2, 14), int)}, "not one-hot"),
    ],
)  # fmt: skip
def test_medmnist_that_does_not_fit(tmp_path, change, match):
    np.savez(tmp_path / "m.npz", **{**MED, **change})
    assert re.search(match, told(NPZ(path=tmp_path / "m.npz").load))


def test_medmnist_without_validation_labels(tmp_path):
    np.savez(tmp_path / "m.npz", **{name: array for name, array in MED.items() if name != "val_labels"})
    assert "lacks the array 'val_labels'" in told(NPZ(path=tmp_path / "m.npz").load)
