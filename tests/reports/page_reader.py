"""A page as its readers' programs see it: a tree of elements."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br", "col"}


@dataclass
class Element:
    name: str
    attributes: dict
    children: list = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, name: str | None = None, **attributes) -> list["Element"]:
        """Return every element below with a name and attributes, which `class_` has among others."""
        inner = [child for child in self.children if isinstance(child, Element)]
        found = [child for child in inner if name in (None, child.name) and child.has(**attributes)]
        return found + [each for child in inner for each in child.all(name, **attributes)]

    def one(self, name: str | None = None, **attributes) -> "Element":
        (found,) = self.all(name, **attributes)
        return found

    def has(self, **attributes) -> bool:
        return all(
            value in (self.attributes.get("class") or "").split()
            if key == "class_"
            else self.attributes.get(key.replace("_", "-")) == value
            for key, value in attributes.items()
        )


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, name, attributes):
        element = Element(name, dict(attributes))
        self.open[-1].children.append(element)
        if name not in VOID:
            self.open.append(element)

    def handle_startendtag(self, name, attributes):
        self.open[-1].children.append(Element(name, dict(attributes)))

    def handle_endtag(self, name):
        assert self.open[-1].name == name, f"</{name}> closes <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, text):
        self.open[-1].children.append(text)


def read(text: str) -> Element:
    """Return the tree; every element has to be closed where it belongs."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == [reader.root], [element.name for element in reader.open]
    return reader.root


def rows(table: Element) -> dict[str, list[str]]:
    """Return a table's cells by the row's name."""
    found = {}
    for line in table.all("tr"):
        cells = [cell.text.strip() for cell in line.all("td")]
        if cells:
            found[line.all("th")[0].text.strip()] = cells
    return found


def cards(tree: Element) -> dict[str, tuple[str, str]]:
    """Return the headline's figures, each with its note."""
    return {
        card.one("dt").text: tuple(each.text.replace("\xa0", " ") for each in card.all("dd"))
        for card in tree.all("div", class_="card")
    }
