"""The progress of a run: a bar where somebody watches, lines where it is kept; and it fits narrow terminals."""

import io
import re

import pytest
from rich.console import Console

from qdeq.reports.live.runs import LineDisplay, LiveDisplay, folded, make_progress
from qdeq.reports.live.sweeps import LiveSweepDisplay, SweepLines, make_sweep_progress
from qdeq.training import EpochRecord, Metrics, Plan, StepRecord

FIGURES = Metrics(samples=10, loss=0.5, accuracy=0.8, residual_mean=1e-4, evaluations=5.0, failed={"max_steps": 1})


def terminal(width=80, **options):
    return Console(file=io.StringIO(), width=width, height=24, force_terminal=True, **options)


def test_a_bar_moves_on_a_terminal_only():
    assert isinstance(make_progress(terminal()), LiveDisplay)
    assert isinstance(make_sweep_progress(terminal()), LiveSweepDisplay)
    pipe = Console(file=io.StringIO())
    assert isinstance(make_progress(pipe), LineDisplay)
    assert not isinstance(make_sweep_progress(pipe), LiveSweepDisplay)


@pytest.mark.parametrize(
    ("name", "value"), [("CI", "true"), ("JPY_PARENT_PID", "1234"), ("TERM", "dumb"), ("TERM", "unknown")]
)
def test_lines_where_a_terminal_is_recorded_or_cannot_move(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert isinstance(make_progress(terminal()), LineDisplay)
    progress = make_sweep_progress(terminal())
    assert isinstance(progress, SweepLines)
    assert not isinstance(progress, LiveSweepDisplay)


def test_ci_that_says_no_is_none(monkeypatch):
    monkeypatch.setenv("CI", "false")
    assert isinstance(make_progress(terminal()), LiveDisplay)


@pytest.mark.parametrize("width", [200, 80, 60, 40, 25, 20])
def test_no_figure_is_torn_apart_and_no_line_is_too_wide(width):
    figures = ("loss 0.500", "accuracy 80.0 %", "residual 1.0e-04", "evaluations 5.0", "samples/s 1,000")
    lines = folded("direct, training", *figures, width=width).splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert all(figure in text for figure in figures)
    if width == 200:
        assert lines == ["direct, training  " + "  ".join(figures)]


class Screen:
    """As much of a terminal as a bar needs: lines, carriage return, up, erase."""

    def __init__(self, width):
        self.width, self.rows, self.row, self.column = width, [""], 0, 0

    def write(self, text):
        for code, character in re.findall(r"\x1b\[([\d;?]*[A-Za-z])|([^\x1b])", text):
            if code.endswith("A"):
                self.row -= int(code[:-1] or 1)
            elif code.endswith("K"):
                self.rows[self.row] = ""
            elif character == "\r":
                self.column = 0
            elif character == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif character:
                assert self.column < self.width, "a line runs over the edge"
                line = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = line[: self.column] + character + line[self.column + 1 :]
                self.column += 1


@pytest.mark.parametrize("width", [100, 60, 30, 20])
def test_the_bar_leaves_nothing_but_the_notes(width):
    console = terminal(width)
    display = make_progress(console)
    display.started(Plan("x", 3, 12, 4, 0))
    for number in range(1, 13):
        display.stepped(StepRecord(number, 1 + number // 5, 1, FIGURES, None, 0.1, 1e-7, 0, 0.01))
        display._live.refresh()
        if number == 6:
            display.finished_epoch(EpochRecord(1, 4, FIGURES, FIGURES, True, 0.1))
            display.noted("a note")
    display._live.refresh()
    screen = Screen(width)
    screen.write(console.file.getvalue())
    drawn = "\n".join(screen.rows)
    assert "loss 0.500" in drawn
    assert "a note" in drawn
    display.closed()
    screen = Screen(width)
    screen.write(console.file.getvalue())
    assert "".join(screen.rows).split() == ["a", "note"]


def step(number):
    return StepRecord(number, 1, 1, FIGURES, None, 0.1, 1e-7, 0, 12.345)


def test_a_step_has_a_line_where_nothing_was_written_for_long(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("qdeq.reports.live.runs.time.monotonic", lambda: clock[0])
    console = Console(file=io.StringIO(), width=100)
    display = LineDisplay(console)
    display.started(Plan("x", 1, 1200, 1200, 0))
    for number, now in enumerate((114.9, 115.1, 129.0, 130.2), 1):
        clock[0] = now
        display.stepped(step(number))
    assert console.file.getvalue().splitlines() == [
        "x: 1 epoch, 1,200 steps",
        "epoch 1, step 2 of 1,200: loss 0.500, 12.35 s a step",
        "epoch 1, step 4 of 1,200: loss 0.500, 12.35 s a step",
    ]
