"""Streams that the hub derives from what it publishes: bars, order flow, best bid and ask, the side of a trade.

All is a function of the records and of their order alone: the same in lock-step and live, at every speed. Times are
receive stamps. A time bar is given with the first record of any instrument behind its end, or before it, by whoever
knows that time has come so far; either way it is stamped with its end. A bar that may lack trades has `GAP_FLAG`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from nautilus.core.bars import BarBuilder
from nautilus.core.book_set import BookSet
from nautilus.core.flow import FlowBuilder
from nautilus.core.ticks import BAR, GAP_FLAG, BarKind
from nautilus.model.enums import RecordFlag, Side
from nautilus.model.errors import ConfigError
from nautilus.model.marketdata import INFERRED_FLAG
from nautilus.model.records import Records
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES, topic_of

Aggressor = Literal["", "tick", "quote", "lee-ready"]
EVERY = "*"
MOST_QUOTES = 1 << 14
"""That are kept of an instrument until it trades."""
UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9, "d": 86_400 * 10**9}
SYNTHETIC = int(RecordFlag.SYNTHETIC)
STALE = int(RecordFlag.STALE)
BUY, SELL = int(Side.BUY), int(Side.SELL)
_NO_BARS: Records = np.zeros(0, BAR)
_RULE = re.compile(r"(?P<kind>[a-z]+):(?P<size>\d{1,15})(?P<unit>[a-z]*)")
_BARS = "time:1s, tick:100, volume:1000, dollar:1000000 or imbalance:100"
_FLOW = "time:1s, updates:100, or empty"


def bar_rule(text: str) -> tuple[BarKind, int]:
    """The rule of a bar: ``time:1s``; or ``tick``, ``volume``, ``dollar``, ``imbalance`` with a number.

    Raises
    ------
    ConfigError
        It is none of these.
    """
    kind, size, unit = _parsed(text, "marketdata.bars", _BARS)
    if kind.upper() not in BarKind.__members__ or bool(unit) != (kind == "time"):
        raise ConfigError(f"bars {text!r}", where="marketdata.bars", expected=_BARS)
    return BarKind[kind.upper()], size


def flow_rule(text: str) -> dict[str, int]:
    """The interval of order flow: ``time:1s`` or ``updates:N``. ConfigError where it is neither."""
    kind, size, unit = _parsed(text, "marketdata.flow", _FLOW)
    if kind not in ("time", "updates") or bool(unit) != (kind == "time"):
        raise ConfigError(f"flow {text!r}", where="marketdata.flow", expected=_FLOW)
    return {"interval_ns" if kind == "time" else "updates": size}


def _parsed(text: str, where: str, expected: str) -> tuple[str, int, str]:
    found = _RULE.fullmatch(text)
    if found is None or (found["unit"] and found["unit"] not in UNITS_NS) or not int(found["size"]):
        raise ConfigError(f"{text!r}", where=where, expected=expected)
    return found["kind"], int(found["size"]) * UNITS_NS.get(found["unit"], 1), found["unit"]


class Derived:
    """What a hub derives.

    Parameters
    ----------
    bars, flow, flow_levels, bbo, aggressor, delay_ns
        See `MarketDataConfig`.
    symbols
        Instrument ids by symbol.
    in_order
        Records of all kinds come in order of time; False: only trades do among themselves.
    """

    def __init__(
        self,
        bars: Iterable[str],
        flow: str,
        flow_levels: int,
        bbo: Sequence[str],
        aggressor: Aggressor,
        delay_ns: int,
        symbols: Mapping[str, int],
        *,
        in_order: bool = True,
    ) -> None:
        self._bars = [BarBuilder(*bar_rule(text), venue_clock=False) for text in bars]
        self._timed = [builder for builder in self._bars if builder.kind == BarKind.TIME]
        self._in_order = in_order
        self._followed: set[int] = set()  # instruments of which no trade was missed since the last one
        self._traded_ns = 0
        self.due_ns = 0
        """When the next time bar ends; 0: none is open."""
        self._flow = FlowBuilder(**flow_rule(flow), levels=flow_levels) if flow else None
        unknown = [symbol for symbol in bbo if symbol != EVERY and symbol not in symbols]
        if unknown:
            raise ConfigError(f"no instrument {unknown[0]!r}", where="marketdata.bbo", expected=", ".join(symbols))
        self._bbo = set(symbols.values()) if EVERY in bbo else {symbols[symbol] for symbol in bbo}
        self._books = BookSet(snapshots=False, numbered=False) if self._bbo else None
        by_books = self._flow is not None and flow_levels > 1
        self._flow_books = BookSet(snapshots=False, numbered=False) if by_books else None
        self._sides = Sides(aggressor, delay_ns) if aggressor else None

    def __bool__(self) -> bool:
        return bool(self._bars or self._flow is not None or self._bbo or self._sides is not None)

    def take(self, parts: Sequence[Records]) -> tuple[list[Records], list[Records]]:
        """Take records in their order.

        Returns
        -------
        all : the same, with sides of trades where they lacked; before each the bars that end by then, behind it what
            derives of it.
        made : what derives of them alone.
        """
        ordered: list[Records] = []
        made: list[Records] = []
        for part in parts:
            kind, before = topic_of(part), len(made)
            if self.due_ns and len(part) and (self._in_order or kind is TRADES):
                self._add(made, self.advance(int(part["now_ns"][0])))
            after = len(made)
            if kind is QUOTES:
                self._quoted(part, made)
            elif kind is TRADES:
                if self._sides is not None:
                    part = self._sides.trades(part)
                trades = np.ascontiguousarray(part)
                for some, behind in self._pieces(trades) if self._bars else ():
                    for builder in self._bars:
                        bars = _stamped(builder.process(some))
                        bars["flags"][bars["instrument_id"] == behind] |= GAP_FLAG
                        self._add(made, bars)
                if self._timed and len(trades):
                    self._traded_ns = int(trades["now_ns"][-1])
                    due_ns = self._end_of(int(trades["now_ns"][0]))
                    self.due_ns = min(self.due_ns or due_ns, due_ns)
            elif kind is BOOK_DELTAS:
                deltas = np.ascontiguousarray(part)
                if self._flow_books is not None and self._flow is not None:
                    self._add(made, self._flow.process_books(self._flow_books, deltas))
                if self._books is not None:
                    self._best(self._books, deltas, made)
            if self._bars and kind in (QUOTES, BOOK_DELTAS) and (stale := part["flags"] & STALE).any():
                self._followed.difference_update(part["instrument_id"][stale != 0].tolist())
            ordered += [*made[before:after], part, *made[after:]]
        return ordered, made

    def _pieces(self, trades: Records) -> Iterator[tuple[Records, int]]:
        """Trades in parts: one before which some are missing stands alone, flagged, with its instrument (else -1).

        So bars that it ends or begins are known to lack some.
        """
        ids, begin = trades["instrument_id"].tolist(), 0
        broken = (trades["flags"] & (STALE | GAP_FLAG)) != 0
        if self._followed.issuperset(ids) and not broken.any():
            yield trades, -1
            return
        for place, (number, is_broken) in enumerate(zip(ids, broken.tolist(), strict=True)):
            if number in self._followed and not is_broken:
                continue
            self._followed.add(number)
            if place > begin:
                yield trades[begin:place], -1
            begin, one = place + 1, trades[place : place + 1].copy()
            one["flags"] |= GAP_FLAG
            yield one, number
        if begin < len(trades):
            yield trades[begin:], -1

    def advance(self, now_ns: int) -> Records:
        """The time bars that have ended by this time, in order of their ends: nothing older comes any more."""
        if not self.due_ns or now_ns < self.due_ns:
            return _NO_BARS
        bars = np.concatenate([_stamped(builder.advance(now_ns)) for builder in self._timed])
        whole = np.isin(bars["instrument_id"], list(self._followed))
        bars["flags"][~whole] |= GAP_FLAG
        due_ns = self._end_of(self._traded_ns, now_ns)
        self.due_ns = due_ns if due_ns > now_ns else 0
        ordered: Records = bars[np.argsort(bars["end_ns"], kind="stable")]
        return ordered

    def _end_of(self, stamp_ns: int, after_ns: int = 0) -> int:
        """The first end of an interval of any rule that holds a stamp, of those behind a time; 0: none is."""
        ends = [stamp_ns - stamp_ns % builder.size + builder.size for builder in self._timed]
        return min((end for end in ends if end > after_ns), default=0)

    def _quoted(self, quotes: Records, made: list[Records]) -> None:
        if self._sides is not None:
            self._sides.quotes(quotes)
        if self._flow is not None and self._flow_books is None:
            self._add(made, self._flow.process(np.ascontiguousarray(quotes)))

    def _best(self, books: BookSet, deltas: Records, made: list[Records]) -> None:
        """Quotes of the best after each change of these instruments' books."""
        wanted = np.isin(deltas["instrument_id"], list(self._bbo))
        quotes = books.apply_best(deltas if wanted.all() else np.ascontiguousarray(deltas[wanted]))
        if len(quotes):
            quotes["flags"] |= SYNTHETIC
            made.append(quotes)
            self._quoted(quotes, made)

    @staticmethod
    def _add(made: list[Records], records: Records) -> None:
        if len(records):
            made.append(records)


