from functools import cache

import pytest
from report_runs import Runs

from qdeq.reports.html import facts


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folders of finished runs, by kind. No test changes them."""
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session", autouse=True)
def _each_circuit_drawn_once():
    """Nearly all runs have the same circuit, and drawing it takes longer than the rest of a page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facts, "_picture", cache(facts._picture))
        yield
