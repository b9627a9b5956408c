"""What looks through the built site (docs/site_check.py, in every build) finds what it is for."""

import logging
from types import SimpleNamespace

import pytest
from doc_pages import ROOT
from hook_module import hooks

PAGE = '<html><head>{head}</head><body><h1 id="top">A</h1>{body}</body></html>'
check = hooks("site_check")

FAULTS = {
    '<a href="gone/">': "a/index.html: gone/ leads nowhere",
    '<a href="../b/#none">': "a/index.html: ../b/#none: there is no such anchor",
    '<a href="#none">': "a/index.html: #none: there is no such anchor",
    '<img src="../picture.png">': "a/index.html: ../picture.png leads nowhere",
    '<script src="https://cdn.example.org/x.js"></script>': "a/index.html: loads https://cdn.example.org/x.js",
    '<link rel="preconnect" href="https://fonts.example.org">': "a/index.html: loads https://fonts.example.org",
    '<img src="//example.org/x.png">': "a/index.html: loads //example.org/x.png",
}
FINE = [
    '<a href="https://example.org/">',
    '<a href="../b/#top">',
    '<a href="..">',
    '<a href="../b/index.html?q=1#top">',
    '<a href="#">',
    '<link rel="canonical" href="https://example.org/a/">',
    '<img src="data:image/png;base64,AAAA">',
]


@pytest.fixture
def site(tmp_path):
    """Return a function that makes a site of three pages, the second with something in it."""

    def make(body, css=""):
        for name, inner in (("", ""), ("a", body), ("b", "")):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "index.html").write_text(PAGE.format(head="", body=inner))
        (tmp_path / "style.css").write_text(css)
        (tmp_path / "module.html").mkdir()  # a page about a module of that name
        return tmp_path

    return make


@pytest.mark.parametrize(("body", "fault"), FAULTS.items())
def test_a_dead_link_and_a_request_elsewhere_are_found(site, body, fault):
    assert check.faults(site(body)) == [fault]


@pytest.mark.parametrize("body", FINE)
def test_what_is_right_is_let_alone(site, body):
    assert check.faults(site(body, "a { background: url(picture.png) } b { src: url(data:x) }")) == []


def test_a_font_from_elsewhere_is_found(site):
    css = "@font-face { src: url('https://fonts.example.org/a.woff2') }"
    assert check.faults(site("", css)) == ["style.css: loads https://fonts.example.org/a.woff2"]


def test_a_fault_is_a_warning_that_a_strict_build_counts(site, caplog):
    with caplog.at_level(logging.WARNING, logger="mkdocs"):
        check.on_post_build(SimpleNamespace(site_dir=str(site('<a href="gone/">'))))
    assert [record.name.split(".")[0] for record in caplog.records] == ["mkdocs"]
    assert "docs/site_check.py" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_the_site_needs_no_server_and_its_first_command_is_seen_whole():
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "  - offline" in config
    assert (ROOT / "docs/iframe-worker.js").is_file()
    assert "polyfills: [iframe-worker.js]" in config  # by this name the plug-in adds no script from elsewhere
    home = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    block = home.partition("```console\n")[2].partition("```")[0]
    assert max(map(len, block.splitlines())) <= 76  # characters beside both columns on a screen of 1280 pixels
