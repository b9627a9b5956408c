"""Published data sets are known by content: other files in their place are told, in the name and in a note."""

import gzip
import hashlib

import numpy as np
import pytest

from qdeq import prepare
from qdeq.data.cifar import CIFAR10
from qdeq.data.idx import MNIST, FashionMNIST
from qdeq.data.pictures import read_images
from qdeq.errors import DataError
from tests.data.conftest import IDX_FILES, idx_bytes

RNG = np.random.default_rng(1)
CONTENTS = [
    idx_bytes(array)
    for array in (RNG.integers(0, 256, (6, 5, 7)), np.arange(6), RNG.integers(0, 256, (4, 5, 7)), np.arange(4))
]
FILES = dict(zip(IDX_FILES, CONTENTS, strict=True))
PACKED = {name: gzip.compress(content, mtime=0) for name, content in FILES.items()}


@pytest.fixture
def known(monkeypatch):
    """The small files count as the published MNIST, by content, or Fashion-MNIST, by the gzipped files."""

    def make(dataset):
        contents = {name: f"gunzip-sha256:{hashlib.sha256(content).hexdigest()}" for name, content in FILES.items()}
        whole = {name: f"md5:{hashlib.md5(content).hexdigest()}" for name, content in PACKED.items()}
        monkeypatch.setattr(dataset, "hashes", contents if dataset is MNIST else whole)
        monkeypatch.setattr("qdeq.data.idx._MOST_BYTES", {name: len(content) for name, content in FILES.items()})
        return dataset

    return make


def write(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def named(spell, files):
    return {spell(name): content for name, content in files.items()}


def plain(name):
    return name.removesuffix(".gz")


def dotted(name):
    return plain(name).replace("-idx", ".idx")


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw"])
@pytest.mark.parametrize(
    "files",
    [
        PACKED,
        {name: gzip.compress(content, 1) for name, content in FILES.items()},
        named(plain, FILES),
        named(dotted, FILES),
        FILES,  # unpacked, under the gzipped files' names
    ],
    ids=["as published", "compressed anew", "unpacked", "with a dot", "misnamed"],
)
def test_mnist_is_known_however_it_is_packed(tmp_path, known, folder, files):
    write(tmp_path / folder, files)
    raw = known(MNIST)(root=tmp_path, download=False).load()
    assert (raw.name, raw.notes) == ("mnist", ())
    assert raw.train.labels.tolist() == list(range(6))


@pytest.mark.parametrize("position", range(4))
def test_one_changed_byte_in_any_file_is_told(tmp_path, known, position):
    files, name = named(plain, FILES), plain(IDX_FILES[position])
    files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])
    write(tmp_path / "mnist", files)
    raw = known(MNIST)(root=tmp_path, download=False).load()
    assert raw.name == "mnist (not the published files)"
    (note,) = raw.notes
    assert f"not the published files: {name};" in note


def test_name_and_note_reach_what_is_trained_on(tmp_path):
    images, labels = RNG.integers(0, 256, (40, 8, 8)), np.arange(40) % 2
    write(tmp_path / "mnist", {name: idx_bytes(images if "images" in name else labels) for name in IDX_FILES})
    splits = prepare(MNIST(root=tmp_path, download=False).load(), size=4)
    assert splits.name == "mnist (not the published files)"
    assert splits.notes[0].startswith(f"{tmp_path / 'mnist'}: not the published files: train-images")


@pytest.mark.parametrize(
    ("there", "asked", "folder"), [(MNIST, FashionMNIST, "fashion-mnist"), (FashionMNIST, MNIST, "mnist")]
)
def test_the_files_of_another_known_set_are_refused(tmp_path, known, there, asked, folder):
    known(there)
    write(tmp_path / folder, PACKED)
    with pytest.raises(
        DataError, match=f"is {there.title}'s file, not {asked.title}'s\nName the data set {there.title}"
    ):
        asked(root=tmp_path, download=False).load()


def test_a_whole_set_is_no_sample_of_another(tmp_path, known):
    known(MNIST)
    write(tmp_path / "fashion-mnist-sample", PACKED)
    with pytest.raises(DataError, match="is mnist's file"):
        FashionMNIST(root=tmp_path, download=False).load()


def test_unpacked_fashion_mnist_of_the_right_size_cannot_be_verified(tmp_path, known):
    known(FashionMNIST)
    write(tmp_path / "FashionMNIST/raw", named(plain, FILES))
    options = FashionMNIST(root=tmp_path, download=False)
    raw = options.load()
    assert raw.name == "fashion-mnist (unverified)"
    assert "the sizes are fashion-mnist's" in raw.notes[0]
    write(tmp_path / "fashion-mnist", PACKED)
    assert options.load().name == "fashion-mnist"


def test_a_part_of_cifar_in_the_place_of_the_whole_is_told(tmp_path, write_cifar):
    write_cifar(tmp_path / "cifar-10-batches-bin")
    raw = CIFAR10(root=tmp_path, download=False).load()
    assert raw.name == "cifar10 (not the published files)"
    assert "data_batch_1.bin" in raw.notes[0]


def test_cifar_as_pickles_is_told_where_the_binary_version_is(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match=r"cifar-10-batches-py has Python pickles, .*cifar-10-binary.tar.gz"):
        CIFAR10(root=tmp_path, download=False).load()


def test_predict_reads_unpacked_idx(tmp_path):
    (tmp_path / "a").write_bytes(CONTENTS[0])
    assert read_images(tmp_path / "a").shape == (6, 1, 5, 7)
