"""`qdeq predict`: images from files, prepared and classified exactly as the run's own test images were."""

import csv
import gzip
import io
import json
import math
import shutil
import struct
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image

from qdeq.data.pictures import read_images
from qdeq.errors import DataError
from qdeq.spec import load_spec
from qdeq.training import train
from qdeq.training.saved import load_run

SINGLE = 1e-5
"""Float32 through products whose order depends on the batch: a few units of its last place, 6e-8, each."""
SPEC = """\
name: bars
data: {dataset: {name: npz, path: BARS}}
model: {qubits: 4}
training: {epochs: 2, batch_size: 16, learning_rate: 0.05}
"""


def bars(count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 90, (count, 12, 12), dtype=np.uint8)
    images[np.arange(count), :, 2 + 4 * labels] = 255
    return images, labels


IMAGES, LABELS = bars(20, 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on uint8 images of our own, with a normalisation that only its training split gives, tested on IMAGES."""
    folder = tmp_path_factory.mktemp("bars")
    images, labels = bars(90, 0)
    np.savez(folder / "bars.npz", images=images, labels=labels, test_images=IMAGES, test_labels=LABELS)
    (folder / "bars.yaml").write_text(SPEC.replace("BARS", str(folder / "bars.npz")))
    train(load_spec(folder / "bars.yaml"), folder / "run")
    return folder / "run"


def test_predictions_of_the_test_images_as_pngs_are_those_of_eval(qdeq, tmp_path, run):
    files = [tmp_path / f"{number:02}.png" for number in range(len(IMAGES))]
    for file, image in zip(files, IMAGES, strict=True):
        Image.fromarray(image).save(file)
    found = json.loads(qdeq("predict", run, *files, "--json").stdout)
    test = json.loads(qdeq("eval", run, "--json").stdout)["test"]
    rows = found["images"]
    assert [row["file"] for row in rows] == list(map(str, files))
    assert sum(row["label"] == str(label) for row, label in zip(rows, LABELS, strict=True)) / 20 == test["accuracy"]
    loss = -sum(math.log(row["probabilities"][label]) for row, label in zip(rows, LABELS.tolist(), strict=True)) / 20
    assert loss == pytest.approx(test["loss"], rel=SINGLE)
    assert max(row["residual"] for row in rows) == pytest.approx(test["residual_max"], rel=1e-2)  # a difference itself
    assert sum(row["converged"] for row in rows) / 20 == test["converged"]
    # and image by image, by the model itself on the features that the run was tested on
    loaded = load_run(run)
    with torch.no_grad():
        expected = loaded.model.eval()(loaded.splits.test.features).logits.softmax(dim=1)
    torch.testing.assert_close(torch.tensor([row["probabilities"] for row in rows]), expected, rtol=0, atol=SINGLE)


def test_all_formats_of_the_same_images_give_the_same(qdeq, tmp_path, run):
    images = IMAGES[:3]
    for number, image in enumerate(images):
        Image.fromarray(image).save(f"{number}.png")
    np.save("stack.npy", images)
    np.save("channels.npy", images[..., None])
    np.save("one.npy", images[0])
    np.save("scaled.npy", images.astype(np.float32) / 255)
    with gzip.open("images.gz", "wb") as file:
        file.write(b"\0\0\x08\x03" + struct.pack(">3I", *images.shape) + images.tobytes())
    files = ("0.png", "1.png", "2.png", "stack.npy", "channels.npy", "scaled.npy", "images.gz", "one.npy")
    rows = json.loads(qdeq("predict", run, *files, "--json").stdout)["images"]
    assert [(row["file"], row["index"]) for row in rows[:4]] == [
        ("0.png", 0),
        ("1.png", 0),
        ("2.png", 0),
        ("stack.npy", 0),
    ]
    values = np.array([row["probabilities"] for row in rows])
    for start in (3, 6, 9, 12):
        np.testing.assert_allclose(values[start : start + 3], values[:3], rtol=0, atol=SINGLE)
    np.testing.assert_allclose(values[15], values[0], rtol=0, atol=SINGLE)


def test_bad_images_are_named_and_do_not_stop_the_others(qdeq, tmp_path, run):
    Image.fromarray(IMAGES[0]).save("good.png")
    content = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "notes.png").write_text("no image")
    np.save("nan.npy", np.full((12, 12), np.nan))
    names = ("cut.png", "notes.png", "nan.npy", "gone.png")
    result = qdeq("predict", run, "cut.png", "notes.png", "good.png", "nan.npy", "gone.png", "--json", code=2)
    found = json.loads(result.stdout)
    assert [row["file"] for row in found["images"]] == ["good.png"]
    assert tuple(row["file"] for row in found["failed"]) == names
    for name in names:
        assert f"error: {name}" in result.stderr
    assert "Traceback" not in result.stderr
    assert qdeq("predict", run, "gone.png", code=2).stdout == ""


def test_table_and_csv_have_the_same_rows(qdeq, run):
    np.save("stack.npy", IMAGES[:2])
    text = qdeq("predict", run, "stack.npy").stdout
    rows = list(csv.DictReader(io.StringIO(qdeq("predict", run, "stack.npy", "--csv").stdout)))
    columns = ["file", "index", "label", "probability", "converged", "status", "residual", "blank"]
    assert list(rows[0])[:8] == columns
    for number, row in enumerate(rows):
        line = next(line for line in text.splitlines() if line.startswith(f"stack.npy[{number}]"))
        assert f"{100 * float(row['probability']):.1f} %" in line
        assert line.split()[1] == row["label"]
        assert sum(float(row[f"p({label})"]) for label in "012") == pytest.approx(1, abs=SINGLE)
    assert "Leave one of them out" in qdeq("predict", run, "stack.npy", "--csv", "--json", code=2).stderr


def test_blank_images_are_said_to_be_blank(qdeq, run):
    red = np.zeros((1, 12, 12, 3), np.uint8)
    red[..., 0] = 200
    np.save("red.npy", red)
    np.save("stack.npy", np.stack([IMAGES[0], np.full((12, 12), 255, np.uint8)]))
    text = qdeq("predict", run, "stack.npy", "red.npy").stdout
    assert [line for line in text.splitlines() if line.startswith("note: ")] == [
        "note: stack.npy[1] is blank: all its pixels are equal",
        "note: red.npy is blank: all its pixels are equal",
    ]
    rows = json.loads(qdeq("predict", run, "stack.npy", "red.npy", "--json").stdout)["images"]
    assert [row["blank"] for row in rows] == [False, True, True]


def test_a_solve_that_fails_is_said_to_have_failed(qdeq, tmp_path, run):
    qdeq(
        "train", run / "spec.yaml", "-q", "--out", "strict", "--set", "solver.max_steps=1", "--set", "solver.rtol=1e-9"
    )
    np.save("one.npy", IMAGES[0])
    result = qdeq("predict", "strict", "one.npy")
    assert "no: max_steps" in result.stdout
    assert "0 of 1 samples converged" in result.stderr
    (row,) = json.loads(qdeq("predict", "strict", "one.npy", "--json").stdout)["images"]
    assert (row["converged"], row["status"]) == (False, "max_steps")


@pytest.mark.parametrize("change", [("model.mode=direct", "model.layers=2"), ("solver.fixed_steps=3",)])
def test_where_nothing_is_solved_to_a_tolerance_nothing_is_said_to_have_converged(qdeq, run, change):
    spec = load_spec(run / "spec.yaml", [*change, "training.epochs=1", "data.limit=20"])
    train(spec, "other")
    np.save("one.npy", IMAGES[0])
    (row,) = json.loads(qdeq("predict", "other", "one.npy", "--json").stdout)["images"]
    assert row["converged"] is None
    assert row["status"] == (None if len(change) == 2 else "fixed_steps")
    assert qdeq("predict", "other", "one.npy").stdout.splitlines()[-1].split()[-2] == "-"


def test_a_run_needs_neither_its_data_nor_its_place(qdeq, tmp_path, run):
    np.save("stack.npy", IMAGES[:3])
    before = qdeq("predict", run, "stack.npy", "--csv").stdout
    alone = shutil.copytree(run, tmp_path / "sent")
    spec = alone / "spec.yaml"
    spec.write_text(spec.read_text().replace(str(run.parent), "/nowhere"))
    assert qdeq("predict", "sent", "stack.npy", "--csv").stdout == before
    assert "bars.npz: not found" in qdeq("eval", "sent", code=2).stderr
    shutil.copy(alone / "checkpoints/best.safetensors", "best.safetensors")
    assert qdeq("predict", "best.safetensors", "stack.npy", "--csv").stdout == before


def test_data_are_refused_where_they_changed_and_named_where_they_are_others(qdeq, tmp_path, run):
    images, labels = bars(90, 0)
    np.savez("other.npz", images=images[::-1], labels=labels[::-1], test_images=IMAGES, test_labels=(LABELS + 1) % 3)
    moved = shutil.copy(run.parent / "bars.npz", tmp_path / "moved.npz")
    alone = shutil.copytree(run, tmp_path / "mine")
    spec = alone / "spec.yaml"
    spec.write_text(spec.read_text().replace(str(run.parent / "bars.npz"), str(tmp_path / "other.npz")))
    told = qdeq("eval", "mine", code=2).stderr
    assert "not the data of the run: images or labels of train and validation and test differ" in told
    assert len(told.splitlines()) == 2
    own = json.loads(qdeq("eval", "mine", "--data", moved, "--json").stdout)
    assert own["data"] == {"name": "moved", "own": True}
    assert own["test"] == json.loads(qdeq("eval", run, "--json").stdout)["test"]
    assert "other data than the run was trained on" in qdeq("eval", "mine", "--data", "other.npz").stdout
    other = json.loads(qdeq("eval", "mine", "--set", "data.dataset.path=other.npz", "--json").stdout)
    assert (other["data"]["own"], other["validation"], other["test"]["samples"]) == (False, None, 20)
    assert "only data.dataset can be set here" in qdeq("eval", "mine", "--set", "seed=1", code=2).stderr


def test_images_on_another_scale_are_refused_and_faint_ones_doubted(qdeq, run):
    np.save("floats.npy", IMAGES.astype(np.float32))
    np.save("faint.npy", IMAGES // 200)
    result = qdeq("predict", run, "floats.npy", code=2)
    assert "error: floats.npy: image 0" in result.stderr
    assert "divide them by 255" in result.stderr
    result = qdeq("predict", run, "faint.npy")
    assert "warning: faint.npy: image 0 (images like that: 20 of 20)" in result.stderr


# -- reading ----------------------------------------------------------------------------------------------------------


def test_modes_of_pictures(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    colour = np.stack([grey, grey.T, 255 - grey], axis=2)
    opaque = np.concatenate([colour, np.full((8, 8, 1), 255, np.uint8)], axis=2)
    deep = grey.astype(np.uint16) * 257  # 16 bits: 255 becomes 65535
    for name, array in {"grey": grey, "colour": colour, "opaque": opaque, "deep": deep}.items():
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    Image.fromarray(grey > 100).save(tmp_path / "bits.png")
    Image.fromarray(colour).quantize(8).save(tmp_path / "palette.png")
    read = {path.stem: read_images(path) for path in tmp_path.glob("*.png")}
    assert read["grey"].tolist() == [[grey.tolist()]]
    assert read["colour"][0].permute(1, 2, 0).tolist() == colour.tolist()
    assert torch.equal(read["opaque"], read["colour"])
    torch.testing.assert_close(read["deep"], read["grey"].float() / 255)
    assert read["bits"].tolist() == [[((grey > 100) * 255).tolist()]]
    assert read["palette"].shape == (1, 3, 8, 8)


def test_a_cameras_orientation_is_applied(tmp_path):
    array = np.zeros((8, 16), np.uint8)
    array[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    Image.fromarray(array).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert read_images(tmp_path / "turned.jpg").shape == (1, 1, 16, 8)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((4, 4, 3)), "may be one image with channels"),
        (np.zeros((2, 2, 2, 2)), "the shape"),
        (np.zeros(4), "the shape"),
        (np.full((2, 2), 300), "outside 0 to 255"),
        (np.array([["a"]]), "allowed: integers"),
        (np.array([[None]]), "pickled objects are never loaded"),
    ],
)
def test_arrays_that_are_no_images(tmp_path, array, expected):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=expected):
        read_images(tmp_path / "a.npy")


def test_pictures_that_are_refused(tmp_path):
    glass = np.zeros((8, 8, 4), np.uint8)
    Image.fromarray(glass).save(tmp_path / "glass.png")
    with pytest.raises(DataError, match="transparent"):
        read_images(tmp_path / "glass.png")
    with pytest.raises(DataError, match="known format"):
        read_images(__file__)
    with pytest.raises(DataError, match=r"it is no file|Is a directory"):
        read_images(tmp_path)


def test_damaged_pictures_are_refused_whatever_is_wrong_with_them(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a"
    for ending in ("PNG", "JPEG"):
        whole = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (9, 9), dtype=np.uint8)).save(whole, ending)
        for _ in range(60):
            content = bytearray(whole.getvalue())
            for place in rng.integers(4, len(content), 3):
                content[place] = rng.integers(0, 256)
            path.write_bytes(content[: rng.integers(10, len(content) + 1)])
            with suppress(DataError):  # and nothing else; not every change is one that can be seen
                assert read_images(path).shape[1] in (1, 3)
