"""A plot of dots on logarithmic axes, as SVG that is readable on light and on dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

__all__ = ["Panel", "dots"]

# A picture on a page follows the reader's own choice of light or dark.
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.small { font-size: 11px; fill: #59636e; }
.title { font-weight: 600; }
.grid { stroke: #d1d9e0; }
.dot0 { fill: #57606a; } .dot1 { fill: #0969da; } .dot2 { fill: #bc4c00; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .small { fill: #9198a1; }
  .grid { stroke: #3d444d; }
  .dot0 { fill: #b1bac4; } .dot1 { fill: #58a6ff; } .dot2 { fill: #f0883e; }
}
"""
_NAMES = 220  # width of the systems' names
_PANEL = 330  # width of a panel
_GAP = 30  # between panels
_ROW = 26  # height of a system's row
_TOP = 62  # height of the titles
_BOTTOM = 62  # height of the numbers under the axes, and of the caption
_RADIUS = 5.0


@dataclass(frozen=True)
class Panel:
    """One of the plots beside each other.

    Attributes:
        title: What its axis is, with the unit and which end is the good one.
        values: For each row the values of each series, in order; None is left out.
    """

    title: str
    values: Mapping[str, Sequence[float | None]]


def dots(panels: Sequence[Panel], series: Sequence[str], caption: str) -> str:
    """Return an SVG: a row for each system, a dot for each series, panels side by side.

    At most three series; each has a shape of its own besides its colour.
    """
    rows = list(panels[0].values)
    width = _NAMES + len(panels) * (_PANEL + _GAP)
    height = _TOP + _ROW * len(rows) + _BOTTOM
    svg = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=str(width),
        height=str(height),
        role="img",
    )
    ET.SubElement(svg, "title").text = caption
    ET.SubElement(svg, "style").text = _STYLE
    for number, name in enumerate(rows):
        _text(svg, _NAMES - 14, _middle(number) + 4, name, anchor="end")
    for number, name in enumerate(series):
        at = _NAMES + number * 110
        _dot(svg, number, at + _RADIUS, 16)
        _text(svg, at + 16, 20, name)
    for number, panel in enumerate(panels):
        _panel(svg, panel, rows, _NAMES + number * (_PANEL + _GAP))
    _text(svg, 8, height - 10, caption, kind="small")
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _panel(svg: ET.Element, panel: Panel, rows: Sequence[str], left: float) -> None:
    known = [each for row in rows for each in panel.values[row] if each]
    first = math.floor(math.log10(min(known))) if known else 0
    last = max(math.ceil(math.log10(max(known))) if known else 1, first + 1)
    _text(svg, left, _TOP - 14, panel.title, kind="title")
    bottom = _TOP + _ROW * len(rows)
    for power in range(first, last + 1):
        x = left + _PANEL * (power - first) / (last - first)
        ends = {"x1": f"{x:.1f}", "x2": f"{x:.1f}", "y1": f"{_TOP}", "y2": f"{bottom}"}
        ET.SubElement(svg, "line", ends | {"class": "grid"})
        anchor = {first: "start", last: "end"}.get(power, "middle")
        _text(svg, x, bottom + 16, _tick(power), kind="small", anchor=anchor)
    for number, row in enumerate(rows):
        for which, value in enumerate(panel.values[row]):
            if value:
                x = left + _PANEL * (math.log10(value) - first) / (last - first)
                _dot(svg, which, x, _middle(number))


def _tick(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"


def _middle(row: int) -> float:
    return _TOP + _ROW * (row + 0.5)


def _dot(svg: ET.Element, which: int, x: float, y: float) -> None:
    """Draw the mark of a series: a circle, a square, a diamond."""
    kind = {"class": f"dot{which}"}
    if which == 0:
        where = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{_RADIUS}"}
        ET.SubElement(svg, "circle", where | kind)
        return
    half = _RADIUS * 0.9
    where = {"x": f"{x - half:.1f}", "y": f"{y - half:.1f}"}
    where |= {"width": f"{2 * half:.1f}", "height": f"{2 * half:.1f}"}
    if which == 2:
        where["transform"] = f"rotate(45 {x:.1f} {y:.1f})"
    ET.SubElement(svg, "rect", where | kind)


def _text(
    svg: ET.Element,
    x: float,
    y: float,
    said: str,
    *,
    kind: str = "",
    anchor: str = "start",
) -> None:
    where = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    ET.SubElement(svg, "text", where | ({"class": kind} if kind else {})).text = said
