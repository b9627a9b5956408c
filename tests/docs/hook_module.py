"""The modules that MkDocs loads from docs/."""

import importlib.util
from functools import cache
from types import ModuleType

from doc_pages import ROOT


@cache
def hooks(stem: str = "hooks") -> ModuleType:
    """Return the module ``docs/STEM.py``."""
    found = importlib.util.spec_from_file_location(f"docs_{stem}", ROOT / "docs" / f"{stem}.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
