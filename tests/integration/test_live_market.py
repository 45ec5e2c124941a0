"""Trading on paper against a live market: the venue on real sockets, a feed in a process of its own that is killed."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from nautilus.adapters.sources.binance_live import BinanceConfig, Route
from nautilus.core import Kernel
from nautilus.core.ticks import TickReason
from nautilus.core.types import QUOTE, RecordFlag
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.model.queries import Book, GetBook
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES, topic_of
from nautilus.runtime.clock import ClockAnchor, wall_ns
from nautilus.runtime.live_feed import FeedSettings, resolve
from nautilus.runtime.live_source import LiveSource
from nautilus.runtime.market_name import catalog_name
from nautilus.runtime.replay import Run
from nautilus.runtime.sources import open_source
from nautilus.store.catalog import Catalog
from tests.kit.binance_server import BinanceServer, read_lines, served
from tests.kit.context import RecordingContext
from tests.kit.data import BTCUSDT_SPOT, recording

LINES = 3_000
DEADLINE_SECONDS = 60
LOOK_SECONDS = 0.02
"""Between looks at the venue while it says nothing."""


class Venue:
    """The venue in a thread of its own; it stops at a line until `go_on`."""

    def __init__(self, *crossed: int) -> None:
        self._gate = asyncio.Event()
        self.at_gate = threading.Event()
        lines = read_lines(recording(BTCUSDT_SPOT), LINES)
        # Behind a change of the book: what trades took of the core's, the venue's book shows too.
        changes = [place for place, line in enumerate(lines, 1) if line.kind == "depth"]
        gate, end = next(place for place in changes if place > LINES // 2), changes[-1]
        lines = lines[:end]
        self.last_quotes = [
            max(msgspec.json.decode(line.text)["u"] for line in part if line.kind == "bookTicker")
            for part in (lines[:gate], lines)
        ]
        self.crossed = [next(place for place, line in enumerate(lines) if place >= least and line.kind == "depth")
                        for least in crossed]  # fmt: skip
        self.server = BinanceServer("spot", lines, {gate: self._wait, **dict.fromkeys(self.crossed, "crossed")})
        self.loop: asyncio.AbstractEventLoop | None = None

    async def _wait(self) -> None:
        self.at_gate.set()
        await self._gate.wait()
        await self.server.until(lambda: self.server.connected > 0)

    def config(self) -> BinanceConfig:
        route = Route(self.server.stream_url(), ("depth@100ms", "bookTicker", "trade"))
        return BinanceConfig(
            rest_url=self.server.rest_url,
            routes=(route,),
            backoff_seconds=0.01,
            longest_backoff_seconds=0.05,
            quiet_seconds=0.2,  # the venue says nothing at the gate
        )

    def listened(self, heard: int, calm: bool) -> None:
        """What is wrong comes to who has heard all and whose book is right."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(lambda: self.server.listened(heard=heard, calm=calm))

    def go_on(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self._gate.set)


class Paper:
    """A core and a hub beside a live market, driven as the platform drives them."""

    def __init__(self, source: LiveSource, kernel: Kernel | None = None) -> None:
        self.source = source
        self.kernel = kernel or Kernel(instruments=source.instruments(), accounts=[1], huge_pages=False)
        self.hub = MarketDataEngine(MarketDataConfig(checks=True), source.instruments())
        self.tell: Callable[[int, bool], None] | None = None
        self.crossed = self.blind = 0
        self.context = RecordingContext()
        self.last_quote = 0
        self.given: list[np.ndarray] = []
        if kernel is None:
            self._do(source.setup())
        self._do(source.begin(wall_ns()))
        source.attach(self.hub)
        assert self.hub.gate is not None
        source.check = self.hub.gate.passed

    def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < end, f"{what}: {self.source.summary()}"
            next_ns = self.source.next_ns()
            assert next_ns is not None
            if next_ns > wall_ns():
                select.select([self.source.fileno()], [], [], LOOK_SECONDS)
                continue
            step = self.source.step()
            assert step.now_ns == next_ns
            if step.commands is not None:
                assert (step.commands["now_ns"] == step.now_ns).all()
                self._do(step.commands)
            self.given += step.records
            for records in step.records:
                self.hub.on_records(records, self.context)
                if topic_of(records) is QUOTES:
                    self.last_quote = int(records["update_id"][-1])
                elif topic_of(records) is BOOK_DELTAS:
                    self._look()
            if self.tell is not None:
                self.tell(self.last_quote, not self.source._blind)

    def _look(self) -> None:
        """As whoever follows the book: is it crossed, and taken for right?"""
        book = self.hub._recorded.of(1)
        bid, bid_lots, ask, ask_lots = self.hub._recorded.levels.best(1)
        self.blind += bool(book.blind_since_ns)
        self.crossed += bool(bid_lots and ask_lots and bid >= ask and not book.blind_since_ns)

    def book(self) -> Book:
        found = self.hub.on_request(GetBook("BTCUSDT", 5), self.context)
        assert isinstance(found, Book)
        return found

    def resting(self) -> tuple[list[Any], list[Any]]:
        bids, asks = self.kernel.depth(1, 5)
        return bids["price_ticks"].tolist(), asks["price_ticks"].tolist()

    def _do(self, commands: np.ndarray) -> None:
        if len(commands):
            self.source.on_events(self.kernel.process(commands))


@contextmanager
def paper(venue: Venue, kernel: Kernel | None = None) -> Iterator[Paper]:
    instruments = asyncio.run(resolve("binance", venue.config(), ["BTCUSDT"]))
    assert (instruments[0].symbol, instruments[0].price_increment) == ("BTCUSDT", Decimal("0.01"))
    now_ns = wall_ns()
    settings = FeedSettings(
        "binance", msgspec.to_builtins(venue.config()), {"BTCUSDT": 1}, ClockAnchor(now_ns, now_ns, 1.0)
    )
    source = LiveSource(instruments, settings, wall_ns)
    try:
        yield Paper(source, kernel)
    finally:
        source.close()


