"""Reads the Markdown pages: their fenced blocks, code in lines, headings and links."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
]
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<language>[\w+-]*)(?P<rest>.*)$")
EXEMPT = re.compile(r"^ *<!-- not run: (?P<reason>.+?) -->$")
LIST = re.compile(r"^ *([-*+]|\d+[.)]|!!!|\?\?\?\+?|===) ")


def name(path: Path) -> str:
    """Return a page as the tests call it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


@dataclass(frozen=True)
class Block:
    """A block of code, without its indentation.

    Attributes:
        language: What stands behind the fence; empty for none, and for code that is only indented.
        title: The file that it is to be, or empty.
        line: Of its first line, from 1.
        text: What stands in it.
        exempt: Why it is not run, from a comment ``<!-- not run: reason -->`` right above it, or empty.
        prints: Whether a comment ``<!-- prints -->`` says that this is what the block of Python above prints.
    """

    language: str
    title: str
    line: int
    text: str
    exempt: str = ""
    prints: bool = False


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return the blocks of a page, of some languages or of all."""
    return [block for block in _parsed(page)[0] if not languages or block.language in languages]


def prose(page: Path) -> str:
    """Return a page without its blocks and comments; the lines keep their numbers."""
    return _parsed(page)[1]


def snippets(page: Path) -> list[str]:
    """Return the pieces of code that stand within lines."""
    found = re.findall(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", prose(page), re.DOTALL)
    return [" ".join(code.split()) for _, code in found]


def _parsed(page: Path) -> tuple[list[Block], str]:
    return _parse(page.read_text(encoding="utf-8"))


@cache
def _parse(text: str) -> tuple[list[Block], str]:
    lines = text.splitlines()
    kept: list[str] = []
    found: list[Block] = []
    number, listed = 0, False
    while number < len(lines):
        line = lines[number]
        fence = FENCE.match(line)
        first = number + 1
        if fence:
            end = next((at for at in range(first, len(lines)) if _closes(lines[at], fence["fence"])), len(lines))
            inner = [each.removeprefix(fence["indent"]) for each in lines[first:end]]
            title = re.search(r'title="([^"]+)"', fence["rest"])
            above = next((each for each in reversed(lines[:number]) if each.strip()), "")
            exempt = EXEMPT.match(above)
            found.append(
                Block(
                    fence["language"],
                    title[1] if title else "",
                    first + 1,
                    "\n".join(inner) + "\n",
                    exempt["reason"] if exempt else "",
                    above.strip() == "<!-- prints -->",
                )
            )
            kept += [""] * (min(end, len(lines) - 1) + 1 - number)
            number = end + 1
            continue
        if line.startswith("    ") and not listed and number and not lines[number - 1].strip():
            end = next((at for at in range(first, len(lines)) if lines[at][:1].strip()), len(lines))
            found.append(Block("", "", first, "\n".join(each[4:] for each in lines[number:end]) + "\n"))
            kept += [""] * (end - number)
            number = end
            continue
        if line.strip() and (LIST.match(line) or not line.startswith(" ")):
            listed = bool(LIST.match(line))
        kept.append(line)
        number += 1
    return found, re.sub(r"<!--.*?-->", "", "\n".join(kept), flags=re.DOTALL)


def _closes(line: str, fence: str) -> bool:
    inner = line.strip()
    return len(inner) >= len(fence) and set(inner) == {fence[0]}


# -- headings and links -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Link:
    """A link or a picture: where it leads, and the text that is shown."""

    target: str
    text: str
    picture: bool
    line: int


def links(page: Path) -> list[Link]:
    """Return the links of a page, as Markdown, as ``<https://...>`` and as HTML."""
    text = prose(page)
    bare = re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", lambda code: re.sub(r"[^\n]", "x", code[0]), text, flags=re.S)
    found = []
    for match in re.finditer(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(\s*([^)\s]+)[^)]*\)", bare):
        found.append(Link(match[3], match[2], match[1] == "!", bare.count("\n", 0, match.start()) + 1))
        inner = re.search(r"!\[([^\]]*)\]\(([^)\s]+)\)", match[2])
        if inner:
            found.append(Link(inner[2], inner[1], True, found[-1].line))
    for match in re.finditer(r"<(https?:[^>\s]+)>", bare):
        found.append(Link(match[1], match[1], False, bare.count("\n", 0, match.start()) + 1))
    for match in re.finditer(r"<(a|img)\s[^>]*?\b(?:href|src)=\"([^\"]+)\"[^>]*>", bare):
        alt = re.search(r'alt="([^"]*)"', match[0])
        text = "a" if match[1] == "a" else (alt[1] if alt else "")
        found.append(Link(match[2], text, match[1] == "img", bare.count("\n", 0, match.start()) + 1))
    return found


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's Markdown has, as Python-Markdown and GitHub make them of headings."""
    found: set[str] = set()
    kept = _parse(text)[1]
    for heading in re.findall(r"^#{1,6} +(.+?)(?: +#+)?$", kept, re.MULTILINE):
        given = re.search(r"\{ *#([\w-]+) *\}$", heading)
        slug = given[1] if given else _slug(heading)
        number, unique = 0, slug
        while unique in found:
            number += 1
            unique = f"{slug}_{number}"
        found.add(unique)
    return found | set(re.findall(r'\bid="([^"]+)"', kept))


def _slug(heading: str) -> str:
    shown = re.sub(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", heading)
    plain = unicodedata.normalize("NFKD", shown).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
