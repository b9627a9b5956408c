"""Reads the built site as a browser would: every link leads to a page and a heading, and nothing is fetched elsewhere.

MkDocs checks the links that stand in Markdown; this sees those that the theme, the reference and the tables make, too.
"""

from __future__ import annotations

import logging
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

from mkdocs.config.defaults import MkDocsConfig

log = logging.getLogger("mkdocs.hooks.site_check")  # below "mkdocs", so that a strict build counts its warnings

_LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}
_NOT_LOADED = {"canonical", "edit", "next", "prev", "alternate"}  # relations of <link> that browsers do not follow


class _Page(HTMLParser):
    """What a page has: the anchors, where its links lead, and what a browser loads for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "__top"}
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        for name, value in given.items():
            if (tag, name) in _LOADED and not (tag == "link" and given.get("rel") in _NOT_LOADED):
                self.loaded.add(value)


def faults(site: Path) -> list[str]:
    """Return what is wrong with a built site, one line each."""
    files = sorted(path for path in site.rglob("*.html") if path.is_file())  # a module's folder may end in .html, too
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in files}
    there = {str(path): path for path in site.rglob("*")}
    found: list[str] = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links are absolute, for any depth
            continue
        name = path.relative_to(site)
        found += [f"{name}: loads {address}" for address in sorted(page.loaded) if _elsewhere(address)]
        for address in sorted(page.links | page.loaded):
            if urlsplit(address).scheme or address.startswith("//"):
                continue
            place, anchor = urldefrag(address)
            there_is = unquote(place.partition("?")[0])
            where = os.path.normpath(path.parent / there_is) if place else str(path)
            target = there.get(os.path.join(where, "index.html")) or there.get(where) or site / "index.html"
            if where != str(site) and where not in there:
                found.append(f"{name}: {address} leads nowhere")
            elif target in pages and unquote(anchor) not in pages[target].anchors:
                found.append(f"{name}: {address}: there is no such anchor")
    for path in sorted(site.rglob("*.css")):
        addresses = re.findall(r"url\([\"']?((?:https?:)?//[^)\"']*)", path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)}: loads {address}" for address in addresses]
    return found


def _elsewhere(address: str) -> bool:
    return urlsplit(address).scheme in ("http", "https") or address.startswith("//")


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Warn of every fault; a strict build then fails."""
    for fault in faults(Path(config.site_dir).resolve()):
        log.warning(fault)
