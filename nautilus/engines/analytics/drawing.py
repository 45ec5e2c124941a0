"""Plots as SVG within a page: colours are classes that the page's style sheet gives, for light and dark.

Nothing here is fetched from elsewhere, no script runs, and every text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import NamedTuple

from nautilus.engines.analytics.axes import Axis, tick_texts, ticks

LEFT, RIGHT, TOP, BOTTOM = 58.0, 12.0, 12.0, 26.0


class Frame(NamedTuple):
    """The area of a plot, with so much room at its right."""

    width: float
    height: float
    margin: float = RIGHT

    @property
    def right(self) -> float:
        """Pixel of the last value."""
        return self.width - self.margin

    @property
    def bottom(self) -> float:
        """Pixel of the lowest value."""
        return self.height - BOTTOM


def grid(up: Axis, frame: Frame, *, percent: bool) -> str:
    """Lines across the plot at round values, with the values at the left."""
    values = ticks(up)
    parts = []
    for value, words in zip(values, tick_texts(values, percent=percent), strict=True):
        y = up.place(value)
        parts.append(f'<line class="grid" x1="{LEFT:.1f}" x2="{frame.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(text(LEFT - 8, y + 4, words, "end"))
    return "".join(parts)


def rule(y: float, frame: Frame) -> str:
    """A stronger line across the plot."""
    return f'<line class="rule" x1="{LEFT:.1f}" x2="{frame.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def text(x: float, y: float, words: str, anchor: str, style: str = "") -> str:
    """Words at a place, escaped; `anchor` as in SVG."""
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def svg(frame: Frame, title: str, parts: Iterable[str]) -> str:
    """The whole picture; `title` is read out where nothing is seen."""
    return (
        f'<svg viewBox="0 0 {frame.width:.0f} {frame.height:.0f}" role="img" aria-label="{html.escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
