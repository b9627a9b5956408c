"""Two thousand mutated files, the same every time: each is read, or refused in one or two lines.

``python -m benchmarks.fuzz`` runs the same targets on as many inputs as there is time for, and keeps those that fail.
"""

import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks.fuzz.files import make_playground
from benchmarks.fuzz.targets import TARGETS
from benchmarks.fuzz.trial import attempt

INPUTS = 2000
LEAST_PARSED = 0.5
"""Share of the inputs that get past the first parser: what fails there says little of the code behind it."""


@pytest.fixture
def playground(tmp_path, monkeypatch):
    folder = make_playground(tmp_path / "playground")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_hostile_files_are_read_or_refused(name, playground):
    target, trials = TARGETS[name], []

    @settings(
        max_examples=-(-INPUTS // len(TARGETS)),
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def run(content):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numpy, on headers of old versions
            trials.append(attempt(target, content, playground))
        assert trials[-1].failure is None

    run()
    assert sum(trial.parsed for trial in trials) >= LEAST_PARSED * len(trials)
    assert any(trial.accepted for trial in trials)  # the mutations are not so coarse that nothing survives them


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_not_mutated_is_accepted(name, playground, valid_files):
    for content in valid_files(name)():
        trial = attempt(TARGETS[name], content, playground)
        assert trial.failure is None
        assert trial.parsed
        assert trial.accepted


def test_a_playground_has_what_hostile_paths_lead_to(playground):
    assert (playground / "pipe").is_fifo()
    assert (playground / "link").is_symlink()
    assert Path.cwd() == playground.resolve()
