import gzip
import tarfile

import pytest

from benchmarks.fuzz import files
from benchmarks.fuzz.mutations import write
from benchmarks.fuzz.run_targets import good_checkpoint, metrics_tree
from benchmarks.fuzz.text_targets import ASSIGNMENTS, CIRCUITS, SECTIONS


@pytest.fixture
def valid_files():
    """Return, for a target, files that it has to accept: a fuzzer whose seeds are refused tests nothing."""

    def archive():
        members = []
        for name in ("data_batch_1.bin", "test_batch.bin"):
            info = tarfile.TarInfo(f"{files.CIFAR_FOLDER}/{name}")
            info.size = len(files.cifar(2))
            members.append((info, files.cifar(2)))
        return gzip.compress(files.tar(members))

    return {
        "experiment": lambda: [text.encode() for text in SECTIONS],
        "assignments": lambda: ["\n".join(ASSIGNMENTS[:3]).encode(), b"seed=7\nname=x"],
        "circuit": lambda: [circuit.to_json().encode() for circuit in CIRCUITS],
        "idx": lambda: [gzip.compress(files.idx((6, 5, 7), files.pixels(6, 5, 7).tobytes()))],
        "cifar": lambda: [files.cifar(3)],
        "archive": lambda: [archive()],
        "npz": lambda: [files.npz(kind) for kind in ("plain", "packed", "colour")],
        "checkpoint": lambda: [good_checkpoint()],
        "metrics": lambda: [b"".join(write(record).encode() + b"\n" for record in metrics_tree())],
        "paths": lambda: [
            b"data: {dataset: {name: npz, path: good.npz}, classes: [0, 1]}",
            b"data: {dataset: {name: npz, path: folder/../good.npz}}",
            b"data: {dataset: {name: mnist, root: ., download: false}}",
        ],
    }.__getitem__
