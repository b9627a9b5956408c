"""`qdeq train` and `qdeq eval`, from the file to the table."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import yaml
from cli_files import TINY
from patience import HANG

from qdeq._version import __version__
from qdeq.spec import load_spec
from qdeq.training import RunSummary
from qdeq.training.folder import RunFolder


def figures(text, row):
    return re.search(rf"^{row}\s+(.*?)\s*$", text, re.MULTILINE)[1].split("  ")


def test_train_then_eval_show_the_same_figures(qdeq, tmp_path):
    trained = qdeq("train", "tiny.yaml").stdout
    assert "\x1b" not in trained
    assert RunFolder(tmp_path / "runs/tiny").curves.exists()  # the default folder
    summary = RunSummary.read(tmp_path / "runs/tiny/summary.json")
    again = qdeq("eval", "runs/tiny").stdout
    for row in ("accuracy", "loss", "residual, mean", "residual, worst sample", "evaluations per solve"):
        assert figures(trained, row) == figures(again, row)
    assert f"{summary.test.loss:.4f}" in figures(again, "loss")[-1]
    assert "step-00000004: epoch 1, step 4" in qdeq("eval", "runs/tiny", "--checkpoint", "last").stdout


def test_options_change_the_experiment_and_are_saved_with_the_run(qdeq, tmp_path):
    qdeq(
        *("train", "tiny.yaml", "--solver", "anderson", "--set", "solver.memory=3", "--set", "name=other"),
        *("--set", "model.mode=implicit", "--set", "model.layers=null", "--backend", "torch", "--device", "cpu"),
        *("--out", "here", "--quiet"),
    )
    spec = load_spec(tmp_path / "here/spec.yaml")
    assert spec.solver.choice()["name"] == "anderson"
    assert spec.solver.choice()["memory"] == 3
    assert (spec.name, spec.model.mode) == ("other", "implicit")


def resolved(qdeq, *arguments):
    text = qdeq("show", "tiny.yaml", *arguments).stdout
    return yaml.safe_load(text.partition("\n")[2].partition("# content hash")[0])


def test_solver_option_keeps_what_every_solver_has_and_drops_the_rest(qdeq, tmp_path):
    (tmp_path / "tiny.yaml").write_text(
        TINY + "solver: {name: broyden, memory: 7, rtol: 1e-5, on_failure: fallback, fallback: [naive]}\n"
    )
    solver = resolved(qdeq, "--solver", "anderson")["solver"]
    assert (solver["name"], solver["rtol"], solver["on_failure"]) == ("anderson", 1e-5, "fallback")
    assert solver["memory"] == 5  # Anderson's own default
    assert solver["fallback"][0]["name"] == "naive"
    # a name that stands there already changes nothing
    assert resolved(qdeq, "--solver", "broyden")["solver"]["memory"] == 7


def test_solver_option_on_a_bare_name_or_none(qdeq, tmp_path):
    assert resolved(qdeq, "--solver", "naive")["solver"]["name"] == "naive"
    (tmp_path / "tiny.yaml").write_text(TINY + "solver: anderson\n")
    assert resolved(qdeq, "--solver", "naive")["solver"]["damping"] == 1


def test_quiet_prints_nothing(qdeq):
    result = qdeq("train", "tiny.yaml", "-q")
    assert result.output == ""


def test_force_replaces(qdeq, tmp_path):
    qdeq("train", "tiny.yaml", "-q")
    assert "--force" in qdeq("train", "tiny.yaml", code=2).stderr
    qdeq("train", "tiny.yaml", "-q", "--force", "--set", "seed=5")
    assert "seed: 5" in (tmp_path / "runs/tiny/spec.yaml").read_text()


def test_zero_images_under_amplitude_encoding_give_numbers(qdeq, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 8, 8), dtype=np.uint8)
    images[::4] = 0
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(40) % 2)
    assignments = ["data.dataset={name: npz, path: mine.npz}", "data.classes=null", "data.normalise=[0, 1]"]
    assignments += ["model.mode=implicit", "model.layers=null", "model.encoding=amplitude"]
    qdeq("train", "tiny.yaml", *(word for text in assignments for word in ("--set", text)))
    summary = RunSummary.read(tmp_path / "runs/tiny/summary.json")
    assert None not in (summary.test.loss, summary.validation.loss, summary.train.loss)


def test_version_and_help(qdeq):
    assert qdeq("--version").stdout == f"qdeq {__version__}\n"
    assert "train" in qdeq("--help").stdout


def test_a_pipe_gets_plain_text_whatever_the_environment_says(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    result = subprocess.run(
        [sys.executable, "-m", "qdeq", "train", "tiny.yaml"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    assert result.stderr == ""
    assert result.stdout.startswith("tiny: 1 epoch, 4 steps\ndata: digits, ")


def test_help_imports_nothing_heavy():
    heavy = ("torch", "numpy", "pydantic", "matplotlib")
    code = f"import sys, qdeq.cli; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, check=True)
    assert result.stdout == "[]\n"


def test_a_long_path_is_not_cut(qdeq, tmp_path):
    folder = "runs/" + "long" * 30
    assert f"  {folder}/checkpoints/best.safetensors\n" in qdeq("train", "tiny.yaml", "--out", folder).stdout
    assert f"file: {folder}/checkpoints/best.safetensors\n" in qdeq("eval", folder).stdout


def test_the_end_says_what_to_do_next(qdeq):
    assert qdeq("train", "tiny.yaml", "--out", "my runs/a").stdout.splitlines()[-1] == (
        "next: qdeq report 'my runs/a' --open"
    )
    assert "next:" not in qdeq("train", "tiny.yaml", "--json").output


def test_a_batch_larger_than_the_training_set_is_noted(qdeq):
    note = "training.batch_size is 1,000: a batch is all 60 training images\n"
    assert note in qdeq("train", "tiny.yaml", "--set", "training.batch_size=1000").stdout
    assert "a batch is all" not in qdeq("train", "tiny.yaml", "--force", "--set", "training.batch_size=60").stdout


def test_a_finished_run_goes_on_and_starts_another(qdeq, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    qdeq("train", "tiny.yaml", "--out", "one", "-q")
    result = qdeq("train", "--resume", "one", "--set", "training.epochs=2")
    assert "is continued after epoch 1, where test accuracy was " in result.stdout
    assert "training.epochs 1 -> 2" in result.stdout
    told = qdeq("train", "--resume", "one", "--set", "training.batch_size=8", code=2).stderr.splitlines()
    assert "training.batch_size=8 does not go with --resume (it is 16)" in told[0]
    assert "--set training.init_from=one --out DIR" in told[1]
    result = qdeq("train", "tiny.yaml", "--out", "two", "--set", "training.init_from=one", "--json")
    assert json.loads(result.stdout)["start"]["name"] == "tiny"
    assert "starts from the weights of tiny, best: epoch" in result.stderr
