"""What scripts rely on: `--json` with the documented keys and nothing beside it, exit codes, `--quiet`, colours."""

import inspect
import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import fields

import pytest
from cli_files import CONFIGS, TINY
from patience import HANG

from qdeq.billing.entries import Entry
from qdeq.cli.app import app
from qdeq.cli.exits import ExitCode
from qdeq.doctor import Checkup
from qdeq.errors import BudgetReached, SpecError
from qdeq.spec import load_spec
from qdeq.sweeps import SweepResult, load_sweep
from qdeq.sweeps.folder import SweepFolder
from qdeq.testing.report import BackendReport
from qdeq.training import train

GUIDE = (CONFIGS.parent / "docs/guides/command-line.md").read_text(encoding="utf-8")


def documented():
    """Return the keys of each command's JSON, as the guide's table has them, by the command with what it is given."""
    return {command: re.findall(r"`(\w+)`", keys) for command, keys in _rows("`qdeq ([\\w -]+)`")}


def documented_parts():
    """Return the keys of the parts of a command's JSON that the table describes, by the command."""
    return {command: re.findall(r"`(\w+)`", keys) for command, keys in _rows("an \\w+ of `qdeq ([\\w -]+)`")}


def _rows(first):
    return re.findall(rf"^\| {first} \| (`.*`) \|$", GUIDE, re.M)


KEYS = documented()
PARTS = documented_parts()
COMMANDS = {
    "train": ("train", "tiny.yaml", "--out", "again"),
    "eval": ("eval", "run"),
    "show": ("show", "tiny.yaml"),
    "solvers": ("solvers",),
    "backends": ("backends",),
    "datasets": ("datasets",),
    "predict": ("predict", "run", "gone.png"),
    "stability": ("stability", "run", "--samples", "2", "--starts", "2"),
    "compare": ("compare", "tiny.yaml", "--backends", "cirq", "--samples", "2", "--steps", "1"),
    "solve-study": ("solve-study", "run", "--samples", "2", "--solvers", "naive"),
    "estimate": ("estimate", "tiny.yaml"),
    "check-solver": ("check-solver", "naive"),
    "check-solver --list": ("check-solver", "--list"),
    "check-dataset": ("check-dataset", "digits"),
    "check-dataset --list": ("check-dataset", "--list"),
    "check-backend --list": ("check-backend", "--list"),
    "reproduce --list": ("reproduce", "--list"),
    "report": ("report", "run", "--samples", "2"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    (folder / "tiny.yaml").write_text(TINY)
    changes = ["data.limit=20", "model.mode=implicit", "model.layers=null"]
    train(load_spec(folder / "tiny.yaml", changes), folder / "run")
    return folder / "run"


@pytest.mark.parametrize("command", COMMANDS)
def test_json_has_the_documented_keys_and_nothing_beside_it(qdeq, run, command):
    arguments = [str(run) if word == "run" else word for word in COMMANDS[command]]
    result = qdeq(*arguments, "--json", code=2 if command == "predict" else 0)
    data = json.loads(result.stdout)  # all of it
    assert sorted(data) == sorted(KEYS[command])
    if command == "estimate":
        (each,) = data["estimates"]
        assert sorted(each) == sorted(PARTS[command])


def test_keys_of_the_commands_that_need_more_are_documented(tmp_path):
    assert sorted(KEYS["doctor"]) == sorted(json.loads(Checkup(()).to_json()))
    assert PARTS["ledger"] == [field.name for field in fields(Entry) if field.name != "fresh"]
    report = BackendReport(
        backend="torch", version="1", precision="float64", seed=0, examples=1, refused=(), results=()
    )
    assert sorted(KEYS["check-backend"]) == sorted(report.to_data())
    nothing = SweepResult(load_sweep(CONFIGS / "sweeps/digits-modes.yaml"), SweepFolder(tmp_path), ())
    assert KEYS["sweep"] == list(nothing.to_data())


def test_every_command_that_prints_json_is_documented_and_no_other():
    """All but those that write a file (init) or print JSON in any case (schema)."""
    printing = set()
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        if "as_json" in inspect.signature(command.callback).parameters:
            printing.add(name)
        else:
            assert name in ("init", "schema")
    assert printing == {command.partition(" ")[0] for command in KEYS}


def test_every_object_says_what_format_it_has():
    assert all(keys[0] == "format_version" for keys in KEYS.values())


def test_train_tells_of_its_progress_on_stderr_and_the_summary_on_stdout(qdeq, tmp_path):
    result = qdeq("train", "tiny.yaml", "--json")
    summary = json.loads(result.stdout)
    assert summary["folder"] == "runs/tiny"
    assert {key: summary[key] for key in summary if key != "folder"} == json.loads(
        (tmp_path / "runs/tiny/summary.json").read_text()
    )
    assert "epoch 1:" in result.stderr
    quiet = qdeq("train", "tiny.yaml", "--json", "--quiet", "--force")
    assert quiet.stderr == ""
    assert json.loads(quiet.stdout)["test"] == summary["test"]
    evaluated = json.loads(qdeq("eval", "runs/tiny", "--json").stdout)
    assert evaluated["test"] == summary["test"]
    assert evaluated["checkpoint"]["step"] == summary["best_step"]


def test_an_error_leaves_stdout_empty(qdeq):
    for arguments in (("show", "gone.yaml"), ("train", "gone.yaml"), ("eval", "gone"), ("predict", "gone", "a.png")):
        result = qdeq(*arguments, "--json", code=2)
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")


def test_lists_of_plugins_name_the_broken_ones(qdeq):
    (broyden,) = [row for row in json.loads(qdeq("solvers", "--json").stdout)["plugins"] if row["name"] == "broyden"]
    assert broyden["ok"]
    assert broyden["error"] is None
    assert broyden["options"]["properties"]["rtol"]["default"] == 1e-4
    rows = {row["name"]: row for row in json.loads(qdeq("backends", "--json").stdout)["plugins"]}
    assert rows["torch"]["capabilities"]["exact"] is True
    assert rows["torch"]["capabilities"]["gradients"] == ["backprop"]


def test_show_counts_what_the_table_counts(qdeq):
    data = json.loads(qdeq("show", "tiny.yaml", "--json").stdout)
    assert data["circuit"]["depth"] == {"without_preparation": 27, "with_preparation": 51}
    assert data["parameters"]["readout.weight"] == [4, 16]
    assert data["circuit"]["weights"] == 39


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("compare", "tiny.yaml", "--backends", "cirq", "--samples", "1", "--steps", "1", "--tolerance", "0"), 1),
        (("compare", "tiny.yaml", "--backends", "cirq", "--samples", "1", "--steps", "1"), 0),
        (("check-solver", "--list"), 0),
    ],
)
def test_quiet_leaves_the_exit_code(qdeq, arguments, code):
    result = qdeq(*arguments, "--quiet", code=code)
    if arguments[0] == "compare":
        assert result.output == ""


