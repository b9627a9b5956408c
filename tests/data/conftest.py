"""Writers of small data files, and a web server on this machine."""

import functools
import gzip
import http.server
import struct
import threading

import numpy as np
import pytest

IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def idx_bytes(array, *, kind=0x08, shape=None):
    shape = array.shape if shape is None else shape
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def write_idx():
    def write(path, array, **header):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(idx_bytes(array, **header), mtime=0))
        return path

    return write


@pytest.fixture
def write_mnist(write_idx):
    """Write the four files of a tiny MNIST: 6 training and 4 test images of 5 x 7 pixels."""

    def write(folder):
        rng = np.random.default_rng(0)
        arrays = (rng.integers(0, 256, (6, 5, 7)), np.arange(6), rng.integers(0, 256, (4, 5, 7)), np.arange(4) + 6)
        for name, array in zip(IDX_FILES, arrays, strict=True):
            write_idx(folder / name, array)
        return arrays

    return write


@pytest.fixture
def write_cifar():
    """Write six files of 3 records each; pixel bytes count up, so that orders of axes can be told apart."""

    def write(folder):
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
        for number, name in enumerate(names):
            labels = (np.arange(3) + number) % 10
            pixels = (np.arange(3072)[None] // 12 + labels[:, None]) % 256
            (folder / name).write_bytes(np.concatenate([labels[:, None], pixels], axis=1).astype(np.uint8).tobytes())
        return names

    return write


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Serve a folder at 127.0.0.1; returns its address, with a slash at the end."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(folder):
        handler = functools.partial(_Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
