import signal

import pytest
import torch

# A job in the background is started with SIGINT ignored, and its children inherit that: the tests of Ctrl-C would wait.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    """Two cores are shared with other work; results do not depend on the number of threads."""
    torch.set_num_threads(1)
