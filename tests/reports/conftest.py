import pytest
from report_runs import Runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folders of finished runs, by kind. No test changes them."""
    return Runs(tmp_path_factory.mktemp("runs"))
