"""Prices of Yahoo as they were before they were kept in 32 bits, and when its bars begin and end."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta, tzinfo

import msgspec

from nautilus.adapters.sources.times import from_ns, to_ns
from nautilus.model.datasets import BarFact

SECOND_NS = 1_000_000_000
INTERVALS = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "1d": 0, "1w": 0, "1mo": 0}
"""Seconds of an interval; 0: days of the exchange's calendar."""


def rounded(value: float, decimals: int) -> float:
    """A price as it was before Yahoo kept it in 32 bits: 166.69 of 166.69000244140625.

    To `decimals`, its price hint, where that is the same in 32 bits; else to as few digits as are the same.
    """
    kept = struct.unpack("f", struct.pack("f", value))[0] if abs(value) < 3e38 else None
    if kept != value:
        return value
    for near in (round(value, decimals), float(f"{value:.7g}"), float(f"{value:.8g}"), float(f"{value:.9g}")):
        if struct.unpack("f", struct.pack("f", near))[0] == value:
            return near
    return value


def span_of(seconds: int, interval: str, where: tzinfo) -> tuple[int, int]:
    """A bar's beginning and end; of days, weeks and months: as the exchange's calendar has them."""
    length = INTERVALS[interval]
    begin_ns = seconds * SECOND_NS
    if length:
        return begin_ns, begin_ns + length * SECOND_NS
    first = from_ns(begin_ns, where).date()
    if interval == "1mo":
        first = first.replace(day=1)
        last = (first + timedelta(days=32)).replace(day=1)
    else:
        last = first + timedelta(days=1 if interval == "1d" else 7)
    return midnight_ns(first, where), midnight_ns(last, where)


def joined(bars: Iterable[BarFact]) -> Iterator[BarFact]:
    """Bars of which none begins within another one.

    While a market is open, Yahoo adds today as a row of its own behind the week or month that it belongs to, without
    which that row is told: the two are one bar, whose volume is that of both. Behind a day it tells the day again.
    """
    last: BarFact | None = None
    for bar in bars:
        if last is None or not last.begin_ns <= bar.begin_ns < last.end_ns:
            if last is not None:
                yield last
            last = bar
            continue
        if bar.interval in ("1w", "1mo"):
            volumes = [volume for volume in (last.volume, bar.volume) if volume is not None]
            bar = msgspec.structs.replace(
                bar,
                begin_ns=last.begin_ns,
                end_ns=last.end_ns,
                open=last.open,
                high=max(last.high, bar.high),
                low=min(last.low, bar.low),
                volume=sum(volumes) if volumes else None,
            )
        last = bar
    if last is not None:
        yield last


def midnight_ns(day: date, where: tzinfo) -> int:
    return to_ns(datetime(day.year, day.month, day.day, tzinfo=where))
