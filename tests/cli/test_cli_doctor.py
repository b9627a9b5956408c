"""`qdeq doctor`: what works, what does not, how to mend it, and no secret."""

import gzip
import json
import os
import struct
import sys
from importlib import metadata
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from qdeq import plugins
from qdeq.data.idx import MNIST
from qdeq.doctor import examine, selftest
from qdeq.doctor.aws import aws
from qdeq.doctor.checks import _guarded
from qdeq.doctor.datasets import datasets
from qdeq.doctor.machine import machine
from qdeq.doctor.packages import core, extras
from qdeq.doctor.plugins import plugins as look_at_plugins
from qdeq.plugins import BACKENDS, SOLVERS

SECRET = "wJalrXUtnFEMI-not-a-real-secret"


@pytest.fixture(autouse=True)
def _bare(monkeypatch, tmp_path):
    """No data folder, no AWS configuration, and no network: a look at the machine must not need one."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("QDEQ_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))

    def connect(*arguments):
        raise AssertionError(f"the network was asked: {arguments}")

    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr("socket.getaddrinfo", connect)


def by_name(findings):
    return {finding.name: finding for finding in findings}


def lacking(monkeypatch, *modules):
    """Let importing these fail."""
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)


def test_a_working_installation(qdeq):
    result = qdeq("doctor", "--json")
    data = json.loads(result.stdout)
    assert data["ok"]
    found = {(row["section"], row["name"]): row for row in data["findings"]}
    assert found["core", "torch"]["state"] == "ok"
    assert found["self-test", "torch"]["state"] == "ok"
    assert found["data", "digits"]["what"].startswith("1,797 images")
    assert found["data", "mnist"]["state"] == "missing"
    assert found["aws", "credentials"]["state"] == "missing"
    sections = [section for section, _ in found]
    assert list(dict.fromkeys(sections)) == ["core", "machine", "plug-ins", "self-test", "extras", "data", "aws"]
    assert all(row["mend"] for row in data["findings"] if row["state"] != "ok")


def test_the_table_and_the_exit_code(qdeq, monkeypatch):
    from qdeq.doctor.finding import Checkup, Finding

    shown = Checkup(
        (
            Finding("core", "torch", "ok", "2.0", required=True),
            Finding("extras", "cirq", "missing", "not installed", 'pip install "cirq-core>=1.5" "qsimcirq>=0.22"'),
            Finding("self-test", "shaky", "broken", "off by 1"),
        )
    )
    monkeypatch.setattr("qdeq.doctor.examine", lambda **options: shown)
    text = qdeq("doctor").stdout
    assert '-> pip install "cirq-core>=1.5" "qsimcirq>=0.22"' in text
    assert "qdeq works here: 1 ok, 1 missing, 1 broken" in text
    fatal = Checkup((*shown.findings, Finding("core", "numpy", "missing", "not installed", required=True)))
    monkeypatch.setattr("qdeq.doctor.examine", lambda **options: fatal)
    assert "qdeq does not work here: numpy" in qdeq("doctor", code=1).stdout
    assert qdeq("doctor", "--quiet", code=1).output == ""


def test_a_package_that_is_missing_too_old_or_broken(monkeypatch):
    version = metadata.version

    def fake(name):
        if name == "pooch":
            raise metadata.PackageNotFoundError(name)
        return "1.26.4" if name == "numpy" else version(name)

    monkeypatch.setattr("qdeq.doctor.packages.metadata.version", fake)
    lacking(monkeypatch, "scipy")
    found = by_name(core())
    assert (found["pooch"].state, found["pooch"].mend) == ("missing", 'pip install "pooch>=1.8"')
    assert (found["numpy"].state, found["numpy"].what) == ("broken", "1.26.4, but >=2.0 is needed")
    assert found["scipy"].state == "broken"
    assert all(found[name].fatal for name in ("pooch", "numpy", "scipy"))
    assert found["torch"].state == "ok"


def test_an_extra_that_is_missing_says_what_installs_it(monkeypatch):
    version = metadata.version

    def fake(name):
        if name == "qsimcirq":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("qdeq.doctor.packages.metadata.version", fake)
    found = by_name(extras())
    assert sorted(found) == ["braket", "cirq", "distributed", "pennylane", "tensorboard"]
    assert (found["cirq"].state, found["cirq"].mend) == ("missing", 'pip install "cirq-core>=1.5" "qsimcirq>=0.22"')
    assert "qsimcirq not installed" in found["cirq"].what
    assert not found["cirq"].fatal


@pytest.fixture
def shaky(monkeypatch):
    """Install a solver and a backend that cannot be imported, from another package."""
    original = plugins._entry_points

    def patched(group):
        bad = EntryPoint("shaky", "no_such_module:Shaky", group)
        return {**original(group), **({"shaky": bad} if group in (SOLVERS.group, BACKENDS.group) else {})}

    monkeypatch.setattr(plugins, "_entry_points", patched)


def test_broken_plugins_are_named_and_are_no_reason_to_fail(shaky):
    found = by_name(look_at_plugins())
    for name in ("solver shaky", "backend shaky"):
        assert found[name].state == "broken"
        assert "no_such_module" in found[name].what
        assert not found[name].fatal
    assert "broyden" in found["solvers"].what


def test_a_backend_that_computes_something_else_fails_the_self_test(monkeypatch):
    from qdeq.backends.torch import TorchBackend

    class Mirror(TorchBackend):
        """Turns the angles around: function and gradient are those of other weights."""

        def at(self, circuit, weights, observables, **options):
            return super().at(circuit, -weights, observables, **options)

    original = plugins.Registry.load
    monkeypatch.setattr(plugins.Registry, "names", lambda self: ["mirror", "torch"])
    monkeypatch.setattr(
        plugins.Registry, "load", lambda self, name: Mirror if name == "mirror" else original(self, name)
    )
    found = by_name(selftest.selftest())
    assert found["torch"].state == "ok"
    assert found["mirror"].state == "broken"
    assert "off by" in found["mirror"].what
    assert found["mirror"].mend == "qdeq check-backend mirror"
    monkeypatch.setattr(selftest, "_solve", lambda backend: 1 / 0)
    found = by_name(selftest.selftest())
    assert found["torch"].fatal
    assert not found["mirror"].fatal


def write_idx(path, array):
    path.parent.mkdir(exist_ok=True)
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes(), mtime=0))


def test_data_sets_that_are_not_the_published_ones(tmp_path):
    for file in MNIST.files:
        shape = (10, 28, 28) if "images" in file else (10,)
        write_idx(tmp_path / "mnist" / file, np.zeros(shape) + np.arange(10).reshape(-1, *[1] * (len(shape) - 1)))
        write_idx(tmp_path / "fashion-mnist-sample" / file, np.zeros(shape))
    found = by_name(datasets())
    assert found["mnist"].state == "broken"
    assert "not the published files: train-images-idx3-ubyte.gz" in found["mnist"].what
    assert found["fashion-mnist"].state == "ok"
    assert found["fashion-mnist"].what.endswith("10 + 10 images, a sample")
    (tmp_path / "mnist" / MNIST.files[0]).unlink()
    assert "lacks train-images" in by_name(datasets())["mnist"].what
    assert list((tmp_path / "mnist").iterdir())
    assert not (tmp_path / "mnist" / MNIST.files[0]).exists()  # nothing was downloaded


def test_a_data_folder_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("QDEQ_DATA", str(tmp_path / "gone"))
    found = by_name(datasets())["QDEQ_DATA"]
    assert (found.state, found.fatal) == ("broken", False)
    assert "gone" in found.what


def test_room_and_threads(monkeypatch, tmp_path):
    import shutil
    import types

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    monkeypatch.setattr("torch.get_num_threads", lambda: 10_000)
    found = by_name(machine())
    assert (found["working folder"].state, found["threads"].state) == ("warning", "warning")
    assert "OMP_NUM_THREADS" in found["threads"].mend

    def full(**options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert by_name(machine())["working folder"].what == f"{tmp_path} cannot be written (No space left on device)"


def test_a_check_that_fails_itself_is_a_finding():
    def bad():
        raise RuntimeError("two\nlines")
        yield

    (found,) = _guarded("core", bad)
    assert (found.state, found.what, found.fatal) == ("broken", "RuntimeError: two lines", True)


# -- AWS --------------------------------------------------------------------------------------------------------------


def texts(findings):
    return " ".join(f"{finding.name} {finding.what} {finding.mend}" for finding in findings)


def test_credentials_are_found_and_never_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"AKIA{SECRET}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    found = list(aws(online=False))
    assert [finding.state for finding in found] == ["ok", "ok"]
    assert by_name(found)["credentials"].what == "found in environment variables"
    assert by_name(found)["region"].what == "us-east-1"
    assert SECRET not in texts(found)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    half = list(aws(online=False))
    assert half[0].state == "broken"
    assert "AWS_SECRET_ACCESS_KEY" in half[0].what
    assert SECRET not in texts(half)


def test_files_and_profiles(monkeypatch, tmp_path):
    text = f"[default]\naws_access_key_id = AKIA{SECRET}\naws_secret_access_key = {SECRET}\n"
    (tmp_path / "AWS_SHARED_CREDENTIALS_FILE").write_text(text)
    config = (
        "[default]\nregion = af-south-1\n[profile role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n"
    )
    (tmp_path / "AWS_CONFIG_FILE").write_text(config)
    found = list(aws(online=False))
    assert by_name(found)["credentials"].what == "found in credentials file"
    assert by_name(found)["region"].state == "warning"  # Braket is not there
    assert SECRET not in texts(found)
    monkeypatch.setenv("AWS_PROFILE", "role")
    assert "a role (not tried; --online does)" in by_name(aws(online=False))["credentials"].what
    monkeypatch.setenv("AWS_PROFILE", "gone")
    (broken,) = aws(online=False)
    assert broken.state == "broken"
    assert "gone" in broken.what


def test_nothing_is_configured(monkeypatch):
    found = by_name(aws(online=False))
    assert [finding.state for finding in found.values()] == ["missing", "missing"]
    assert "aws configure" in found["credentials"].mend
    lacking(monkeypatch, "boto3")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (software,) = aws(online=False)
    assert software.mend == 'pip install "amazon-braket-sdk>=1.100"'


class Session:
    """A session whose clients answer as they are told."""

    region_name = "us-east-1"

    def __init__(self, error=None):
        self.error, self.asked = error, []

    def client(self, service, **options):
        self.asked.append(service)
        return self

    def get_caller_identity(self):
        if self.error:
            raise self.error

    def get_device(self, deviceArn):
        assert deviceArn.endswith("/sv1")
        return {"deviceStatus": "ONLINE"}

    def get_credentials(self):
        return None


def test_online_asks_who_we_are_and_for_sv1():
    from botocore.exceptions import ClientError, EndpointConnectionError

    from qdeq.doctor.aws import _asked

    session = Session()
    assert _asked(session).what == "takes the credentials; SV1 is online"
    assert session.asked == ["sts", "braket"]
    refused = _asked(Session(ClientError({"Error": {"Code": "InvalidClientTokenId", "Message": "no"}}, "x")))
    assert refused.state == "broken"
    assert "does not accept the credentials" in refused.what
    assert "aws configure" in refused.mend
    assert _asked(Session(EndpointConnectionError(endpoint_url="x"))).mend.startswith("look at the network")


def test_examine_tells_what_it_looks_at(monkeypatch):
    seen = []
    monkeypatch.setattr("qdeq.doctor.checks._checks", lambda online: {"a": lambda: iter(()), "b": lambda: iter(())})
    assert examine(watch=seen.append).findings == ()
    assert seen == ["a", "b"]
