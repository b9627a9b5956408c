"""Every backend that is installed passes the kit."""

import pytest

from qdeq.backends import get_backend
from qdeq.errors import PluginError
from qdeq.plugins import BACKENDS
from qdeq.testing import check_backend

SDKS = ("cirq", "qsimcirq", "braket", "pennylane")


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKENDS.names())
def test_an_installed_backend_passes(name):
    try:
        if get_backend(name).capabilities.costs_money:
            pytest.skip("costs money; tests/remote has it checked against a service of the tests")
        report = check_backend(name)
    except PluginError as error:
        if any(f"No module named '{sdk}" in str(error) or "pip install" in str(error) for sdk in SDKS):
            pytest.skip(str(error))
        raise
    report.raise_if_failed()
