"""Every link of the documentation leads somewhere: to files, headings and pictures here, to addresses elsewhere."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from doc_pages import PAGES, ROOT, anchors, links, name, prose, snippets
from hook_module import hooks

LISTED = Path(__file__).with_name("external_links.txt")
NAMED = re.compile(r"(?:examples|configs|docs|tests|benchmarks|qdeq)/[\w./-]+\.\w+")


def faults(page: Path) -> list[str]:
    """Return what is wrong with the links of a page, each with its line."""
    found = [(link, fault) for link in links(page) for fault in _faults(link, page)]
    return [f"{name(page)}:{link.line}: {link.target}: {fault}" for link, fault in found]


def _faults(link, page):
    parts = urlsplit(link.target)
    if link.picture and not link.text.strip():
        yield "a picture without a text for those who do not see it"
    if parts.scheme:
        if parts.scheme != "https" or not re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc) or "//" in parts.path:
            yield "no address of the form https://host/path"
        elif link.target not in external():
            yield f"not in tests/docs/{LISTED.name}: look whether it is right, and put it there"
        return
    target = (page.parent / parts.path).resolve() if parts.path else page
    if target.name in made_at_build():
        return
    if not target.exists():
        yield "there is no such file"
    elif (ROOT / "docs") in page.parents and (ROOT / "docs") not in target.parents:
        yield "leads out of docs/, so it is dead on the site; name the file in `code`"
    elif target.is_dir():
        yield "leads to a folder, which is no page"
    elif parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(rendered(target)):
        yield f"{name(target)} has no such heading"


def made_at_build() -> set[str]:
    """Return the names of the files beside the guides that docs/hooks.py puts there."""
    return {path.name for path in hooks().NOTEBOOKS.glob("*.ipynb")}


def rendered(page: Path) -> str:
    """Return a page with the tables that come from the code."""
    return hooks().on_page_markdown(page.read_text(encoding="utf-8"), None, None, None)


def external() -> set[str]:
    """Return the addresses elsewhere that somebody has looked at; nothing is fetched by the tests."""
    lines = LISTED.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    assert faults(page) == []


def test_the_list_of_addresses_elsewhere_has_no_others():
    used = {link.target for page in PAGES for link in links(page) if urlsplit(link.target).scheme}
    assert used == external()


@pytest.mark.parametrize("page", [page for page in PAGES if ROOT / "docs" not in page.parents], ids=name)
def test_pages_outside_the_site_have_no_links_that_only_the_site_knows(page):
    assert not re.search(r"\]\[[\w.]*\]", re.sub(r"`[^`]*`", "", prose(page)))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page):
    for code in snippets(page):
        for path in NAMED.findall(code):
            assert (ROOT / path).exists(), f"{name(page)} names {path}"


def test_every_picture_is_shown_somewhere():
    shown = {(page.parent / link.target).resolve() for page in PAGES for link in links(page) if link.picture}
    assert {path for path in (ROOT / "docs" / "images").iterdir() if path.suffix != ".txt"} <= shown
