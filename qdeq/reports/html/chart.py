"""Charts as inline SVG. Colours are the page's CSS variables, so that they follow its light or dark mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from qdeq.reports.html.markup import Markup, tag
from qdeq.reports.html.scales import Scale

WIDTH, HEIGHT = 400.0, 255.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 50.0, 14.0, 12.0, 49.0
_FIRST_ROW, _SECOND_ROW = 19.0, 13.0
"""From the foot to the labels of x, and on to those below them."""
_LETTER = 7.6
"""Width of a letter of a label at its larger size, on phones [units]."""

Point = tuple[float, float | None]


@dataclass
class Chart:
    """One pair of axes; what is drawn later lies on top.

    Args:
        title: Stands above it.
        x: The axis below.
        y: The axis to the left.
        x_label: What x is, with its unit.
        y_label: What y is, with its unit.
        told: What the chart shows, in a sentence or two, for those who do not see it.
        second: Labels in a second row below x's ticks, such as the steps of an epoch, with the row's name before them.
    """

    title: str
    x: Scale
    y: Scale
    x_label: str
    y_label: str
    told: str
    second: tuple[str, dict[float, str]] = ("", {})
    _marks: list[Markup] = field(default_factory=list, repr=False)

    def line(self, points: Sequence[Point], style: str, hover: Sequence[str] = ()) -> None:
        """Draw a line, broken where there is no value.

        Args:
            points: From left to right.
            style: CSS classes: of the colour, such as ``c0``, and of the line, such as ``thin`` or ``dashed``.
            hover: What is said of each point where the pointer rests on it.
        """
        parts: list[list[str]] = [[]]
        for x, value in points:
            if value is None or math.isnan(value):
                parts.append([])
            else:
                parts[-1].append(f"{self._x(x)} {self._y(value)}")
        drawn = [part for part in parts if part]
        shape = "".join(f"M{'L'.join(part)}" for part in drawn if len(part) > 1)
        dots = [part[0] for part in drawn if len(part) == 1]
        if shape:
            self._marks.append(tag("path", d=shape, class_=f"line {style}"))
        for dot in dots:
            x_place, y_place = dot.split()
            self._marks.append(tag("circle", cx=x_place, cy=y_place, r=2.5, class_=f"dot {style}"))
        for (x, value), text in zip(points, hover, strict=bool(hover)):
            if value is not None and not math.isnan(value):
                spot = tag("circle", cx=self._x(x), cy=self._y(value), r=5, class_=f"hover {style}")
                self._marks.append(tag("g", tag("title", text), spot))

    def band(self, x: Sequence[float], low: Sequence[float], high: Sequence[float], style: str) -> None:
        """Fill what lies between two lines."""
        there = [f"{self._x(at)} {self._y(value)}" for at, value in zip(x, high, strict=True)]
        back = [f"{self._x(at)} {self._y(value)}" for at, value in zip(x, low, strict=True)][::-1]
        if there:
            self._marks.append(tag("path", d=f"M{'L'.join(there + back)}Z", class_=f"band {style}"))

    def bars(self, edges: Sequence[float], heights: Sequence[float], style: str, hover: Sequence[str]) -> None:
        """Draw a histogram: one bar more than there are edges between them."""
        for left, right, height, text in zip(edges[:-1], edges[1:], heights, hover, strict=True):
            if height:
                a, b, top = self._x(left), self._x(right), self._y(height)
                place = {"x": a, "y": top, "width": _round(max(0.8, b - a - 0.8)), "height": _round(self._foot - top)}
                self._marks.append(tag("g", tag("title", text), tag("rect", **place, class_=f"bar {style}")))

    def shade(self, left: float, right: float) -> None:
        """Shade a range of x, behind all that is drawn later."""
        a, b = self._x(left), self._x(right)
        place = {"x": a, "y": _TOP, "width": _round(b - a), "height": _round(self._foot - _TOP)}
        self._marks.append(tag("rect", **place, class_="shade"))

    def strip(self, left: float, right: float, style: str, row: int) -> None:
        """Draw a short thick line on the foot, above those of other rows."""
        y = _round(self._foot - 4 * row)
        self._marks.append(tag("line", x1=self._x(left), x2=self._x(right), y1=y, y2=y, class_=f"strip {style}"))

    def level(self, value: float, label: str, style: str = "limit") -> None:
        """Draw a line at a value of y, with its name at the right end."""
        if self.y.low <= value <= self.y.high:
            y = self._y(value)
            self._marks.append(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_=style))
            above = y > _TOP + 14
            self._marks.append(_text(label, WIDTH - _RIGHT - 2, y - 4 if above else y + 12, f"note {style}", "end"))

    def mark(self, value: float, label: str, style: str = "limit") -> None:
        """Draw a line at a value of x, with its name beside its upper end."""
        if self.x.low <= value <= self.x.high:
            x = self._x(value)
            self._marks.append(tag("line", x1=x, x2=x, y1=_TOP, y2=self._foot, class_=style))
            if label:
                early = self.x.at(value) < 0.5
                place = x + 4 if early else x - 4
                self._marks.append(_text(label, place, _TOP + 9, f"note {style}", "start" if early else "end"))

    def figure(self, legend: Markup | None = None) -> Markup:
        """Return the chart with its title, as a figure."""
        foot = self._foot
        parts: list[Markup] = []
        for value, label in self.y.ticks():
            y = self._y(value)
            parts.append(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="rule"))
            parts.append(_text(label, _LEFT - 6, y + 4, "tick", "end"))
        for value, label in self._x_ticks():
            x = self._x(value)
            parts.append(tag("line", x1=x, x2=x, y1=foot, y2=foot + 4, class_="axis"))
            parts.append(_text(label, x, foot + _FIRST_ROW, "tick", "middle"))
            if value in self.second[1]:
                parts.append(_text(self.second[1][value], x, foot + _FIRST_ROW + _SECOND_ROW, "tick second", "middle"))
        if self.second[1]:
            parts.append(_text(self.second[0], 2, foot + _FIRST_ROW + _SECOND_ROW, "tick second", "start"))
        parts.append(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=foot, y2=foot, class_="axis"))
        below = HEIGHT - 4 + (_SECOND_ROW if self.second[1] else 0)
        parts.append(_text(self.x_label, (_LEFT + WIDTH - _RIGHT) / 2, below, "label", "middle"))
        height = HEIGHT + (_SECOND_ROW if self.second[1] else 0)
        svg = tag(
            "svg",
            parts,
            self._marks,
            viewBox=f"0 0 {WIDTH:g} {height:g}",
            role="img",
            aria_label=f"{self.title}: {self.told}",
            class_="chart",
        )
        caption = tag("figcaption", tag("strong", self.title), " ", tag("span", self.y_label, class_="unit"))
        return tag("figure", caption, svg, legend, class_="panel")

    @property
    def _foot(self) -> float:
        return HEIGHT - _BOTTOM

    def _x_ticks(self) -> list[tuple[float, str]]:
        """Return as many of x's ticks as their labels, in both rows, have room."""
        ticks = self.x.ticks()
        room = (WIDTH - _LEFT - _RIGHT) / max(1, len(ticks))
        below = self.second[1]
        widest = max((len(text) for value, label in ticks for text in (label, below.get(value, ""))), default=1)
        return ticks[:: max(1, math.ceil((widest + 1) * _LETTER / room))]

    def _x(self, value: float) -> float:
        return _round(_LEFT + self.x.at(value) * (WIDTH - _LEFT - _RIGHT))

    def _y(self, value: float) -> float:
        return _round(self._foot - self.y.at(value) * (self._foot - _TOP))


def _text(text: str, x: float, y: float, style: str, anchor: str) -> Markup:
    return tag("text", text, x=_round(x), y=_round(y), class_=style, text_anchor=anchor)


def _round(value: float) -> float:
    return round(value, 1)
