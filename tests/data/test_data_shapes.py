"""Shapes that cannot be meant are refused, with the reshape that works."""

import numpy as np
import pytest
import torch

from qdeq.data import Images
from qdeq.data.npz import NPZ
from qdeq.data.pictures import array_images
from qdeq.errors import DataError

ROW = r"reshape\(-1, 28, 28\)"


def saved(tmp_path, images):
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(len(images)) % 2)
    return NPZ(path=tmp_path / "a.npz")


@pytest.mark.parametrize("shape", [(6, 1, 784), (6, 784, 1), (6, 1, 1, 784), (6, 784, 1, 1), (6, 784)])
def test_rows_of_numbers_are_refused_with_the_reshape_that_works(tmp_path, shape):
    flat = np.random.default_rng(0).random((6, 784))
    with pytest.raises(DataError, match=ROW) as caught:
        saved(tmp_path, flat.reshape(shape)).load()
    assert len(str(caught.value).splitlines()) == 2
    assert saved(tmp_path, flat.reshape(-1, 28, 28)).load().train.images.shape == (6, 1, 28, 28)


def test_colour_rows():
    flat = np.random.default_rng(0).integers(0, 256, (5, 3072))
    with pytest.raises(DataError, match=r"reshape\(-1, 3, 32, 32\)"):
        array_images(flat)
    assert array_images(flat.reshape(-1, 3, 32, 32)).shape == (5, 3, 32, 32)


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor, np.ndarray.tolist])
def test_an_array_of_rows_is_not_one_wide_picture(make):
    flat = np.random.default_rng(0).random((100, 784))
    with pytest.raises(DataError, match=ROW + r", and one of 100 x 784 pixels as array\[None\]"):
        array_images(make(flat))
    assert array_images(make(flat.reshape(-1, 28, 28))).shape == (100, 1, 28, 28)
    assert array_images(flat[None]).shape == (1, 1, 100, 784)


@pytest.mark.parametrize("shape", [(784,), (1, 784), (784, 1)])
def test_one_row_or_column(shape):
    with pytest.raises(DataError, match="reshape"):
        array_images(np.zeros(shape))


@pytest.mark.parametrize("shape", [(28, 28), (16, 16), (480, 640), (30, 20), (1080, 1920)])
def test_pictures_stay_pictures(shape):
    assert array_images(np.zeros(shape)).shape == (1, 1, *shape)


def test_numbers_that_are_no_square_are_sent_to_the_classifier():
    with pytest.raises(DataError, match="1 x 13 pixels: rows of numbers, no pictures\nGive them as features"):
        Images(torch.zeros(2, 1, 1, 13), torch.zeros(2, dtype=torch.int64), ("a",))
