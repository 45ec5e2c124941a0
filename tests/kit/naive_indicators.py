"""Naive twin of `nautilus.core.indicators`: each operation from its definition, over lists of all that was seen.

A column is a list of values; None where it is not defined yet. Sums are `math.fsum`, averages are computed from the
first row on, every time: nothing is carried.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

Row = list[float]
Step = Callable[..., float | tuple[float, ...]]


def tiny(x: float) -> bool:
    return -1e-14 < x < 1e-14


def window(column: Row, n: int) -> Row:
    return column[-n:]


def average(x: Row, n: int, a: float) -> float:
    value = math.fsum(x[:n]) / n
    for each in x[n:]:
        value += a * (each - value)
    return value


def seeded(x: Row, a: float) -> float:
    value = x[0]
    for each in x[1:]:
        value = a * each + (1 - a) * value
    return value


def wilder(x: Row, n: int) -> float:
    value = math.fsum(x[: n - 1])
    for each in x[n - 1 :]:
        value = value * (n - 1) / n + each
    return value


def highest(x: Row, n: int) -> tuple[float, float]:
    last = window(x, n)
    top = max(last)
    return top, float(last[::-1].index(top))


def lowest(x: Row, n: int) -> tuple[float, float]:
    last = window(x, n)
    low = min(last)
    return low, float(last[::-1].index(low))


def covariance(x: Row, y: Row, n: int) -> tuple[float, float, float]:
    left, right = window(x, n), window(y, n)
    mx, my = statistics.fmean(left), statistics.fmean(right)
    return (
        math.fsum((a - mx) * (b - my) for a, b in zip(left, right, strict=True)),
        math.fsum((a - mx) ** 2 for a in left),
        math.fsum((b - my) ** 2 for b in right),
    )


def regression(x: Row, n: int) -> tuple[float, float]:
    fit = statistics.linear_regression(range(n), window(x, n))
    return fit.slope, fit.intercept


def deviation(x: Row, n: int) -> float:
    last = window(x, n)
    mean = statistics.fmean(last)
    return math.fsum(abs(each - mean) for each in last) / n


def adaptive(x: Row, y: Row, z: Row, before: float) -> float:
    value = before
    for now, then, path in zip(x, y, z, strict=True):
        way = abs(now - then)
        ratio = 1.0 if path <= way or tiny(path) else way / path
        value += (ratio * (2 / 3 - 2 / 31) + 2 / 31) ** 2 * (now - value)
    return value


def parabolic(highs: Row, lows: Row, a: float, most: float) -> float:
    """Wilder's rules as TA-Lib begins them: the first bar only says where the second came from."""
    fell = lows[0] - lows[1]
    long = not (fell > 0 and highs[1] - highs[0] < fell)
    stop, extreme = (lows[0], highs[1]) if long else (highs[0], lows[1])
    speed, out = a, 0.0
    for i in range(1, len(highs)):
        j = i - 1 if i > 1 else i
        if long and lows[i] <= stop:
            long, out, speed = False, max(extreme, highs[j], highs[i]), a
            extreme = lows[i]
            stop = max(out + speed * (extreme - out), highs[j], highs[i])
        elif not long and highs[i] >= stop:
            long, out, speed = True, min(extreme, lows[j], lows[i]), a
            extreme = highs[i]
            stop = min(out + speed * (extreme - out), lows[j], lows[i])
        elif long:
            out = stop
            if highs[i] > extreme:
                extreme, speed = highs[i], min(speed + a, most)
            stop = min(stop + speed * (extreme - stop), lows[j], lows[i])
        else:
            out = stop
            if lows[i] < extreme:
                extreme, speed = lows[i], min(speed + a, most)
            stop = max(stop + speed * (extreme - stop), highs[j], highs[i])
    return out


def supertrend(h: Row, l: Row, c: Row, width: Row, a: float) -> tuple[float, float]:  # noqa: E741
    upper = lower = side = 0.0
    for i in range(len(h)):
        middle, band = (h[i] + l[i]) / 2, a * width[i]
        if i == 0:
            upper, lower, side = middle + band, middle - band, 1.0
            continue
        if middle + band < upper or c[i - 1] > upper:
            upper = middle + band
        if middle - band > lower or c[i - 1] < lower:
            lower = middle - band
        if side > 0 and c[i] < lower:
            side = -1.0
        elif side < 0 and c[i] > upper:
            side = 1.0
    return (lower if side > 0 else upper), side


