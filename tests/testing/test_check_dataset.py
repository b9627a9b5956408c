"""The kit of data sets: right ones pass, and each broken one is caught by the check named for its mistake alone."""

import json
import random

import numpy as np
import pytest
import torch
from broken_datasets import BROKEN, Good, GoodFiles, Raises

from qdeq.errors import DataError, QdeqError
from qdeq.testing import check_dataset
from qdeq.testing.dataset_checks import DATASET_CHECKS
from qdeq.testing.datasets import CHECK_NAMES


@pytest.fixture
def path(tmp_path):
    images = np.random.default_rng(0).random((40, 1, 6, 6), dtype=np.float32)
    np.save(tmp_path / "images.npy", images)
    return tmp_path / "images.npy"


def made(kind, path):
    return kind(path=path) if issubclass(kind, GoodFiles) else kind()


@pytest.mark.parametrize(("broken", "name"), BROKEN.items(), ids=[broken.__name__ for broken in BROKEN])
def test_exactly_the_check_named_for_it_fails(broken, name, path):
    report = check_dataset(made(broken, path))
    assert [result.name for result in report.failed] == [name], report
    assert report[name].failure.problem
    with pytest.raises(DataError, match=f"FAILED  {name}"):
        report.raise_if_failed()


@pytest.mark.parametrize("right", [Good, GoodFiles])
def test_the_same_data_sets_without_the_mistakes_pass(right, path):
    report = check_dataset(made(right, path))
    report.raise_if_failed()
    has_files = right is GoodFiles
    assert {result.name for result in report.results if result.status == "skipped"} == (
        set() if has_files else {"missing-files"}
    )


def test_every_check_is_failed_by_a_broken_data_set_and_says_what_it_proves():
    assert set(BROKEN.values()) == set(CHECK_NAMES)
    assert all(len(check.proves) > 30 for check in DATASET_CHECKS.values())


def test_a_published_data_set_passes_and_its_images_are_counted():
    report = check_dataset("digits")
    report.raise_if_failed()
    assert (report.train, report.test, report.class_names) == (1797, None, tuple("0123456789"))
    assert "1797 images of 10 classes" in report.headline()


def test_files_that_are_not_here_are_named_with_the_remedy_and_nothing_is_downloaded(tmp_path):
    report = check_dataset({"name": "mnist", "root": str(tmp_path)})
    assert [result.name for result in report.failed] == ["loads"]
    assert "lacks train-images-idx3-ubyte.gz" in report["loads"].failure.problem
    assert "or point QDEQ_DATA" in str(report)
    assert report["missing-files"].status == report["network"].status == "passed"
    assert list(tmp_path.iterdir()) == []


def test_a_crash_is_shown_with_its_place():
    assert "it raised KeyError: 'images'\n(in load, " in check_dataset(Raises())["loads"].failure.problem


def test_the_report_is_json(path):
    data = json.loads(check_dataset(GoodFiles(path=path), checks=["loads"]).to_json())
    assert (data["dataset"], data["ok"], data["train"], data["test"]) == ("GoodFiles", True, 40, None)
    assert data["options"] == {"path": str(path)}


def test_the_kit_leaves_generators_and_settings_as_they_were():
    np.random.seed(11)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy(), torch.get_default_dtype()
    check_dataset(Good())
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert (before[2] == np.random.get_state()[1]).all()
    assert before[3] == torch.get_default_dtype()


def test_bad_arguments_are_refused():
    with pytest.raises(QdeqError, match=r"unknown check 'lods'.*Did you mean 'loads'"):
        check_dataset("digits", checks=["lods"])
    with pytest.raises(DataError, match="option 'path' is missing"):
        check_dataset("npz")
