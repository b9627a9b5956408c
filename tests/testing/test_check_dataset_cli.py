"""`qdeq check-dataset` and `qdeq datasets`."""

import json

import pytest
from click import unstyle
from typer.testing import CliRunner

from qdeq.cli.app import app
from qdeq.plugins import DATASETS
from qdeq.testing.datasets import CHECK_NAMES

MODULE = """
import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from qdeq.data import Images, RawDataset

@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Dots:
    def load(self):
        generator = torch.Generator().manual_seed(0)
        images, labels = torch.rand(40, 1, 5, 5, generator=generator), torch.arange(40) % 2
        return RawDataset("dots", Images(images, labels, ("left", "right")))

class Nothing:
    pass
"""


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "dots_of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


def test_all_data_sets_are_listed_with_their_options():
    result = run("datasets")
    assert result.exit_code == 0
    assert all(name in result.output for name in DATASETS.names())
    assert "download" in result.output
    plugins = json.loads(run("datasets", "--json").output)["plugins"]
    assert [plugin["name"] for plugin in plugins] == DATASETS.names()
    assert "path" in next(plugin for plugin in plugins if plugin["name"] == "npz")["options"]["properties"]


def test_a_right_data_set_gives_a_table_and_exit_code_0():
    result = run("check-dataset", "digits")
    assert result.exit_code == 0, result.output
    assert "data set digits: 7 passed, 0 failed, 1 skipped; 1797 images of 10 classes" in result.output


def test_what_is_not_here_gives_the_remedy_and_exit_code_1(tmp_path):
    result = run("check-dataset", "mnist", "--set", f"root={tmp_path}")
    assert result.exit_code == 1
    assert "or point QDEQ_DATA (or the option root) to the folder that holds mnist/" in result.output


def test_a_class_needs_no_package(module):
    result = run("check-dataset", "dots_of_mine:Dots", "--json")
    report = json.loads(result.output)
    assert (result.exit_code, report["ok"], report["dataset"], report["train"]) == (0, True, "Dots", 40)


def test_what_is_asked_of_a_data_set_is_listed():
    assert list(json.loads(run("check-dataset", "--list", "--json").output)["checks"]) == list(CHECK_NAMES)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["digit"], "Did you mean 'digits'?"),
        (["npz"], "option 'path' is missing"),
        (["mnist", "--set", "donwload=false"], "Did you mean 'download'?"),
        (["no_such_module:Dots"], "No module named 'no_such_module'"),
        (["dots_of_mine:Dot"], "has no attribute 'Dot'"),
        (["dots_of_mine:Nothing"], "has no method load()"),
        (["dots_of_mine:Dots", "--set", "count=3"], "unknown option 'count'"),
        ([], "name a data set to check (`qdeq datasets` lists them)"),
    ],
)
def test_bad_input_gives_exit_code_2_and_no_traceback(module, arguments, says):
    result = run("check-dataset", *arguments)
    assert result.exit_code == 2
    assert says in unstyle(result.output)
    assert "Traceback" not in result.output
