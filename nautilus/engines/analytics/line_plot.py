"""Lines over time as a plot."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.engines.analytics.axes import DAY_NS, Axis, Floats, date_ticks, day_text, spanning, tick_texts, ticks
from nautilus.engines.analytics.drawing import LEFT, TOP, Frame, grid, rule, svg, text

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
    parts = [grid(up, frame, percent=percent), _places(across, frame, dated=dated)]
    mark = 0.0 if level is None and up.low <= 0.0 <= up.high else level
    if mark is not None:
        parts.append(rule(up.place(mark), frame))
    parts += [_drawn(line, across, up, frame, percent=percent, dated=dated) for line in lines]
    parts.append(_labels(lines, across, up))
    return svg(frame, title, parts)


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
        parts.append(text(x + 8, lowest + 4, line.label, "start", f"strong name {line.style}"))
    return "".join(parts)


def _places(across: Axis, frame: Frame, *, dated: bool) -> str:
    if dated:
        found = date_ticks(int(across.low), int(across.high))
    else:
        whole = [int(value) for value in ticks(across, 7) if value == int(value)]
        found = list(zip(whole, tick_texts(whole, percent=False), strict=True))
    return "".join(text(across.place(float(place)), frame.bottom + 17, words, "middle") for place, words in found)
