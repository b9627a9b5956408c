"""Splits: stratified, disjoint, repeatable, and normalised by the training images alone."""

import numpy as np
import pytest
import torch

from qdeq.data import Images, RawDataset, pixel_statistics, prepare
from qdeq.errors import DataError

POOL = {"size": 2, "feature_map": "pool"}
AS_IS = {**POOL, "normalise": (0.0, 1.0)}


def numbered(counts, *, start=0):
    """Images of 2 x 2 pixels, the first of which numbers the image; class k has counts[k] images, shuffled."""
    labels = np.random.default_rng(5).permutation(np.repeat(np.arange(len(counts)), counts))
    pixels = np.zeros((len(labels), 1, 2, 2), dtype=np.float32)
    pixels[:, 0, 0, 0] = start + np.arange(len(labels))
    names = tuple(f"class {label}" for label in range(len(counts)))
    return Images(images=torch.from_numpy(pixels), labels=torch.from_numpy(labels), class_names=names)


def raw_of(train, test=None):
    return RawDataset(name="made", train=train, test=test)


def numbers(split):
    return split.features[:, 0].long().tolist()


def parts(splits):
    return splits.train, splits.validation, splits.test


def test_every_image_is_in_exactly_one_split_with_its_label():
    images = numbered([50, 30, 20])
    splits = prepare(raw_of(images), **AS_IS)
    together = [number for part in parts(splits) for number in numbers(part)]
    assert sorted(together) == list(range(100))
    for part in parts(splits):
        assert part.labels.tolist() == images.labels[numbers(part)].tolist()
        assert part.labels.dtype == torch.int64


def test_each_split_has_the_classes_in_proportion():
    splits = prepare(raw_of(numbered([500, 300, 200])), **AS_IS)
    assert [torch.bincount(part.labels).tolist() for part in parts(splits)] == [
        [320, 192, 128],
        [80, 48, 32],
        [100, 60, 40],
    ]


def test_fractions_are_of_all_images_and_of_the_rest():
    splits = prepare(raw_of(numbered([100, 100])), **AS_IS, test_fraction=0.5, validation_fraction=0.1)
    assert [len(part.labels) for part in parts(splits)] == [90, 10, 100]


def test_the_official_test_split_is_used_whole_and_in_order():
    test = numbered([7, 5, 3], start=1000)
    splits = prepare(raw_of(numbered([50, 30, 20]), test), **AS_IS)
    assert numbers(splits.test) == list(range(1000, 1015))
    assert splits.test.labels.tolist() == test.labels.tolist()
    assert sorted(numbers(splits.train) + numbers(splits.validation)) == list(range(100))


def test_the_same_seed_gives_the_same_split_and_another_one_does_not():
    raw = raw_of(numbered([50, 30, 20]))
    first, again, other = (prepare(raw, **AS_IS, split_seed=seed) for seed in (3, 3, 4))
    for one, two, three in zip(parts(first), parts(again), parts(other), strict=True):
        assert torch.equal(one.features, two.features)
        assert torch.equal(one.labels, two.labels)
        assert sorted(numbers(one)) != sorted(numbers(three))


def test_the_split_depends_on_no_global_generator():
    raw = raw_of(numbered([50, 30, 20]))
    np.random.seed(1)  # noqa: NPY002 - the global generator is the point
    torch.manual_seed(1)
    first = prepare(raw, **AS_IS, limit=10)
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    assert numbers(first.train) == numbers(prepare(raw, **AS_IS, limit=10).train)


def test_normalisation_is_that_of_the_training_split_alone():
    raw = raw_of(numbered([50, 30, 20]), numbered([7, 5, 3], start=1000))
    splits = prepare(raw, **POOL)
    train = numbers(prepare(raw, **AS_IS).train)
    assert splits.normalisation == pixel_statistics(raw.train.images[train])
    assert splits.normalisation != pixel_statistics(raw.train.images)
    assert float(splits.train.features.mean()) == pytest.approx(0, abs=1e-6)  # 2 x 2 features of 2 x 2 pixels
    assert float(splits.train.features.std(correction=0)) == pytest.approx(1, abs=1e-6)


def test_held_out_images_change_nothing_about_the_training_features():
    images = numbered([50, 30, 20])
    before = prepare(raw_of(images), **POOL)
    plain = prepare(raw_of(images), **AS_IS)
    changed = images.images.clone()
    changed[numbers(plain.validation) + numbers(plain.test)] = 1e4
    after = prepare(raw_of(Images(changed, images.labels, images.class_names)), **POOL)
    assert torch.equal(before.train.features, after.train.features)
    assert not torch.equal(before.validation.features, after.validation.features)


def test_given_normalisation_is_used():
    splits = prepare(raw_of(numbered([50, 30])), **POOL, normalise=(0.1307, 0.3081))
    plain = prepare(raw_of(numbered([50, 30])), **AS_IS)
    assert splits.normalisation == (0.1307, 0.3081)
    torch.testing.assert_close(splits.test.features, (plain.test.features - 0.1307) / 0.3081)


def test_classes_are_relabelled_in_the_given_order():
    images = numbered([40, 50, 60, 70])
    splits = prepare(raw_of(images, images), **AS_IS, classes=[3, 1])
    assert splits.class_names == ("class 3", "class 1")
    assert len(splits.train.labels) + len(splits.validation.labels) == 120
    for part in parts(splits):
        assert [(3, 1)[label] for label in part.labels] == images.labels[numbers(part)].tolist()


