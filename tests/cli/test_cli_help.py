"""Help, its examples, and what the Tab key offers; and that none of it loads what is heavy."""

import re
import shlex
import subprocess
import sys

import pytest
import typer.main
from cli_files import CONFIGS
from patience import HANG

from qdeq.cli.commands import app
from qdeq.cli.group import PANELS
from qdeq.plugins import BACKENDS, DATASETS, SOLVERS

ROOT = CONFIGS.parent
GROUP = typer.main.get_command(app)
ALL = sorted(GROUP.commands)
HEAVY = ("torch", "numpy", "matplotlib", "sklearn", "PIL", "cirq", "braket", "boto3", "pennylane", "ray")


def shown_examples(text):
    """Return the commands in an epilog, without remarks."""
    lines = (text or "").removeprefix("Examples:").strip().splitlines()
    return [re.sub(r"\s{2,}#.*", "", line.strip()) for line in lines]


def test_commands_stand_in_groups_in_a_sensible_order(qdeq):
    text = qdeq("--help").stdout
    listed = [name for names in PANELS.values() for name in names if name in ALL]
    assert sorted(listed) == ALL  # a new command has to be put somewhere
    places = [re.search(rf"^│ {name} ", text, re.M).start() for name in listed]
    assert places == sorted(places)
    titles = [text.index(f"─ {panel} ─") for panel in PANELS]
    assert titles == sorted(titles)
    assert titles[0] < places[0] < titles[1]


@pytest.mark.parametrize("name", ALL)
def test_every_command_shows_examples_that_it_understands(qdeq, name):
    command = GROUP.commands[name]
    examples = shown_examples(command.epilog)
    assert examples
    assert max(map(len, command.epilog.splitlines())) <= 78, "too wide for a terminal of 80 columns"
    assert examples[0] in " ".join(qdeq(name, "--help").stdout.split())
    for example in examples:
        words = shlex.split(re.split(r" [|>] ", example)[0])
        assert words[:2] == ["qdeq", name]
        command.make_context(name, words[2:])  # parses, and runs nothing
        for word in words:
            if word.startswith("configs/"):
                assert (ROOT / word).exists()


def test_options_of_qdeq_may_stand_behind_the_command(qdeq):
    assert "Traceback" in qdeq("show", "gone.yaml", "--debug", code=2).stderr
    assert "Traceback" not in qdeq("show", "gone.yaml", "--no-color", code=2).stderr
    assert "cannot be read" in qdeq("show", "--", "--debug", code=2).stderr  # a file of that name


# -- completion, by the protocol that the shells' scripts speak -------------------------------------------------------


@pytest.fixture
def offered(qdeq, monkeypatch):
    def complete(line):
        monkeypatch.setenv("_QDEQ_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        return qdeq().stdout.split()

    return complete


def test_commands_and_options_are_completed(offered):
    assert offered("qdeq pre") == ["predict"]
    assert "--resume" in offered("qdeq train --")
    assert set(offered("qdeq check-")) == {"check-backend", "check-dataset", "check-solver"}


def test_names_of_plugins_are_completed(offered):
    assert offered("qdeq train a.yaml --backend ") == BACKENDS.names()
    assert offered("qdeq train a.yaml --backend braket-l") == ["braket-local", "braket-local-dm"]
    assert offered("qdeq show a.yaml --solver newt") == ["newton", "newton-krylov"]
    assert offered("qdeq check-solver ") == SOLVERS.names()
    assert offered("qdeq check-backend q") == ["qsim"]
    assert offered("qdeq check-dataset d") == ["digits"]
    assert offered("qdeq init --dataset ") == DATASETS.names()
    assert offered("qdeq eval runs/a --device cu") == ["cuda"]


def test_the_last_of_several_names_is_completed(offered):
    assert offered("qdeq compare a.yaml --backends torch,braket-local-") == ["torch,braket-local-dm"]
    assert offered("qdeq compare a.yaml --backends qsim,q") == []  # it stands there already
    assert offered("qdeq solve-study a.yaml --solvers naive,new") == ["naive,newton", "naive,newton-krylov"]


def test_checkpoints_of_the_run_on_the_line_are_completed(qdeq, offered, tmp_path):
    folder = tmp_path / "runs/mine/checkpoints"
    folder.mkdir(parents=True)
    for name in ("best", "step-00000004", "step-00000008"):
        (folder / f"{name}.safetensors").touch()
    for command in ("eval", "predict", "stability"):
        every = offered(f"qdeq {command} runs/mine --checkpoint ")
        assert every == ["best", "last", "step-00000004", "step-00000008"]
    assert offered("qdeq eval runs/mine --checkpoint step-00000008") == ["step-00000008"]
    assert offered("qdeq eval runs/none --checkpoint ") == ["best", "last"]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_the_completion_script_is_that_of_the_shell_that_is_named(shell):
    """Whatever shell this runs in, if any."""
    command = [sys.executable, "-m", "qdeq", "--show-completion", shell]
    script = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"_QDEQ_COMPLETE=complete_{shell}" in script


# -- quick ------------------------------------------------------------------------------------------------------------


def loaded(code):
    lines = f"import sys\n{code}\nprint([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=HANG, check=True)
    return done.stderr.strip()


def test_importing_qdeq_and_its_help_load_nothing_heavy():
    run = "from qdeq.cli.commands import app\ntry:\n    app({}, prog_name='qdeq')\nexcept SystemExit: pass\n"
    every = "\n".join(run.format([*name, "--help"]) for name in [[], *([name] for name in ALL)])
    assert loaded(f"import qdeq\n{every}") == "[]"


def test_completing_a_name_loads_neither_torch_nor_any_sdk():
    code = "from qdeq.cli import completion\nassert completion.backends('tor') == ['torch']"
    assert loaded(code) == "[]"