def index(x: Row, volume: Row, m: int, a: float) -> float:
    value = a
    for i in range(1, len(x)):
        if (volume[i] - volume[i - 1]) * m > 0 and x[i - 1]:
            value *= x[i] / x[i - 1]
    return value


def candle(opened: Row, closed: Row, mean: Row) -> float:
    value = (opened[0] + closed[0]) / 2
    for before in mean[:-1]:
        value = (value + before) / 2
    return value


def balance(x: Row, volume: Row) -> float:
    signs = [1.0] + [float((b > a) - (b < a)) for a, b in zip(x, x[1:], strict=False)]  # noqa: RUF007
    return math.fsum(sign * lots for sign, lots in zip(signs, volume, strict=True))


def trend(x: Row, volume: Row) -> float:
    return math.fsum((x[i] - x[i - 1]) / x[i - 1] * volume[i] for i in range(1, len(x)) if x[i - 1])


def pressure(pb: Row, qb: Row, pa: Row, qa: Row) -> float:
    out = qb[-1] if pb[-1] > pb[-2] else qb[-1] - qb[-2] if pb[-1] == pb[-2] else -qb[-2]
    return out - (qa[-1] if pa[-1] < pa[-2] else qa[-1] - qa[-2] if pa[-1] == pa[-2] else -qa[-2])


def tick(x: Row) -> float:
    moves = [b - a for a, b in zip(x, x[1:], strict=False) if a != b]  # noqa: RUF007
    return math.copysign(1.0, moves[-1]) if moves else 0.0


def transform(x: Row, period: float) -> float:
    at = [x[-1 - k] if k < len(x) else 0.0 for k in (0, 2, 4, 6)]
    weights = (0.0962, 0.5769, -0.5769, -0.0962)
    return math.fsum(w * each for w, each in zip(weights, at, strict=True)) * (0.075 * period + 0.54)


def hilbert(smooth: Row) -> tuple[float, float, float]:
    """Ehlers's recursion from the first row on."""
    d: Row = []
    lead: Row = []
    q1: Row = []
    period = mean = i2 = q2 = re = im = 0.0
    for at in range(len(smooth)):
        d.append(transform(smooth[: at + 1], period))
        q1.append(transform(d, period))
        lead.append(d[-4] if at >= 3 else 0.0)
        ji, jq = transform(lead, period), transform(q1, period)
        i2_before, q2_before = i2, q2
        q2, i2 = 0.2 * (q1[-1] + ji) + 0.8 * q2, 0.2 * (lead[-1] - jq) + 0.8 * i2
        re = 0.2 * (i2 * i2_before + q2 * q2_before) + 0.8 * re
        im = 0.2 * (i2 * q2_before - q2 * i2_before) + 0.8 * im
        found = 2 * math.pi / math.atan(im / re) if im and re else period
        found = max(min(found, 1.5 * period), 0.67 * period)
        period = 0.2 * min(max(found, 6.0), 50.0) + 0.8 * period
        mean = 0.33 * period + 0.67 * mean
    return mean, lead[-1], q1[-1]


def phase(smooth: Row, period: Row) -> float:
    length = int(period[-1] + 0.5)
    last = smooth[::-1][:length]
    angles = [2 * math.pi * at / max(length, 1) for at in range(len(last))]
    real = math.fsum(math.sin(angle) * x for angle, x in zip(angles, last, strict=True))
    imaginary = math.fsum(math.cos(angle) * x for angle, x in zip(angles, last, strict=True))
    if abs(real) + abs(imaginary) <= 1e-12 * math.fsum(map(abs, last)):
        return math.nan
    out = math.degrees(math.atan(real / imaginary)) + 90.0 + 360.0 / period[-1] + (180.0 if imaginary < 0 else 0.0)
    return out - 360.0 if out > 315.0 else out


def trend_line(price: Row, period: Row) -> float:
    means = []
    for back in range(min(4, len(period))):
        length = int(period[len(period) - 1 - back] + 0.5)
        last = price[: len(price) - back][::-1][:length]
        means.append(math.fsum(last) / length if length else 0.0)
    return math.fsum(weight * mean for weight, mean in zip((4, 3, 2, 1), means, strict=False)) / 10.0


