"""What hostile files once did: each of them is refused, or read as it should be, with little memory."""

import gzip
import os
import struct
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from sklearn import datasets

from benchmarks.fuzz import files
from benchmarks.fuzz.run_targets import sample_record
from qdeq.billing.budget import Budget
from qdeq.circuit import Circuit
from qdeq.data import load_dataset
from qdeq.data.base import Images
from qdeq.data.cifar import read_cifar, unpack
from qdeq.data.features import FeatureMap
from qdeq.data.idx import read_idx
from qdeq.data.npz import NPZ
from qdeq.errors import CheckpointError, CircuitError, DataError, SpecError, TrainingError, printable
from qdeq.spec import MAX_FILE_BYTES, ExperimentSpec, load_spec, parse_spec
from qdeq.spec.text import MAX_NODES
from qdeq.training.checkpoints import CheckpointInfo, load_checkpoint, save_checkpoint
from qdeq.training.folder import RunFolder
from qdeq.training.log import cut_log

LITTLE = 4 << 20
"""Bytes that may be taken before a bomb of 48 MiB is refused: zipfile and gzip read in parts of far less."""


@pytest.fixture
def peak():
    """Return the most memory that a call took, in bytes, and the message that it was refused with."""

    def measure(call, error=DataError):
        tracemalloc.start()
        try:
            with pytest.raises(error) as caught:
                call()
            return tracemalloc.get_traced_memory()[1], str(caught.value)
        finally:
            tracemalloc.stop()

    return measure


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seed: !!int ''", "tags"),  # IndexError, KeyError, AttributeError in PyYAML
        ("seed: !!bool maybe", "tags"),
        ("seed: !!timestamp x", "tags"),
        ("name: !!binary aGk=", "tags"),  # read as 'hi'
        ("seed: " + "1:" * 300 + "1.5", "too large"),  # OverflowError: a number in base sixty
        ("seed: " + "1:" * 9000 + "1", "characters; at most 4096"),  # seconds of arithmetic on one number
        ("seed: 0x" + "f" * 4000, "more than 64 bits"),  # ValueError where the run was saved
        ("noise: {bit_flip: {qubits: {0: 0.1, 0x0: 0.2}}}", "key 0 stands twice"),  # the last one won, silently
        ("model: {<<: {qubits: 5}}", "merging"),
        ("a: " + "[" * 21 + "]" * 21, "nested more than 20 deep"),
        ("a: [" + "0, " * 10_000 + "0]", "more than 10000"),
        ('data: {dataset: "\\e[31mred"}', "U+001B"),  # put the terminal into red
        ('data: {dataset: "\\u202egnp"}', "U+202E"),
        ('name: "\\ud800"', "U+D800"),  # UnicodeEncodeError where it was printed
    ],
    ids=lambda text: text[:30],
)
def test_yaml_that_broke_its_reader(tmp_path, text, says):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(SpecError, match=says.replace("+", r"\+")) as caught:
        load_spec(tmp_path / "x.yaml")
    assert len(str(caught.value).splitlines()) == 1
    assert ", line 1: " in str(caught.value) or says == "too large"


def test_an_endless_file_is_not_read_to_its_end(peak):
    memory, message = peak(lambda: load_spec("/dev/zero"), SpecError)
    assert "larger than" in message
    assert memory < LITTLE


def test_two_problems_are_two_lines():
    with pytest.raises(SpecError) as caught:
        parse_spec({"solver": {"name": "naive", "x": 1}, "backend": {"name": "torch", "y": 1}}, "file")
    first, second = str(caught.value).splitlines()
    assert "'x'" in second + first
    assert "'y'" in second + first


def test_a_long_value_is_not_repeated_whole():
    with pytest.raises(SpecError) as caught:
        parse_spec({"backend": "x" * 100_000}, "file")
    assert len(str(caught.value)) < 1000


def test_assignments_far_down_are_refused(tmp_path):
    (tmp_path / "x.yaml").write_text("{}")
    for key in ("data.dataset." + "a." * 5000 + "b", "a." * 20 + "b"):
        with pytest.raises(SpecError, match="does not lead into a mapping"):
            load_spec(tmp_path / "x.yaml", [f"{key}=1"])


def test_circuits_of_a_billion_layers_are_refused():
    with pytest.raises(SpecError, match=r"model.ansatz_layers: .*1000"):
        parse_spec({"model": {"ansatz_layers": 10**9}}, "file")


def test_printable_text_is_short_and_escaped():
    assert printable("a\x1b[31m\n\ud800b") == "a\\x1b[31m\\n\\ud800b"
    assert printable("日本é") == "日本é"
    assert len(printable("x" * 10**6)) < 400


