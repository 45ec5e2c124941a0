"""Bars: how often there was which return, and one for each name."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import numpy as np

from nautilus.engines.analytics.axes import Axis, Floats, percent_text, spanning, tick_texts, ticks
from nautilus.engines.analytics.drawing import LEFT, TOP, Frame, grid, rule, svg, text

ROW, LABEL = 15.0, 112.0
"""Pixels that the words beside a mark take."""


def histogram(values: Floats, frame: Frame, title: str, marks: Iterable[tuple[str, float]] = ()) -> str:
    """Frequencies of returns, losses and gains in different colours, with marks such as the value at risk."""
    edges = _edges(values)
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    across = Axis(float(edges[0]), float(edges[-1]), LEFT, frame.right)
    inside = sorted((value, name) for name, value in marks if across.low <= value <= across.high)
    up = Axis(0.0, float(max(counts.max(), 1)) * 1.05, frame.bottom, TOP + ROW * len(inside))
    lefts, tops = across.at(edges), up.at(counts)
    parts = [grid(up, frame, percent=False)]
    for left, right, top, count, low, high in zip(
        lefts[:-1], lefts[1:], tops, counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True
    ):
        if count:
            bounds = tick_texts([low, high], percent=True)
            style = "loss" if low + high < 0.0 else "gain"
            parts.append(
                f'<rect class="{style}" x="{left + 0.75:.1f}" y="{top:.1f}" width="{max(right - left - 1.5, 0.5):.1f}" '
                f'height="{frame.bottom - top:.1f}" rx="1.5"><title>{bounds[0]} to {bounds[1]}: {count}</title></rect>'
            )
    values_at = ticks(across, 7)
    for value, words in zip(values_at, tick_texts(values_at, percent=True), strict=True):
        parts.append(text(across.place(value), frame.bottom + 17, words, "middle"))
    # Above the bars, right of its line, the leftmost on top: lines further right do not reach up to it.
    for row, (value, name) in enumerate(inside):
        place, y = across.place(value), TOP + 8 + ROW * row
        room = frame.right - place > LABEL
        parts.append(f'<line class="mark" x1="{place:.1f}" x2="{place:.1f}" y1="{y - 8:.1f}" y2="{frame.bottom:.1f}"/>')
        words = f"{name}  {percent_text(value, 2)}"
        parts.append(text(place + (6 if room else -6), y, words, "start" if room else "end", "strong small"))
    return svg(frame, title, parts)


def bar_plot(names: Sequence[str], values: Sequence[float], frame: Frame, title: str) -> str:
    """A bar for each name, up from nought or down; values are parts of one."""
    up = spanning(values, frame.bottom, TOP + 8, zero=True)
    step = (frame.right - LEFT) / len(values)
    width = min(step * 0.7, 44.0)
    base = up.place(0.0)
    parts = [grid(up, frame, percent=True)]
    every = -(-len(values) // 14)
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        middle, top = LEFT + step * (number + 0.5), up.place(value)
        words = percent_text(value)
        parts.append(
            f'<rect class="{"loss" if value < 0 else "gain"}" x="{middle - width / 2:.1f}" y="{min(base, top):.1f}" '
            f'width="{width:.1f}" height="{max(abs(base - top), 0.5):.1f}" rx="1.5">'
            f"<title>{html.escape(name)}: {words}</title></rect>"
        )
        if number % every == 0:
            parts.append(text(middle, frame.bottom + 17, name, "middle"))
        if len(values) <= 14:
            parts.append(text(middle, top + (13 if value < 0 else -5), words, "middle", "strong small"))
    parts.append(rule(base, frame))
    return svg(frame, title, parts)


def _edges(values: Floats) -> Floats:
    """Bins that have nought as an edge, as wide as Freedman and Diaconis (1981) would have them, 60 at most.

    The outermost hundredth of a per cent of the values counts in the outermost bins.
    """
    low, high = np.quantile(values, [0.001, 0.999])
    quarter, three = np.quantile(values, [0.25, 0.75])
    spread = max(float(high - low), 1e-9 + 1e-3 * float(np.abs(values).max()))
    width = max(2.0 * float(three - quarter) / len(values) ** (1.0 / 3.0), spread / 60.0)
    first, last = int(np.floor(low / width)), int(np.ceil(high / width))
    return np.asarray(np.arange(first, max(last, first + 1) + 1) * width, np.float64)