def trend_mode(phases: Row, period: Row, line: Row, smooth: Row) -> float:
    before, sine_before, lead_before, days, mode = 0.0, 0.0, 0.0, 0, 0.0
    for turn, length, trend, price in zip(phases, period, line, smooth, strict=True):
        days += 1
        mode = math.nan
        if math.isnan(turn):
            continue
        sine, lead = math.sin(math.radians(turn)), math.sin(math.radians(turn + 45.0))
        crossed = (sine > lead and sine_before <= lead_before) or (sine < lead and sine_before >= lead_before)
        days = 1 if crossed else days
        steady = bool(length) and 0.67 * 360.0 / length < turn - before < 1.5 * 360.0 / length
        mode = 0.0 if crossed or days < 0.5 * length or steady else 1.0
        if trend and abs((price - trend) / trend) >= 0.015:
            mode = 1.0
        before, sine_before, lead_before = turn, sine, lead
    return mode


def mesa(price: Row, inphase: Row, quadrature: Row, most: float, least: float) -> tuple[float, float]:
    before = mama = fama = 0.0
    for x, i, q in zip(price, inphase, quadrature, strict=True):
        now = math.degrees(math.atan(q / i)) if i else 0.0
        turn = max(before - now, 1.0)
        factor = max(most / turn, least) if turn > 1.0 else most
        mama = factor * x + (1 - factor) * mama
        fama = factor / 2 * mama + (1 - factor / 2) * fama
        before = now
    return mama, fama


def flow(h: float, l: float, c: float, v: float) -> float:  # noqa: E741
    return (2 * c - l - h) / (h - l) * v if h > l else 0.0


def direction(h: float, hb: float, l: float, lb: float) -> tuple[float, float]:  # noqa: E741
    up, down = h - hb, lb - l
    return (up if up > 0 and up > down else 0.0), (down if down > 0 and down > up else 0.0)


POINTS: dict[str, Step] = {
    "linear": lambda s, p: p["a"] * s[0] + p["b"] * s[1] + p["c"],
    "product": lambda s, p: p["a"] * s[0] * s[1],
    "ratio": lambda s, p: p["c"] if tiny(s[1]) else p["a"] * (s[0] / s[1] + p["b"]),
    "quotient": lambda s, p: p["c"] if s[1] == 0 else p["a"] * s[0] / s[1],
    "absolute": lambda s, p: abs(s[0] - s[1]),
    "amount": lambda s, p: abs(s[0]),
    "log": lambda s, p: math.log(s[0] / s[1]) if s[0] > 0 and s[1] > 0 else p["c"],
    "gain": lambda s, p: max(s[0] - s[1], 0.0),
    "least": lambda s, p: min(s[0], s[1]),
    "most": lambda s, p: max(s[0], s[1]),
    "angle": lambda s, p: math.degrees(math.atan(s[0])),
    "root": lambda s, p: math.sqrt(p["a"] * s[0]) if p["a"] * s[0] > 0 else p["c"],
    "range": lambda s, p: max(s[0] - s[1], abs(s[0] - s[2]), abs(s[1] - s[2])),
    "direction": lambda s, p: direction(*s),
    "flow": lambda s, p: flow(*s),
    "signed": lambda s, p: ((s[0] > s[1]) - (s[0] < s[1])) * s[2],
    "split": lambda s, p: (s[2] if s[0] > s[1] else 0.0, s[2] if s[0] < s[1] else 0.0),
    "where": lambda s, p: s[0] if s[2] > 0 else s[1],
    "position": lambda s, p: p["c"] if tiny(s[1] - s[2]) else p["a"] * (s[0] - s[2]) / (s[1] - s[2]),
    "sign": lambda s, p: float((s[0] > s[1]) - (s[0] < s[1])),
    "chosen": lambda s, p: s[0] or s[1],
    "sine": lambda s, p: math.sin(math.radians(s[0] + p["a"])),
}
"""Of the values of one row."""