@pytest.mark.parametrize("official", [False, True])
def test_it_is_known_which_images_the_test_ones_are(official):
    images = numbered([40, 50, 60, 70])
    test = numbered([7, 5, 3, 4], start=1000) if official else None
    splits = prepare(raw_of(images, test), **AS_IS, classes=[3, 1], limit=20)
    source = images if test is None else test
    assert numbers(splits.test) == source.images[splits.test_images, 0, 0, 0].tolist()
    assert [(3, 1)[label] for label in splits.test.labels] == source.labels[splits.test_images].tolist()


def test_without_classes_those_that_occur_are_kept():
    splits = prepare(raw_of(numbered([0, 50, 0, 60])), **AS_IS)
    assert splits.class_names == ("class 1", "class 3")
    assert splits.train.labels.unique().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        ([0, 7], r"made: .*class 7; allowed: 0, 1, 3"),
        ([0, 2], "class 2; allowed: 0, 1, 3"),  # it has a name, but no images
        ([0, -1], "class -1; allowed: 0, 1, 3"),
        ([0, 1, 0], "class 0 is listed twice.*0, 1, 3"),
        ([0], "at least two classes"),
        ([], "at least two classes"),
    ],
)
def test_classes_that_are_refused(classes, match):
    with pytest.raises(DataError, match=match):
        prepare(raw_of(numbered([20, 20, 0, 20])), **AS_IS, classes=classes)


def test_a_class_that_only_the_test_split_has_is_refused_not_dropped():
    with pytest.raises(DataError, match="no training images of the class 2"):
        prepare(raw_of(numbered([20, 20, 0]), numbered([5, 5, 5])), **AS_IS)


def test_a_test_split_without_the_classes_is_refused():
    with pytest.raises(DataError, match=r"no test image has any of the classes \[0, 1\]"):
        prepare(raw_of(numbered([20, 20, 20]), numbered([0, 0, 5])), **AS_IS, classes=[0, 1])


@pytest.mark.parametrize("counts", [[100, 1], [100, 2], [100, 3], [2, 2]])
def test_too_few_images_for_a_split(counts):
    with pytest.raises(
        DataError, match=r"too few images for a (test|validation) split.*class .class \d. has only \d\n"
    ):
        prepare(raw_of(numbered(counts)), **AS_IS)


def test_limit_takes_a_balanced_part_of_the_training_split_only():
    raw = raw_of(numbered([500, 300, 200]))
    whole, limited = prepare(raw, **AS_IS), prepare(raw, **AS_IS, limit=10)
    assert sorted(torch.bincount(limited.train.labels).tolist()) == [3, 3, 4]
    assert set(numbers(limited.train)) < set(numbers(whole.train))
    assert numbers(limited.validation) == numbers(whole.validation)
    assert numbers(limited.test) == numbers(whole.test)


def test_limit_takes_what_a_scarce_class_has():
    splits = prepare(raw_of(numbered([500, 10])), **AS_IS, limit=100)
    assert torch.bincount(splits.train.labels).tolist() == [94, 6]


@pytest.mark.parametrize("limit", [640, 639, 10_000])
def test_limit_near_or_above_the_number_of_images(limit):
    raw = raw_of(numbered([500, 300, 200]))
    assert len(prepare(raw, **AS_IS, limit=limit).train.labels) == min(limit, 640)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"limit": 1}, "limit must be at least 2"),
        ({"validation_fraction": 0.0}, "validation_fraction must lie between 0 and 1"),
        ({"test_fraction": 1.0}, "test_fraction must lie between 0 and 1"),
        ({"normalise": "test"}, "normalise must be 'train' or a pair"),
        ({"normalise": (0.5, 0.0)}, "std > 0"),
        ({"feature_map": "paper"}, "only the sizes 4 and 10"),
    ],
)
def test_options_that_are_refused(options, match):
    with pytest.raises(DataError, match=match):
        prepare(raw_of(numbered([20, 20])), **{**AS_IS, **options})


def test_constant_training_images_are_refused():
    constant = Images(torch.full((40, 1, 2, 2), 3.0), torch.arange(40) % 2, ("a", "b"))
    with pytest.raises(DataError, match="all pixels of the training images have the value 3"):
        prepare(raw_of(constant), **POOL)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"images": torch.zeros(2, 2, 4, 4)}, "C = 1 or 3"),
        ({"images": torch.zeros(2, 4, 4)}, "allowed: .N, C, H, W."),
        ({"images": torch.zeros(2, 1, 4, 4, dtype=torch.float64)}, "torch.float64; allowed"),
        ({"labels": torch.zeros(2)}, "torch.int64 of shape"),
        ({"labels": torch.tensor([0, -1])}, "image 1 .* label -1; allowed: 0 to 1"),
        ({"images": torch.tensor([[0.0], [float("nan")]]).expand(2, 4).reshape(2, 1, 2, 2)}, "image 1 .* not a finite"),
    ],
)
def test_images_that_are_refused(change, match):
    good = {"images": torch.zeros(2, 1, 4, 4), "labels": torch.tensor([0, 1]), "class_names": ("a", "b")}
    Images(**good)
    with pytest.raises(DataError, match=match):
        Images(**{**good, **change})


def test_training_and_test_images_name_the_same_classes():
    with pytest.raises(DataError, match="different class names"):
        raw_of(numbered([2, 2]), numbered([2, 2, 2]))
