"""Pages in a real headless Chromium: what it fetches and complains of, what overflows, overlaps or cannot be read."""

import pytest
from browser import Browser, find_browser
from report_runs import HOSTILE

from qdeq.reports.html import gather_runs, page

PHONE, DESK = 360, 1280
LEAST_CONTRAST = 4.5
"""WCAG 2.1, 1.4.3, for text."""

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    started = Browser(find_browser(), tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def pages(runs, tmp_path_factory):
    """Files of three pages: one run; four; and two with names that would be markup, one of them without its data."""
    folder = tmp_path_factory.mktemp("pages")
    one, *others = gather_runs([runs[kind] for kind in ("warm", "implicit", "direct", "shots")])
    made = {"one": page([one]), "four": page([one, *others])}
    named, bare = gather_runs([runs["implicit"], runs["direct"]])
    named.label, named.class_names = HOSTILE, (HOSTILE, "a-name-without-any-place-to-break-it", "6", "9")
    bare.label, bare.solves, bare.missing = 40 * "long-", None, {"solves": 3 * f"It is gone: {HOSTILE}. "}
    made["hostile"] = page([named, bare])
    for name, text in made.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


NAMES = ("one", "four", "hostile")


@pytest.fixture(params=NAMES)
def shown(request, browser, pages):
    """The browser with a page in it, at the size of a desk; light."""
    browser.open(pages[request.param], width=DESK)
    browser.name = request.param
    return browser


def at_all_sizes(browser, script):
    """Return a script's value on phone and desk, every part of the page open."""
    browser.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    values = {}
    for width in (PHONE, DESK):
        browser.resize(width)
        values[width] = browser.run(script)
    return values


def test_it_asks_for_nothing_and_complains_of_nothing(shown, pages):
    fetched = [address for address in shown.requests if not address.startswith("data:image/png;base64,")]
    assert fetched == [pages[shown.name].resolve().as_uri()]
    assert shown.complaints == []
    assert shown.run("document.scripts.length") == 0
    assert shown.run("document.compatMode") == "CSS1Compat"


def test_the_page_refuses_what_should_have_got_into_it(browser, pages, tmp_path):
    text = pages["one"].read_text(encoding="utf-8")
    worse = tmp_path / "worse.html"
    worse.write_text(text.replace("<h1>", "<h1><script>document.title='ran'</script><img src='https://example.org/x'>"))
    browser.open(worse)
    assert "ran" not in browser.run("document.title")
    assert len(browser.complaints) == 2  # the script, and the picture, which nobody was asked for
    assert all("Content Security Policy" in text for text in browser.complaints)


def test_every_picture_is_there(shown):
    broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
    assert at_all_sizes(shown, broken) == {PHONE: 0, DESK: 0}


def test_nothing_is_wider_than_the_page(shown):
    overflow = """(() => {
        const width = document.documentElement.clientWidth;
        const scrolls = element => element && (element.scrollWidth > element.clientWidth + 1
            && ['auto', 'scroll', 'hidden'].includes(getComputedStyle(element).overflowX)
            || scrolls(element.parentElement));
        const out = [...document.querySelectorAll('body *')].filter(element => {
            const box = element.getBoundingClientRect();
            return box.width && (box.right > width + 1 || box.left < -1) && !element.closest('.skip')
                && !scrolls(element.parentElement);
        });
        return [document.documentElement.scrollWidth - width, out.map(element => element.outerHTML.slice(0, 120))];
    })()"""
    assert at_all_sizes(shown, overflow) == {PHONE: [0, []], DESK: [0, []]}


def test_nothing_lies_on_anything_else(shown):
    overlaps = """(() => {
        const found = [];
        const seen = element => Math.min(...['width', 'height'].map(side => element.getBoundingClientRect()[side])) > 1;
        const apart = (one, other) => one.right <= other.left + 1 || other.right <= one.left + 1
            || one.bottom <= other.top + 1 || other.bottom <= one.top + 1;
        const check = elements => elements.forEach((one, k) => elements.slice(k + 1).forEach(other => {
            if (!apart(one.getBoundingClientRect(), other.getBoundingClientRect()))
                found.push([one, other].map(each => each.outerHTML.slice(0, 150)));
        }));
        for (const parent of document.querySelectorAll('body, body :not(svg, svg *)'))
            check([...parent.children].filter(child => seen(child)
                && !['absolute', 'sticky'].includes(getComputedStyle(child).position)
                && getComputedStyle(child).display !== 'inline'));
        for (const chart of document.querySelectorAll('svg.chart'))
            check([...chart.querySelectorAll('text')].filter(text => text.textContent && seen(text)));
        return found;
    })()"""
    assert at_all_sizes(shown, overlaps) == {PHONE: [], DESK: []}


CONTRASTS = """(() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = colour => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = colour => [0.2126, 0.7152, 0.0722].reduce((sum, weight, k) => {
        const value = colour[k] / 255;
        return sum + weight * (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    }, 0);
    const behind = element => {
        const colour = rgba(getComputedStyle(element).backgroundColor);
        return colour[3] ? colour : behind(element.parentElement);
    };
    const texts = [...document.querySelectorAll('body *')].filter(element =>
        [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())
        && element.getClientRects().length && !element.closest('.circuit, .skip, .hidden, title'));
    return texts.map(element => {
        const style = getComputedStyle(element);
        const [a, b] = [rgba(element instanceof SVGElement ? style.fill : style.color), behind(element)].map(light);
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 120)];
    });
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read(shown, dark):
    shown.paint(dark=dark)
    shown.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    contrasts = shown.run(CONTRASTS)
    assert len(contrasts) > 200
    assert [each for each in contrasts if each[0] < LEAST_CONTRAST] == []


def brightness(browser, element="body"):
    """Return the mean of an element's background, 0 to 255."""
    colour = browser.run(f"getComputedStyle(document.querySelector('{element}')).backgroundColor")
    numbers = [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")]
    return sum(numbers[:3]) / 3


def test_the_dark_mode_is_the_readers_and_paper_is_white(shown):
    assert brightness(shown) > 230
    shown.paint(dark=True)
    assert brightness(shown) < 30
    assert brightness(shown, "section") < 40
    assert shown.run("getComputedStyle(document.querySelector('.circuit svg')).filter").startswith("invert")
    shown.paint(dark=True, media="print")
    assert brightness(shown) == 255
    assert shown.run("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_all_sections_are_seen_and_the_navigation_leads_there(browser, pages):
    browser.open(pages["four"], width=PHONE)
    heights = browser.run("[...document.querySelectorAll('section')].map(each => each.getBoundingClientRect().height)")
    assert len(heights) == 9
    assert min(heights) > 60
    browser.run("document.documentElement.style.scrollBehavior = 'auto'")  # there at once, not over some frames
    browser.run("document.querySelector('nav a[href=\"#circuit\"]').click()")
    assert 0 <= browser.run("document.getElementById('circuit').getBoundingClientRect().top") < 120


def test_the_pixels_differ_between_light_and_dark(browser, pages):
    """Whatever the style says: what is painted is light, and then dark."""
    import io

    from matplotlib.image import imread

    means = []
    for dark in (False, True):
        browser.open(pages["one"], width=DESK, dark=dark)
        means.append(imread(io.BytesIO(browser.picture()))[..., :3].mean())
    assert means[0] > 0.85
    assert means[1] < 0.25
