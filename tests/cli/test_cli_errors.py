"""Bad input: one or two lines with the place, what is allowed and a suggestion; exit code 2; nothing written."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from cli_files import TINY
from patience import HANG

BAD = {
    "unknown key": ("training.epocs=3", ["tiny.yaml", "training.epocs", "batch_size", "Did you mean 'epochs'?"]),
    "unknown section": ("trainig={}", ["tiny.yaml", "trainig", "Did you mean 'training'?"]),
    "unknown backend": ("backend=toch", ["tiny.yaml: backend", "installed:", "Did you mean 'torch'?"]),
    "unknown solver": ("solver=broiden", ["tiny.yaml: solver", "anderson", "Did you mean 'broyden'?"]),
    "unknown data set": ("data.dataset=digit", ["tiny.yaml: data.dataset", "mnist", "Did you mean 'digits'?"]),
    "unknown solver option": ("solver={name: broyden, memori: 3}", ["tiny.yaml", "memori", "Did you mean 'memory'?"]),
    "unknown backend option": ("backend={name: torch, shot: 3}", ["tiny.yaml: backend", "'shot'"]),
    "wrong type": ("training.epochs=many", ["tiny.yaml: training.epochs", "integer", "'many'"]),
    "out of range": ("training.learning_rate=-1", ["tiny.yaml: training.learning_rate", "greater than 0"]),
    "unknown choice": ("model.encoding=amplitud", ["tiny.yaml: model.encoding", "Did you mean 'amplitude'?"]),
    "class that is not there": ("data.classes=[0, 12]", ["tiny.yaml: data", "12", "allowed: 0, 1, 2"]),
    "too many features": ("model.qubits=3", ["tiny.yaml: model", "9 features", "8 amplitudes", "encoding: angle"]),
    "layers without direct mode": ("model.mode=implicit", ["tiny.yaml: model", "layers"]),
    "register too large": ("model.qubits=25", ["tiny.yaml: model.qubits", "24"]),
    "no assignment": ("training.epochs", ["--set training.epochs", "KEY.KEY=VALUE"]),
    "path through a number": ("training.epochs.x=1", ["--set", "mapping"]),
    "key of a section": ("qubits=5", ["tiny.yaml: qubits", "Did you mean 'model.qubits'?", "from --set qubits=5"]),
    "one qubit": ("model.qubits=1", ["tiny.yaml: model.qubits: ", "equal to 2, not 1", "(from --set model.qubits=1)"]),
    "yaml that is not": ("training={", ["--set", "not valid YAML"]),
    "missing data file": ("data.dataset={name: npz, path: gone.npz}", ["tiny.yaml: data", "gone.npz", "not found"]),
}


def refused(result, *expected):
    """Check that the result is a short error with all of the expected words, and that nothing was written."""
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert 1 <= len(lines) <= 2, lines
    assert "Traceback" not in result.stderr
    for words in expected:
        assert words in result.stderr
    assert not os.path.exists("runs")
    assert not os.path.exists("out")


@pytest.mark.parametrize(("assignment", "expected"), BAD.values(), ids=BAD)
def test_bad_experiment(qdeq, assignment, expected):
    refused(qdeq("train", "tiny.yaml", "--out", "out", "--set", assignment, code=2), *expected)


LINES = {
    "unknown command": (
        ("trian", "tiny.yaml"),
        ["No such command 'trian'", "Did you mean 'train'?", "Try `qdeq --help`"],
    ),
    "option that is a key": (
        ("train", "tiny.yaml", "--epochs", "3"),
        ["No such option: --epochs", "Did you mean --set training.epochs=VALUE?", "Try `qdeq train --help`"],
    ),
    "key with a hyphen": (("show", "tiny.yaml", "--learning-rate", "3"), ["--set training.learning_rate=VALUE?"]),
    "option that is none": (("solvers", "--epochs", "3"), ["No such option: --epochs.\nTry `qdeq solvers --help`."]),
    "missing argument": (("predict", "run"), ["Missing argument 'IMAGES...'.\nTry `qdeq predict --help`."]),
    "wrong choice": (("reproduce", "noise", "--mode", "refrence"), ["'--mode': 'refrence' is not one of"]),
    "number out of range": (("stability", "run", "--samples", "0"), ["'--samples'", "greater than or equal to 1"]),
    "list that is none": (
        ("compare", "tiny.yaml", "--backends", "{name"),
        ["--backends {name: expected names", "braces"],
    ),
    "beginning of a name": (("reproduce", "mnist4"), ["Did you mean 'mnist4-amplitude'?"]),
}


@pytest.mark.parametrize(("line", "expected"), LINES.values(), ids=LINES)
def test_a_line_that_cannot_be_understood(qdeq, line, expected):
    refused(qdeq(*line, code=2), *expected)


def test_without_arguments_there_is_help(qdeq):
    result = qdeq(code=2)
    assert "Usage: qdeq" in result.output
    assert "error:" not in result.output


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")
@pytest.mark.parametrize("options", [(), ("--solver", "naive")])
def test_a_file_without_end_is_not_read_to_its_end(qdeq, options):
    refused(qdeq("show", "/dev/zero", *options, code=2), "larger than")


def test_resume_and_a_config_exclude_each_other(qdeq):
    refused(qdeq("train", "tiny.yaml", "--resume", "runs/tiny", code=2), "CONFIG and --resume RUN were both given")
    refused(qdeq("train", code=2), "neither CONFIG nor --resume RUN was given")
    refused(qdeq("train", "--resume", "gone", code=2), "gone: there is no such run")
    refused(qdeq("train", "--resume", "gone", "--device", "cpu", code=2), "does not go with --resume")


def test_bad_shorthands(qdeq):
    solver = "Did you mean 'anderson'? (from --solver andersen)"
    refused(qdeq("train", "tiny.yaml", "--solver", "andersen", code=2), solver)
    refused(qdeq("train", "tiny.yaml", "--backend", "trch", code=2), "Did you mean 'torch'? (from --backend trch)")
    refused(qdeq("train", "tiny.yaml", "--device", "gpu", code=2), "training.device", "gpu", "(from --device gpu)")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_that_is_not_there(qdeq):
    refused(qdeq("train", "tiny.yaml", "--device", "cuda", code=2), "training.device: cuda", "Use --device cpu")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read"),
        ("a: [1\n", "line"),
        ("- a list\n", "expected a mapping"),
        ("seed: 1\nseed: 2\n", "stands twice"),
        ("\xff\xfe", "cannot be read"),
        (
            "model:\n\tqubits: 4\n",
            "line 2: not valid YAML: there is a tab; YAML is indented with spaces, and tabs are not",
        ),
        ("", "is empty"),
    ],
)
def test_bad_file(qdeq, tmp_path, content, expected):
    if content is not None:
        (tmp_path / "bad.yaml").write_bytes(content.encode("latin-1"))
    for command in ("train", "show"):
        refused(qdeq(command, "bad.yaml", code=2), "bad.yaml", expected)
    refused(qdeq("train", "bad.yaml", "--solver", "naive", code=2), "bad.yaml", expected)


def test_truncated_data_file(qdeq, tmp_path):
    np.savez(tmp_path / "mine.npz", images=np.zeros((40, 8, 8), np.uint8), labels=np.arange(40) % 2)
    content = (tmp_path / "mine.npz").read_bytes()
    (tmp_path / "mine.npz").write_bytes(content[: len(content) // 2])
    result = qdeq("train", "tiny.yaml", "--set", "data.dataset={name: npz, path: mine.npz}", code=2)
    refused(result, "tiny.yaml: data", "mine.npz")


def test_occupied_folder_is_untouched(qdeq, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    for options in ((), ("--force",)):
        refused(qdeq("train", "tiny.yaml", "--out", "mine", *options, code=2), "mine", "--out DIR")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_force_does_not_destroy_a_run_for_an_experiment_that_cannot_run(qdeq, tmp_path):
    qdeq("train", "tiny.yaml", "-q", "--out", "kept")
    before = {path: path.read_bytes() for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    qdeq("train", "tiny.yaml", "--out", "kept", "--force", "--set", "data.classes=[0, 12]", code=2)
    qdeq("train", "tiny.yaml", "--out", "kept", "--force", "--set", "training.epocs=3", code=2)
    assert {path: path.read_bytes() for path in (tmp_path / "kept").rglob("*") if path.is_file()} == before


def test_bad_runs(qdeq, tmp_path):
    refused(qdeq("eval", "nowhere", code=2), "nowhere: there is no such run", "qdeq train")
    refused(qdeq("eval", ".", code=2), "holds no qdeq run", "Give the output folder of `qdeq train`")
    qdeq("train", "tiny.yaml", "-q", "--out", "mine")
    best = tmp_path / "mine/checkpoints/best.safetensors"
    content = best.read_bytes()
    best.write_bytes(content[:-10])
    other = "--checkpoint step-00000004"
    refused(qdeq("eval", "mine", code=2), str(best.relative_to(tmp_path)), "truncated or damaged", other)
    best.unlink()
    refused(qdeq("eval", "mine", code=2), "no such checkpoint", other)
    spec = tmp_path / "mine/spec.yaml"
    spec.write_text(spec.read_text().replace("seed: 0", "seed: 1", 1))
    refused(qdeq("eval", "mine", "--checkpoint", "last", code=2), "another experiment")
    spec.write_text("nonsense: 1\n")
    refused(qdeq("eval", "mine", "--checkpoint", "last", code=2), "spec.yaml", "nonsense")


def test_a_folder_of_runs_names_them(qdeq, tmp_path):
    for name in "bcadefg":
        (tmp_path / "all" / name).mkdir(parents=True)
        (tmp_path / "all" / name / "spec.yaml").touch()
    (tmp_path / "all/other").mkdir()
    for command in ("report", "eval"):
        result = qdeq(command, "all", code=2)
        refused(result, "all: holds no qdeq run")
        named = "Give a run that lies in it: all/a, all/b, all/c, all/d, all/e and 2 more."
        assert result.stderr.splitlines()[1] == named


def test_a_data_folder_that_does_not_exist_is_not_made(qdeq, tmp_path, monkeypatch):
    monkeypatch.setenv("QDEQ_DATA", str(tmp_path / "gone"))
    line = ("train", "tiny.yaml", "--set", "data.dataset=mnist")
    refused(qdeq(*line, code=2), f"QDEQ_DATA names {tmp_path / 'gone'}, which does not exist", "that holds mnist/")
    assert not (tmp_path / "gone").exists()
    (tmp_path / "gone").touch()
    refused(qdeq(*line, code=2), "which is no folder")


def test_a_batch_that_cannot_fit_the_memory_is_refused_before_the_run(qdeq, monkeypatch):
    """2^8 amplitudes of 8 bytes are 2 KiB an image; 16 images are 32 KiB, and four times that is needed at least."""
    line = ("train", "tiny.yaml", "-q", "--set", "model.qubits=8", "--set", "data.limit=20")
    angles = ("--set", "model.encoding=angle")
    monkeypatch.setattr("qdeq.training.environment.physical_memory", lambda: 4 * 32 * 1024 - 1)
    result = qdeq(*line, *angles, "--out", "out", code=2)
    refused(result, "the states of 16 images on 8 qubits", "Lower training.batch_size (15 at most), or model.qubits.")
    refused(qdeq(*line, *angles, "--set", "training.precision=float64", code=2), "batch_size (7 at most)")
    qdeq(*line, *angles, "--set", "training.batch_size=15", "--out", "smaller")
    qdeq(*line, "--set", "model.encoding=amplitude", "--out", "compiled")  # no state of an image is ever made
    monkeypatch.setattr("qdeq.training.environment.physical_memory", lambda: None)
    qdeq(*line, *angles, "--out", "unknown")


def test_debug_shows_the_traceback_and_the_message(qdeq):
    result = qdeq("--debug", "train", "gone.yaml", code=2)
    assert "Traceback" in result.stderr
    assert "error: gone.yaml" in result.stderr


def test_what_nobody_expected_keeps_its_traceback(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    code = (
        "import qdeq.training.run as t\n"
        "def broken(spec): raise ZeroDivisionError('a bug')\n"
        "t.build_data = broken\n"
        "from qdeq.cli.commands import app; app(['train', 'tiny.yaml'])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=HANG)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError: a bug" in result.stderr


def test_interrupt_before_training_exits_130(qdeq, monkeypatch):
    def interrupted(spec):
        raise KeyboardInterrupt

    monkeypatch.setattr("qdeq.training.run.build_data", interrupted)
    assert "interrupted" in qdeq("train", "tiny.yaml", code=130).stderr


def test_resume_without_its_run_and_a_run_without_resume(qdeq, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/spec.yaml").write_text(TINY)
    refused(qdeq("train", "run", "--resume", code=2), "qdeq train --resume RUN")
    refused(qdeq("train", "run", code=2), "run: is a run", "qdeq train --resume run")


def test_braket_alone_names_its_devices(qdeq):
    pytest.importorskip("braket.aws")
    told = refused_text(qdeq("show", "tiny.yaml", "--backend", "braket", code=2))
    assert "needs a device: braket-local" in told
    assert "braket:arn:aws:" in told


def refused_text(result):
    """Return a short error's text."""
    refused(result)
    return result.stderr
