"""Live books, quotes and trades of Binance, spot and USD-M futures, without a key.

::

    async with BinanceFeed(config, ["BTCUSDT", "ETHUSDT"], clock) as feed:
        for symbol, hint in feed.hints.items(): ...          # tick size, lot size, currencies, as traded now
        async for update in feed: ...                        # FeedUpdate, in the order received
        feed.summary()

The messages of the sockets go through the same decoder and the same rules as a recorded log (`BinanceLines`), and the
updates are those that a log gives: QUOTE, TRADE and BOOK_DELTA records, a snapshot with SNAPSHOT on every record, the
last record of a change with LAST. Two kinds more tell when they are not to be trusted:

- BLIND: a book went lost (a gap in its update ids, its connection, ...) or is not there yet. `records` clear both of
  its sides, so that who applies every change holds no wrong book. Its `interruption` says why and since when.
- SIGHTED: it is right again; the snapshot and the changes since have just been given. `interruption` says how long it
  was blind, which is also counted.

A connection without books, as that with the trades of the futures market is, has two of its own, without records:
SILENT, also at the begin, and RESUMED. The first trade after missing ones has `GAP_FLAG`. FAILED tells that the
instrument is not what it was taken for: its book stays BLIND, the others go on.
A feed is never ended by the venue: it connects again with growing waits. `clock` gives the nanoseconds UTC that
everything is stamped with.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from enum import IntEnum
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import msgspec
import numpy as np

from nautilus.adapters.formats.binance_lines import BinanceLines
from nautilus.adapters.formats.checks import BookCheck
from nautilus.adapters.formats.recording import FormatError, InstrumentHint, Records
from nautilus.adapters.sources.binance_config import BinanceConfig, Route
from nautilus.adapters.sources.binance_link import Backoff, Inbox, Item, ItemKind, Link
from nautilus.adapters.sources.binance_rest import BinanceRest, not_traded
from nautilus.adapters.sources.errors import ChangedError, NotFoundError, SourceError
from nautilus.core.clock import now_ns as clock_ns
from nautilus.core.depth import DepthBook
from nautilus.core.quotas import Quotas
from nautilus.core.ticks import GAP_FLAG
from nautilus.core.types import BOOK_DELTA, BookAction, RecordFlag, Side
from nautilus.model.errors import ConfigError

__all__ = [
    "BinanceConfig",
    "BinanceFeed",
    "FeedKind",
    "FeedUpdate",
    "Interruption",
    "Route",
]

KEPT = 1000  # interruptions
NOTES = 20
REFUSED_SNAPSHOTS = 3  # in a row, after which the instrument is not what we take it for
CHECK_EVERY = 512  # lines
CALM_NS = 60_000_000_000  # a book that stood so long is begun anew without a wait
NOTHING = np.zeros(0, BOOK_DELTA)


class FeedKind(IntEnum):
    """What `FeedUpdate.records` holds; the first three are those of `UpdateKind`, the others are of feeds alone."""

    QUOTE = 1
    TRADE = 2
    BOOK = 3
    BLIND = 4
    SIGHTED = 5
    FAILED = 6
    SILENT = 8
    RESUMED = 9


class Interruption(msgspec.Struct):
    """A time in which a book (or only the trades, where `streams` says so) of a symbol was not to be had.

    Attributes
    ----------
    reason : ``start``, ``gap``, ``closed``, ``stalled``, ``malformed``, ``refused`` or ``doubted``.
    detail : what was found.
    since_ns, until_ns : the last stamp at which it was right, and that at which it was so again; 0 while it lasts.
    """

    symbol: str
    streams: tuple[str, ...]
    reason: str
    detail: str
    since_ns: int
    until_ns: int = 0

    @property
    def blind_ns(self) -> int:
        """How long it lasted; 0 while it lasts."""
        return self.until_ns - self.since_ns if self.until_ns else 0


class FeedUpdate(NamedTuple):
    """One thing that the venue said, or that the feed has to say about it."""

    now_ns: int
    kind: int
    records: Records
    symbol: str
    interruption: Interruption | None = None


class _Symbol:
    """What the feed keeps of a symbol."""

    def __init__(self, hint: InstrumentHint, instrument_id: int, backoff: Backoff) -> None:
        self.hint = hint
        self.instrument_id = instrument_id
        self.lines = BinanceLines(hint, instrument_id, hint.symbol, resync=True, check_every=CHECK_EVERY)
        self.backoff = backoff
        self.wanted = asyncio.Event()  # a snapshot
        self.asked = False
        self.refused = 0
        self.failed = False
        self.halted = False  # when the feed was opened, and not heard of since
        self.doubts = 0  # in a row
        self.doubted_ns = 0
        self.open: dict[tuple[str, ...], Interruption] = {}  # by streams
        self.last_quote = 0
        self.last_trade = 0

    def cleared(self, now_ns: int) -> Records:
        """Records that empty the book."""
        records = np.zeros(2, BOOK_DELTA)
        records["now_ns"] = now_ns
        records["update_id"] = self.lines.sync.last_id
        records["instrument_id"] = self.instrument_id
        records["side"] = (Side.BUY, Side.SELL)
        records["action"] = BookAction.CLEAR
        records["flags"] = RecordFlag.SNAPSHOT
        records["flags"][-1] |= RecordFlag.LAST
        return records


class BinanceFeed:
    """Books, quotes and trades of some symbols of one market. Belongs to one event loop.

    Parameters
    ----------
    config
        See `BinanceConfig`.
    symbols
        As the venue writes them: ``BTCUSDT``.
    clock
        Nanoseconds UTC.
    instrument_ids
        By symbol, written into the records; left out: 1, 2, ... in the order of `symbols`.
    quotas
        Where the weight of requests is counted for all processes (`open_quotas`); left out: in this one alone.
    steps
        By symbol, price increment and lot size that records are to be counted in; left out: those of now. A symbol
        that the venue trades in others, or lists no longer, is refused: FAILED and BLIND, for as long as the feed is
        open. One that is halted is FAILED and BLIND until the venue says something of it.
    minutes
        Clock of the venue's minutes, in which requests are counted.

    Attributes
    ----------
    hints : instruments by symbol, known once the feed is open; without those that are refused.
    interruptions : the last thousand, in the order in which they began.
    blind_ns : how long books were blind, by symbol, in interruptions that are over.

    Raises
    ------
    ConfigError
        No symbol, one twice, or settings that do not fit them.
    SourceError
        On opening: the venue cannot be asked, lists none of them, or all in other steps, or does not trade a symbol of
        which no `steps` are given (each such is named).
    FormatError
        While iterating: no symbol's snapshots can be read, several times in a row.
    """

    def __init__(
        self,
        config: BinanceConfig,
        symbols: Sequence[str],
        clock: Callable[[], int],
        *,
        instrument_ids: Mapping[str, int] | None = None,
        quotas: Quotas | None = None,
        steps: Mapping[str, tuple[str, str]] | None = None,
        minutes: Callable[[], int] = clock_ns,
    ) -> None:
        if not symbols or len(set(symbols)) != len(symbols):
            raise ConfigError(f"symbols are {list(symbols)}", where="binance", expected="one or more, each once")
        self.config = config.concluded(len(symbols))
        self.hints: dict[str, InstrumentHint] = {}
        self.interruptions: deque[Interruption] = deque(maxlen=KEPT)
        self.reasons: Counter[str] = Counter()
        self.blind_ns: Counter[str] = Counter()
        self.notes: deque[str] = deque(maxlen=NOTES)
        self.malformed = 0
        self.other_messages = 0
        self.repeated = 0
        self.missed_trades = 0
        self._names = list(symbols)
        self._ids = dict(instrument_ids or {name: place for place, name in enumerate(symbols, 1)})
        self._steps = dict(steps or {})
        self._turn = 0  # how often connections with books were opened or lost
        self._sees = False  # one stands
        self._clock = clock
        self._quotas = quotas
        self._minutes = minutes
        self._symbols: dict[str, _Symbol] = {}
        self._by_stream: dict[bytes, _Symbol] = {}
        self._ready: deque[FeedUpdate] = deque()
        self._out: list[FeedUpdate] = []
        self._links: list[Link] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        # One connection a host for requests; the sockets are counted apart.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit_per_host=len(self.config.routes) + 2)
        )
        try:
            self.rest = BinanceRest(self.config, self._session, self._quotas, self._minutes)
            where = f"{self.config.rest_url}/exchangeInfo"
            self.hints, untraded = await self.rest.listing(self._names)
            halted = untraded.keys() & self.hints.keys() & self._steps.keys()
            gone = {name: text for name, text in untraded.items() if name not in halted}
            unknown = {
                name: text for name, text in gone.items() if name not in self._steps or len(gone) == len(self._names)
            }
            if unknown:
                raise not_traded(unknown.values(), where)
            refused = gone | {name: text for name, hint in self.hints.items() if (text := self._refusal(hint))}
            if len(refused) == len(self._names):
                expected = "the steps that the platform was set up with"
                raise ChangedError("; ".join(refused.values()), where=where, expected=expected, source="binance")
        except BaseException:
            await self._session.close()
            raise
        self._inbox = Inbox(self.config.most_waiting)
        for name, text in (untraded | refused).items():
            if name in refused:
                self.hints.pop(name, None)
                self._names.remove(name)
            self.notes.append(text)
            interruption = Interruption(name, (), "refused", text, self._clock())
            self._ready.append(FeedUpdate(interruption.since_ns, FeedKind.FAILED, NOTHING, name, interruption))
        for name in self._names:
            backoff = Backoff(self.config.backoff_seconds, self.config.longest_backoff_seconds)
            state = _Symbol(self.hints[name], self._ids[name], backoff)
            state.halted = state.failed = name in halted
            state.lines.on_turn = self._turning(state)
            self._symbols[name] = self._by_stream[name.lower().encode()] = state
            self._tasks.append(asyncio.create_task(self._fetch_snapshots(state), name=f"binance snapshots {name}"))
        for route in self.config.routes:
            link = Link(route, self._names, self.config, self._session, self._clock, self._inbox)
            self._links.append(link)
            self._tasks.append(asyncio.create_task(link.run(), name=f"binance {route.url}"))
        now_ns = self._clock()
        for state in self._symbols.values():  # the venue may never say anything
            state.lines.lose(now_ns)
            for link in self._links:
                self._interrupt(state, link.route.streams, "start", "", now_ns)
        self._ready.extend(self._out)
        return self

    def _refusal(self, hint: InstrumentHint) -> str:
        """In what an instrument is not counted as it has to be; "": in nothing."""
        wanted = self._steps.get(hint.symbol)
        found = (hint.price_increment, hint.lot_size)
        if wanted is None or tuple(map(Decimal, wanted)) == tuple(map(Decimal, found)):
            return ""
        names = ("price increment", "lot size")
        said = [f"{name} {new} instead of {old}" for name, new, old in zip(names, found, wanted, strict=True)
                if Decimal(new) != Decimal(old)]  # fmt: skip
        return f"{hint.symbol} is traded with {' and '.join(said)}"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; who iterates comes to an end."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()
        self._inbox.wake()

    def __aiter__(self) -> AsyncIterator[FeedUpdate]:
        return self

    async def __anext__(self) -> FeedUpdate:
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            for task in self._tasks:
                if task.done() and not task.cancelled() and task.exception() is not None:
                    task.result()
            self._ready.extend(self._taken(await self._inbox.take()))
        return self._ready.popleft()

    def _taken(self, items: list[Item]) -> list[FeedUpdate]:
        """What items do, in the order of their stamps."""
        self._out = []
        lines: dict[str, list[bytes]] = {}
        for item in items:
            if item.kind == ItemKind.MESSAGE:
                state = self._symbol_of(item.text)
                if state is not None:
                    if state.halted:
                        state.halted = False
                        self._want_quiet(state)
                    lines.setdefault(state.hint.symbol, []).append(item.line)
            elif item.kind == ItemKind.SNAPSHOT:
                if item.turn != self._turn or not self._sees:
                    continue  # asked for before the connection was lost: what came since is not known
                lines.setdefault(item.symbol, []).append(item.line)
                self._symbols[item.symbol].asked = False
            else:
                self._decode(lines)
                if item.kind == ItemKind.REFUSED:
                    self._refuse(self._symbols[item.symbol], item.now_ns, item.text.decode())
                elif item.kind == ItemKind.DOUBTED:
                    self._begin_anew(self._symbols[item.symbol], item.now_ns)
                else:
                    self._turn_link(item)
        self._decode(lines)
        for state in self._symbols.values():
            if state.lines.waiting and not state.asked:
                self._want(state)
        return self._out

    def _symbol_of(self, text: bytes) -> _Symbol | None:
        # {"stream":"btcusdt@trade","data":...
        begin = text.find(b'"stream"', 0, 64)
        begin = text.find(b'"', begin + 8) + 1 if begin >= 0 else 0
        state = self._by_stream.get(text[begin : text.find(b"@", begin)]) if begin else None
        if state is None:
            if text.startswith(b"{") and text.endswith(b"}"):
                self.other_messages += 1
            else:
                self._malformed("a message", text[:60].decode("utf-8", "replace"))
        return state

    def _malformed(self, where: str, what: str) -> None:
        self.malformed += 1
        self.notes.append(f"{where}: {what}")

    def _decode(self, lines: dict[str, list[bytes]]) -> None:
        """Decode what was gathered by symbol, and put it into the order of the stamps."""
        begin = len(self._out)
        for symbol, texts in lines.items():
            state = self._symbols[symbol]
            while texts:
                before = state.lines.decoder.lines
                batch = state.lines.decoder.decode(b"".join(texts))
                try:
                    for now_ns, kind, records in state.lines.updates(batch, batch.lines):
                        if kind != FeedKind.BOOK and self._is_repeated(state, kind, records):
                            continue
                        self._out.append(FeedUpdate(now_ns, kind, records, symbol))
                except FormatError as error:
                    self._malformed(symbol, error.what)
                    state.lines.lose()
                    self._interrupt(state, self._book_streams(), "malformed", error.what, state.lines.last_ns)
                if batch.fault is None:
                    break
                place = batch.fault.line - before - 1
                self._faulty(state, texts[place], batch.fault.what, batch.fault.expected)
                texts = texts[place + 1 :]
            if not state.lines.sync.waiting:
                state.refused, state.failed = 0, False
        if len(lines) > 1:
            self._out[begin:] = sorted(self._out[begin:], key=lambda update: update.now_ns)
        lines.clear()

    def _faulty(self, state: _Symbol, text: bytes, what: str, expected: str) -> None:
        """A message that cannot be read: where it was a diff, the next one shows a gap."""
        self._malformed(state.hint.symbol, what)
        if b'"stream"' not in text:
            state.refused += 1
            asyncio.get_running_loop().call_later(self.config.quiet_seconds, self._want_quiet, state)
            if state.refused >= REFUSED_SNAPSHOTS:
                where = f"{self.config.rest_url}/depth of {state.hint.symbol}"
                if all(each.failed or each is state for each in self._symbols.values()):
                    raise FormatError(what, where=where, expected=expected)
                detail = f"{where}: {what}; expected {expected}"
                self._refuse(state, state.lines.last_ns or self._clock(), detail)

    def _refuse(self, state: _Symbol, now_ns: int, detail: str) -> None:
        """Tell once that no book is to be had; it stays blind, and is asked for all the same, with growing waits."""
        if not state.failed:
            state.failed = True
            symbol = state.hint.symbol
            interruption = Interruption(symbol, self._book_streams(), "refused", detail, now_ns)
            self._out.append(FeedUpdate(now_ns, FeedKind.FAILED, NOTHING, symbol, interruption))

    def doubt(self, symbol: str) -> None:
        """Say that a book cannot be right: it goes BLIND, and a new snapshot is asked for."""
        if symbol in self._symbols:
            self._inbox.put(Item(self._clock(), ItemKind.DOUBTED, b"", symbol=symbol))

    def _begin_anew(self, state: _Symbol, now_ns: int) -> None:
        if state.lines.blind_since_ns:
            return  # lost since
        state.doubts = state.doubts + 1 if now_ns - state.doubted_ns < CALM_NS else 1
        state.doubted_ns = now_ns
        state.lines.lose()
        detail = "who listens found that the book cannot be right"
        self._interrupt(state, self._book_streams(), "doubted", detail, state.lines.blind_since_ns, now_ns)
        asyncio.get_running_loop().call_later(self.config.quiet_seconds, self._want_quiet, state)

    def _is_repeated(self, state: _Symbol, kind: int, records: Records) -> bool:
        """A quote or trade that was given already, as two connections overlap or the venue repeats itself."""
        if kind == FeedKind.QUOTE:
            number = int(records["update_id"][0])
            if number <= state.last_quote:
                self.repeated += 1
                return True
            state.last_quote = number
            return False
        number = int(records["trade_id"][0])
        if number <= state.last_trade:
            self.repeated += 1
            return True
        if state.last_trade and number - state.last_trade > 1:
            self.missed_trades += number - state.last_trade - 1
            records["flags"] |= GAP_FLAG
        state.last_trade = number
        return False

    def _turning(self, state: _Symbol) -> Callable[[int, int], None]:
        """Tell that a book was lost at a gap, or found again."""

        def on_turn(now_ns: int, since_ns: int) -> None:
            if state.lines.blind_since_ns:
                detail = state.lines.notes[-1] if state.lines.notes else "gap in the book's update ids"
                self._interrupt(state, self._book_streams(), "gap", detail, since_ns, now_ns)
            else:
                if now_ns - state.doubted_ns >= CALM_NS:
                    state.backoff.reset()
                self._recovered(state, self._book_streams(), now_ns)

        return on_turn

    def _book_streams(self) -> tuple[str, ...]:
        return next(link.route.streams for link in self._links if link.has_books)

    def _turn_link(self, item: Item) -> None:
        """A connection was opened or lost."""
        link = item.link
        assert link is not None
        streams = link.route.streams
        if link.has_books:
            self._turn += 1
            self._sees = item.kind == ItemKind.OPENED
        for state in self._symbols.values():
            if item.kind == ItemKind.LOST:
                detail = item.text.decode()
                reason = detail.partition(":")[0].partition(" ")[0]
                since_ns = item.since_ns or item.now_ns
                if link.has_books:
                    state.lines.lose(since_ns)
                    state.lines.forget_tickers()
                    state.asked = False
                    state.wanted.clear()
                self._interrupt(state, streams, reason, detail, since_ns, item.now_ns)
            elif link.has_books:
                # A book without changes has to be asked for all the same.
                asyncio.get_running_loop().call_later(self.config.quiet_seconds, self._want_quiet, state)
            else:
                self._recovered(state, streams, item.now_ns)

    def _interrupt(
        self, state: _Symbol, streams: tuple[str, ...], reason: str, detail: str, since_ns: int, now_ns: int = 0
    ) -> None:
        self.reasons[reason] += 1
        if streams in state.open:
            return  # blind already: for the first of the reasons
        interruption = Interruption(state.hint.symbol, streams, reason, detail, since_ns)
        state.open[streams] = interruption
        self.interruptions.append(interruption)
        has_book = streams == self._book_streams()
        records = state.cleared(now_ns or since_ns) if has_book else NOTHING
        kind = FeedKind.BLIND if has_book else FeedKind.SILENT
        self._out.append(FeedUpdate(now_ns or since_ns, kind, records, state.hint.symbol, interruption))

    def _recovered(self, state: _Symbol, streams: tuple[str, ...], now_ns: int) -> None:
        interruption = state.open.pop(streams, None)
        if interruption is None:
            return
        interruption.until_ns = now_ns
        kind = FeedKind.RESUMED
        if streams == self._book_streams():
            kind = FeedKind.SIGHTED
            self.blind_ns[state.hint.symbol] += interruption.blind_ns
        self._out.append(FeedUpdate(now_ns, kind, NOTHING, state.hint.symbol, interruption))

    def _want(self, state: _Symbol) -> None:
        state.asked = True
        state.wanted.set()

    def _want_quiet(self, state: _Symbol) -> None:
        if state.lines.sync.waiting and not state.asked and not state.halted:
            self._want(state)

    async def _fetch_snapshots(self, state: _Symbol) -> None:
        """Ask for a snapshot whenever one is wanted; not in a hurry after one that failed or did not fit."""
        hurry, passed_over = True, 0
        while True:
            await state.wanted.wait()
            if not hurry or state.refused or state.doubts > 1 or state.lines.sync.stale_snapshots > passed_over:
                await state.backoff.wait()
            passed_over = state.lines.sync.stale_snapshots
            state.wanted.clear()
            turn = self._turn
            try:
                body = await self.rest.depth(state.hint.symbol)
            except SourceError as error:
                self.notes.append(str(error))
                if isinstance(error, NotFoundError):  # delisted since the feed was opened
                    text = error.what.encode()
                    self._inbox.put(Item(self._clock(), ItemKind.REFUSED, text, symbol=state.hint.symbol))
                hurry = False
                if turn == self._turn:
                    state.wanted.set()
                continue
            hurry = True
            self._inbox.put(Item(self._clock(), ItemKind.SNAPSHOT, body, symbol=state.hint.symbol, turn=turn))

    def book(self, symbol: str) -> DepthBook:
        """The book of a symbol as of the last message taken; its owner alone changes it."""
        return self._symbols[symbol].lines.book

    def check(self, symbol: str) -> BookCheck:
        """How the book of a symbol compares with the venue's own tickers; brought up to date."""
        lines = self._symbols[symbol].lines
        lines.finish()
        return lines.check

    def summary(self) -> dict[str, Any]:
        """Counters as plain values: of the feed, of each symbol, of each connection, and of the requests."""
        symbols = {}
        for name, state in self._symbols.items():
            state.lines.finish()
            symbols[name] = {
                "records": dict(state.lines.counts),
                "skipped": state.lines.skipped(),
                "gaps": state.lines.gaps,
                "lost": state.lines.lost,
                "diffs_applied": state.lines.diffs_applied,
                "diffs_dropped": state.lines.diffs_dropped,
                "blind": bool(state.lines.blind_since_ns),
                "blind_ns": self.blind_ns[name],
                "book_checks": state.lines.check.summary(),
            }
        rest = self.rest
        return {
            "market": self.config.market,
            "symbols": symbols,
            "interruptions": dict(self.reasons),
            "malformed": self.malformed + sum(link.binary for link in self._links),
            "other_messages": self.other_messages,
            "repeated": self.repeated,
            "missed_trades": self.missed_trades,
            "reader_waits": self._inbox.waits,
            "notes": list(self.notes),
            "connections": [
                {
                    "url": link.route.url,
                    "connected": link.connected,
                    "opened": link.opened,
                    "failed": link.failed,
                    "renewed": link.renewed,
                    "pings": link.pings,
                    "last_error": link.last_error,
                }
                for link in self._links
            ],
            "requests": {
                "sent": rest.requests,
                "refused": rest.refused,
                "failed": rest.failed,
                "used_weight": rest.used_weight,
                "waited_seconds": rest.waited_seconds,
            },
        }
