"""Raw pixel ranges: what is far outside the training images' is refused, what looks like another scale is said."""

import numpy as np
import pytest
import torch

from qdeq import load_dataset, prepare
from qdeq.data import PixelScale
from qdeq.data.scale import two_scales
from qdeq.data.splits import digest_images
from qdeq.errors import DataError

RNG = np.random.default_rng(0)
BYTES = torch.from_numpy(RNG.integers(0, 256, (20, 1, 6, 6), dtype=np.uint8))
UNIT = BYTES.float() / 255


def refused(trained, asked):
    return PixelScale.of(trained).refusal(asked) is not None


def test_the_range_is_that_of_the_raw_values():
    images = torch.tensor([[[[3, 90], [20, 8]]], [[[7, 7], [7, 7]]], [[[1, 200], [9, 9]]]], dtype=torch.uint8)
    found = PixelScale.of(images)
    assert (found.integers, found.low, found.high, found.faintest) == (True, 1.0, 200.0, 87.0)
    assert str(found) == "integers from 1 to 200"
    assert PixelScale.of(images[1:2]).faintest == 0.0


@pytest.mark.parametrize(
    ("trained", "asked", "expected"),
    [
        (BYTES, BYTES, False),
        (BYTES, UNIT, False),  # a byte is divided by 255
        (UNIT, BYTES, False),
        (BYTES, BYTES.float(), True),
        (UNIT, BYTES.float(), True),
        (UNIT, UNIT * 16, True),  # scikit-learn's digits
        (BYTES.float(), BYTES.float(), False),
        (BYTES.float(), BYTES, True),  # which becomes 0..1
        ((UNIT - 0.13) / 0.31, BYTES, True),
        ((UNIT - 0.13) / 0.31, (UNIT - 0.13) / 0.31, False),
        ((UNIT - 0.13) / 0.31, BYTES.float(), True),
        (UNIT / 2, UNIT, False),  # brighter pictures
        (BYTES // 4, BYTES, False),
        (UNIT, UNIT * 2 - 1, False),
    ],
)
def test_what_is_far_outside_the_training_range(trained, asked, expected):
    assert refused(trained, asked) == expected


def test_one_image_among_many_is_enough_and_is_named():
    asked = UNIT.clone()
    asked[7] *= 255
    refusal = PixelScale.of(UNIT).refusal(asked)
    assert refusal.startswith("image 7 (counted from 0; images like that: 1 of 20) has values from ")
    assert refusal.endswith("divide them by 255, or save integers as uint8.")


def test_a_scale_that_is_far_too_small_is_doubted_and_a_blank_image_is_not():
    doubt = PixelScale.of(BYTES.float()).doubt(UNIT)
    assert doubt.startswith("image 0 (images like that: 20 of 20)")
    assert PixelScale.of(BYTES).doubt(torch.full((1, 1, 6, 6), 200, dtype=torch.uint8)) is None
    assert PixelScale.of(BYTES).doubt(BYTES) is None
    assert PixelScale.of(BYTES).doubt((BYTES > 128).to(torch.uint8)) is not None  # 0 and 1, as integers


def test_two_scales_in_one_set_are_seen():
    mixed = torch.cat([UNIT[:5], BYTES[5:].float()])
    assert two_scales(mixed).startswith("5 images have values up to ")
    for one in (UNIT, BYTES, BYTES.float()):
        assert two_scales(one) is None
    assert two_scales(torch.zeros(4, 1, 2, 2)) is None


def archive(folder, **arrays):
    labels = np.arange(40) % 2
    np.savez(folder / "a.npz", labels=labels, **{"test_labels": labels} if "test_images" in arrays else {}, **arrays)
    return load_dataset({"name": "npz", "path": str(folder / "a.npz")})


def test_scales_within_one_file(tmp_path):
    images = RNG.integers(0, 256, (40, 6, 6), dtype=np.uint8)
    with pytest.raises(DataError, match=r"a: the test images: image 0 .* far outside those of training"):
        prepare(archive(tmp_path, images=images, test_images=images.astype(np.float32)), size=4, feature_map="pool")
    good = prepare(archive(tmp_path, images=images, test_images=images / 255), size=4, feature_map="pool")
    assert good.notes == ()
    assert good.pixels.integers
    mixed = np.where(np.arange(40)[:, None, None] % 4 == 0, images / 255, images.astype(float))
    (note, *_) = prepare(archive(tmp_path, images=mixed), size=4, feature_map="pool").notes
    assert note.startswith("a: train images: ")
    assert note.endswith("two scales in one set?")


def test_digests_are_those_of_raw_images_and_labels_whatever_the_features(tmp_path):
    images = RNG.integers(0, 256, (40, 6, 6), dtype=np.uint8)
    raw = archive(tmp_path, images=images)
    one = prepare(raw, size=4, feature_map="pool")
    assert one.digests == prepare(raw, size=5, feature_map="pool", normalise=(0.1, 0.3)).digests
    assert one.digests == prepare(archive(tmp_path, images=images.astype(np.int64)), size=4, feature_map="pool").digests
    touched = images.copy()
    touched[3, 2, 2] ^= 1
    other = prepare(archive(tmp_path, images=touched), size=4, feature_map="pool").digests
    assert sum(one.digests[name] != other[name] for name in one.digests) == 1


def test_a_digest_tells_images_labels_shapes_and_types_apart():
    labels = torch.arange(20) % 2
    digests = [
        digest_images(BYTES, labels),
        digest_images(BYTES, 1 - labels),
        digest_images(BYTES.flip(3), labels),
        digest_images(BYTES.reshape(20, 1, 4, 9), labels),
        digest_images(BYTES.float(), labels),
    ]
    assert len(set(digests)) == 5
    assert digest_images(BYTES.clone(), labels.clone()) == digests[0]
