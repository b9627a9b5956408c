"""IDX and CIFAR-10 files: intact ones are read, and every kind of damage is named with its file."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
import torch

from qdeq.data.cifar import CIFAR10, read_cifar
from qdeq.data.idx import MNIST, FashionMNIST, read_idx
from qdeq.errors import DataError


def refused(path, match, *, dimensions=3):
    with pytest.raises(DataError, match=match) as caught:
        read_idx(path, dimensions=dimensions)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2  # what is wrong, and how to mend it


def test_idx_keeps_the_order_of_the_axes(tmp_path, write_idx):
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    read = read_idx(write_idx(tmp_path / "a.gz", array), dimensions=3)
    assert read.dtype == torch.uint8
    assert read.tolist() == array.tolist()


def test_idx_that_is_missing(tmp_path):
    refused(tmp_path / "none.gz", "not found")


def test_idx_that_is_a_page_of_the_web(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(b"<html>404</html>")
    refused(path, "not an IDX file")


def test_idx_whose_gzip_is_cut_off(tmp_path, write_idx):
    path = write_idx(tmp_path / "a.gz", np.random.default_rng(0).integers(0, 256, (9, 28, 28)))
    path.write_bytes(path.read_bytes()[:-200])
    refused(path, "cannot be read")


@pytest.mark.parametrize("position", [3000, -6])  # within the deflate stream; within gzip's own check sum
def test_idx_with_a_changed_byte(tmp_path, write_idx, position):
    path = write_idx(tmp_path / "a.gz", np.random.default_rng(0).integers(0, 256, (9, 28, 28)))
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)
    refused(path, "cannot be read")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "not an IDX file"),
        (b"\x01\0\x08\x03" + bytes(20), "not an IDX file"),
        (b"\0\0\x0d\x03" + struct.pack(">3I", 1, 1, 4) + bytes(4), "type 0x0d in 3 dimensions"),
        (b"\0\0\x08\x01" + struct.pack(">I", 4) + bytes(4), "type 0x08 in 1 dimensions"),
        (b"\0\0\x08\x03" + struct.pack(">2I", 1, 1), "within its header"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2, 3, 4) + bytes(23), "24 bytes, but it holds only 23"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2, 3, 4) + bytes(25), "24 bytes, but it holds more"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 0, 28, 28), "empty"),
    ],
)
def test_idx_with_a_wrong_header_or_length(tmp_path, data, match):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(data))
    refused(path, match)


def test_idx_header_that_asks_for_too_much_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 60_000, 280, 280) + bytes(100)))
    tracemalloc.start()
    refused(path, "more than the file can hold")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_idx_of_one_value_compresses_best_and_is_still_read(tmp_path, write_idx):
    assert read_idx(write_idx(tmp_path / "a.gz", np.zeros((2000, 28, 28))), dimensions=3).shape == (2000, 28, 28)


def test_mnist_puts_images_and_labels_together(tmp_path, write_mnist):
    arrays = write_mnist(tmp_path / "mnist")
    raw = MNIST(root=tmp_path, download=False).load()
    assert raw.name == "mnist (not the published files)"
    assert raw.train.class_names == tuple("0123456789")
    for images, (pixels, labels) in zip((raw.train, raw.test), (arrays[:2], arrays[2:]), strict=True):
        assert images.images[:, 0].tolist() == pixels.tolist()
        assert images.labels.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("labels", "match"),
    [([0, 1, 2, 3, 4], "6 images but 5 labels"), ([0, 1, 2, 10, 4, 5], "image 3 .* label 10; allowed: 0 to 9")],
)
def test_mnist_whose_labels_do_not_fit(tmp_path, write_mnist, write_idx, labels, match):
    write_mnist(tmp_path / "mnist")
    write_idx(tmp_path / "mnist/train-labels-idx1-ubyte.gz", np.array(labels))
    with pytest.raises(DataError, match=match) as caught:
        MNIST(root=tmp_path, download=False).load()
    assert "train-labels" in str(caught.value)


def test_a_sample_is_used_last_and_says_so(tmp_path, write_mnist):
    write_mnist(tmp_path / "fashion-mnist-sample")
    options = FashionMNIST(root=tmp_path, download=False)
    assert options.load().name == "fashion-mnist (sample)"
    write_mnist(tmp_path / "fashion-mnist")
    assert options.load().name == "fashion-mnist (not the published files)"


def test_an_incomplete_sample_is_not_completed(tmp_path, write_mnist):
    write_mnist(tmp_path / "fashion-mnist-sample")
    (tmp_path / "fashion-mnist-sample/t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"lacks t10k-labels-idx1-ubyte.gz, and it is a sample"):
        FashionMNIST(root=tmp_path, download=True).load()


def test_root_comes_from_the_environment_unless_given(tmp_path, write_mnist, monkeypatch):
    write_mnist(tmp_path / "here/mnist")
    monkeypatch.setenv("QDEQ_DATA", str(tmp_path / "here"))
    assert len(MNIST(download=False).load().train) == 6
    with pytest.raises(DataError, match=r"elsewhere.mnist lacks .*download is off") as caught:
        MNIST(root=tmp_path / "elsewhere", download=False).load()
    assert "QDEQ_DATA" in str(caught.value).splitlines()[1]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("cifar-10-batches-bin", "cifar10 (not the published files)"),
        ("cifar-10/cifar-10-batches-bin", "cifar10 (not the published files)"),
        ("cifar-10-sample/cifar-10-batches-bin", "cifar10 (sample)"),
    ],
)
def test_cifar_reads_colour_planes_row_by_row(tmp_path, write_cifar, folder, name):
    write_cifar(tmp_path / folder)
    raw = CIFAR10(root=tmp_path, download=False).load()
    assert raw.name == name
    assert raw.train.labels.tolist() == [0, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4, 5, 4, 5, 6]
    assert raw.test.labels.tolist() == [5, 6, 7]
    assert raw.train.images.shape == (15, 3, 32, 32)
    record, channel, row, column = 4, 2, 1, 17  # record 4 has the label 2
    assert raw.train.images[record, channel, row, column] == (channel * 1024 + row * 32 + column) // 12 + 2


@pytest.mark.parametrize("length", [0, 3072, 3074, 2 * 3073 - 1])
def test_cifar_file_that_is_no_whole_number_of_records(tmp_path, length):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(bytes(length))
    with pytest.raises(DataError, match=f"data_batch_1.bin: holds {length} bytes"):
        read_cifar(path)


def test_cifar_label_above_nine(tmp_path):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(bytes([9]) + bytes(3072) + bytes([10]) + bytes(3072))
    with pytest.raises(DataError, match=r"record 1 .* label 10, above 9"):
        read_cifar(path)


def test_cifar_file_that_is_missing(tmp_path, write_cifar):
    write_cifar(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "cifar-10-batches-bin/data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"lacks data_batch_3.bin, and download is off"):
        CIFAR10(root=tmp_path, download=False).load()
