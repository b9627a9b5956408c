"""Feature maps against sums done by hand."""

import numpy as np
import pytest
import torch

from qdeq.data import FeatureMap, features, grayscale, pixel_statistics
from qdeq.errors import DataError

# Means of up to 36 float32 numbers of the size of 1, added in another order.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


def random_images(count, channels, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, height, width, generator=generator)


def test_uint8_is_scaled_and_float_is_not():
    assert grayscale(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)).flatten().tolist() == pytest.approx(
        [0, 0.2, 1]
    )
    assert grayscale(torch.tensor([[[[0.0, 0.5, 7.0]]]])).flatten().tolist() == [0.0, 0.5, 7.0]


def test_grey_weighs_red_green_and_blue_differently():
    image = torch.tensor([255, 0, 0, 0, 255, 0, 0, 0, 255], dtype=torch.uint8).reshape(1, 3, 1, 3).transpose(1, 3)
    assert image.shape == (1, 3, 1, 3)
    assert grayscale(image).flatten().tolist() == pytest.approx([0.2989, 0.587, 0.114])


def test_statistics_are_those_of_all_grey_values():
    images = (random_images(7, 3, 5, 6) * 255).to(torch.uint8)
    grey = np.tensordot(images.numpy() / 255.0, [0.2989, 0.587, 0.114], axes=(1, 0))
    assert pixel_statistics(images) == pytest.approx((grey.mean(), grey.std()), rel=1e-6)


def test_statistics_keep_a_small_spread_about_a_large_mean():
    images = 1000 + random_images(50, 1, 8, 8)
    exact = images.numpy().astype(np.float64)
    assert pixel_statistics(images) == pytest.approx((exact.mean(), exact.std()), rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.3, 77.7])
@pytest.mark.parametrize("channels", [1, 3])
def test_constant_images_cannot_be_normalised(value, channels):
    with pytest.raises(DataError, match="all pixels of the training images have the value"):
        pixel_statistics(torch.full((9, channels, 13, 11), value))


def test_paper_map_for_four_qubits_averages_six_by_six():
    images = random_images(3, 1, 28, 28)
    pixels = (images[:, 0].numpy() - 0.1307) / 0.3081
    by_hand = np.array(
        [[pixels[b, 6 * r : 6 * r + 6, 6 * c : 6 * c + 6].mean() for r in range(4) for c in range(4)] for b in range(3)]
    )
    result = FeatureMap(size=4, mean=0.1307, std=0.3081)(images)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), by_hand, **ROUNDING)


def test_paper_map_for_ten_qubits_pads_with_zeros_after_normalising():
    images = random_images(3, 1, 28, 28)
    padded = np.zeros((3, 32, 32))
    padded[:, 2:30, 2:30] = (images[:, 0].numpy() - 0.1307) / 0.3081
    by_hand = np.array(
        [
            [padded[b, 3 * r : 3 * r + 5, 3 * c : 3 * c + 5].sum() / 25 for r in range(10) for c in range(10)]
            for b in range(3)
        ]
    )
    np.testing.assert_allclose(FeatureMap(size=10, mean=0.1307, std=0.3081)(images).numpy(), by_hand, **ROUNDING)


@pytest.mark.parametrize("size", [3, 5, 8])
def test_pool_averages_cells_that_cover_the_image(size):
    images = random_images(2, 1, 28, 17)
    rows = [(i * 28 // size, -(-(i + 1) * 28 // size)) for i in range(size)]
    columns = [(i * 17 // size, -(-(i + 1) * 17 // size)) for i in range(size)]
    pixels = (images[:, 0].numpy() - 0.2) / 0.4
    by_hand = np.array([[pixels[b, r:s, c:d].mean() for r, s in rows for c, d in columns] for b in range(2)])
    result = FeatureMap(size=size, kind="pool", mean=0.2, std=0.4)(images)
    np.testing.assert_allclose(result.numpy(), by_hand, **ROUNDING)


def test_pool_resizes_what_is_too_small():
    image = torch.tensor([[0.0, 1.0], [2.0, 4.0]]).reshape(1, 1, 2, 2)
    # Bilinear, 2 -> 4: centres lie at -0.25, 0.25, 0.75, 1.25 of the old pixels, clamped at the edge.
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    by_hand = weights @ image[0, 0].numpy() @ weights.T
    np.testing.assert_allclose(FeatureMap(size=4, kind="pool")(image).reshape(4, 4).numpy(), by_hand, **ROUNDING)


def test_pool_resizes_only_the_side_that_is_too_small():
    image = random_images(1, 1, 2, 9)
    weights = np.array([[1, 0], [0.5, 0.5], [0, 1]])  # bilinear, 2 -> 3
    by_hand = weights @ image[0, 0].numpy().reshape(2, 3, 3).mean(axis=2)
    np.testing.assert_allclose(FeatureMap(size=3, kind="pool")(image).reshape(3, 3).numpy(), by_hand, **ROUNDING)


def test_paper_map_resizes_colour_images_with_antialiasing():
    # 56 -> 28 with antialiasing: a triangle over four old pixels, 1, 3, 3, 1, cut at the edge, then rescaled.
    weights = np.zeros((28, 56))
    for new in range(28):
        for old, weight in zip(range(2 * new - 1, 2 * new + 3), (1, 3, 3, 1), strict=True):
            if 0 <= old < 56:
                weights[new, old] = weight
    weights /= weights.sum(axis=1, keepdims=True)
    images = random_images(1, 3, 56, 56)
    grey = np.tensordot(images[0].numpy(), [0.2989, 0.587, 0.114], axes=(0, 0))
    small = weights @ grey @ weights.T
    by_hand = small[:24, :24].reshape(4, 6, 4, 6).mean(axis=(1, 3))
    np.testing.assert_allclose(FeatureMap(size=4)(images).reshape(4, 4).numpy(), by_hand, **ROUNDING)


def test_features_do_not_depend_on_the_chunks(monkeypatch):
    images = (random_images(11, 3, 32, 32) * 255).to(torch.uint8)
    whole, statistics = FeatureMap(size=10)(images), pixel_statistics(images)
    monkeypatch.setattr(features, "_CHUNK_VALUES", 2 * 3 * 32 * 32)
    torch.testing.assert_close(FeatureMap(size=10)(images), whole)
    assert pixel_statistics(images) == pytest.approx(statistics, rel=1e-12)


def test_images_are_not_changed():
    images = random_images(2, 1, 28, 28)
    before = images.clone()
    FeatureMap(size=4, mean=0.5, std=2.0)(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("size", [2, 3, 5, 8, 11])
def test_paper_map_has_two_sizes_and_names_the_alternative(size):
    with pytest.raises(DataError, match=rf"only the sizes 4 and 10, not {size}(.|\n)*'pool'"):
        FeatureMap(size=size)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"size": 1, "kind": "pool"}, "at least 2, not 1"),
        ({"size": 4, "kind": "papers"}, r"allowed: paper, pool\. Did you mean 'paper'"),
        ({"size": 4, "std": 0.0}, "std > 0"),
        ({"size": 4, "std": -1.0}, "std > 0"),
        ({"size": 4, "mean": float("nan")}, "finite"),
    ],
)
def test_options_that_are_refused(options, match):
    with pytest.raises(DataError, match=match):
        FeatureMap(**options)
