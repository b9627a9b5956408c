"""What qdeq 0.1.0 wrote still opens, predicts, goes on, reports: run folders, checkpoints, circuits, ledgers.

The files lie beside this one. ``finished`` and ``cut`` are runs on digits, ``cut`` ended after 3 of its 4 steps;
``bars`` is one on ``bars.npz``, started in the folder that holds both. The ``.csv`` and ``.json`` files are what 0.1.0
said of them.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import qdeq
from qdeq import Channel, Circuit, Gate, Input, ReadoutError, Weight
from qdeq.billing.ledger import Ledger
from qdeq.circuit import AmplitudeEncoding
from qdeq.cli.commands import app
from qdeq.errors import CheckpointError
from qdeq.reports.html import gather_runs
from qdeq.serialization import circuit_from_json
from qdeq.spec import read_yaml
from qdeq.training import RunFolder, RunSummary, load_checkpoint, resume
from qdeq.training.formats import spec_hash_0_1_0

WRITTEN = Path(__file__).parent / "written_by_0_1_0"
SINGLE = 1e-4
"""Float32 on another machine: the solver's own tolerance is 1e-3."""


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A copy, and the working directory in it: relative paths of 0.1.0 start there."""
    shutil.copytree(WRITTEN, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def said(name):
    """Return the probabilities that 0.1.0 printed."""
    rows = list(csv.DictReader((WRITTEN / f"{name}.csv").open()))
    return np.array([[float(value) for key, value in row.items() if key.startswith("p(")] for row in rows])


@pytest.mark.parametrize(("run", "images"), [("finished", "digits.npy"), ("bars", "three.npy")])
def test_runs_predict_what_they_did(there, run, images):
    found = qdeq.load_run(run).predict(np.load(images))
    np.testing.assert_allclose(found.probabilities.numpy(), said(run), rtol=0, atol=SINGLE)


def test_a_run_is_evaluated_to_the_same_figures(there):
    before, after = json.loads(Path("eval.json").read_text()), qdeq.evaluate_run("finished")
    assert after.own is None  # nothing says so
    for split in ("validation", "test"):
        assert getattr(after, split).loss == pytest.approx(before[split]["loss"], abs=SINGLE)
        assert getattr(after, split).samples == before[split]["samples"]


def test_a_run_that_was_cut_goes_on_to_the_end_that_it_had_had(there):
    notes = []
    progress = qdeq.training.Progress()
    progress.noted = notes.append
    summary = resume("cut", progress=progress)
    assert (summary.epochs, summary.steps) == (2, 4)
    assert summary.test.loss == pytest.approx(json.loads(Path("cut.json").read_text())["loss"], abs=1e-3)
    assert load_checkpoint(RunFolder(Path("cut")).checkpoint("best")).record.class_names == ("0", "3", "6", "9")
    assert any("goes on from cut/checkpoints/step-00000003" in note for note in notes)


def test_a_finished_run_stays_and_can_be_continued(there):
    before = RunSummary.read(Path("finished/summary.json"))
    assert before.machine is None
    assert resume("finished") == before
    after = resume("finished", overrides=["training.epochs=2"])
    (done,) = after.continued
    assert (done.epoch, done.step, done.accuracy) == (1, 2, before.test.accuracy)
    assert resume("finished") == after


def test_its_hash_is_that_of_its_spec_and_another_spec_is_refused(there):
    for run in ("finished", "cut", "bars"):
        info = load_checkpoint(Path(run) / "checkpoints/best.safetensors").info
        assert info.spec_hash == spec_hash_0_1_0(read_yaml(Path(run) / "spec.yaml"))
    spec = Path("finished/spec.yaml")
    spec.write_text(spec.read_text().replace("learning_rate: 0.03", "learning_rate: 0.02"))
    with pytest.raises(CheckpointError, match="another experiment"):
        qdeq.load_run("finished")


def test_a_checkpoint_alone_says_what_it_lacks(there, tmp_path):
    shutil.copy("finished/checkpoints/best.safetensors", tmp_path / "alone.safetensors")
    with pytest.raises(CheckpointError, match=r"do not say what they are of\nGive the folder"):
        qdeq.load_run(tmp_path / "alone.safetensors")


def test_a_run_is_reported_and_starts_another(there):
    (material,) = gather_runs([Path("finished")])
    assert "solves" not in material.missing
    assert material.solves.metrics.samples == 145
    result = CliRunner().invoke(
        app,
        [
            *("train", "finished/spec.yaml", "--out", "after", "-q"),
            *("--set", "training.init_from=finished", "--set", "training.learning_rate=0.001"),
        ],
    )
    assert result.exit_code == 0, result.output
    start = RunSummary.read(Path("after/summary.json")).start
    assert (start.checkpoint, start.step, start.name) == ("best", 2, None)


def test_circuits_are_read():
    noisy = Circuit(
        2,
        (
            Gate("RY", [0], [Input(0, 2.0, 0.5)]),
            Gate("CRX", [0, 1], [Weight(0)]),
            Gate("RZ", [1], [0.25]),
            Channel("Depolarizing", [1], 0.02),
        ),
        (ReadoutError(1, 0.01, 0.03),),
    )
    assert circuit_from_json((WRITTEN / "circuit.json").read_text()) == noisy
    amplitude = Circuit(2, (AmplitudeEncoding(3), Gate("RX", [1], [Weight(0)])))
    assert circuit_from_json((WRITTEN / "amplitude.json").read_text()) == amplitude


def test_a_ledger_is_read_and_counts_as_before(there):
    book = Ledger("ledger.sqlite")
    book.verify()
    used, entries = book.totals(), book.entries()
    book.close()
    assert (used.tasks, used.cost) == (3, 3_750_000 + 2 * 5_000_000)
    assert [entry.state for entry in entries] == ["completed", "sent", "reserved"]
