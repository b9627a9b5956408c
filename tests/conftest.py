import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    """Two cores are shared with other work; results do not depend on the number of threads."""
    torch.set_num_threads(1)
