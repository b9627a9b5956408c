"""Which cell is run when, and how often: a pool that plays what a test gives it, in place of Ray."""

import json
from collections import deque

import pytest
from sweep_files import finish, tiny_sweep

from qdeq.errors import TrainingError
from qdeq.sweeps import SweepFolder, SweepProgress, SweepResult
from qdeq.sweeps.run import SweepRun
from qdeq.sweeps.worker import Outcome


class Stage:
    """Ends each task it takes on as the script of its cell says; ``finished`` once the script is at its end."""

    def __init__(self, folder, sweep, scripts=(), workers=1):
        self.folder, self.workers = folder, workers
        self.cells = {cell.name: cell for cell in sweep.cells}
        self.scripts = {name: deque(script) for name, script in dict(scripts).items()}
        self.taken, self.most, self.gpus = deque(), 0, []
        self.order = []

    def submit(self, name, task, gpus):
        assert task.spec_hash == self.cells[name].spec.content_hash
        self.taken.append(name)
        self.order.append(str(self.cells[name]))
        self.most = max(self.most, len(self.taken))
        self.gpus.append(gpus)

    def wait(self, seconds):
        name = self.taken.popleft()
        script = self.scripts.get(str(self.cells[name]))
        outcome = script.popleft() if script else Outcome("finished")
        if outcome.state == "finished":
            finish(self.folder, self.cells[name])
        return [(name, outcome)]


class Notes(SweepProgress):
    def __init__(self):
        self.notes, self.ends = [], []

    def noted(self, message):
        self.notes.append(message)

    def ended(self, result):
        self.ends.append(result)


@pytest.fixture
def play(tmp_path, monkeypatch):
    monkeypatch.setattr("qdeq.sweeps.run.BUSY_SECONDS", 0.01)

    def run(sweep, scripts=(), workers=1):
        folder, notes = SweepFolder(tmp_path / "out"), Notes()
        folder.create(sweep)
        stage = Stage(folder, sweep, scripts, workers)
        result = SweepRun(sweep, folder, stage, notes, SweepResult.collect(sweep, folder)).run()
        return result, stage, notes

    return run


ALL = ["implicit, seed 0", "direct-1, seed 0", "implicit, seed 1", "direct-1, seed 1"]
LOST, FAILED, BUSY = (
    Outcome("lost", "its worker died"),
    Outcome("failed", "no luck\nmore"),
    Outcome("busy", "process 7"),
)


@pytest.mark.parametrize("workers", [1, 3, 9])
def test_every_cell_is_run_once_and_so_many_at_a_time(play, workers):
    result, stage, notes = play(tiny_sweep(), workers=workers)
    assert stage.order == ALL
    assert stage.most == min(workers, 4)
    assert result.complete
    assert [end.attempts for end in notes.ends] == [1] * 4


def test_what_is_finished_is_not_run_again(play):
    play(tiny_sweep(seeds=[1]))
    result, stage, _ = play(tiny_sweep())
    assert stage.order == ALL[:2]
    assert result.complete
    assert [cell.attempts for cell in result.cells] == [1, 1, 0, 0]
    assert play(tiny_sweep())[1].order == []


def test_a_lost_cell_is_next_and_nothing_else_is_run_again(play):
    result, stage, notes = play(tiny_sweep(), {ALL[1]: [LOST, LOST]})
    assert stage.order == [ALL[0], *[ALL[1]] * 3, *ALL[2:]]
    assert result.complete
    assert notes.notes == [f"{ALL[1]}: its worker died; it is run again from its last checkpoint"] * 2


def test_a_failed_cell_waits_for_the_others_and_is_reported_in_the_end(play, tmp_path):
    result, stage, _ = play(tiny_sweep(retries=1), {ALL[0]: [FAILED, FAILED]})
    assert stage.order == [*ALL, ALL[0]]
    (failed,) = result.failed
    assert (str(failed.cell), failed.attempts, failed.error) == (ALL[0], 2, "no luck\nmore")
    assert not result.complete
    line = json.loads((tmp_path / "out/cells.jsonl").read_text().splitlines()[0])
    assert (line["state"], line["error"], line["figures"]) == ("failed", "no luck\nmore", None)