def _stamped(bars: Records) -> Records:
    """Bars; those of time are stamped with their ends, however it was found that they had ended."""
    timed = bars["kind"] == BarKind.TIME
    bars["now_ns"][timed] = bars["end_ns"][timed]
    return bars


class Sides:
    """The aggressor's side of trades where the venue does not tell it: such a trade has `INFERRED_FLAG`.

    ``tick``: above the last other price bought, below it sold. ``quote``: above the middle of the quote bought,
    below it sold. ``lee-ready``: by the quote, at its middle by the tick (Lee, Ready, "Inferring trade direction
    from intraday data", 1991). What neither tells stays 0.

    Parameters
    ----------
    rule
        One of these.
    delay_ns
        The quote is that which stood so long before the trade: where quotes come by another way than trades, that of
        the trade's stamp may show already what the trade did. Lee and Ready took 5 s.
    """

    def __init__(self, rule: Aggressor, delay_ns: int = 0) -> None:
        self._by_quote = rule in ("quote", "lee-ready")
        self._by_tick = rule in ("tick", "lee-ready")
        self._delay_ns = delay_ns
        self._middles: dict[int, int] = {}  # twice the middle; none where a side is empty
        self._later: dict[int, deque[tuple[int, int | None]]] = {}
        self._last: dict[int, tuple[int, int]] = {}  # price, side of the last change

    def quotes(self, quotes: Records) -> None:
        """Quotes in their order."""
        if not self._by_quote:
            return
        names = ("now_ns", "instrument_id", "bid_ticks", "bid_quantity", "ask_ticks", "ask_quantity")
        rows = zip(*(quotes[name].tolist() for name in names), strict=True)
        for now_ns, instrument_id, bid, bid_lots, ask, ask_lots in rows:
            middle = bid + ask if bid_lots and ask_lots else None
            later = self._later.setdefault(instrument_id, deque())
            later.append((now_ns, middle))
            if len(later) > MOST_QUOTES:  # nothing trades there
                self._middle(instrument_id, later[0][0])

    def trades(self, trades: Records) -> Records:
        """The trades, each with a side where one can be told."""
        told = trades
        names = ("now_ns", "instrument_id", "price_ticks", "side")
        rows = zip(*(trades[name].tolist() for name in names), strict=True)
        for place, (now_ns, instrument_id, price, side) in enumerate(rows):
            last_price, last_side = self._last.get(instrument_id, (price, 0))
            tick = last_side if price == last_price else BUY if price > last_price else SELL
            self._last[instrument_id] = price, tick
            if side:
                continue
            found = 0
            middle = self._middle(instrument_id, now_ns - self._delay_ns) if self._by_quote else None
            if middle is not None and 2 * price != middle:
                found = BUY if 2 * price > middle else SELL
            elif self._by_tick:
                found = tick
            if found:
                if told is trades:
                    told = trades.copy()
                told["side"][place] = found
                told["flags"][place] |= INFERRED_FLAG
        return told

    def _middle(self, instrument_id: int, upto_ns: int) -> int | None:
        """Twice the middle of the last quote up to that time."""
        later = self._later.get(instrument_id)
        while later and later[0][0] <= upto_ns:
            _, middle = later.popleft()
            if middle is None:
                self._middles.pop(instrument_id, None)
            else:
                self._middles[instrument_id] = middle
        return self._middles.get(instrument_id)


__all__ = ["Derived", "Sides", "bar_rule", "flow_rule"]
