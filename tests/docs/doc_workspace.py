"""What a reader has who comes to a page: the repository's files, and those that the page has them write and install."""

import contextlib
import shutil
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from unittest import mock

from doc_pages import ROOT, blocks

import qdeq.plugins

LINKED = ("benchmarks", "constraints.txt", "docs", "examples", "Makefile", "pyproject.toml", "tests")


class Workspace(contextlib.ExitStack):
    """A folder to try a page in; it has to be the working folder while that is done.

    Within a ``with`` statement the plug-ins are installed whose packages the page has written.

    Args:
        folder: An empty one.
        page: Its blocks with a title become files. A page of an example's folder has that folder's files.

    Attributes:
        folder: The same.
        runs: Folders of runs that commands have made so far, in words.
    """

    def __init__(self, folder: Path, page: Path) -> None:
        super().__init__()
        self.folder = folder
        self.runs: set[str] = set()
        self._packages: list[Path] = []
        shutil.copytree(ROOT / "configs", folder / "configs")
        for each in LINKED:
            (folder / each).symlink_to(ROOT / each)
        if page.is_relative_to(ROOT / "examples"):
            for path in page.parent.glob("*.*"):
                if path.is_file():
                    (folder / path.name).unlink(missing_ok=True)  # never through a link
                    self.write(path.name, path.read_text(encoding="utf-8"))
        for block in blocks(page):
            if block.title:
                self.write(block.title, block.text)

    def write(self, path: str, text: str) -> None:
        """Write a file of the reader's."""
        where = self.folder / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text, encoding="utf-8")
        if where.name == "pyproject.toml":
            self._packages.append(where)

    def __enter__(self) -> "Workspace":
        """Install the packages."""
        super().__enter__()
        found, modules = qdeq.plugins._entry_points, set(sys.modules)
        points: list[EntryPoint] = []
        for package in self._packages:
            with contextlib.suppress(tomllib.TOMLDecodeError):  # which the test of blocks tells
                project = tomllib.loads(package.read_text(encoding="utf-8")).get("project", {})
                for group, members in project.get("entry-points", {}).items():
                    points += [EntryPoint(name, value, group) for name, value in members.items()]

        def with_those(group: str) -> dict[str, EntryPoint]:
            return {**found(group), **{point.name: point for point in points if point.group == group}}

        paths = [str(package.parent) for package in self._packages]
        self.enter_context(mock.patch.object(qdeq.plugins, "_entry_points", with_those))
        self.enter_context(mock.patch.object(sys, "path", [*paths, *sys.path]))
        self.callback(lambda: [sys.modules.pop(each) for each in set(sys.modules) - modules if each in _names(points)])
        return self


def _names(points: list[EntryPoint]) -> set[str]:
    return {point.value.partition(":")[0] for point in points}