@pytest.mark.parametrize(
    ("path", "says"),
    [("../x.sqlite", "leads out of"), ("a/../../x.sqlite", "leads out of"), (".bashrc", "ends in .sqlite"),
     (":memory:", "ends in .sqlite"), ("a\nb.sqlite", "printable"), ("x" * 2000 + ".sqlite", "printable")],
)  # fmt: skip
def test_a_ledger_stays_below_the_working_directory_and_is_called_one(path, says):
    with pytest.raises(ValueError, match=says):
        Budget(max_usd=1, ledger=path)
    assert Budget(max_usd=1, ledger="/a/b.sqlite").ledger == "/a/b.sqlite"  # said in full, it may be anywhere
    assert Budget(max_usd=1, ledger="a/b.sqlite").ledger == "a/b.sqlite"


@pytest.mark.parametrize("budget", [{"max_usd": 1e300}, {"max_usd": 1, "prices": {"x": {"per_task": 1e300}}}])
def test_sums_of_money_that_no_ledger_can_hold(budget):
    with pytest.raises(SpecError, match="less than or equal to 1"):
        parse_spec({"budget": budget}, "file")


@pytest.mark.parametrize("name", ["..", ".", "../x", "/x", "a/b", "a\n", "", ".hidden", "x" * 65])
def test_a_name_is_one_folder(name):
    with pytest.raises(SpecError, match="name: "):
        parse_spec({"name": name}, "file")


@pytest.mark.parametrize(
    "path", ["/dev/zero", "pipe", "folder", "loop", "nul\0byte", "line\nbreak", "n" * 300, "a/" * 600, "good.npz/x"]
)
@pytest.mark.parametrize(
    "choice", [lambda path: {"name": "npz", "path": path}, lambda path: {"name": "mnist", "root": path}]
)
def test_paths_that_lead_to_no_data(tmp_path, monkeypatch, path, choice):
    monkeypatch.chdir(files.make_playground(tmp_path / "playground"))
    options = choice(path)
    if options["name"] == "mnist":
        options["download"] = False
    with pytest.raises(DataError) as caught:
        load_dataset(options)
    assert len(str(caught.value).splitlines()) == 2 or "cannot be read" in str(caught.value)


def test_an_idx_file_that_is_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (lambda path: read_idx(path, dimensions=3), read_cifar):
        with pytest.raises(DataError, match="is no file"):
            read(tmp_path / "pipe")


def test_bombs_are_refused_before_they_unpack(tmp_path, peak):
    for number, bomb in enumerate(files.idx_bombs()):
        (tmp_path / f"{number}.gz").write_bytes(bomb)
        memory, _ = peak(lambda number=number: read_idx(tmp_path / f"{number}.gz", dimensions=3))
        assert memory < LITTLE
    for number, bomb in enumerate(files.npz_bombs()[:2]):
        (tmp_path / f"{number}.npz").write_bytes(bomb)
        memory, _ = peak(lambda number=number: NPZ(path=tmp_path / f"{number}.npz").load())
        assert memory < LITTLE


def test_data_that_pack_well_are_read_all_the_same(tmp_path):
    images = np.zeros((500, 28, 28), np.uint8)
    images[:, 5:20, 5:20] = 255
    np.savez_compressed(tmp_path / "x.npz", images=images, labels=np.arange(500) % 2)
    assert images.nbytes > 50 * (tmp_path / "x.npz").stat().st_size
    assert len(NPZ(path=tmp_path / "x.npz").load().train) == 500


def _npz(tmp_path, packing=zipfile.ZIP_DEFLATED, **changed):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", packing) as archive:
        for name, content in {**files.npz_members("plain"), **changed}.items():
            archive.writestr(name, content)
    return NPZ(path=tmp_path / "x.npz")


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_archives_packed_as_numpy_never_does(tmp_path, packing):  # LZMAError; a dictionary of gigabytes
    with pytest.raises(DataError, match="numpy never does"):
        _npz(tmp_path, packing).load()


@pytest.mark.parametrize(
    "header", ["-" * 9000 + "1", "(" * 4000, "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,), }"]
)
def test_headers_that_broke_their_parser(tmp_path, header):
    text = header.encode()
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(500)
    with pytest.raises(DataError, match="'images' cannot be read"):
        _npz(tmp_path, **{"images.npy": content}).load()


def test_an_array_without_its_ending_is_not_there(tmp_path):  # KeyError
    members = files.npz_members("plain")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images", members["images.npy"])
        archive.writestr("labels.npy", members["labels.npy"])
    with pytest.raises(DataError, match="lacks the array 'images'"):
        NPZ(path=tmp_path / "x.npz").load()


def test_a_records_file_is_no_longer_than_the_published_ones(tmp_path, peak):
    with (tmp_path / "x.bin").open("wb") as file:
        file.truncate(3073 * 10**9)  # three terabytes that take no room on the disk
    memory, message = peak(lambda: read_cifar(tmp_path / "x.bin"))
    assert "not 1 to 10000 records" in message
    assert memory < LITTLE


