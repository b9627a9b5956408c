"""The data set under test, and what it loaded."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from unittest import mock

from qdeq.data import Dataset, RawDataset
from qdeq.testing.comparison import Comparisons
from qdeq.testing.option_checks import given_options
from qdeq.testing.solver_subject import NotTried


@contextmanager
def without_network() -> Iterator[list[str]]:
    """Refuse every connection, as a machine without a network does, and yield where one was wanted to."""
    asked: list[str] = []

    def refuse(*where: Any, **options: Any) -> Any:
        asked.append(str(where[-1] if isinstance(where[-1], tuple) else where[0]))
        raise OSError("the network cannot be reached: a data set is being checked")

    with (
        mock.patch.object(socket, "getaddrinfo", refuse),
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(socket.socket, "connect_ex", refuse),
    ):
        yield asked


@dataclass
class DatasetSubject(Comparisons):
    """The data set under test.

    Attributes:
        dataset: The data set, with ``download`` off where it has such an option.
        name: The name that it is registered under, or its class's.
        asked: Where it wanted to connect to.
    """

    told_by: ClassVar[str] = "loads"
    expects: ClassVar[str] = "images, or an error of qdeq.errors"

    dataset: Dataset
    name: str
    asked: list[str] = field(default_factory=list)
    _found: Any = None

    def load(self) -> Any:
        """Return what an equal object loads, with no network."""
        again: Dataset = type(self.dataset)(**given_options(self.dataset))
        with without_network() as asked:
            try:
                return again.load()
            finally:
                self.asked += asked

    def attempt(self) -> Any:
        """Return what is loaded, once for all checks.

        Raises:
            Exception: Whatever the data set raised.
        """
        if self._found is None:
            try:
                self._found = self.load()
            except Exception as error:  # a plug-in may fail in any way
                self._found = error
        if isinstance(self._found, Exception):
            raise self._found
        return self._found

    def loaded(self) -> RawDataset:
        """Return what is loaded.

        Raises:
            NotTried: It raised, or loaded something else.
        """
        try:
            found = self.attempt()
        except Exception as error:
            raise NotTried(self.told_by) from error
        if not isinstance(found, RawDataset):
            raise NotTried(self.told_by)
        return found

    @property
    def raised(self) -> bool:
        """Whether loading raised."""
        return isinstance(self._found, Exception)

    def given(self) -> dict[str, str]:
        """Return the data set as text."""
        return {"data set": str(self.dataset)}
