"""Labels as people save them: what they become, and what is refused."""

import numpy as np
import pytest

from qdeq.data.labels import class_labels
from qdeq.errors import DataError

WANTED = [2, 0, 10, 2]


@pytest.mark.parametrize(
    "labels",
    [
        np.array(WANTED),
        np.array(WANTED, np.uint8)[:, None],
        np.array(WANTED, np.float32),
        np.array(WANTED, float)[:, None],
        np.array([str(label) for label in WANTED]),  # in alphabetical order "10" would come before "2"
        np.array([str(label) for label in WANTED]).astype("S")[:, None],
        np.eye(11)[WANTED],
        np.eye(11, dtype=bool)[WANTED],
    ],
)
def test_numbers_in_any_dress_keep_their_value(labels):
    numbers, names = class_labels({"y": labels})
    assert numbers["y"].tolist() == WANTED
    assert numbers["y"].dtype == np.int64
    assert names == tuple(str(i) for i in range(11))


def test_booleans_are_two_classes():
    numbers, names = class_labels({"y": np.array([[True], [False]])})
    assert (numbers["y"].tolist(), names) == ([1, 0], ("0", "1"))


def test_a_column_of_ones_and_zeros_is_no_one_hot_row():
    assert class_labels({"y": np.array([[0], [1], [1]])})[0]["y"].tolist() == [0, 1, 1]


def test_names_are_numbered_alike_in_all_parts():
    train, test = np.array(["cat", "ant", "cat"]), np.array([["bee"], ["cat"]])
    numbers, names = class_labels({"train": train, "test": test})
    assert names == ("ant", "bee", "cat")
    assert {part: labels.tolist() for part, labels in numbers.items()} == {"train": [2, 0, 2], "test": [1, 2]}


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.array([0, 1.5]), r"y\[1\] is 1.5; allowed: whole"),
        (np.array([0, np.nan]), r"y\[1\] is nan; allowed: whole"),
        (np.array([0, np.inf]), r"y\[1\] is inf; allowed: 0 to 9999"),
        (np.array([0, -1.0]), r"y\[1\] is -1; allowed: 0 to 9999"),
        (np.array(["0", "9" * 400]), r"y\[1\] is inf; allowed"),
        (np.array([2**64 - 1], np.uint64), r"y\[0\] is 18446744073709551615|y\[0\] is 1.844674407e\+19"),
        (np.array([[0, 1], [1, 1]]), "row 1 is not a single 1"),
        (np.array([[0.2, 0.8], [1, 0]]), r"row 0 .*\n.*argmax"),
        (np.array([[0, 0], [0, 1]]), "row 0"),
        (np.array([["a", "b"]]), "one label an image"),
        (np.array(["a", ""]), "class name ''"),
        (np.array(["a", "\x1b[31mred"]), "class name"),
        (np.array(["a", "b" * 101]), "class name"),
        (np.array([]), "allowed: integers"),
        (np.array(3), "allowed: integers"),
        (np.array([1j]), "complex128"),
    ],
)
def test_labels_that_are_refused(labels, match):
    with pytest.raises(DataError, match=match) as caught:
        class_labels({"y": labels})
    assert len(str(caught.value).splitlines()) <= 2
    assert "\x1b" not in str(caught.value)


def test_text_in_one_part_and_numbers_in_the_other():
    with pytest.raises(DataError, match=r"train are text.*\n.*return_inverse"):
        class_labels({"train": np.array(["a", "b"]), "test": np.array([0, 1])})
