"""VPIN of one instrument's trades at once, in plain NumPy: what `nautilus.core.vpin` streams, to the bit.

Easley, Lopez de Prado, O'Hara, "Flow toxicity and liquidity in a high-frequency world", 2012: the lots of all trades
lie in a row, every `bucket_lots` of them are a bucket, and VPIN = sum |2 B - V| / sum V over the last `window` buckets,
B being what of the volume V was bought.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths.bounds import MOST_WHOLE, shaped, whole_numbers, within
from nautilus.maths.bulk import bought_shares, time_bars, volume_bars
from nautilus.maths.errors import Undefined, check_times, same_length

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


MOST_BUCKETS = 1_000_000
"""A percentile looks at all of its history, bucket by bucket: with more that takes too long."""


class Buckets(NamedTuple):
    """Completed buckets of one instrument, each row one bucket, the oldest first.

    Attributes
    ----------
    begin_ns, now_ns
        Stamps of the first trade in it and of the record that completed it.
    volume, buy_volume
        Lots.
    close_ticks
        The last price in it.
    vpin, percentile, pace
        One value less than buckets for each of the window but the last: they are those after bucket `window` - 1 and
        the ones behind it. VPIN, the share of the last `history` values at most this one, and that of the last windows
        that took longer, this one counted among them.
    """

    begin_ns: Integers
    now_ns: Integers
    volume: Integers
    buy_volume: Integers
    close_ticks: Integers
    vpin: Floats
    percentile: Floats
    pace: Floats


def vpin_of_trades(
    now_ns: ArrayLike,
    price_ticks: ArrayLike,
    lots: ArrayLike,
    sides: ArrayLike | None = None,
    *,
    bucket_lots: int,
    window: int = 50,
    history: int = 1000,
    bar_ns: int = 0,
    bar_lots: int = 0,
    decay: float = 0.95,
    degrees: float = 0.0,
) -> Buckets:
    """Buckets of trades with their VPIN.

    Parameters
    ----------
    now_ns, price_ticks, lots
        Whole numbers, by trade; stamps never descend, trades of no lots are left out.
    sides
        Of the aggressor: 1 bought, 2 sold, 0 not known (the tick test decides). None: none is known.
    bucket_lots, window, history
        Lots of a bucket, buckets of a VPIN, values of a percentile.
    bar_ns, bar_lots
        Either above 0: what was bought is estimated over bars of so many nanoseconds or lots
        (`nautilus.maths.bulk.bought_shares`, with `decay` and `degrees`), and the sides are not looked at. An open bar
        is left out.

    Raises
    ------
    Undefined
        ``empty``, ``zero_volume``, ``unsorted``, ``mismatch``, ``not_finite``, ``out_of_range`` (a setting, what is not
        whole, more than 2^53 lots or `MOST_BUCKETS`); ``too_few``: not one window is full.
    """
    now, ticks = whole_numbers(now_ns, "stamps"), whole_numbers(price_ticks, "prices in ticks")
    count = whole_numbers(lots, "lots", least=0)
    side = np.zeros(len(now), np.int64) if sides is None else whole_numbers(sides, "sides", least=0, most=2)
    same_length("stamps, prices, lots and sides", map(len, (now, ticks, count, side)))
    if min(bucket_lots, window, history) < 1 or min(bar_ns, bar_lots) < 0 or (bar_ns and bar_lots):
        raise Undefined("out_of_range", "a setting below one", "bucket_lots, window and history of 1 or more, one bar")
    if not len(now):
        raise Undefined("empty", "no trades", "at least one")
    check_times(now, "stamps", equal=True)
    # A sum of floats does not wrap as one of whole numbers would.
    total = float(count.sum(dtype=np.float64))
    if total > MOST_WHOLE or total / bucket_lots > MOST_BUCKETS:
        raise Undefined(
            "out_of_range",
            f"{total:.6g} lots, {total / bucket_lots:.6g} buckets",
            f"at most {MOST_WHOLE} lots in {MOST_BUCKETS} buckets",
        )
    kept = count > 0
    now, ticks, count, side = now[kept], ticks[kept], count[kept], side[kept]
    if not len(now):
        raise Undefined("zero_volume", "no trade has lots", "trades with lots")
    if bar_ns or bar_lots:
        bars = time_bars(now, ticks, count, bar_ns) if bar_ns else volume_bars(now, ticks, count, bar_lots)
        begin, now, ticks, count = bars
        shares = bought_shares(np.diff(ticks).astype(np.float64), decay=decay, degrees=degrees)[: len(now)]
    else:
        begin, shares = now, (signs(ticks, side) > 0).astype(np.float64)
    return _measured(begin, now, ticks, count, shares, bucket_lots, window, history)


def signs(price_ticks: Integers, sides: Integers) -> Integers:
    """Who traded: 1 a buyer, -1 a seller; by the side, else by the tick test (no change: as before; at first 1).

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``, ``out_of_range``: not whole numbers, or a side beyond 2.
    """
    price_ticks = whole_numbers(price_ticks, "prices in ticks")
    sides = whole_numbers(sides, "sides", price_ticks.shape, 0, 2)
    up = np.sign(np.diff(price_ticks, prepend=price_ticks[:1]))
    known = np.where(sides == 1, 1, np.where(sides == 2, -1, up))
    last = np.maximum.accumulate(np.where(known != 0, np.arange(len(known)), -1))
    return np.where(last >= 0, known[last], 1)


def _measured(
    begin_ns: Integers,
    now_ns: Integers,
    ticks: Integers,
    lots: Integers,
    shares: Floats,
    bucket_lots: int,
    window: int,
    history: int,
) -> Buckets:
    total = np.cumsum(lots)
    buckets = int(total[-1]) // bucket_lots if len(total) else 0
    if buckets < window:
        raise Undefined(
            "too_few", f"{buckets} whole buckets of {bucket_lots} lots", f"at least the {window} of a window"
        )
    borders = bucket_lots * np.arange(buckets + 1, dtype=np.int64)
    last = np.searchsorted(total, borders[1:])
    first = np.searchsorted(total, borders[:-1], side="right")
    bought = np.floor(shares * lots + 0.5).astype(np.int64)
    before = np.concatenate([[0], np.cumsum(bought)])
    part = np.floor(shares[last] * (borders[1:] - (total[last] - lots[last])) + 0.5).astype(np.int64)
    buy_volume = np.diff(before[last] + part, prepend=0)
    volume = np.full(buckets, bucket_lots, np.int64)
    imbalance = np.concatenate([[0], np.cumsum(np.abs(2 * buy_volume - volume))])
    vpin = (imbalance[window:] - imbalance[:-window]) / float(window * bucket_lots)
    ends, begins = now_ns[last], begin_ns[first]
    spans = ends[window - 1 :] - begins[: buckets - window + 1]
    return Buckets(
        begins,
        ends,
        volume,
        buy_volume,
        ticks[last],
        vpin,
        percentiles(vpin, history),
        paces(spans, history),
    )


def percentiles(values: Floats, history: int) -> Floats:
    """Each value's share of the last `history` values (itself among them) that are at most it.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``; ``out_of_range``: a history of none.
    """
    within(history, "history", 1)
    values = shaped(values, "values", (None,))
    out = np.empty(len(values))
    for place, value in enumerate(values.tolist()):
        recent = values[max(0, place + 1 - history) : place + 1]
        out[place] = float(np.count_nonzero(recent <= value)) / float(len(recent))
    return out


def paces(spans: Integers, history: int) -> Floats:
    """Of each span the share of the last `history` ones that are longer, itself counted among them.

    Raises
    ------
    Undefined
        See `percentiles`.
    """
    within(history, "history", 1)
    spans = whole_numbers(spans, "spans")
    out = np.empty(len(spans))
    for place, span in enumerate(spans.tolist()):
        recent = spans[max(0, place + 1 - history) : place + 1]
        out[place] = float(1 + np.count_nonzero(recent > span)) / float(len(recent))
    return out


__all__ = ["Buckets", "paces", "percentiles", "signs", "vpin_of_trades"]