# -- exit codes -------------------------------------------------------------------------------------------------------


def test_the_guide_has_every_exit_code_with_its_meaning():
    rows = re.findall(r"^\| (\d+) \| (.+?) \|$", GUIDE, re.M)
    assert rows == [(str(int(code)), code.meaning) for code in ExitCode]


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (SpecError("no"), ExitCode.BAD_INPUT),
        (BudgetReached("spent"), ExitCode.OUT_OF_BUDGET),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (type("TrainingTerminated", (KeyboardInterrupt,), {})("kept"), ExitCode.TERMINATED),
    ],
)
def test_errors_become_exit_codes(qdeq, monkeypatch, raised, code):
    def fail(*arguments, **options):
        raise raised

    monkeypatch.setattr("qdeq.spec.load_spec", fail)
    assert qdeq("show", "tiny.yaml", code=code).stdout == ""


def test_unknown_options_are_bad_input(qdeq):
    assert "No such option" in qdeq("train", "--epochs", "3", code=2).stderr


# -- terminals --------------------------------------------------------------------------------------------------------


def on_a_terminal(folder, *arguments, **environment):
    """Run qdeq with a terminal for its output, and return all that was written to it."""
    (folder / "tiny.yaml").write_text(TINY)
    ours, theirs = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "JPY_PARENT_PID")}
    variables |= {"TERM": "xterm-256color", "COLUMNS": "60", "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "qdeq", *arguments]
    with subprocess.Popen(command, cwd=folder, env=variables, stdout=theirs, stderr=theirs, stdin=theirs) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux says so when the other end is closed
                break
            if not part:
                break
            text += part
        assert process.wait(timeout=HANG) == 0, text
    os.close(ours)
    return text.decode()


COLOUR = re.compile(r"\x1b\[[\d;]*3[0-7][\d;]*m")


def test_colours_on_a_terminal_unless_they_are_not_wanted(tmp_path):
    assert COLOUR.search(on_a_terminal(tmp_path, "--help"))
    assert not COLOUR.search(on_a_terminal(tmp_path, "--help", "--no-color"))
    assert not COLOUR.search(on_a_terminal(tmp_path, "--help", NO_COLOR="1"))


def test_no_color_lasts_as_long_as_the_command(qdeq, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    qdeq("--no-color", "solvers")
    assert "NO_COLOR" not in os.environ
