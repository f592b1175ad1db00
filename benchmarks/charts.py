"""Charts as SVG, drawn here without a library: horizontal bars, and ranges on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 760, 190, 120, 24, 58, 34
OURS, PEER, LOSSY, YARDSTICK = "#1f6f54", "#5b7db1", "#b9c7de", "#d9d2c3"
SECOND = {OURS: "#74b49b", PEER: "#9db4d6", LOSSY: "#d9e1ee", YARDSTICK: "#ebe6dc"}
_TEXT = 'font-family="system-ui, sans-serif" font-size="12" fill="#222"'


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: the parts of its bar, and what stands behind it."""

    label: str
    parts: Sequence[float]
    text: str
    colour: str


@dataclass(frozen=True, slots=True)
class Range:
    """One row: from a dot at `low` a line to `high`."""

    label: str
    low: float
    high: float
    text: str
    colour: str


def bars(title: str, subtitle: str, rows: Sequence[Bar], *, limit: float = math.inf) -> str:
    """Bars from 0; one longer than `limit` is cut off with a gap in it."""
    longest = max((sum(row.parts) for row in rows), default=1.0)
    scale = (WIDTH - LEFT - RIGHT) / (min(longest, limit) or 1.0)
    drawn = []
    for number, row in enumerate(rows):
        top, start = TOP + number * ROW, float(LEFT)
        drawn.append(_label(row.label, top))
        for part, colour in zip(row.parts, (row.colour, SECOND[row.colour]), strict=False):
            length = max(0.5, min(part * scale, WIDTH - RIGHT - start))
            drawn.append(_box(start, top + 4, length, ROW - 8, colour))
            start += length
        if sum(row.parts) > limit:
            drawn.append(_box(start - 18, top + 2, 5, ROW - 4, "#fff"))
        drawn.append(f'<text x="{start + 6:.1f}" y="{top + 16}" {_TEXT}>{escape(row.text)}</text>')
    return _page(title, subtitle, len(rows), drawn)


def ranges(title: str, subtitle: str, rows: Sequence[Range]) -> str:
    """Dots with a line to the right, on a logarithmic scale with a line at each power of ten."""
    lowest = math.floor(math.log10(min((row.low for row in rows), default=1.0)))
    highest = math.ceil(math.log10(max((row.high for row in rows), default=10.0)))
    scale = (WIDTH - LEFT - RIGHT) / max(1, highest - lowest)

    def place(value: float) -> float:
        return LEFT + (math.log10(value) - lowest) * scale

    drawn = []
    bottom = TOP + len(rows) * ROW
    for power in range(lowest, highest + 1):
        x = place(10.0**power)
        drawn.append(f'<line x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        drawn.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle" {_TEXT}>{10.0**power:g}</text>')
    for number, row in enumerate(rows):
        top, low, high = TOP + number * ROW, place(row.low), place(row.high)
        drawn.append(_label(row.label, top))
        drawn.append(_box(low, top + ROW / 2 - 2, max(1.0, high - low), 4, SECOND[row.colour]))
        drawn.append(f'<circle cx="{low:.1f}" cy="{top + ROW / 2}" r="5" fill="{row.colour}"/>')
        drawn.append(_box(high - 1, top + ROW / 2 - 5, 2, 10, row.colour))
        drawn.append(f'<text x="{high + 8:.1f}" y="{top + 16}" {_TEXT}>{escape(row.text)}</text>')
    return _page(title, subtitle, len(rows), drawn)


def _label(text: str, top: float) -> str:
    return f'<text x="{LEFT - 8}" y="{top + 16}" text-anchor="end" {_TEXT}>{escape(text)}</text>'


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _page(title: str, subtitle: str, rows: int, drawn: Sequence[str]) -> str:
    height = TOP + rows * ROW + BOTTOM
    size = f'width="{WIDTH}" height="{height}"'
    keys = (("ocrq", OURS), ("at least once", PEER), ("at most once", LOSSY), ("yardstick", YARDSTICK))
    legend = []
    for number, (text, colour) in enumerate(keys):
        x = LEFT + number * 120
        legend.append(_box(x, height - 13, 10, 10, colour))
        legend.append(f'<text x="{x + 15}" y="{height - 4}" {_TEXT}>{text}</text>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {height}">',
            f'<rect {size} fill="#fff"/>',
            f'<text x="12" y="22" {_TEXT.replace("12", "15")} font-weight="600">{escape(title)}</text>',
            f'<text x="12" y="41" {_TEXT}>{escape(subtitle)}</text>',
            *drawn,
            *legend,
            "</svg>\n",
        ]
    )
