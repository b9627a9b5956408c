"""Common slips in YAML, in plain words and on the line where they are; the parser's own words are for its authors."""

from __future__ import annotations

import re
from typing import Any

_GLUED = re.compile(r"([A-Za-z_][\w.]*):([^\s:/\\][^:]*)")
_KEY = re.compile(r"\s*(?:- )?[^\s#:][^:#]*:(?:\s|$)")


def space_missing(text: object) -> str:
    """Return what to write for ``qubits:4``, which YAML takes for one word; an empty string for any other text."""
    match = _GLUED.fullmatch(text.strip()) if isinstance(text, str) else None
    return f"a space is missing behind the colon: write {match[1]}: {match[2]}" if match else ""


def in_plain_words(text: str, error: Any) -> tuple[int | None, str]:
    """Return line [from 1] and words for what a YAML parser refused.

    Args:
        text: What was parsed.
        error: PyYAML's ``MarkedYAMLError``.
    """
    mark, problem = error.problem_mark, str(error.problem)
    if mark is None:
        return None, problem
    number = mark.line + 1
    if repr("\t") in problem:
        return number, "there is a tab; YAML is indented with spaces, and tabs are not allowed"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    before = next((at for at in range(mark.line - 1, -1, -1) if lines[at].split("#")[0].strip()), None)
    glued = "" if before is None else space_missing(lines[before].split(" #")[0])
    key = _KEY.match(line)
    if "mapping values" in problem and key and mark.column < key.end():
        if glued and before is not None:
            return before + 1, glued
        return number, "indented further than the line before, which has its value already; keys of one mapping align"
    if "mapping values" in problem:
        return number, "a second colon with a space behind it; put a text that has one in quotes"
    if "expected <block end>" in problem and "mapping start" in problem:
        return number, "indented like no line above; the keys of one mapping begin in the same column"
    if "could not find expected ':'" in problem:
        return (before + 1, glued) if glued and before is not None else (number, "a key without a colon behind it")
    return number, problem
