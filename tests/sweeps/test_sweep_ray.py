"""Sweeps on a real Ray: workers that are killed, sweeps that are stopped, cells that fail; always the serial result."""

import contextlib
import json
import os
import re
import signal
import threading

import pytest
from patience import wait_until
from sweep_files import tiny_sweep, write_sweep
from typer.testing import CliRunner

from qdeq.cli.commands import app
from qdeq.sweeps import SweepFolder, SweepProgress, SweepTerminated, load_sweep, run_sweep
from qdeq.training import load_checkpoint, read_log, train

pytest.importorskip("ray")
from qdeq.sweeps.pool import ray_pool

pytestmark = pytest.mark.slow  # Ray takes ten seconds to start, and every cell is a fresh process

LONG, DIRECT = {"training.epochs": 25}, {"model.mode": "direct", "model.layers": 1}


@pytest.fixture(scope="module", autouse=True)
def ray():
    """One Ray for all tests of this file: a sweep uses the one that its process has."""
    with ray_pool(None, 2, 1):
        yield


def events(sweep, out):
    return {str(cell): [event["event"] for event in SweepFolder(out).record(cell).events()] for cell in sweep.cells}


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """Train a cell here, all at once, and return its folder; each experiment once for all tests."""
    root = tmp_path_factory.mktemp("serial")

    def trained(cell):
        folder = root / cell.name
        if not folder.exists():
            train(cell.spec, folder)
        return folder

    return trained


def equal_to_serial(folder, reference):
    """Check weights, metrics and figures against the same experiment trained all at once, bit for bit."""
    digests = [load_checkpoint(path / "checkpoints/best.safetensors").info.digest for path in (folder, reference)]
    assert digests[0] == digests[1]
    logs = [
        [{k: v for k, v in record.items() if k != "time"} for record in read_log(path / "metrics.jsonl")]
        for path in (folder, reference)
    ]
    assert logs[0] == logs[1]
    summary, own = (json.loads((path / "summary.json").read_text()) for path in (folder, reference))
    varies = ("time", "memory")
    assert {k: v for k, v in summary.items() if k not in varies} == {k: v for k, v in own.items() if k not in varies}


@contextlib.contextmanager
def once_training(sweep, out, act):
    """In a thread, wait until the first cell has written a checkpoint, then call ``act`` with its process's id."""
    folder, cell = SweepFolder(out), sweep.cells[0]
    done = []

    def watch():
        wait_until(lambda: list(folder.run(cell).glob("checkpoints/step-*.safetensors")))
        act(folder.record(cell).events()[-1]["pid"])
        done.append(not (folder.run(cell) / "summary.json").exists())

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()
    assert done == [True], "the cell was finished before anything was done to it"


class Watch(SweepProgress):
    def __init__(self):
        self.told = []

    def started(self, plan):
        self.told.append(("started", plan.cells, plan.finished, plan.workers))

    def moved(self, running):
        self.told.extend(("moved", str(cell), 0 <= part <= 1) for cell, part in running.items())

    def ended(self, result):
        self.told.append(("ended", str(result.cell), result.state))

    def closed(self):
        self.told.append(("closed",))


def test_a_worker_that_is_killed_costs_its_cell_nothing_and_no_other_is_run_again(tmp_path, serial):
    sweep, out, watch = tiny_sweep(list={"implicit": LONG, "direct-1": DIRECT}, seeds=[3]), tmp_path / "out", Watch()
    with once_training(sweep, out, lambda pid: os.kill(pid, signal.SIGKILL)):
        result = run_sweep(sweep, out, workers=2, progress=watch)
    assert result.complete
    assert [cell.attempts for cell in result.cells] == [2, 1]
    killed, other = events(sweep, out).values()
    assert killed == ["started", "resumed", "finished"]
    assert other == ["started", "finished"]
    for cell in result.cells:
        equal_to_serial(cell.folder, serial(cell.cell))
    assert watch.told[0] == ("started", 2, 0, 2)
    assert ("moved", "implicit, seed 3", True) in watch.told
    assert watch.told[-2:] == [("ended", "implicit, seed 3", "finished"), ("closed",)]


def test_sigterm_stops_the_cells_and_the_command_line_goes_on_and_reports_what_failed(
    tmp_path, monkeypatch, capfd, serial
):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "runs/tiny-sweep"
    sweep = load_sweep(write_sweep(tmp_path, list={"implicit": LONG}, seeds=[3]))
    handler = signal.getsignal(signal.SIGTERM)
    with (
        once_training(sweep, out, lambda pid: os.kill(os.getpid(), signal.SIGTERM)),
        pytest.raises(SweepTerminated, match="goes on from there"),
    ):
        run_sweep(sweep, out, workers=1)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert events(sweep, out) == {"implicit, seed 3": ["started", "interrupted"]}

    failing = {"solver.max_steps": 1, "solver.on_failure": "raise"}
    write_sweep(tmp_path, list={"implicit": LONG, "failing": failing}, seeds=[3], retries=0)
    result = CliRunner().invoke(app, ["sweep", "sweep.yaml", "--workers", "2"])
    assert result.exit_code == 1, (result.output, result.exception)
    assert re.search(r"^\[[12] of 2\] implicit, seed 3: test accuracy \d", result.stdout, re.M)
    assert result.stderr.startswith("error: failing, seed 3: failed in 1 attempt: after step 0:")
    assert "Traceback" not in result.output
    assert capfd.readouterr() == ("", "")  # nothing of Ray's
    assert events(sweep, out) == {"implicit, seed 3": ["started", "interrupted", "resumed", "finished"]}
    equal_to_serial(SweepFolder(out).run(sweep.cells[0]), serial(sweep.cells[0]))
    for ending in ("md", "csv", "png"):
        assert (out / f"table.{ending}").stat().st_size > 100
    states = [(line["variant"], line["state"]) for line in map(json.loads, (out / "cells.jsonl").open())]
    assert states == [("implicit", "finished"), ("failing", "failed")]
    (failed,) = out.glob("cells/failing*.jsonl")
    assert [json.loads(line)["event"] for line in failed.read_text().splitlines()] == ["started", "failed"]

    # without the failing variant all is done already: nothing is run, and --json is JSON alone
    write_sweep(tmp_path, list={"implicit": LONG}, seeds=[3])
    again = CliRunner().invoke(app, ["sweep", "sweep.yaml", "--json"])
    assert again.exit_code == 0
    assert [cell["attempts"] for cell in json.loads(again.stdout)["cells"]] == [0]
