"""HTML and SVG put together from elements, so that no text gets into a page without being escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

from qdeq.errors import is_hidden

_VOID = {"meta", "link", "img", "input", "br", "col", "path", "circle", "line", "rect"}


class Markup(str):
    """Text that is HTML already; :func:`tag` makes it, and takes any other text for plain."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]


def escape(text: object) -> Markup:
    """Return a text as HTML, in an element or an attribute; what is markup already stays.

    Characters that cannot be seen, or that reorder what stands beside them, are written out, as in messages.
    """
    if isinstance(text, Markup):
        return text
    plain = "".join(c if c == "\n" or not is_hidden(c) else repr(c)[1:-1] for c in str(text))
    return Markup(html.escape(plain))


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """Return an element.

    Args:
        name: Of the element.
        children: Texts, which are escaped, elements, and lists of both; None is left out.
        attributes: An underscore at the end is dropped, others become hyphens; True stands without a value, and None
            and False are left out.
    """
    start = [name]
    for key, value in attributes.items():
        if value is not None and value is not False:
            written = key.rstrip("_").replace("_", "-")
            start.append(written if value is True else f'{written}="{escape(value)}"')
    if name in _VOID:
        return Markup(f"<{' '.join(start)}/>")
    return Markup(f"<{' '.join(start)}>{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Return children side by side."""
    if children is None:
        return Markup("")
    if isinstance(children, str | int):
        return escape(children)
    return Markup("".join(map(join, children)))