def test_a_sweep_that_is_run_again_tries_what_failed_again(play):
    play(tiny_sweep(retries=0), {ALL[0]: [FAILED]})
    result, stage, _ = play(tiny_sweep(retries=0))
    assert stage.order == [ALL[0]]
    assert result.complete


def test_what_would_fail_again_is_not_tried_again(play):
    result, stage, _ = play(tiny_sweep(), {ALL[0]: [Outcome("failed", "out of budget", final=True)]})
    assert stage.order == ALL
    assert result.failed[0].attempts == 1


def test_a_cell_that_another_sweep_took_first_is_waited_for(play):
    result, stage, notes = play(tiny_sweep(), {ALL[0]: [BUSY]})
    assert stage.order == [*ALL, ALL[0]]
    assert result.complete
    assert notes.notes == [f"{ALL[0]}: process 7 runs it already; its result is waited for"]


def test_a_cell_that_another_sweep_is_running_is_left_to_it(play, tmp_path, monkeypatch):
    sweep = tiny_sweep(seeds=[0])
    first, folder, asked = sweep.cells[0], SweepFolder(tmp_path / "out"), []

    class Theirs:
        def __init__(self, cell):
            self.cell = cell

        def busy(self):
            if self.cell is first:
                asked.append(True)
                if len(asked) == 3:
                    finish(folder, first)
                return len(asked) <= 3
            return False

        def owner(self):
            return "process 7 on host"

    monkeypatch.setattr(SweepFolder, "record", lambda self, cell: Theirs(cell))
    result, stage, notes = play(sweep)
    assert stage.order == [ALL[1]]
    assert result.complete
    assert notes.notes == [f"{ALL[0]}: process 7 on host runs it already; its result is waited for"]


def test_a_result_that_is_not_here_is_a_failure_that_says_so(play, monkeypatch):
    # the worker's file system is another one
    monkeypatch.setattr("test_sweep_scheduling.finish", lambda folder, cell: None)
    result, *_ = play(tiny_sweep(seeds=[0], retries=0))
    assert ["file system that all machines share" in cell.error for cell in result.failed] == [True, True]


def test_gpus_follow_the_device(play):
    sweep = tiny_sweep(list={"cpu": {}, "gpu": {"training.device": "cuda"}}, seeds=[0])
    assert play(sweep)[1].gpus == [0.0, 1.0]


def test_gpus_as_asked_for(play):
    assert play(tiny_sweep(gpus=0.25, seeds=[0]))[1].gpus == [0.25, 0.25]


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(TrainingError, match="holds no sweep"):
        SweepFolder(tmp_path).create(tiny_sweep())


def test_a_cell_folder_with_another_experiment_is_refused(play, tmp_path):
    sweep = tiny_sweep(seeds=[0])
    finish(SweepFolder(tmp_path / "out"), sweep.cells[0])
    file = SweepFolder(tmp_path / "out").run(sweep.cells[0]) / "summary.json"
    file.write_text(file.read_text().replace(sweep.cells[0].spec.content_hash, "0" * 64))
    with pytest.raises(TrainingError, match="another experiment's run"):
        SweepResult.collect(sweep, SweepFolder(tmp_path / "out"))


def test_a_damaged_summary_is_no_result(tmp_path):
    sweep, folder = tiny_sweep(seeds=[0]), SweepFolder(tmp_path)
    finish(folder, sweep.cells[0])
    (folder.run(sweep.cells[0]) / "summary.json").write_text('{"name": "ti')
    assert [cell.state for cell in SweepResult.collect(sweep, folder).cells] == ["open", "open"]


def test_progress_of_a_running_cell_is_read_from_its_metrics(tmp_path):
    sweep, folder = tiny_sweep(set={"training.epochs": 4}), SweepFolder(tmp_path)
    cell = sweep.cells[0]
    assert folder.progress(cell) == 0
    folder.run(cell).mkdir(parents=True)
    metrics = folder.run(cell) / "metrics.jsonl"
    metrics.write_text('{"kind": "step", "epoch": 3}\n')
    assert folder.progress(cell) == 0.5
    metrics.write_text('{"kind": "step", "epoch": 3}\n{"kind": "epoch", "epoch": 3}\n')
    assert folder.progress(cell) == 0.75
    metrics.write_text('{"kind": "epoch", "epoch": 3}\n{"kind": "st')
    assert folder.progress(cell) == 0
