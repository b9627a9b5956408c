"""Downloads: only what is missing, only what has the right hash, and never over a file that is there."""

import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest

from qdeq.data import idx, stored
from qdeq.data.cifar import CIFAR10
from qdeq.data.idx import MNIST, FashionMNIST
from qdeq.data.stored import move_into_place
from qdeq.errors import DataError


def left_over(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() or path.name.startswith("."))


@pytest.fixture
def remote(tmp_path, write_mnist, serve, monkeypatch):
    """A tiny MNIST on a server, its hashes in MNIST (of the contents) and in FashionMNIST (of the files)."""
    folder = tmp_path / "remote"
    write_mnist(folder)
    address = serve(folder)
    files = sorted(folder.iterdir())
    contents = {f.name: "gunzip-sha256:" + hashlib.sha256(gzip.decompress(f.read_bytes())).hexdigest() for f in files}
    whole = {f.name: "md5:" + hashlib.md5(f.read_bytes()).hexdigest() for f in files}
    for dataset, hashes in ((MNIST, contents), (FashionMNIST, whole)):
        monkeypatch.setattr(dataset, "url", address)
        monkeypatch.setattr(dataset, "hashes", hashes)
    return folder


@pytest.mark.parametrize(("dataset", "folder"), [(MNIST, "mnist"), (FashionMNIST, "fashion-mnist")])
def test_missing_files_are_downloaded_once(tmp_path, remote, dataset, folder):
    options = dataset(root=tmp_path / "local")
    assert len(options.load().train) == 6
    assert left_over(tmp_path / "local") == left_over(remote)
    for file in remote.iterdir():
        file.unlink()
    assert len(options.load().train) == 6  # nothing is asked of the server again


def test_only_missing_files_are_downloaded_and_none_is_overwritten(tmp_path, remote, write_mnist, write_idx):
    arrays = write_mnist(tmp_path / "local/mnist")
    write_idx(tmp_path / "local/mnist/train-labels-idx1-ubyte.gz", 9 - arrays[1])
    (tmp_path / "local/mnist/t10k-images-idx3-ubyte.gz").unlink()
    raw = MNIST(root=tmp_path / "local").load()
    assert raw.train.labels.tolist() == [9, 8, 7, 6, 5, 4]
    assert raw.test.images[:, 0].tolist() == arrays[2].tolist()


def test_a_file_that_appears_during_the_download_is_kept(tmp_path):
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    move_into_place(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "old"
    move_into_place(tmp_path / "new", tmp_path / "free")
    assert (tmp_path / "free").read_text() == "new"


@pytest.mark.parametrize(("dataset", "folder"), [(MNIST, "mnist"), (FashionMNIST, "fashion-mnist")])
def test_a_wrong_hash_is_refused_and_nothing_is_kept(tmp_path, remote, write_idx, dataset, folder):
    write_idx(remote / "train-images-idx3-ubyte.gz", np.ones((6, 5, 7)))
    with pytest.raises(DataError, match="is not the published file") as caught:
        dataset(root=tmp_path / "local").load()
    assert left_over(tmp_path / "local") == []
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert str(tmp_path / "local" / folder) in lines[1]
    assert "QDEQ_DATA" in lines[1]


def test_content_hash_holds_whoever_compressed_the_file(tmp_path, remote):
    for file in remote.iterdir():
        file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), compresslevel=1, mtime=7))
    assert len(MNIST(root=tmp_path / "local").load().test) == 4
    with pytest.raises(DataError, match="is not the published file"):
        FashionMNIST(root=tmp_path / "local").load()


@pytest.mark.parametrize("dataset", [MNIST, FashionMNIST])
def test_no_more_is_taken_from_a_server_than_the_file_can_have(tmp_path, remote, monkeypatch, dataset):
    taken = []
    write = stored._Limited.write
    monkeypatch.setattr(stored, "_CHUNK", 1000)
    monkeypatch.setattr(idx, "_most", lambda file: 5000)
    monkeypatch.setattr(stored._Limited, "write", lambda self, chunk: taken.append(len(chunk)) or write(self, chunk))
    (remote / "train-images-idx3-ubyte.gz").write_bytes(bytes(100_000))
    with pytest.raises(DataError, match=r"it has more than 5,000 bytes; it was not kept\nPut the files into"):
        dataset(root=tmp_path / "local").load()
    assert 5000 < sum(taken) <= 6000
    assert left_over(tmp_path / "local") == []


