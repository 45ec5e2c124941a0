"""Plots as SVG within a page: colours are classes that the page's style sheet gives, for light and dark.

Nothing here is fetched from elsewhere, no script runs, and every text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.engines.analytics.axes import (
    DAY_NS,
    Axis,
    Floats,
    date_ticks,
    day_text,
    percent_text,
    spanning,
    tick_texts,
    ticks,
)

LEFT, RIGHT, TOP, BOTTOM = 58.0, 12.0, 12.0, 26.0
NAMES = 76.0  # room for names at the ends of lines


class Line(NamedTuple):
    """One line of a plot.

    Parameters
    ----------
    name
        Of what is drawn.
    places, values
        As long as each other, at least one.
    style
        Class: ``a``, ``b`` ... of the lines' colours.
    fill
        Shade what is between the line and nought.
    label
        Written at its end; "": nothing.
    """

    name: str
    places: npt.NDArray[np.int64]
    values: Floats
    style: str = "a"
    fill: bool = False
    label: str = ""


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


def line_plot(
    lines: Sequence[Line],
    frame: Frame,
    title: str,
    *,
    percent: bool = False,
    zero: bool = False,
    log: bool = False,
    dated: bool = True,
    level: float | None = None,
) -> str:
    """Lines over time.

    Parameters
    ----------
    lines
        The last is drawn on top.
    frame
        Size in pixels; the page scales it.
    title
        Read out where nothing is seen.
    percent
        Values are parts of one.
    zero
        Nought is on the axis.
    log
        Equal factors are equally far apart, where all values are above nought.
    dated
        Places are nanoseconds; else numbers of periods.
    level
        A value that is marked, such as 1 of wealth.
    """
    if any(line.label for line in lines):
        frame = frame._replace(margin=NAMES)
    across = _across(lines, frame, DAY_NS if dated else 1)
    values = np.concatenate([line.values for line in lines])
    if level is not None:
        values = np.append(values, level)
    up = spanning(values, frame.bottom, TOP, zero=zero, log=log and bool(values.min() > 0.0))
    parts = [_grid(up, frame, percent=percent), _places(across, frame, dated=dated)]
    mark = 0.0 if level is None and up.low <= 0.0 <= up.high else level
    if mark is not None:
        parts.append(_rule(up.place(mark), frame))
    parts += [_drawn(line, across, up, frame, percent=percent, dated=dated) for line in lines]
    parts.append(_labels(lines, across, up))
    return _svg(frame, title, parts)


def histogram(values: Floats, frame: Frame, title: str, marks: Iterable[tuple[str, float]] = ()) -> str:
    """Frequencies of returns, losses and gains in different colours, with marks such as the value at risk."""
    edges = _edges(values)
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    across = Axis(float(edges[0]), float(edges[-1]), LEFT, frame.right)
    up = Axis(0.0, float(max(counts.max(), 1)) * 1.05, frame.bottom, TOP)
    lefts, tops = across.at(edges), up.at(counts)
    parts = [_grid(up, frame, percent=False)]
    for left, right, top, count, low, high in zip(
        lefts[:-1], lefts[1:], tops, counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True
    ):
        if count:
            words = tick_texts([low, high], percent=True)
            style = "loss" if low + high < 0.0 else "gain"
            parts.append(
                f'<rect class="{style}" x="{left + 0.75:.1f}" y="{top:.1f}" width="{max(right - left - 1.5, 0.5):.1f}" '
                f'height="{frame.bottom - top:.1f}" rx="1.5"><title>{words[0]} to {words[1]}: {count}</title></rect>'
            )
    values_at = ticks(across, 7)
    for value, text in zip(values_at, tick_texts(values_at, percent=True), strict=True):
        parts.append(_text(across.place(value), frame.bottom + 17, text, "middle"))
    inside = [(name, value) for name, value in marks if across.low <= value <= across.high]
    # Each is written left of its line, the rightmost on top, where the lines further left do not reach.
    for row, (name, value) in enumerate(sorted(inside, key=lambda mark: -mark[1])):
        place, y = across.place(value), TOP + 8 + 15 * row
        parts.append(f'<line class="mark" x1="{place:.1f}" x2="{place:.1f}" y1="{y - 8:.1f}" y2="{frame.bottom:.1f}"/>')
        parts.append(_text(max(place - 6, 118.0), y, f"{name}  {percent_text(value, 2)}", "end", "strong small"))
    return _svg(frame, title, parts)


def bar_plot(names: Sequence[str], values: Sequence[float], frame: Frame, title: str) -> str:
    """A bar for each name, up from nought or down; values are parts of one."""
    up = spanning(values, frame.bottom, TOP + 8, zero=True)
    step = (frame.right - LEFT) / len(values)
    width = min(step * 0.7, 44.0)
    base = up.place(0.0)
    parts = [_grid(up, frame, percent=True)]
    every = -(-len(values) // 14)
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        middle, top = LEFT + step * (number + 0.5), up.place(value)
        text = percent_text(value)
        parts.append(
            f'<rect class="{"loss" if value < 0 else "gain"}" x="{middle - width / 2:.1f}" y="{min(base, top):.1f}" '
            f'width="{width:.1f}" height="{max(abs(base - top), 0.5):.1f}" rx="1.5">'
            f"<title>{html.escape(name)}: {text}</title></rect>"
        )
        if number % every == 0:
            parts.append(_text(middle, frame.bottom + 17, name, "middle"))
        if len(values) <= 14:
            parts.append(_text(middle, top + (13 if value < 0 else -5), text, "middle", "strong small"))
    parts.append(_rule(base, frame))
    return _svg(frame, title, parts)


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


def _across(lines: Sequence[Line], frame: Frame, least: int) -> Axis:
    first = min(int(line.places[0]) for line in lines)
    last = max(int(line.places[-1]) for line in lines)
    return Axis(float(first), float(max(last, first + least)), LEFT, frame.right)


def _drawn(line: Line, across: Axis, up: Axis, frame: Frame, *, percent: bool, dated: bool) -> str:
    xs, ys = _thinned(across.at(line.places), up.at(line.values), int(frame.width))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True))
    shade = ""
    if line.fill:
        base = up.place(min(max(0.0, up.low), up.high))
        shade = (
            f'<polygon class="shade {line.style}" points="{xs[0]:.1f},{base:.1f} {points} {xs[-1]:.1f},{base:.1f}"/>'
        )
    place = int(line.places[-1])
    when = day_text(place) if dated else f"period {place}"
    last = tick_texts([round(float(line.values[-1]), 4)], percent=percent)[0]
    words = html.escape(f"{line.name}, {when}: {last}")
    return (
        f'{shade}<polyline class="line {line.style}" points="{points}"/>'
        f'<circle class="end {line.style}" cx="{xs[-1]:.1f}" cy="{ys[-1]:.1f}" r="3.5"><title>{words}</title></circle>'
    )


def _thinned(xs: Floats, ys: Floats, columns: int) -> tuple[Floats, Floats]:
    """Of each column of pixels the first, lowest, highest and last point: what is drawn looks the same."""
    if len(xs) <= 2 * columns:
        return xs, ys
    starts = np.flatnonzero(np.diff(np.floor(xs), prepend=-1.0))
    ends = np.append(starts[1:], len(xs))
    kept = {0, len(xs) - 1}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        part = ys[start:end]
        kept.update((start, start + int(part.argmin()), start + int(part.argmax()), end - 1))
    index = np.array(sorted(kept))
    return xs[index], ys[index]


def _labels(lines: Sequence[Line], across: Axis, up: Axis) -> str:
    """Texts at the ends of lines, moved apart where they would cover each other."""
    wanted = sorted(
        (up.place(float(line.values[-1])), across.place(float(line.places[-1])), line) for line in lines if line.label
    )
    parts, lowest = [], -1e9
    for y, x, line in wanted:
        lowest = max(y, lowest + 14.0)
        parts.append(_text(x + 8, lowest + 4, line.label, "start", f"strong name {line.style}"))
    return "".join(parts)


def _grid(up: Axis, frame: Frame, *, percent: bool) -> str:
    values = ticks(up)
    parts = []
    for value, text in zip(values, tick_texts(values, percent=percent), strict=True):
        y = up.place(value)
        parts.append(f'<line class="grid" x1="{LEFT:.1f}" x2="{frame.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 8, y + 4, text, "end"))
    return "".join(parts)


def _places(across: Axis, frame: Frame, *, dated: bool) -> str:
    if dated:
        found = date_ticks(int(across.low), int(across.high))
    else:
        whole = [int(value) for value in ticks(across, 7) if value == int(value)]
        found = list(zip(whole, tick_texts(whole, percent=False), strict=True))
    return "".join(_text(across.place(float(place)), frame.bottom + 17, text, "middle") for place, text in found)


def _rule(y: float, frame: Frame) -> str:
    return f'<line class="rule" x1="{LEFT:.1f}" x2="{frame.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(frame: Frame, title: str, parts: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {frame.width:.0f} {frame.height:.0f}" role="img" aria-label="{html.escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