@pytest.fixture
def venue() -> Iterator[Venue]:
    made = Venue()
    with served(made.server) as made.loop:
        try:
            yield made
        finally:
            made.go_on()


def books_agree(venue: Venue, live: Paper) -> bool:
    """The core's, the hub's and the venue's."""
    book = live.book()
    if book.blind_since_ns or not book.bids or not book.asks:
        return False
    bid, _, ask, _ = venue.server.books["btcusdt"].best()
    increment = live.source.instruments()[0].price_increment
    shown = [[int(Decimal(level.price) / increment) for level in side] for side in (book.bids, book.asks)]
    return (float(book.bids[0].price), float(book.asks[0].price)) == (bid, ask) and list(live.resting()) == shown


def test_a_live_market_rests_in_the_core_and_is_blind_while_its_feed_is_dead(venue: Venue) -> None:
    with paper(venue) as live:
        live.until(lambda: live.last_quote == venue.last_quotes[0] and venue.at_gate.is_set(), "first half")
        live.until(lambda: books_agree(venue, live), "the first book")
        pid = live.source._process.pid
        os.kill(pid, signal.SIGKILL)
        live.until(lambda: live.book().blind_since_ns > 0, "blind")
        assert live.resting() == ([], []), "nobody trades against a book that may be wrong"
        assert live.book().bids == ()
        live.until(lambda: books_agree(venue, live), "the second book")
        venue.go_on()
        live.until(lambda: live.last_quote == venue.last_quotes[1], "second half")
        live.until(lambda: venue.server.finished.is_set() and books_agree(venue, live), "the end")
        facts = live.source.summary()
        assert facts["starts"] == 2
        assert facts["instruments"]["BTCUSDT"]["blind_ns"] > 0
        assert facts["instruments"]["BTCUSDT"]["blind_since_ns"] == 0
        assert facts["gaps"] >= 1
        assert facts["records"]["quotes"] > 500
        assert facts["records"]["trades"] > 50
        assert facts["rejected"] == {}
        assert live.book().blind_ns > 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with paper(venue, live.kernel) as later:  # a hub that is started again, beside the core of before
        assert later.resting() == ([], []), "what the life before left resting is cancelled"
        later.until(lambda: books_agree(venue, later), "the book of a later life")
        assert later.source.summary()["rejected"] == {}


def test_a_recorded_blind_time_is_replayed_whole_with_checks(venue: Venue, tmp_path: Path) -> None:
    with paper(venue) as live:
        live.until(lambda: live.last_quote == venue.last_quotes[0] and venue.at_gate.is_set(), "first half")
        live.until(lambda: books_agree(venue, live), "the first book")
        os.kill(live.source._process.pid, signal.SIGKILL)
        live.until(lambda: live.book().blind_since_ns > 0, "blind")
        live.until(lambda: books_agree(venue, live), "the second book")
        venue.go_on()
        live.until(lambda: live.last_quote == venue.last_quotes[1], "second half")
    stale = [row for each in live.given if each.dtype == QUOTE for row in each if row["flags"] & RecordFlag.STALE]
    assert len(stale) >= 2, "until the first book, and while the feed was dead"
    assert {int(row["update_id"]) for row in stale} == {0}
    with Catalog(tmp_path / "catalog", create=True).writer() as writer:
        kinds = {QUOTES.name: "quote", TRADES.name: "trade", BOOK_DELTAS.name: "book"}
        for records in live.given:
            assert writer.append(live.source.instruments()[0], kinds[topic_of(records).name], records, wait=True)
    source = open_source(catalog_name(tmp_path / "catalog", ["BTCUSDT"]))
    run = Run(source, ("quoting",), {"marketdata": MarketDataConfig(validate="all")}, 1, "none", None)
    seen: list[np.ndarray] = []
    run._host.tap(QUOTES, seen.append)
    try:
        report = run.run(None, None, None)
    finally:
        run.close()
    quotes = np.concatenate([each for each in live.given if each.dtype == QUOTE])
    assert np.concatenate(seen).tobytes() == quotes.tobytes(), "none is refused"
    assert report.book_checks["compared"] == report.book_checks["equal"] > 10


def test_a_crossed_book_is_lost_and_asked_for_again() -> None:
    venue = Venue(LINES // 4, 3 * LINES // 4)
    with served(venue.server) as venue.loop:
        try:
            with paper(venue) as live:
                gate, live.tell = live.hub.gate, venue.listened
                assert gate is not None
                live.until(lambda: gate.counts["CROSSED"] == 1 and venue.at_gate.is_set(), "the first crossed book")
                live.until(lambda: books_agree(venue, live), "the book behind the first")
                asked = venue.server.snapshots
                assert asked >= 2, "the first, and another for the crossed one"
                venue.go_on()
                live.until(lambda: gate.counts["CROSSED"] == 2 and venue.server.finished.is_set(), "the second")
                live.until(lambda: books_agree(venue, live) and not live.source._blind, "the book behind the second")
                assert venue.server.snapshots > asked
                assert live.crossed == 0, "nobody saw a crossed book that was not marked"
                assert live.blind >= 2
                facts = live.source.summary()["instruments"]["BTCUSDT"]
                assert facts["blind_ns"] > 0
                assert facts["blind_since_ns"] == 0
                assert facts["gaps"] >= 3, "until its first snapshot, and at each crossed change"
                assert facts["rejected"] == {}
                assert [row["reason"] for row in gate.refused] == [TickReason.CROSSED] * 2
                assert live.source.starts == 1
        finally:
            venue.go_on()
