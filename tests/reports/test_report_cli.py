"""``qdeq report``: where the page goes, what is never written over, and what is printed."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from qdeq.cli.commands import app
from qdeq.reports.html.intervals import wilson


@pytest.fixture
def run_folder(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(runs["direct"], tmp_path / "runs" / "direct")


def qdeq(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="qdeq")
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_the_page_lies_in_the_run_and_is_written_over(run_folder):
    assert qdeq("report", "runs/direct").stdout == "written: runs/direct/report.html\n"
    first = (run_folder / "report.html").read_text()
    assert "<title>direct: qdeq report</title>" in first
    qdeq("report", "runs/direct", "--quiet")
    assert (run_folder / "report.html").read_text() == first


def test_several_runs_go_into_the_working_folder(run_folder, tmp_path):
    assert qdeq("report", "runs/direct", "runs/direct").stdout == "written: report.html\n"
    assert "2 runs compared" in (tmp_path / "report.html").read_text()
    qdeq("report", "runs/direct", "--out", "one.html")
    assert not (run_folder / "report.html").exists()


def test_nothing_else_is_written_over(run_folder, tmp_path):
    mine = tmp_path / "mine.html"
    mine.write_text("<p>my own")
    refused = qdeq("report", "runs/direct", "--out", mine, code=2)
    assert "is no report of qdeq's" in refused.stderr
    assert mine.read_text() == "<p>my own"
    assert "is a folder" in qdeq("report", "runs/direct", "--out", tmp_path, code=2).stderr
    assert "there is no folder" in qdeq("report", "runs/direct", "--out", "no/where.html", code=2).stderr


def test_json(run_folder):
    shown = json.loads(qdeq("report", "runs/direct", "--json").stdout)
    assert shown["file"] == "runs/direct/report.html"
    (run,) = shown["runs"]
    assert (run["name"], run["finished"], run["solved_for"], run["missing"]) == ("direct", True, 145, {})
    test = json.loads((run_folder / "summary.json").read_text())["test"]
    assert run["test"] == test
    assert run["accuracy_interval"] == list(wilson(round(test["accuracy"] * 145), 145))


def test_what_is_missing_is_said(run_folder):
    (run_folder / "summary.json").unlink()
    said = qdeq("report", "runs/direct")
    assert said.stderr.startswith("direct: The run is unfinished")
    assert said.stdout == "written: runs/direct/report.html\n"
    assert qdeq("report", "runs/direct", "--quiet").output == ""


def test_errors_are_short(run_folder):
    for arguments in (["runs/nowhere"], ["runs/direct", "--checkpoint", "worst"]):
        said = qdeq("report", *arguments, code=2).stderr
        assert said.startswith("error: ")
        assert len(said.splitlines()) <= 2


def test_the_browser_is_asked_on_request_only(run_folder, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    qdeq("report", "runs/direct")
    assert opened == []
    said = qdeq("report", "runs/direct", "--open")
    assert opened == [(run_folder / "report.html").resolve().as_uri()]
    assert "open the file yourself" in said.stderr  # append returns None: no browser
