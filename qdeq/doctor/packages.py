"""Python, the packages that qdeq needs, and those of its extras: installed, of a version that fits, importable."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from qdeq._version import __version__
from qdeq.doctor.finding import Finding, State
from qdeq.extras import install_extra, requirements

MODULES = {
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "cirq-core": "cirq",
    "amazon-braket-sdk": "braket.aws",
}
"""What is imported of a package, where that is not its name."""
MENDS_CORE = "pip install -c constraints.txt -e ."
_ALL = "all"


def core() -> Iterator[Finding]:
    """Look at qdeq, Python, and what qdeq cannot do without."""
    yield Finding("core", "qdeq", "ok", __version__, required=True)
    good = sys.version_info >= (3, 11)
    yield Finding(
        "core",
        "python",
        "ok" if good else "broken",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        None if good else "Python 3.11 or newer is needed",
        required=True,
    )
    for package, allowed, extra in requirements():
        if extra is None:
            state, what = _state(package, allowed)
            mend = None if state == "ok" else f'pip install "{package}{allowed}"'
            yield Finding("core", package, state, what, mend, required=True)


def extras() -> Iterator[Finding]:
    """Look at the extras that users install; those for developers are left out."""
    found = list(requirements())
    # the extra "all" asks for qdeq with the others: qdeq[cirq,braket,...]
    names = next((package for package, _, extra in found if extra == _ALL), "").partition("[")[2].rstrip("]")
    for name in filter(None, names.split(",")):
        states = [(package, *_state(package, allowed)) for package, allowed, extra in found if extra == name]
        worst: State = next((kind for kind in ("broken", "missing") if kind in {state for _, state, _ in states}), "ok")
        what = ", ".join(f"{package} {text}" for package, _, text in states)
        yield Finding("extras", name, worst, what, None if worst == "ok" else install_extra(name))


def _state(package: str, allowed: str) -> tuple[State, str]:
    from packaging.specifiers import SpecifierSet

    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing", "not installed"
    if not SpecifierSet(allowed).contains(version, prereleases=True):
        return "broken", f"{version}, but {allowed} is needed"
    try:
        importlib.import_module(MODULES.get(package, package))
    except Exception as error:  # a library that is not there for it, a version that does not fit another's, ...
        return "broken", f"{version} cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})"
    return "ok", version
