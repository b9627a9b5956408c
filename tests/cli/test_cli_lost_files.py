"""Runs whose files were deleted: what is left is named, what is gone is not, and the remedy leads on."""

import pytest


@pytest.fixture
def run(qdeq, tmp_path):
    """A finished run: two checkpoints, best and step-00000004."""
    qdeq("train", "tiny.yaml", "-q", "--out", "mine")
    return tmp_path / "mine"


def lose(run, *names):
    for file in (run / "checkpoints").iterdir():
        if file.stem in names or not names:
            file.unlink()


@pytest.mark.parametrize(
    "line", [("train", "--resume", "mine"), ("predict", "mine", "a.png"), ("eval", "mine"), ("solve-study", "mine")]
)
def test_a_finished_run_without_checkpoints_is_trained_again(qdeq, run, line):
    lose(run)
    result = qdeq(*line, code=2)
    assert result.stdout == ""
    first, remedy = result.stderr.splitlines()
    assert first == "error: mine: the run is finished, but its checkpoints are gone (there is none in mine/checkpoints)"
    assert remedy == "Bring them back, or train again: qdeq train mine/spec.yaml --out mine --force"
    assert "already holds a run" in qdeq("train", "mine/spec.yaml", "--out", "mine", code=2).stderr
    qdeq(*remedy.partition(": qdeq ")[2].split(), "-q")
    qdeq("eval", "mine")


def test_the_report_says_why_nothing_was_solved_for(qdeq, run):
    lose(run)
    assert "its checkpoints are gone" in qdeq("report", "mine").stderr


def test_another_checkpoint_that_is_there_is_named_and_nothing_else_is_asked_for(qdeq, run):
    lose(run, "best")
    result = qdeq("eval", "mine", code=2)
    assert result.stderr.splitlines()[1:] == ["Give --checkpoint step-00000004."]
    qdeq("eval", "mine", "--checkpoint", "step-00000004")


@pytest.mark.parametrize("lost", ["best", "step-00000004"])
def test_files_that_are_not_there_are_not_listed(qdeq, run, lost):
    lose(run, lost)
    (run / "curves.png").unlink()
    text = qdeq("train", "--resume", "mine").stdout
    files = text.partition("files:\n")[2].split()
    assert len([file for file in files if file.startswith("mine/")]) == 4
    assert not any(lost in file or "last" in file or "curves" in file for file in files)


def test_an_unfinished_run_without_checkpoints_is_gone_on_with(qdeq, run):
    lose(run)
    (run / "summary.json").unlink()
    result = qdeq("eval", "mine", code=2)
    assert "unfinished and has none to look at\nTrain it with qdeq train --resume mine first." in result.stderr
    assert "warning: mine: starts from the beginning: of the 4 steps" in qdeq("train", "--resume", "mine").stdout
