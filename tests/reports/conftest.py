import pytest
from report_runs import train_all


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folders of finished runs, by kind. No test changes them."""
    return train_all(tmp_path_factory.mktemp("runs"))
