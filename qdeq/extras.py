"""The packages that qdeq needs, and those of its extras, as its metadata name them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata


def requirements() -> Iterator[tuple[str, str, str | None]]:
    """Return package, versions allowed, and extra of everything that qdeq's metadata ask for."""
    from packaging.requirements import Requirement

    for text in metadata.requires("qdeq") or ():
        requirement = Requirement(text)
        extra = str(requirement.marker).partition('extra == "')[2].rstrip('"') or None
        wanted = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        yield requirement.name + wanted, str(requirement.specifier), extra


def install_extra(extra: str) -> str:
    """Return the command that installs an extra's packages, wherever qdeq itself came from."""
    packages = [f'"{package}{allowed}"' for package, allowed, of in requirements() if of == extra]
    return " ".join(["pip install", *packages])
