"""Data sets by name, and the real ones where they are at hand."""

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from qdeq.data import Dataset, load_dataset, make_dataset, prepare
from qdeq.data.idx import MNIST
from qdeq.errors import DataError, PluginError
from qdeq.plugins import DATASETS


def real(*folders):
    root = os.environ.get("QDEQ_DATA")
    if not root:
        pytest.skip("QDEQ_DATA is not set; it names the folder that holds mnist/ and so on")
    for folder in folders:
        if (Path(root) / folder).is_dir():
            return Path(root) / folder
    return pytest.skip(f"QDEQ_DATA={root} holds none of {', '.join(folders)}")


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion-mnist", "cifar10", "npz"])
def test_every_data_set_is_installed_and_fits_the_protocol(name):
    assert name in DATASETS.names()
    assert isinstance(make_dataset({"name": name, "path": "x.npz"} if name == "npz" else name), Dataset)


def test_digits_by_name():
    raw = load_dataset("digits")
    assert raw.name == "digits"
    assert raw.test is None
    assert raw.train.images.shape == (1797, 1, 8, 8)
    assert (float(raw.train.images.min()), float(raw.train.images.max())) == (0.0, 1.0)
    assert raw.train.labels[:10].tolist() == list(range(10))


def test_digits_splits_have_the_sizes_of_the_document():
    splits = prepare(load_dataset("digits"), size=5, feature_map="pool")
    assert [tuple(part.features.shape) for part in (splits.train, splits.validation, splits.test)] == [
        (1149, 25),
        (288, 25),
        (360, 25),
    ]
    four = prepare(load_dataset({"name": "digits"}), size=4, classes=[0, 3, 6, 9])
    assert four.class_names == ("0", "3", "6", "9")
    # 722 images; 20 % rounded up are 145, and of the remaining 577 they are 116.
    assert [len(part.labels) for part in (four.train, four.validation, four.test)] == [461, 116, 145]


def test_a_mapping_carries_options_and_is_not_changed(tmp_path, write_mnist):
    write_mnist(tmp_path / "mnist")
    choice = {"name": "mnist", "root": str(tmp_path), "download": False}
    before = dict(choice)
    assert make_dataset(choice) == MNIST(root=tmp_path, download=False)
    assert len(load_dataset(choice).train) == 6
    assert choice == before


@pytest.mark.parametrize(
    ("choice", "match"),
    [
        (
            {"name": "mnist", "rot": "x"},
            r"'mnist': unknown option 'rot'\. Did you mean 'root'\?\nIts options are: root, download",
        ),
        ({"name": "digits", "root": "x"}, r"'digits': unknown option 'root'\nIts options are: none"),
        (
            {"name": "mnist", "download": "perhaps"},
            "'mnist': download: .* not 'perhaps'\nIts options are: root, download",
        ),
        ({"name": "npz"}, "'npz': option 'path' is missing"),
        ({"root": "x"}, "a mapping with 'name'.*installed: .*mnist"),
        ({"name": "mnist", 3: 4}, "a mapping with 'name'"),
        (["mnist"], "a mapping with 'name'"),
    ],
)
def test_choices_that_are_refused(choice, match):
    with pytest.raises(DataError, match=match) as caught:
        make_dataset(choice)
    assert len(str(caught.value).splitlines()) <= 2
    if "name" in choice and 3 not in choice:
        assert isinstance(caught.value.__cause__, ValidationError)


def test_an_unknown_name_lists_those_that_are_installed():
    with pytest.raises(PluginError, match=r"unknown data set 'minst'.*Did you mean 'mnist'"):
        load_dataset("minst")


def test_a_plugin_that_breaks_its_contract_is_named(monkeypatch):
    class NoLoad:
        pass

    class WrongLoad:
        def load(self):
            return [1, 2]

    monkeypatch.setattr(type(DATASETS), "load", lambda self, name: {"a": NoLoad, "b": WrongLoad}[name])
    with pytest.raises(PluginError, match=r"'a'.*no qdeq.data.base.Dataset"):
        load_dataset("a")
    with pytest.raises(PluginError, match=r"'b'.*returned list"):
        load_dataset("b")


def test_importing_qdeq_data_loads_neither_scikit_learn_nor_pooch():
    code = "import sys, qdeq.data; print([m for m in ('sklearn', 'pooch', 'requests', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@pytest.mark.parametrize("file", MNIST_SHA256)
def test_real_mnist_is_the_published_one_and_downloads_are_held_to_it(file):
    folder = real("mnist")
    digest = hashlib.sha256(gzip.decompress((folder / f"{file}.gz").read_bytes())).hexdigest()
    assert digest == MNIST_SHA256[file]
    assert MNIST.hashes[f"{file}.gz"] == f"gunzip-sha256:{digest}"


def test_real_mnist():
    real("mnist")
    raw = load_dataset({"name": "mnist", "download": False})
    assert raw.train.images.shape == (60_000, 1, 28, 28)
    assert raw.test.images.shape == (10_000, 1, 28, 28)
    assert torch.bincount(raw.train.labels)[:3].tolist() == [5923, 6742, 5958]
    assert raw.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    splits = prepare(raw, size=4, classes=[0, 3, 6, 9])
    assert sum(len(part.labels) for part in (splits.train, splits.validation)) == 5923 + 6131 + 5918 + 5949
    assert len(splits.test.labels) == 980 + 1010 + 958 + 1009
    # The well-known 0.1307 and 0.3081 are those of all ten digits.
    mean, std = prepare(raw, size=4).normalisation
    np.testing.assert_allclose((mean, std), (0.1307, 0.3081), atol=1e-3)


def test_real_fashion_mnist():
    folder = real("fashion-mnist", "fashion-mnist-sample")
    raw = load_dataset({"name": "fashion-mnist", "download": False})
    sample = folder.name.endswith("sample")
    assert raw.name == ("fashion-mnist (sample)" if sample else "fashion-mnist")
    assert (len(raw.train), len(raw.test)) == ((600, 300) if sample else (60_000, 10_000))
    assert torch.bincount(raw.train.labels).tolist() == [len(raw.train) // 10] * 10


def test_real_cifar():
    places = ("cifar-10-batches-bin", "cifar-10/cifar-10-batches-bin", "cifar-10-sample/cifar-10-batches-bin")
    sample = "sample" in str(real(*places).parent)
    raw = load_dataset({"name": "cifar10", "download": False})
    assert (len(raw.train), len(raw.test)) == ((20_000, 5_000) if sample else (50_000, 10_000))
    assert raw.train.labels.unique().tolist() == list(range(10))
    splits = prepare(raw, size=10, limit=100)
    assert splits.train.features.shape == (100, 100)
