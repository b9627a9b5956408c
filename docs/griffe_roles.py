"""Docstrings name other objects as ``:class:`~qdeq.x.Y```; this turns such names into links of the reference."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:class|func|meth|attr|data|mod):`(~?)([\w.]+)`")


class Roles(Extension):
    """Replace every role by a link, or by plain code where the reference has no such object."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(lambda match: _link(obj, *match.groups()), obj.docstring.value)


def _link(obj: Object, short: str, name: str) -> str:
    shown = name.rsplit(".", 1)[-1] if short else name
    if name.startswith("qdeq."):
        path = name
    else:
        try:
            path = obj.resolve(name)
        except Exception:  # griffe has several errors for a name that it does not find; none matters here
            return f"`{shown}`"
    return f'<autoref optional identifier="{path}"><code>{shown}</code></autoref>'
