"""Mutations of what is valid: of bytes, and of trees (YAML, JSON), whose every node may become something else."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

Draw = Any  # hypothesis' draw function
Path_ = tuple[int, ...]


class Raw(str):
    """Text that stands in a tree as it is."""


class Pairs(list):
    """A mapping as a list of [key, value], so that a key may stand twice, or be none."""


EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
TEXTS = (
    "", " ", "\0", "\n\n\n", "a\nb\nc", "\x1b[31mred", "\u202egnp.exe", "\u2028", "\ud800", "é", "日本", "{0} %s {x}",
    "a" * 300, "a" * 5000, "x" * 20_000, "null", "true", "1e999", "torch", "broyden", "naive", "npz", "digits", "mnist",
    "fallback", "dense", "paper", "braket:x", "name", "-1", "nan",
)  # fmt: skip
PATHS = (
    "../../x", "/", ".", "..", "/etc/passwd", "/dev/zero", "/dev/stdin", "~", "~nobody-at-all/x", "pipe", "link",
    "folder", "good.npz", "loop", "a/" * 400 + "b", "n" * 300, "C:\\x", "//host/share", "good.npz/x", "nul\0byte",
    "/proc/self/mem", "folder/../good.npz", "http://127.0.0.1:9/x", "shared.sqlite", "../x.sqlite", "/tmp/x.sqlite",
    ":memory:", "gone.npz", "line\nbreak.npz",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 1.5, -0.0, 1e-320, 1e308, -1e308, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 10**30,
    10**400, 1000, 10**6, 10**9, True, False, None,
)  # fmt: skip
JSON_RAW = tuple(
    Raw(text)
    for text in (
        "NaN", "Infinity", "-Infinity", "1e400", "9" * 5000, "[" * 400 + "]" * 400, "[" * 5000 + "]" * 5000,
        '{"a":' * 300 + "1" + "}" * 300, "[" + ",".join(["0"] * 5_000) + "]", "[" + ",".join(["[]"] * 5000) + "]", "01",
        "'x'", "1,2", "",
    )
)  # fmt: skip
YAML_RAW = tuple(
    Raw(text)
    for text in (
        ".nan", ".inf", "-.inf", "1e400", "9" * 5000, "0x" + "f" * 4000, "1:" * 300 + "1.5", "1:" * 9_000 + "1", "0x_",
        "2001-99-99", "2001-01-01", "!!int ''", "!!bool maybe", "!!float x", "!!timestamp x", "!!binary aGk=",
        "!!set {a}", "!!python/object/apply:os.system ['true']", "!x y", "&a [1]", "*a", "&a [*a]", "<<", "~", "yes",
        "[" * 30 + "]" * 30, "[" * 3000 + "]" * 3000, "{a: " * 200 + "1" + "}" * 200, "[" + "a, " * 6000 + "]",
        "[" + "[], " * 300 + "]", "? [1]", "{<<: {a: 1}}", "{a: 1, a: 2}", "{1: 2, 0x1: 3}", "|\n a\n b", "'it''s'",
        "=", "",
    )
)  # fmt: skip


@st.composite
def damaged(draw: Draw, content: bytes) -> bytes:
    """Change, cut, repeat or insert bytes, once to three times."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(st.integers(0, 6))
        if how == 0:
            content = (
                content[:at] + bytes([content[at] ^ 1 << draw(st.integers(0, 7))]) + content[at + 1 :]
                if content
                else b"\0"
            )
        elif how == 1:
            content = content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]
        elif how == 2:
            content = content[:at]
        elif how == 3:
            content = content[:at] + content[at + draw(st.integers(1, 64)) :]
        elif how == 4:
            content = content[: at + 64] + content[at:]
        elif how == 5:
            form = draw(st.sampled_from([">I", "<I", "<Q"]))
            value = struct.pack(form, draw(st.sampled_from(EXTREMES)))
            content = content[:at] + value + content[at + len(value) :]
        else:
            content = content[:at] + draw(st.binary(min_size=1, max_size=8)) + content[at:]
    return content


def as_tree(value: Any) -> Any:
    """Return parsed YAML or JSON as a tree of `Pairs`, lists and scalars."""
    if isinstance(value, dict):
        return Pairs([key, as_tree(item)] for key, item in value.items())
    return [as_tree(item) for item in value] if isinstance(value, list | tuple) else value


def write(tree: Any) -> str:
    """Return a tree as JSON text, which is YAML too."""
    if isinstance(tree, Raw):
        return tree
    if isinstance(tree, Pairs):
        return "{" + ", ".join(f"{write(key)}: {write(value)}" for key, value in tree) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(write, tree)) + "]"
    return json.dumps(tree)


def places(tree: Any, here: Path_ = ()) -> list[Path_]:
    """Return where every node of a tree is, its root first."""
    children = [item for _, item in tree] if isinstance(tree, Pairs) else tree if isinstance(tree, list) else []
    return [here, *(place for index, child in enumerate(children) for place in places(child, (*here, index)))]


def scalars(raw: Sequence[Raw], more: Sequence[Any] = ()) -> st.SearchStrategy[Any]:
    """Return a strategy for what may take a node's place: texts, paths, numbers, and what only one format has."""
    flat = [*TEXTS, *PATHS, *NUMBERS, *NUMBERS, *raw, *more, [], Pairs(), [[]], Pairs([["name", "torch"]])]
    return st.sampled_from(flat)


@st.composite
def altered(draw: Draw, tree: Any, at: Sequence[Path_], instead: st.SearchStrategy[Any]) -> str:
    """Change up to three nodes of a tree: replaced, removed, repeated, renamed, wrapped, exchanged; return its text.

    Args:
        draw: Of hypothesis.
        tree: Valid.
        at: Its `places`.
        instead: What may take a node's place.
    """
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        place = draw(st.sampled_from(at))
        how = draw(st.sampled_from(["replace", "replace", "replace", "remove", "repeat", "rename", "wrap", "exchange"]))
        other: Any = None
        if how in ("replace", "rename", "wrap"):
            other = draw(instead)
        elif how == "exchange":
            other = _find(tree, draw(st.sampled_from(at)))
        tree = _changed(tree, place, how, other)
    return write(tree)


def _find(tree: Any, place: Path_) -> Any:
    for index in place:
        if not isinstance(tree, list) or index >= len(tree):
            return None
        tree = tree[index][1] if isinstance(tree, Pairs) else tree[index]
    return tree


def _changed(tree: Any, place: Path_, how: str, other: Any) -> Any:
    """Return a tree with one node changed; the tree itself stays as it is."""
    if not place:
        return [tree] if how == "wrap" else tree if how in ("remove", "repeat", "rename") else other
    index, *rest = place
    if not isinstance(tree, list) or index >= len(tree):  # an earlier change has taken the place away
        return tree
    copy = type(tree)(tree)
    if not rest and how == "remove":
        del copy[index]
    elif not rest and how == "repeat":
        copy.insert(index, copy[index])
    elif not rest and how == "rename" and isinstance(tree, Pairs):
        copy[index] = [other, tree[index][1]]
    elif isinstance(tree, Pairs):
        copy[index] = [tree[index][0], _changed(tree[index][1], tuple(rest), how, other)]
    else:
        copy[index] = _changed(tree[index], tuple(rest), how, other)
    return copy