@pytest.mark.parametrize("link", [b"1", b"2"])  # hard, symbolic
def test_a_link_in_an_archive_is_not_followed(tmp_path, link):
    name = f"{files.CIFAR_FOLDER}/test_batch.bin"
    info = tarfile.TarInfo(name)
    info.type, info.linkname = link, "/etc/passwd"
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(files.tar([(info, b"")])))
    with pytest.raises(DataError, match=r"test_batch.bin is no file"):
        unpack(tmp_path / "x.tar.gz", ["test_batch.bin"])
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]


def test_images_of_one_pixel_take_no_more_memory_than_others():
    tiny = torch.zeros(3_000_000, 1, 1, 1, dtype=torch.uint8)
    sizes = []
    features = FeatureMap(size=4, kind="paper")
    monitored = features._features

    def note(part):
        sizes.append(len(part) * 28 * 28)
        return monitored(part[:1]).expand(len(part), -1)

    object.__setattr__(features, "_features", note)
    assert features(tiny).shape == (3_000_000, 16)
    assert max(sizes) <= 1 << 22  # numbers at once; they were 784 times as many


def test_images_have_a_largest_side():
    with pytest.raises(DataError, match="1 x 16385 pixels"):
        Images(torch.zeros(1, 1, 1, 16385, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64), ("a",))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"format":"qdeq-circuit","version":1,"num_qubits":1,"num_qubits":2,"operations":[]}', "stands twice"),
        ('{"format":"qdeq-circuit","version":1,"num_qubits":1,"operations":[["RX",[0],[NaN]]]}', "NaN is no number"),
        (
            '{"format":"qdeq-circuit","version":1,"num_qubits":1,"operations":[["' + "X" * 10**6 + '",[0],[]]]}',
            "64 char",
        ),
        (
            '{"format":"qdeq-circuit","version":1,"num_qubits":1,"operations":[["X",[' + "0," * 10**5 + "0],[]]]}",
            "0, 0",
        ),
    ],
    ids=["twice", "nan", "name", "wires"],
)
def test_circuits_that_are_refused_briefly(text, says):
    with pytest.raises(CircuitError, match=says) as caught:
        Circuit.from_json(text)
    assert len(str(caught.value)) < 500


def test_digits_that_are_not_the_published_ones(monkeypatch):
    digits = datasets.load_digits()
    digits.images[100, 3, 3] += 1
    monkeypatch.setattr(datasets, "load_digits", lambda: digits)
    with pytest.raises(DataError, match="not the published ones"):
        load_dataset("digits")


def test_limits_are_far_from_what_people_write():
    qubits = {qubit: {"gates": {"CRX": 0.1}} for qubit in range(24)}
    text = ExperimentSpec(model={"qubits": 24, "encoding": "angle"}, noise={"bit_flip": {"qubits": qubits}}).to_yaml()
    assert len(text) < MAX_FILE_BYTES / 20
    assert text.count(":") < MAX_NODES / 20


@pytest.mark.parametrize("seconds", ["1" + "0" * 400, "NaN", "Infinity"])
def test_a_log_whose_times_cannot_be_added(tmp_path, seconds):  # OverflowError where a run was resumed
    line = f'{{"kind": "step", "step": 1, "epoch": 1, "time": {{"seconds": {seconds}}}}}\n'
    (tmp_path / "metrics.jsonl").write_text(line)
    with pytest.raises(CheckpointError, match="missing or damaged"):
        cut_log(tmp_path / "metrics.jsonl", 1, 1)
    assert (tmp_path / "metrics.jsonl").read_text() == line


@pytest.mark.parametrize(
    "field", [{"step": "3"}, {"step": -1}, {"epoch": True}, {"spec_hash": None}, {"validation_loss": [1]}]
)
def test_a_checkpoints_header_has_fields_of_the_right_types(tmp_path, field):  # TypeError where it was compared
    info = CheckpointInfo(step=1, epoch=1, validation_loss=0.5, spec_hash="ab")
    for name, value in field.items():
        object.__setattr__(info, name, value)  # what it would refuse itself
    save_checkpoint(tmp_path / "best.safetensors", {"model.x": torch.zeros(1)}, info, record=sample_record())
    with pytest.raises(CheckpointError, match="its header cannot be read"):
        load_checkpoint(tmp_path / "best.safetensors")


@pytest.mark.parametrize("name", ["spec.yaml", "metrics.jsonl", "summary.json", "curves.png", "checkpoints", ".lock"])
def test_a_run_does_not_write_through_links(tmp_path, name):  # --force overwrote what spec.yaml pointed to
    run, outside = tmp_path / "run", tmp_path / "outside"
    run.mkdir()
    (run / name).symlink_to(outside)
    with pytest.raises(TrainingError, match="is a link"), RunFolder(run).writing():
        pass
    assert not outside.exists()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with RunFolder(tmp_path / "link").writing():  # the whole folder may be one
        assert (tmp_path / "elsewhere" / ".lock").exists()
