"""A sweep on the screen: lines where there is no terminal, a bar with the running cells where there is one."""

import io
import re

import pytest
from rich.console import Console
from sweep_files import made_up, tiny_sweep

from qdeq.reports.live.sweeps import LiveSweepDisplay, SweepLines, make_sweep_progress
from qdeq.sweeps import CellResult, SweepPlan


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, color_system=None)


@pytest.fixture
def results(tmp_path):
    good, bad = tiny_sweep(seeds=[0]).cells
    return (
        CellResult(good, "finished", tmp_path, made_up(tmp_path, good, accuracy=0.875), attempts=1),
        CellResult(bad, "failed", tmp_path, attempts=3, error="no luck"),
    )


def play(display, results):
    display.started(SweepPlan("tiny", cells=5, finished=2, workers=2))
    display.moved({result.cell: 0.5 for result in results})
    display.noted("something happened [to it]")
    for result in results:
        display.ended(result)
    display.closed()


def test_lines(results):
    screen = console(False)
    play(make_sweep_progress(screen), results)
    assert screen.file.getvalue().splitlines() == [
        "tiny: 5 cells, 2 of them finished before; 2 at a time",
        "something happened [to it]",
        "[3 of 5] implicit, seed 0: test accuracy 87.5 %, 1.0 s",
        "[4 of 5] direct-1, seed 0: failed in 3 attempts: no luck",
    ]


def test_a_terminal_has_a_bar_and_the_same_lines(results):
    screen = console(True)
    display = make_sweep_progress(screen)
    assert isinstance(display, LiveSweepDisplay)
    display.started(SweepPlan("tiny", cells=5, finished=2, workers=2))
    display.moved({result.cell: 0.5 for result in results})
    screen.print(display._render())
    display.ended(results[0])
    display.closed()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())
    assert "2 of 5 cells" in text
    assert "implicit, seed 0: 50%" in text
    assert "[3 of 5] implicit, seed 0: test accuracy 87.5 %" in text
    assert display._bar.tasks[0].completed == 3.5  # the one that ended, those before, and half of the one that runs
    assert not isinstance(make_sweep_progress(console(False)), LiveSweepDisplay)
    assert isinstance(make_sweep_progress(console(False)), SweepLines)
