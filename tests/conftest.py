import os
import signal

import pytest
import torch

# A job in the background is started with SIGINT ignored, and its children inherit that: the tests of Ctrl-C would wait.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What is written to a terminal depends on these, and a test says itself which it wants.
for _name in ("CI", "CLICOLOR", "COLUMNS", "FORCE_COLOR", "JPY_PARENT_PID", "LINES", "NO_COLOR", "TERM"):
    os.environ.pop(_name, None)


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    """Two cores are shared with other work; results do not depend on the number of threads."""
    torch.set_num_threads(1)
