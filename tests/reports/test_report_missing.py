"""What a page does without: each thing that a run lacks is a sentence, and the rest is there."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from page_reader import cards, read, rows
from report_runs import page_of, small_spec

from qdeq.billing.entries import Limits
from qdeq.billing.execution import Execution
from qdeq.billing.ledger import Ledger
from qdeq.errors import CheckpointError, SpecError
from qdeq.reports.html import gather_runs, page
from qdeq.spec import load_spec
from qdeq.training import RunFolder, train
from qdeq.training.checkpoints import load_checkpoint, save_checkpoint


@pytest.fixture
def copied(runs, tmp_path):
    """A run's folder that may be damaged."""
    return RunFolder(shutil.copytree(runs["implicit"], tmp_path / "copied"))


def told(folder: RunFolder, **options) -> tuple[str, set[str]]:
    """Return what a page says that it lacks, and its sections."""
    tree = read(page_of(folder.path, **options))
    return tree.one("aside", class_="missing").text, {section.attributes["id"] for section in tree.all("section")}


SOLVED = {"equilibria", "predictions"}
ALWAYS = {"results", "training", "circuit", "cost", "settings", "environment"}


def test_an_unfinished_run(copied):
    copied.summary.unlink()
    lines = copied.metrics.read_text().splitlines()
    first = next(k for k, line in enumerate(lines) if json.loads(line)["kind"] == "epoch")
    copied.metrics.write_text("\n".join(lines[: first + 3]) + "\n" + lines[first + 3][:40])  # the last is being written
    missing, sections = told(copied)
    assert "unfinished: 1 of 2 epochs so far" in missing
    assert sections == ALWAYS | SOLVED  # its best checkpoint is there
    table = rows(read(page_of(copied.path)).one(id="cost").one("table"))
    assert table["training steps"] == ["6"]
    assert table["time so far"]


def test_a_run_before_its_first_checkpoint(copied):
    copied.summary.unlink()
    shutil.rmtree(copied.checkpoint("best").parent)
    copied.metrics.unlink()
    missing, sections = told(copied)
    assert "the run has made no step" in missing
    assert "0 of 2 epochs" in missing
    assert "the run is unfinished and has none to look at" in missing
    assert sections == ALWAYS
    assert "There are no test figures yet" in page_of(copied.path)


def test_a_damaged_log(copied):
    copied.metrics.write_text("{]\n")
    missing, sections = told(copied)
    assert "There are no curves" in missing
    assert "missing or damaged" in missing
    assert sections == ALWAYS | SOLVED


def test_a_log_with_figures_of_another_kind(copied):
    records = [json.loads(line) for line in copied.metrics.read_text().splitlines()]
    for record in records:
        record["loss"] = "<b>low</b>"
        record.pop("evaluations", None)
        if record["kind"] == "epoch":
            record["train"], record["validation"]["accuracy"] = [], True
    copied.metrics.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert "<b>" not in page_of(copied.path)


@pytest.mark.parametrize("text", ["", "[]", '{"format_version": 1}', "accuracy"])
def test_a_damaged_summary(copied, text):
    if text == "accuracy":
        data = json.loads(copied.summary.read_text())
        data["test"]["accuracy"] = "<b>all</b>"
        text = json.dumps(data)
    copied.summary.write_text(text)
    missing, sections = told(copied)
    assert "The final figures are missing: summary.json is damaged" in missing
    assert sections == ALWAYS | SOLVED


def test_a_damaged_checkpoint(copied):
    copied.checkpoint("best").write_bytes(b"no checkpoint")
    missing, sections = told(copied)
    assert "truncated or damaged" in missing
    assert sections == ALWAYS
    assert cards(read(page_of(copied.path)))["Test accuracy"][0].endswith("%")  # the summary's


def test_a_checkpoint_of_another_experiment(copied):
    copied.spec.write_text(small_spec(name="implicit", seed=9).to_yaml())
    missing, sections = told(copied)
    assert "belongs to another experiment" in missing
    assert sections == ALWAYS


