"""A user's own images: the layouts, the types, and what is refused."""

import zipfile

import numpy as np
import pytest
import torch

from qdeq.data.npz import NPZ
from qdeq.errors import DataError

GREY = np.arange(4 * 5 * 7).reshape(4, 5, 7).astype(np.uint8)
LABELS = np.array([0, 2, 2, 0])


def load(tmp_path, **arrays):
    np.savez(tmp_path / "mine.npz", **arrays)
    return NPZ(path=tmp_path / "mine.npz").load()


def refused(tmp_path, match, **arrays):
    with pytest.raises(DataError, match=match) as caught:
        load(tmp_path, **arrays)
    assert "mine.npz" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_grey_images(tmp_path, save):
    save(tmp_path / "mine.npz", images=GREY, labels=LABELS)
    raw = NPZ(path=tmp_path / "mine.npz").load()
    assert raw.name == "mine"
    assert raw.test is None
    assert raw.train.images.dtype == torch.uint8
    assert raw.train.images[:, 0].tolist() == GREY.tolist()
    assert raw.train.labels.tolist() == [0, 2, 2, 0]
    assert raw.train.class_names == ("0", "1", "2")


def test_channels_may_come_last_or_second(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 7))
    first = load(tmp_path, images=colour, labels=LABELS).train.images
    last = load(tmp_path, images=np.moveaxis(colour, 1, 3), labels=LABELS).train.images
    assert first.tolist() == last.tolist() == colour.tolist()
    assert load(tmp_path, images=GREY[..., None], labels=LABELS).train.images[:, 0].tolist() == GREY.tolist()


def test_official_test_images(tmp_path):
    raw = load(tmp_path, images=GREY, labels=LABELS, test_images=GREY[1:], test_labels=np.array([1, 0, 3]))
    assert raw.test.images[:, 0].tolist() == GREY[1:].tolist()
    assert raw.test.labels.tolist() == [1, 0, 3]
    assert raw.train.class_names == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("dtype", "result"), [(np.int64, torch.uint8), (np.float64, torch.float32), (">f4", torch.float32)]
)
def test_number_types(tmp_path, dtype, result):
    images = load(tmp_path, images=GREY.astype(dtype), labels=LABELS.astype(np.uint8)).train.images
    assert images.dtype == result
    assert images[:, 0].tolist() == GREY.tolist()


def test_booleans_become_zero_and_one(tmp_path):
    images = load(tmp_path, images=GREY > 50, labels=LABELS).train.images
    assert images[:, 0].tolist() == (GREY > 50).astype(float).tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_the_first_image_with_a_pixel_that_is_not_finite_is_named(tmp_path, bad):
    images = GREY.astype(np.float64)
    images[2, 1, 1] = images[3, 0, 0] = bad
    refused(tmp_path, r"image 2 .*images like that: 2", images=images, labels=LABELS)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        (
            {"image": GREY, "labels": LABELS},
            r"lacks the array 'images'; it holds: image, labels\. Did you mean 'image'",
        ),
        ({"images": GREY}, "lacks the array 'labels'"),
        ({"images": GREY, "labels": LABELS, "test_images": GREY}, "lacks the array 'test_labels'"),
        ({"images": GREY, "labels": LABELS[:3]}, "4 images but 3 labels"),
        ({"images": GREY, "labels": LABELS - 1}, r"labels\[0\] is -1; allowed: 0 to 9999"),
        ({"images": GREY, "labels": LABELS * 10**9}, r"labels\[1\] is 2000000000"),
        ({"images": GREY, "labels": LABELS[:, None, None]}, r"labels is int64 of shape \[4, 1, 1\]"),
        ({"images": GREY.astype(int) * 2, "labels": LABELS}, r"images\[3\] has a pixel outside 0 to 255"),
        ({"images": GREY * 1j, "labels": LABELS}, "images is complex"),
        ({"images": GREY.reshape(4, 35), "labels": LABELS}, r"shape \[4, 35\]\n"),
        ({"images": np.zeros((4, 2, 5, 7)), "labels": LABELS}, r"shape \[4, 2, 5, 7\]\n"),
        ({"images": np.zeros((4, 3, 5, 3)), "labels": LABELS}, "both the second and the last axis"),
        ({"images": np.zeros((4, 0, 7)), "labels": LABELS}, r"shape \[4, 1, 0, 7\]"),
        (
            {"images": np.array([{}] * 4), "labels": LABELS},
            "'images' cannot be read .*(\n.*)?pickled objects are never",
        ),
    ],
)
def test_arrays_that_are_refused(tmp_path, arrays, match):
    refused(tmp_path, match, **arrays)


def test_a_pickle_is_not_executed(tmp_path):
    class Touch:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    refused(tmp_path, "pickled objects are never loaded", images=np.array([Touch()] * 4, dtype=object), labels=LABELS)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("data", [b"", b"not a zip file", None])
def test_files_that_are_no_archives(tmp_path, data):
    path = tmp_path / "mine.npz"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(DataError, match=r"mine.npz: " + ("not found" if data is None else "cannot be read")):
        NPZ(path=path).load()


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_truncated_archive(tmp_path, keep):
    load(tmp_path, images=GREY, labels=LABELS)
    data = (tmp_path / "mine.npz").read_bytes()
    (tmp_path / "mine.npz").write_bytes(data[: int(keep * len(data))])
    with pytest.raises(DataError, match=r"mine.npz: cannot be read"):
        NPZ(path=tmp_path / "mine.npz").load()


@pytest.mark.parametrize("position", [60, 200])  # in the array's header and in its values
def test_a_changed_byte_is_noticed(tmp_path, position):
    load(tmp_path, images=GREY, labels=LABELS)
    data = bytearray((tmp_path / "mine.npz").read_bytes())
    data[position] ^= 0xFF
    (tmp_path / "mine.npz").write_bytes(data)
    with pytest.raises(DataError, match="cannot be read"):
        NPZ(path=tmp_path / "mine.npz").load()


def test_a_header_that_lies_about_the_shape_is_refused_before_memory_is_taken(tmp_path):
    load(tmp_path, images=GREY, labels=LABELS)
    with zipfile.ZipFile(tmp_path / "mine.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    old, new = b"'shape': (4, 5, 7), }" + b" " * 10, b"'shape': (4, 50000000000, 7), }"
    assert old in members["images.npy"]
    members["images.npy"] = members["images.npy"].replace(old, new)
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(DataError, match=r"claims the shape .* more than the file holds"):
        NPZ(path=tmp_path / "mine.npz").load()
