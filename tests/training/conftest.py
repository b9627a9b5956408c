import pytest
from tiny_runs import tiny_spec

from qdeq.training import train


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """One finished run that several tests look at: its spec, its summary, its folder."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    spec = tiny_spec()
    return spec, train(spec, folder), folder