def test_a_data_set_that_is_gone(tmp_path):
    draw = np.random.default_rng(0)
    images = tmp_path / "own.npz"
    np.savez(images, images=draw.random((60, 6, 6)).astype("float32"), labels=np.arange(60) % 3)
    spec = small_spec(data={"dataset": {"name": "npz", "path": str(images)}, "classes": None}, training={"epochs": 1})
    train(spec, tmp_path / "run")
    assert "missing" not in {element.attributes.get("class") for element in read(page_of(tmp_path / "run")).all()}
    images.unlink()
    missing, sections = told(RunFolder(tmp_path / "run"))
    assert "The test images could not be solved for" in missing
    assert "own.npz" in missing
    assert sections == ALWAYS
    assert cards(read(page_of(tmp_path / "run")))["Test accuracy"][0].endswith("%")


def test_direct_layers_say_that_they_have_no_solver(runs):
    tree = read(page_of(runs["direct"]))
    assert cards(tree)["Failed solves"] == ("-", "not tested for: direct layers")
    assert cards(tree)["Spectral radius"] == ("-", "not measured: direct layers have no equilibrium")
    assert "direct layers, and no solver" in tree.one(id="equilibria").text
    fallen = tree.all("svg", role="img")[-1]
    assert len(fallen.all("title")) == 4  # the residuals of y0 = 0 and of three layers


def test_shots(runs):
    shown = cards(read(page_of(runs["shots"])))
    assert int(shown["Shots"][0].replace(",", "")) >= 100
    assert shown["Spectral radius"] == ("-", "not measured: see training.diagnostics")


def test_a_run_that_was_paid_for_is_not_solved_again(runs, tmp_path, monkeypatch):
    paid = shutil.copytree(runs["implicit"], tmp_path / "paid")
    monkeypatch.setattr("qdeq.training.spending.prepare", None)  # nothing is prepared, connected to or asked
    budget = {"max_usd": 1}
    spec = small_spec(name="implicit", backend="braket-sv1", budget=budget)
    (paid / "spec.yaml").write_text(spec.to_yaml())
    best = load_checkpoint(RunFolder(paid).checkpoint("best"))
    data = {**vars(best.info), "spec_hash": spec.content_hash, "digest": ""}
    record = replace(best.record, identity=spec.identity())
    save_checkpoint(best.path, best.tensors, type(best.info)(**data), best.state, record=record)
    ledger = Ledger(paid / "ledger.sqlite")
    wanted = Execution("braket-sv1", "arn", "program", 4, "expectations", 1)
    ledger.reserve([(wanted, 3_750_000)], Limits(10**9), "s3://there")
    ledger.close()
    missing, sections = told(RunFolder(paid))
    assert "costs money, so nothing was solved for again" in missing
    assert sections == ALWAYS
    tree = read(page_of(paid))
    assert rows(tree.one(id="cost").one("table"))["paid"] == ["$0.00375 counted against the budget, 1 tasks, 0 shots"]
    (paid / "ledger.sqlite").unlink()
    assert "what was paid is not known" in told(RunFolder(paid))[0]


def test_a_run_of_a_gpu_is_looked_at_without_one(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    moved = shutil.copytree(runs["implicit"], tmp_path / "moved")
    spec = load_spec(moved / "spec.yaml", ["training.device=cuda"])
    (moved / "spec.yaml").write_text(spec.to_yaml())
    (run,) = gather_runs([moved])
    assert run.device == "cpu"
    assert run.solves is not None
    assert "solved for on cpu" in page([run])


def test_a_circuit_that_is_too_long_to_draw(tmp_path):
    spec = small_spec(model={"ansatz": "hardware-efficient", "ansatz_layers": 60}, training={"epochs": 1})
    folder = RunFolder(tmp_path / "long")
    folder.create(spec)
    section = read(page_of(folder.path)).one(id="circuit")
    assert "too many to draw" in section.text
    assert not section.all("svg")
    assert rows(section.one("table"))["weights"]


def test_what_is_no_run_is_refused(copied, tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(CheckpointError, match="run"):
            gather_runs([path])
    copied.spec.write_text("name: [")
    with pytest.raises(SpecError, match=r"spec\.yaml"):
        gather_runs([copied.path])


def test_a_checkpoint_that_was_asked_for_by_name_has_to_be_there(copied):
    (run,) = gather_runs([copied.path], checkpoint="last")
    assert run.checkpoint.info.step == 8
    with pytest.raises(CheckpointError, match=r"no such checkpoint"):
        gather_runs([copied.path], checkpoint="step-00000001")