def test_a_file_that_decompresses_to_more_than_it_can_have_is_refused(tmp_path, remote, monkeypatch):
    monkeypatch.setattr(idx, "_most", lambda file: 5000)
    (remote / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(1_000_000)))  # about 1000 bytes
    with pytest.raises(DataError, match=r"gunzip-sha256:\(too large\)"):
        MNIST(root=tmp_path / "local").load()


def test_the_published_files_have_room(tmp_path):
    """The sizes of the published files: 16 bytes of header and 28 x 28 for an image, 8 and 1 for a label."""
    sizes = {"train-images-idx3-ubyte.gz": 16 + 60_000 * 28 * 28, "t10k-labels-idx1-ubyte.gz": 8 + 10_000}
    for file, size in sizes.items():
        path = tmp_path / file
        path.write_bytes(gzip.compress(np.random.default_rng(0).bytes(size), compresslevel=0))  # as large as it can be
        assert path.stat().st_size <= idx._most(file)


def test_a_damaged_gzip_is_refused(tmp_path, remote):
    file = remote / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"is not the published file: its hash is gunzip-sha256:\(damaged gzip\)"):
        MNIST(root=tmp_path / "local").load()


def test_a_server_that_lacks_the_file_or_does_not_answer(tmp_path, remote, monkeypatch):
    (remote / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"downloading http://127.*train-images-idx3-ubyte.gz failed \(HTTPError\)"):
        MNIST(root=tmp_path / "local").load()
    monkeypatch.setattr(MNIST, "url", "http://127.0.0.1:9/")  # the discard port: nobody listens
    with pytest.raises(DataError, match=r"failed \(ConnectionError\)\nPut the files into") as caught:
        MNIST(root=tmp_path / "local").load()
    assert len(str(caught.value).splitlines()) == 2
    assert left_over(tmp_path / "local") == []


def test_a_root_that_cannot_be_written(tmp_path, remote):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="cannot write to"):
        MNIST(root=tmp_path / "file").load()


def archive(source, path, *, extra=(), leave_out=()):
    with tarfile.open(path, "w:gz") as tar:
        for file in sorted(source.iterdir()):
            if file.name not in leave_out:
                tar.add(file, arcname=f"cifar-10-batches-bin/{file.name}")
        for name in extra:
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
    return "md5:" + hashlib.md5(path.read_bytes()).hexdigest()


def test_cifar_archive_gives_its_six_files_and_no_others(tmp_path, write_cifar, serve, monkeypatch):
    names = write_cifar(tmp_path / "source")
    (tmp_path / "remote").mkdir()
    extra = ["../escaped", "cifar-10-batches-bin/readme.html", "/tmp/qdeq-escaped"]
    digest = archive(tmp_path / "source", tmp_path / "remote/c.tar.gz", extra=extra)
    monkeypatch.setattr(CIFAR10, "url", serve(tmp_path / "remote") + "c.tar.gz")
    monkeypatch.setattr(CIFAR10, "archive_hash", digest)
    assert len(CIFAR10(root=tmp_path / "local").load().train) == 15
    assert left_over(tmp_path / "local") == sorted(names)


def test_cifar_archive_with_a_missing_member_or_a_wrong_hash(tmp_path, write_cifar, serve, monkeypatch):
    write_cifar(tmp_path / "source")
    (tmp_path / "remote").mkdir()
    digest = archive(tmp_path / "source", tmp_path / "remote/c.tar.gz", leave_out=["data_batch_5.bin"])
    monkeypatch.setattr(CIFAR10, "url", serve(tmp_path / "remote") + "c.tar.gz")
    with pytest.raises(DataError, match="is not the published file"):
        CIFAR10(root=tmp_path / "local").load()
    monkeypatch.setattr(CIFAR10, "archive_hash", digest)
    with pytest.raises(DataError, match="cannot be unpacked"):
        CIFAR10(root=tmp_path / "local").load()
    assert left_over(tmp_path / "local") == []
