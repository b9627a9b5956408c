"""Plug-ins: one registry class over Python's entry points, used for backends, solvers and data sets alike.

qdeq's own backends, solvers and data sets are registered the same way (see ``[project.entry-points]`` in
pyproject.toml), so a plug-in from another package has no second-class path. Nothing is imported until it is asked for.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from qdeq.errors import PluginError, QdeqError, did_you_mean
from qdeq.extras import install_extra
from qdeq.numbers import number_meant

EXTRAS = {
    "cirq": "cirq",
    "cirq-dm": "cirq",
    "qsim": "cirq",
    "braket-local": "braket",
    "braket-local-dm": "braket",
    "braket": "braket",
    "braket-sv1": "braket",
    "braket-dm1": "braket",
    "pennylane": "pennylane",
}
"""The optional dependency of qdeq that a plug-in of its own needs."""


def install_command(name: str) -> str | None:
    """Return the command that installs what a plug-in of qdeq needs; None where that came with qdeq."""
    extra = EXTRAS.get(name.partition(":")[0])
    return install_extra(extra) if extra else None


_ELSEWHERE = {
    "qiskit": " Its devices run through PennyLane: pip install pennylane-qiskit, then pennylane:qiskit.aer, say.",
    "aer": " It runs through PennyLane: pip install pennylane-qiskit, then pennylane:qiskit.aer.",
}
"""Backends by names that they do not have here."""


def _meant(group: str, name: str, found: Iterable[str]) -> str:
    """Return what is meant by an unknown name, as :func:`~qdeq.errors.did_you_mean` does."""
    if group == "qdeq.backends" and re.fullmatch(r"(default|lightning)\.\w+", name):
        return f" Did you mean 'pennylane:{name}'?"
    elsewhere = _ELSEWHERE.get(re.split(r"[.:_-]", name.lower())[0]) if group == "qdeq.backends" else None
    return elsewhere or did_you_mean(name, found)


@dataclass(frozen=True)
class Registry:
    """The plug-ins of one entry-point group.

    Args:
        group: Entry-point group, for example ``"qdeq.solvers"``.
        kind: What one of them is called in messages, for example ``"solver"``.
    """

    group: str
    kind: str

    def names(self) -> list[str]:
        """Return the names of all installed plug-ins, sorted; none of them is imported."""
        return sorted(_entry_points(self.group))

    def load(self, name: str) -> Any:
        """Import and return the object registered under ``name``.

        Raises:
            PluginError: There is no such plug-in, or importing it failed.
        """
        found = _entry_points(self.group)
        if name not in found:
            raise PluginError(
                f"unknown {self.kind} {name!r}; installed: {', '.join(self.names()) or 'none'}."
                f"{_meant(self.group, name, found)}"
            )
        entry = found[name]
        try:
            return entry.load()
        except PluginError:
            raise
        except Exception as error:  # a plug-in may fail in any way; it is named, and the others go on
            command = install_command(name) if isinstance(error, ImportError) else None
            raise PluginError(
                f"{self.kind} {name!r} ({entry.value}) could not be loaded: {type(error).__name__}: {error}"
                + (f"\nInstall what it needs: {command}" if command else "")
            ) from error

    def build(self, choice: Any, base: type, error: type[QdeqError]) -> Any:
        """Return the plug-in that ``choice`` describes, with its options checked.

        Args:
            choice: A name, a mapping ``{"name": ..., option: value, ...}``, or an instance of ``base``, returned as it
                is.
            base: What a plug-in of this group has to be an instance of.
            error: Raised where the choice names none, or an option is unknown or out of range.

        Raises:
            PluginError: There is no such plug-in, it cannot be loaded, or it is no ``base``.
        """
        if isinstance(choice, base):
            return choice
        options = dict(choice) if isinstance(choice, Mapping) else {"name": choice}
        name = options.pop("name", None)
        if not isinstance(name, str) or not all(isinstance(option, str) for option in options):
            raise error(
                f"a {self.kind} is a name or a mapping with 'name' and its options, not {choice!r}; "
                f"installed: {', '.join(self.names()) or 'none'}"
            )
        plugin, options = self._with_argument(name, options, error)
        try:
            made = plugin(**options)
        except (ValidationError, error) as refused:
            # a solver has put it into words already: here they get the name that it was asked for by
            invalid = refused if isinstance(refused, ValidationError) else refused.__cause__
            if not isinstance(invalid, ValidationError):
                raise
            raise error(explain_options(f"{self.kind} {name!r}", plugin, invalid)) from invalid
        if not isinstance(made, base):
            raise PluginError(f"{self.kind} {name!r} is {plugin!r}, which is no {base.__module__}.{base.__qualname__}")
        return made

    def _with_argument(self, name: str, options: dict[str, Any], error: type[QdeqError]) -> tuple[Any, dict[str, Any]]:
        """Return the plug-in of the name ``base:argument``, and the options with the argument in its place."""
        base, colon, argument = name.partition(":")
        if not colon or name in self.names():
            return self.load(name), options
        plugin = self.load(base)
        option = getattr(plugin, "name_argument", None)
        if option is None:
            raise error(f"{self.kind} {base!r} takes no argument, but {name!r} has one after the colon")
        if options.get(option, argument) != argument:
            raise error(f"{self.kind} {name!r} contradicts its option {option}: {options[option]!r}; leave one out")
        return plugin, {**options, option: argument}


def explain_options(what: str, plugin: Any, invalid: ValidationError) -> str:
    """Return one line that names every bad option of ``what``, and one that says what ``plugin`` allows."""
    allowed = [field.name for field in dataclasses.fields(plugin)] if dataclasses.is_dataclass(plugin) else []
    problems = []
    for item in invalid.errors(include_url=False):
        option = ".".join(map(str, item["loc"]))
        if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            guess = did_you_mean(option, allowed)
            problems.append(f"unknown option {option!r}" + (f".{guess}" if guess else ""))
        elif item["type"] == "unexpected_positional_argument":
            problems.append(f"options are given by name, not as {item['input']!r} alone")
        elif item["type"].startswith("missing"):
            problems.append(f"option {option!r} is missing")
        elif item["type"] == "value_error":
            problems.append(f"{option}: ".removeprefix(": ") + item["msg"].removeprefix("Value error, "))
        else:
            number = number_meant(item["input"], whole=item["type"].startswith("int_"))
            remedy = "" if number is None else f" (write {number})"
            problems.append(f"{option}: {item['msg'].lower()}, not {item['input']!r}{remedy}")
    return f"{what}: {'; '.join(problems)}\nIts options are: {', '.join(allowed) or 'none'}."


@cache
def _entry_points(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


SOLVERS = Registry("qdeq.solvers", "solver")
BACKENDS = Registry("qdeq.backends", "backend")
DATASETS = Registry("qdeq.datasets", "data set")


@dataclass(frozen=True)
class Installed:
    """A plug-in that some package registered.

    Attributes:
        name: Under which it is registered.
        package: Name and version of the package that it is from.
        made: What is registered; None where it cannot be loaded.
        reason: Why not.
        mend: The command that installs what it lacks; None where that is not known.
    """

    name: str
    package: str
    made: Any = None
    reason: str | None = None
    mend: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it can be used."""
        return self.reason is None


def installed(registry: Registry) -> list[Installed]:
    """Return all plug-ins of a registry, loaded; one that fails in any way does not keep the others from it."""
    entries = _entry_points(registry.group)
    found = []
    for name in registry.names():
        dist = getattr(entries.get(name), "dist", None)
        package = f"{dist.name} {dist.version}" if dist else ""
        try:
            made = registry.load(name)
            if registry is BACKENDS:
                made()  # some need more than their module
        except Exception as error:  # a plug-in may fail in any way
            mend = install_command(name) if isinstance(error.__cause__, ImportError) else None
            reason = str(error) if isinstance(error, QdeqError) else f"{type(error).__name__}: {error}"
            found.append(Installed(name, package, reason=reason, mend=mend))
        else:
            found.append(Installed(name, package, made))
    return found
