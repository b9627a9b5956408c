"""docs/extending.md leads from an empty folder to a passing kit: its files are written, installed and checked."""

import re
from pathlib import Path

import pytest
from plugin_packages import install, run

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
FILE = re.compile(r'^```\w+ title="(?P<path>[\w./-]+)"\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write the files that the page names."""
    folder = tmp_path_factory.mktemp("empty")
    for match in FILE.finditer(PAGE.read_text(encoding="utf-8")):
        path = folder / match["path"]
        path.parent.mkdir(exist_ok=True)
        path.write_text(match["text"], encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("package", "check"),
    [
        ("heavy-ball", ["check-solver", "heavy-ball"]),
        ("numpy-backend", ["check-backend", "numpy", "--examples", "2"]),
    ],
)
def test_each_package_installs_passes_the_kit_and_its_own_test(folder, tmp_path, package, check):
    assert len(list((folder / package).iterdir())) == 3
    environment = install(folder / package, tmp_path)
    assert "0 failed" in run(environment, "-m", "qdeq", *check)
    printed = run(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", ".", cwd=folder / package)
    assert "1 passed" in printed
