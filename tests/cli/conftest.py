import pytest
import torch
from cli_files import TINY
from typer.testing import CliRunner

from qdeq.cli.commands import app

torch.set_num_threads(1)  # the tensors are tiny: more threads only wait for each other


@pytest.fixture
def qdeq(tmp_path, monkeypatch):
    """Run the command line in an empty folder: ``qdeq("train", "tiny.yaml")`` with exit_code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="qdeq")
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run
