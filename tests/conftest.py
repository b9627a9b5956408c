import os
import signal

import pytest
import torch
from hypothesis import HealthCheck, settings

# A job in the background is started with SIGINT ignored, and its children inherit that: the tests of Ctrl-C would wait.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What is written to a terminal depends on these, and a test says itself which it wants.
for _name in ("CI", "CLICOLOR", "COLUMNS", "FORCE_COLOR", "JPY_PARENT_PID", "LINES", "NO_COLOR", "TERM"):
    os.environ.pop(_name, None)


# How long an example takes says something of the machine, and nothing of what is tested; fixtures here keep no state.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("any machine")


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    """Two cores are shared with other work; results do not depend on the number of threads."""
    torch.set_num_threads(1)
