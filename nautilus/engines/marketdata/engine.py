"""Market data: the hub, the only publisher of ``marketdata.*``.

Under replay it publishes recorded records as they are. Otherwise its source is the core: quotes, trades, book
deltas, phases and indicative prices are derived from the core's events. A quote without bids or without asks has
quantity 0 there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from nautilus.engines.base import Context, Engine, Work
from nautilus.engines.marketdata.books import BOOK_EVENTS, DerivedBook
from nautilus.engines.marketdata.derived import Aggressor, Derived, bar_rule, flow_rule
from nautilus.engines.marketdata.gate import Gate
from nautilus.engines.marketdata.operations import ASKED_OUTSIDE, OPERATIONS
from nautilus.engines.marketdata.orders import CONTINUOUS
from nautilus.engines.marketdata.recorded import RecordedBook, RecordedBooks
from nautilus.engines.marketdata.standing import MarketStatus
from nautilus.model.enums import EventKind, SessionPhase, Side
from nautilus.model.errors import ModelError, UnknownInstrumentError
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.queries import (
    Book,
    BookLevel,
    BookOrder,
    GetBook,
    GetQuarantine,
    GetQueuePlace,
    GetQuotes,
    QuarantineLines,
    QueuePlace,
    QuoteLine,
    QuoteLines,
)
from nautilus.model.records import EVENT_FIELDS, Records, joined
from nautilus.model.topics import (
    AUCTIONS,
    BARS,
    BOOK_DELTAS,
    CORE_EVENTS,
    ECONOMICS,
    FLOWS,
    FUNDAMENTALS,
    HISTORICAL_BARS,
    QUARANTINES,
    QUOTE_FACTS,
    QUOTES,
    TRADES,
    Topic,
    topic_of,
)

MOST_LEVELS = 1_000
BAR_TIMER = "bars"
_OF_BOOKS = (BOOK_DELTAS, TRADES, QUOTES)
"""What the books of recorded markets are made of."""
LATE_NS = 100_000_000
"""So long an event of the core may be on its way here."""
AGAIN_NS = 50_000_000
"""Between looks whether the market was played to the end of a bar."""
_KIND, _ORDER, _INSTRUMENT = (EVENT_FIELDS[name] for name in ("kind", "order_id", "instrument_id"))
_APPLIED = int(EventKind.APPLIED)
_PHASES = frozenset(int(phase) for phase in SessionPhase)


class OrderNotFoundError(ModelError):
    """The books know of no such open order."""

    code = "model.unknown_order"


class NoProviderError(ModelError):
    """This hub has no way to data providers."""

    code = "model.no_provider"


class MarketDataConfig(msgspec.Struct, frozen=True):
    """Settings of the hub.

    Parameters
    ----------
    derive
        Derive market data from the core's events: for a simulated market or the internal venue. What plays decides it;
        a value of the configuration is not looked at.
    allow_synthetic
        Where no provider can answer, make something up, marked as such in every record: for development.
    record
        Write what the star carries into the catalog, by a process of its own.
    bars
        Bars to publish: ``time:1s``, ``tick:100`` (trades), ``volume:1000`` (lots), ``dollar:1000000`` (ticks times
        lots), ``imbalance:100`` (trades of the first one).
    flow, flow_levels
        Order-flow imbalance to publish, by ``time:1s`` or ``updates:100``, over so many levels: of one level from
        quotes, of more from books. "": none.
    bbo
        Symbols whose books quotes are made of, flagged SYNTHETIC, as their venue sends none; ``*``: all.
    aggressor
        How a trade's side is told where the venue does not: ``tick``, ``quote`` or ``lee-ready``; "": it is not.
    validate
        Whose records are checked before they are published: of ``live`` markets, of ``all`` that bring their own, of
        ``none``. What is refused is kept (``GET /marketdata/quarantine``) and counted.
    checks
        They are checked here. What plays decides it; a value of the configuration is not looked at.
    jump_bps
        A price so far from the last one is refused until others agree with it; 0: none is.
    skew_ms
        A venue's clock may be so far ahead of ours; a stamp beyond that is refused.
    aggressor_delay_ms
        The quote that a trade is held against stood so long before it (docs/replay.md).
    """

    derive: bool = False
    allow_synthetic: bool = False
    record: bool = False
    bars: tuple[str, ...] = ()
    flow: str = ""
    flow_levels: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    bbo: tuple[str, ...] = ()
    aggressor: Aggressor = ""
    validate: Literal["live", "all", "none"] = "all"
    checks: bool = False
    jump_bps: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 1_000
    skew_ms: Annotated[float, msgspec.Meta(ge=0, le=3_600_000)] = 5_000.0
    aggressor_delay_ms: Annotated[float, msgspec.Meta(ge=0, le=60_000)] = 100.0

    def __post_init__(self) -> None:
        for text in self.bars:
            bar_rule(text)
        if self.flow:
            flow_rule(self.flow)


class MarketDataEngine(Engine):
    """Publishes market data, recorded or derived, and shows the books."""

    name = "marketdata"
    subscribes: tuple[Topic, ...] = (CORE_EVENTS,)
    publishes = (
        *(QUOTES, TRADES, BOOK_DELTAS, AUCTIONS, BARS, FLOWS),
        *(HISTORICAL_BARS, FUNDAMENTALS, ECONOMICS, QUOTE_FACTS, QUARANTINES),
    )
    operations = OPERATIONS

    def __init__(self, config: MarketDataConfig, instruments: Iterable[Instrument]) -> None:
        self.market = MarketStatus()
        self.derives = config.derive
        self.last_sequence = 0
        """Of the last event that the books have."""
        if not config.derive:
            self.subscribes = ()
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
        self._derived: dict[int, DerivedBook] = {}
        self._phase = CONTINUOUS  # that of the last SESSION for every instrument
        self._recorded = RecordedBooks()
        self.gate: Gate | None = None
        """Asked by the market's source, before a quote or a trade acts and is published."""
        if config.checks:
            self.gate = self._new_gate(config)
        self._outer = self.gate
        """Of what data providers tell."""
        if self.gate is None and config.validate != "none":
            self._outer = self._new_gate(config)
        self._streams = Derived(
            config.bars,
            config.flow,
            config.flow_levels,
            () if config.derive else config.bbo,
            "" if config.derive else config.aggressor,
            round(config.aggressor_delay_ms * 1e6),
            {each.symbol: each.instrument_id for each in self._instruments.values()},
            in_order=not config.derive,
        )
        self._armed_ns = 0
        # Stored bars and flows are published, unless the same kind is made here.
        self._made = {topic.name for topic, made in ((BARS, config.bars), (FLOWS, config.flow)) if made}

    def _new_gate(self, config: MarketDataConfig) -> Gate:
        return Gate(self._instruments.values(), config.jump_bps, round(config.skew_ms * 1e6))

    @property
    def derives_streams(self) -> bool:
        """Bars and other streams are made of what is published: `on_turn` needs it in its order."""
        return bool(self._streams)

    def on_turn(self, parts: Sequence[Records], ctx: Context) -> None:
        """Publish records of several steps and what derives of them: an array of each kind, in their order."""
        self.on_refused(ctx)
        by_kind: dict[str, list[Records]] = {}
        if self._made:
            parts = [part for part in parts if topic_of(part).name not in self._made]
        for records in self._streams.take(parts)[0]:
            if len(records):
                by_kind.setdefault(topic_of(records).name, []).append(records)
        for topic in (BOOK_DELTAS, TRADES, QUOTES, AUCTIONS, BARS, FLOWS):
            some = by_kind.get(topic.name)
            if some and topic.record is not None:
                records = joined(some, topic.record)
                ctx.publish(records)
                if topic in _OF_BOOKS:
                    self._recorded.take(topic, records)
        self._arm(ctx)

    def on_refused(self, ctx: Context) -> None:
        """Publish which records were refused since, and why, on the one topic that is no market data."""
        for gate in (self.gate, self._outer):  # the same, mostly: the second time it has nothing
            refused = gate.take() if gate is not None else None
            if refused is not None:
                ctx.publish(refused)

    def on_provider_quotes(self, quotes: Records, ctx: Context) -> None:
        """Publish QUOTE records that a data provider told, of instruments that the market here does not play.

        They are checked as those of a live market are (`validate`). No bars or other streams derive of them.
        """
        if self._outer is not None:
            quotes = self._outer.passed(quotes)
            self.on_refused(ctx)
        if len(quotes):
            ctx.publish(quotes)
            self._recorded.take(QUOTES, quotes)

    def on_timer(self, key: str, ctx: Context) -> None:
        """Publish the time bars that have ended, as far as nothing older can come."""
        if key != BAR_TIMER:
            return
        self._armed_ns = 0
        now_ns = ctx.now_ns - LATE_NS if self.derives else ctx.now_ns
        if self.market.played_ns >= 0:
            now_ns = min(now_ns, self.market.played_ns)
        bars = self._streams.advance(now_ns)
        if len(bars):
            ctx.publish(bars)
        if not self.market.finished:
            self._arm(ctx)

    def _arm(self, ctx: Context) -> None:
        """Have a timer at the end of the next time bar."""
        due_ns = self._streams.due_ns
        if due_ns and self.derives:
            due_ns += LATE_NS
        if due_ns and due_ns != self._armed_ns:
            self._armed_ns = due_ns
            ctx.at(due_ns if due_ns > ctx.now_ns else ctx.now_ns + AGAIN_NS, BAR_TIMER)

    def on_records(self, records: Records, ctx: Context) -> None:
        """Publish recorded records of one kind."""
        self.on_refused(ctx)
        if not len(records):
            return
        if self._streams:
            self.on_turn((records,), ctx)
            return
        ctx.publish(records)
        topic = topic_of(records)
        if topic in _OF_BOOKS:
            self._recorded.take(topic, records)

    def on_events(self, events: Records, ctx: Context) -> None:
        """Derive what a batch of the core's events did to the book: deltas, trades, the quote, then auctions."""
        for book in self._apply(events):
            deltas = book.take_deltas(ctx.now_ns)
            found = [deltas, book.take_trades(), book.quote(ctx.now_ns) if deltas is not None else None]
            parts = [records for records in found if records is not None]
            for records in parts:
                ctx.publish(records)
            if self._streams:
                for records in self._streams.take(parts)[1]:
                    ctx.publish(records)
                self._arm(ctx)
            auctions = book.take_auctions()
            if auctions is not None:
                ctx.publish(auctions)

    def rebuild(self, events: Records, ctx: Context) -> None:
        """Take in events of before this hub's time: the books follow, nothing is published."""
        for book in self._apply(events):
            book.settle()

    @property
    def has_books(self) -> bool:
        """Something has traded, or wanted to."""
        return bool(self._derived)

    def publish_books(self, ctx: Context) -> None:
        """Publish every book whole, and its quote: for subscribers that knew the hub of before."""
        for book in self._derived.values():
            ctx.publish(book.snapshot(ctx.now_ns))
            quote = book.quote(ctx.now_ns)
            if quote is not None:
                ctx.publish(quote)

    def depth(self, instrument_id: int, levels: int = 10) -> tuple[Records, Records]:
        """Bids and asks of a derived book, best first: what `Kernel.depth` gives as of the last event."""
        book = self._derived.get(instrument_id)
        return (book or DerivedBook(instrument_id)).depth(levels)

    def orders(self, instrument_id: int, levels: int) -> list[tuple[int, int, int, int, int]]:
        """Displayed orders of a derived book in priority order, of its best levels: what `Kernel.book` gives.

        Each as id, account, side, price in ticks, displayed lots.
        """
        book = self._derived.get(instrument_id)
        return [] if book is None else book.orders(levels)

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer `GetBook`, `GetQueuePlace` and `GetQuotes`."""
        if isinstance(message, GetBook):
            return self._book(message)
        if isinstance(message, GetQuotes):
            return self._quotes()
        if isinstance(message, GetQueuePlace):
            return self._place(message)
        if isinstance(message, GetQuarantine):
            return self._quarantine(message)
        if isinstance(message, ASKED_OUTSIDE):
            raise NoProviderError(f"{type(message).__name__} here", where="marketdata", expected="a live host")
        return super().on_request(message, ctx)

    def state(self) -> dict[str, Any]:
        """The derived books, and up to which event they are."""
        return {
            "last_sequence": self.last_sequence,
            "phase": self._phase,
            "books": [book.state() for book in self._derived.values()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        self.last_sequence = state["last_sequence"]
        self._phase = state.get("phase", CONTINUOUS)
        self._derived = {}
        for book_state in state["books"]:
            self._new_book(book_state["instrument_id"]).restore(book_state)

    def _apply(self, events: Records) -> list[DerivedBook]:
        """Bring the books up to date; those that the events concern, in the order in which they were touched."""
        touched: list[DerivedBook] = []
        books, last = self._derived, self.last_sequence
        for row in events.tolist():
            if row[0] <= last:
                continue
            instrument_id = row[_INSTRUMENT]
            book = books.get(instrument_id)
            if row[_KIND] == _APPLIED and row[_ORDER]:
                touched += [book for book in self._enter_phase(row) if book not in touched]
                continue
            if book is None:
                if row[_KIND] not in BOOK_EVENTS:
                    continue
                book = self._new_book(instrument_id)
            if book.apply(row) and book not in touched:
                touched.append(book)
        if len(events):
            self.last_sequence = max(last, int(events["sequence"][-1]))
        return touched

    def _enter_phase(self, row: tuple[int, ...]) -> list[DerivedBook]:
        """APPLIED with an order id is that of a SESSION: see `SetPhase`."""
        phase, instrument_id = row[_ORDER], row[_INSTRUMENT]
        if phase not in _PHASES:
            return []
        if instrument_id:
            books = [self._derived.get(instrument_id) or self._new_book(instrument_id)]
        else:
            books = [self._derived.get(known) or self._new_book(known) for known in self._instruments]
            books += [book for key, book in self._derived.items() if key not in self._instruments]
            self._phase = phase
        for book in books:
            book.enter_phase(row, phase)
        return books

    def _new_book(self, instrument_id: int) -> DerivedBook:
        book = self._derived[instrument_id] = DerivedBook(instrument_id, self._instruments.get(instrument_id))
        book.begin(self._phase)
        return book

    @property
    def blind(self) -> dict[int, int]:
        """{instrument id: since when} of the books that may be wrong."""
        return self._recorded.blind

    def _of(self, instrument_id: int) -> DerivedBook | RecordedBook:
        """The book that the venue shows; an empty one where nothing came yet."""
        if not self.derives:
            return self._recorded.of(instrument_id)
        known = self._derived.get(instrument_id)
        if known is None and instrument_id in self._recorded:
            # What others tell of an instrument that nothing happened to here.
            return self._recorded.of(instrument_id)
        return known or DerivedBook(instrument_id)

    def _book(self, message: GetBook) -> Book:
        instrument = self._instrument(message.instrument)
        if not 1 <= message.levels <= MOST_LEVELS:
            raise ModelError(f"levels {message.levels}", where="book", expected=f"1 to {MOST_LEVELS}")
        book = self._of(instrument.instrument_id)
        levels = 1 if message.level == 1 else message.levels
        orders: tuple[BookOrder, ...] = ()
        found = book.depth(levels)
        bids, asks = (tuple(_level(instrument, *row) for row in side.tolist()) for side in found)
        if message.level == 3:
            if isinstance(book, RecordedBook) and not book.has_orders:
                raise ModelError("level 3", where="book", expected="1 or 2: this market tells no orders, only levels")
            orders = tuple(
                BookOrder(order_id, account_id, Side(side), _price(instrument, price), _quantity(instrument, lots))
                for order_id, account_id, side, price, lots in book.orders(levels)
            )
        recorded = book if isinstance(book, RecordedBook) else None
        return Book(
            instrument_id=instrument.instrument_id,
            symbol=instrument.symbol,
            bids=bids,
            asks=asks,
            last_price=_price(instrument, book.last_price),
            updates=book.updates,
            now_ns=book.changed_ns,
            orders=orders,
            blind_since_ns=recorded.blind_since_ns if recorded else 0,
            blind_ns=recorded.blind_ns if recorded else 0,
            gaps=recorded.gaps if recorded else 0,
        )

    def _place(self, message: GetQueuePlace) -> QueuePlace:
        for book in self._derived.values():
            found = book.place(message.account_id, message.order_id)
            instrument = self._instruments.get(book.instrument_id)
            if found is None or instrument is None:
                continue
            side, price, lots, displayed, orders, ahead = found
            return QueuePlace(
                message.account_id,
                message.order_id,
                instrument.instrument_id,
                instrument.symbol,
                Side(side),
                _price(instrument, price) if displayed else "",
                _quantity(instrument, lots),
                displayed,
                orders,
                _quantity(instrument, ahead),
                self.last_sequence,
            )
        raise OrderNotFoundError(
            f"order {message.order_id} of account {message.account_id} is not open",
            where="queue",
            expected="an open order that rests, or may come to rest, here",
        )

    def _quotes(self) -> QuoteLines:
        lines = []
        for instrument in self._instruments.values():
            book = self._of(instrument.instrument_id)
            bid, bid_lots, ask, ask_lots = book.best()
            recorded = book if isinstance(book, RecordedBook) else None
            lines.append(
                QuoteLine(
                    instrument_id=instrument.instrument_id,
                    symbol=instrument.symbol,
                    bid=_price(instrument, bid) if bid_lots else "",
                    bid_quantity=_text(instrument.quantity(bid_lots)) if bid_lots else "",
                    ask=_price(instrument, ask) if ask_lots else "",
                    ask_quantity=_text(instrument.quantity(ask_lots)) if ask_lots else "",
                    last_price=_price(instrument, book.last_price),
                    now_ns=book.changed_ns,
                    blind_since_ns=recorded.blind_since_ns if recorded else 0,
                    blind_ns=recorded.blind_ns if recorded else 0,
                    gaps=recorded.gaps if recorded else 0,
                )
            )
        market = self.market
        return QuoteLines(
            quotes=tuple(lines),
            market=market.name,
            market_seconds=max(market.now_ns - market.begin_ns, 0) / 1e9,
            progress=market.progress,
            finished=market.finished,
            broken=market.broken,
        )

    def _quarantine(self, message: GetQuarantine) -> QuarantineLines:
        gate = self.gate or self._outer
        if gate is None or (self.gate is None and not gate.counts):
            return QuarantineLines((), {})
        symbols = {key: each.symbol for key, each in self._instruments.items()}
        lines = tuple(gate.lines(message.limit, symbols))
        return QuarantineLines(lines, dict(gate.counts), checks=self.gate is not None)

    def _instrument(self, text: str) -> Instrument:
        for instrument in self._instruments.values():
            if text in (instrument.symbol, str(instrument.instrument_id)):
                return instrument
        raise UnknownInstrumentError(
            f"instrument {text!r}",
            where="book",
            expected=f"one of {', '.join(instrument.symbol for instrument in self._instruments.values())}",
        )


def _level(instrument: Instrument, price: int, lots: int, orders: int = 0) -> BookLevel:
    return BookLevel(_price(instrument, price), _quantity(instrument, lots), orders)


def _quantity(instrument: Instrument, lots: int) -> str:
    return _text(instrument.quantity(lots))


def _price(instrument: Instrument, ticks: int | None) -> str:
    """A price as text; empty where there is none."""
    return "" if ticks is None else _text(instrument.price(ticks))


def _text(value: Decimal) -> str:
    """A decimal as a person writes it."""
    return f"{value:f}"


__all__ = ["MarketDataConfig", "MarketDataEngine", "MarketStatus"]