WINDOWS: dict[str, Step] = {
    "sum": lambda s, p: p["a"] * math.fsum(window(s[0], p["n"])),
    "exact": lambda s, p: p["a"] * math.fsum(window(s[0], p["n"])),
    "total": lambda s, p: math.fsum(s[0]),
    "average": lambda s, p: average(s[0], p["n"], p["a"]),
    "seeded": lambda s, p: seeded(s[0], p["a"]),
    "wilder": lambda s, p: wilder(s[0], p["n"]),
    "weighted": lambda s, p: (
        math.fsum((i + 1) * x for i, x in enumerate(window(s[0], p["n"]))) * 2 / (p["n"] * (p["n"] + 1))
    ),
    "highest": lambda s, p: highest(s[0], p["n"]),
    "lowest": lambda s, p: lowest(s[0], p["n"]),
    "variance": lambda s, p: statistics.pvariance(window(s[0], p["n"])),
    "covariance": lambda s, p: covariance(s[0], s[1], p["n"]),
    "regression": lambda s, p: regression(s[0], p["n"]),
    "deviation": lambda s, p: deviation(s[0], p["n"]),
    "parabolic": lambda s, p: parabolic(s[0], s[1], p["a"], p["b"]),
    "supertrend": lambda s, p: supertrend(*s, p["a"]),
    "index": lambda s, p: index(s[0], s[1], p["m"], p["a"]),
    "candle": lambda s, p: candle(*s),
    "rank": lambda s, p: p["a"] * sum(x < s[0][-1] for x in s[0][-p["n"] - 1 : -1]),
    "percentile": lambda s, p: sorted(window(s[0], p["n"]))[p["m"] - 1],
    "pressure": lambda s, p: pressure(*s),
    "tick": lambda s, p: tick(s[0]),
    "hilbert": lambda s, p: hilbert(s[0]),
    "phase": lambda s, p: phase(s[0], s[1]),
    "trend_line": lambda s, p: trend_line(s[0], s[1]),
    "trend_mode": lambda s, p: trend_mode(*s),
    "mesa": lambda s, p: mesa(*s, p["a"], p["b"]),
    "balance": lambda s, p: balance(s[0], s[1]),
    "trend": lambda s, p: trend(s[0], s[1]),
}
"""Of the whole past of each source, from the first row on which all are defined."""

# These read one row more than those on which they are defined.
_EARLIER = {"parabolic", "pressure"}


class NaiveProgram:
    """The same nodes; `update` gives the outputs after one row more, None where they are not defined."""

    def __init__(self, inputs: int, nodes: Sequence[tuple[Any, ...]], outputs: Sequence[tuple[int, int]]) -> None:
        self.inputs, self.nodes, self.outputs = inputs, nodes, outputs
        self.columns: list[list[float]] = [[] for _ in range(inputs + sum(len(node[2]) for node in nodes))]

    def update(self, *row: float) -> list[float | None]:
        for column, value in zip(self.columns, row, strict=False):
            column.append(value)
        now = len(self.columns[0]) - 1
        for node in self.nodes:
            self._node(now, *node)
        out: list[float | None] = []
        for column, start in self.outputs:
            value = self.columns[column][now]
            out.append(value if now >= start and math.isfinite(value) else None)
        return out

    def _node(self, now: int, operation: str, sources: Any, wrote: Any, start: int, _: Any, *numbers: Any) -> None:
        parameters = dict(zip("nmabc", numbers, strict=True))
        made: float | tuple[float, ...] = (0.0,) * len(wrote)
        enough = now - start + 1 >= (parameters["n"] if operation not in ("wilder", "rank") else 1)
        if now >= start and operation in POINTS:
            made = POINTS[operation]([self.columns[column][now - lag] for column, lag in sources], parameters)
        elif now >= start and enough:
            first = start - (operation in _EARLIER)
            past = [self.columns[column][first - lag : now - lag + 1] for column, lag in sources]
            if operation == "trend_line":
                past[0] = self.columns[sources[0][0]][: now + 1]
            if operation == "adaptive":
                column, lag = sources[0]
                made = adaptive(*past, self.columns[column][start - 1 - lag])
            else:
                made = WINDOWS[operation](past, parameters)
        for column, value in zip(wrote, made if isinstance(made, tuple) else (made,), strict=True):
            self.columns[column].append(value)
