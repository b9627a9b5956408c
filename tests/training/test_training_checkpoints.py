"""Checkpoints: exact there and back, and refused where anything is wrong with them."""

import json
import shutil
import struct

import pytest
import safetensors.torch
import torch
from tiny_runs import tiny_record, tiny_spec

from qdeq.builders import build_model
from qdeq.errors import CheckpointError
from qdeq.training import (
    CheckpointInfo,
    RunFolder,
    evaluate_run,
    load_checkpoint,
    model_tensors,
    save_checkpoint,
    train,
)

INFO = CheckpointInfo(step=7, epoch=2, validation_loss=0.123456789012345678, spec_hash="ab" * 32)


@pytest.fixture
def model():
    return build_model(tiny_spec(model={"learn_state_scale": True}), 4)


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, model_tensors(model), INFO, record=tiny_record())
    return path


def test_weights_and_header_come_back_bit_for_bit(model, saved):
    other = build_model(tiny_spec(seed=9, model={"learn_state_scale": True}), 4)
    checkpoint = load_checkpoint(saved)
    checkpoint.restore(other)
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.eval()(x).logits, other.eval()(x).logits)
    info = checkpoint.info
    assert (info.step, info.epoch, info.validation_loss, info.spec_hash) == (7, 2, INFO.validation_loss, "ab" * 32)


def test_every_trained_parameter_is_in_the_file(model, saved):
    names = set(load_checkpoint(saved).tensors)
    assert {f"model.{name}" for name, _ in model.named_parameters()} <= names


def test_equal_checkpoints_are_equal_files(model, saved, tmp_path):
    for attempt in range(3):
        save_checkpoint(tmp_path / f"{attempt}.safetensors", model_tensors(model), INFO, record=tiny_record())
        assert (tmp_path / f"{attempt}.safetensors").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_truncated_file_is_named_with_a_remedy(saved, length):
    saved.with_name("step-00000003.safetensors").touch()
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(
        CheckpointError, match=r"best\.safetensors: truncated or damaged.*\n.*--checkpoint step-00000003"
    ):
        load_checkpoint(saved)


def test_a_flipped_bit_in_the_weights_is_found(saved):
    content = bytearray(saved.read_bytes())
    content[-3] ^= 4
    saved.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        load_checkpoint(saved)


def test_a_flipped_bit_in_the_header_is_found(saved):
    """The weights' checksum says nothing of the step that they are from."""
    content = saved.read_bytes()
    assert content.count(b'\\"step\\": 7') == 1
    saved.write_bytes(content.replace(b'\\"step\\": 7', b'\\"step\\": 5'))
    with pytest.raises(CheckpointError, match="checksum"):
        load_checkpoint(saved)


def test_garbage_and_foreign_safetensors_are_refused(saved):
    saved.write_bytes(b"\x80\x04pickle?" * 20)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(saved)
    safetensors.torch.save_file({"a": torch.zeros(2)}, saved)
    with pytest.raises(CheckpointError, match="header is not qdeq's"):
        load_checkpoint(saved)


def test_another_format_version_is_refused_by_its_number(saved):
    content = saved.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    ours = json.loads(header["__metadata__"]["qdeq"]) | {"format_version": 99}
    header["__metadata__"]["qdeq"] = json.dumps(ours)
    text = json.dumps(header).encode()
    saved.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    with pytest.raises(CheckpointError, match="format version 99"):
        load_checkpoint(saved)


def test_wrong_shapes_and_missing_tensors_are_named(saved):
    with pytest.raises(CheckpointError, match=r"readout\.bias is float32 \[4\], not float32 \[3\]"):
        load_checkpoint(saved).restore(build_model(tiny_spec(model={"learn_state_scale": True}), 3))
    double = build_model(tiny_spec(model={"learn_state_scale": True}, training={"precision": "float64"}), 4)
    with pytest.raises(CheckpointError, match="not float64"):
        load_checkpoint(saved).restore(double)


def test_missing_checkpoint_says_which_ones_there_are(saved, tmp_path):
    with pytest.raises(CheckpointError, match=r"last.safetensors: there is no such checkpoint"):
        load_checkpoint(saved.with_name("last.safetensors"))
    folder = RunFolder(tmp_path / "run")
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    shutil.copy(saved, folder.checkpoint("best"))
    with pytest.raises(CheckpointError, match="Give --checkpoint best"):
        folder.load("last")


def test_failed_write_keeps_the_old_file(model, saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(saved, model_tensors(model), INFO, record=tiny_record())
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_checkpoint_of_another_spec_is_refused_but_the_device_may_change(tmp_path):
    spec = tiny_spec(model={"mode": "direct", "layers": 1}, training={"epochs": 1})
    train(spec, tmp_path / "run")
    file = tmp_path / "run/spec.yaml"
    text = file.read_text()
    file.write_text(text.replace("device: cpu", "device: cuda"))
    evaluate_run(tmp_path / "run", device="cpu")
    file.write_text(text.replace("layers: 1", "layers: 2"))
    with pytest.raises(CheckpointError, match="another experiment"):
        evaluate_run(tmp_path / "run")


def test_missing_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="there is no such run"):
        evaluate_run(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="holds no qdeq run"):
        evaluate_run(tmp_path)
