"""Faults of a live market: the venue on real sockets, the feed in this process or in one that is stopped and killed."""

from __future__ import annotations

import asyncio
import functools
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import pytest

from nautilus.adapters.sources.binance_live import BinanceConfig, BinanceFeed, FeedKind, FeedUpdate, Route
from nautilus.adapters.sources.errors import ChangedError, NotFoundError
from nautilus.bus.market_values import _value
from nautilus.core.depth import DepthBook
from nautilus.core.ticks import GAP_FLAG
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE, RecordFlag
from nautilus.model.topics import BOOK_DELTAS, QUOTES, topic_of
from nautilus.runtime.clock import ClockAnchor, wall_ns
from nautilus.runtime.live_feed import SILENT, FeedSettings, resolve, steps_of
from nautilus.runtime.live_source import HUNG_NS, Heard, LiveSource
from tests.kit.binance_server import BinanceServer, Line, read_lines, renamed, served
from tests.kit.data import BTCUSDT_PERPETUAL, BTCUSDT_SPOT, recording

ALL = ("depth@100ms", "bookTicker", "trade")
BOTH = ("BTCUSDT", "ETHUSDT")
DEADLINE_SECONDS = 60
STALE = int(RecordFlag.STALE)


@functools.cache
def lines_of(name: str, count: int) -> list[Line]:
    return read_lines(recording(name), count)


def of_both(count: int) -> list[Line]:
    lines = lines_of(BTCUSDT_SPOT, count)
    return [line for pair in zip(lines, renamed(lines, "ETHUSDT"), strict=True) for line in pair]


def config_for(server: BinanceServer, **more: Any) -> BinanceConfig:
    settings = {
        "rest_url": server.rest_url,
        "routes": (Route(server.stream_url(), ALL),),
        "backoff_seconds": 0.01,
        "longest_backoff_seconds": 0.05,
        "quiet_seconds": 0.1,
    }
    return BinanceConfig(market=server.market, **(settings | more))


async def heard(feed: BinanceFeed, enough: Callable[[FeedUpdate], bool]) -> list[FeedUpdate]:
    updates = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for update in feed:
            updates.append(update)
            if enough(update):
                break
    return updates


def kinds(updates: list[FeedUpdate]) -> list[tuple[str, int]]:
    return [(each.symbol, each.kind) for each in updates if each.kind > FeedKind.BOOK]


def test_symbol_in_other_steps_is_refused_by_name_and_the_others_go_on() -> None:
    server = BinanceServer("spot", of_both(400))
    steps = {"BTCUSDT": ("0.01", "0.0000001"), "ETHUSDT": ("0.10", "0.0000001")}

    async def whole() -> list[FeedUpdate]:
        async with server:
            async with BinanceFeed(config_for(server), BOTH, lambda: server.now_ns, steps=steps) as feed:
                updates = await heard(feed, lambda update: update.kind == FeedKind.SIGHTED)
                assert list(feed.hints) == ["BTCUSDT"]
            odd = dict.fromkeys(BOTH, ("0.5", "0.0000001"))
            with pytest.raises(
                ChangedError, match=r"BTCUSDT is traded with price increment 0\.01 instead of 0\.5; ETH"
            ):
                async with BinanceFeed(config_for(server), BOTH, lambda: server.now_ns, steps=odd):
                    pass
            return updates

    updates = asyncio.run(whole())
    assert {each.symbol for each in updates if each.kind <= FeedKind.BOOK} == {"BTCUSDT"}
    assert kinds(updates) == [
        ("ETHUSDT", FeedKind.FAILED),
        ("BTCUSDT", FeedKind.BLIND),
        ("BTCUSDT", FeedKind.SIGHTED),
    ]
    assert "ETHUSDT is traded with price increment 0.01 instead of 0.10" in updates[0].interruption.detail


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_symbol_that_is_not_traded_is_named_at_the_start_and_no_other(market: str) -> None:
    server = BinanceServer(market, of_both(10))

    async def refused(*symbols: str) -> str:
        with pytest.raises(NotFoundError) as caught:
            await resolve("binance" if market == "spot" else "binance-futures", config_for(server), symbols)
        with pytest.raises(NotFoundError):
            async with BinanceFeed(config_for(server), symbols, lambda: server.now_ns):
                pass
        return str(caught.value)

    async def whole() -> None:
        async with server:
            assert "GONEUSDT is not listed" in await refused("GONEUSDT")
            found = await refused("BTCUSDT", "GONEUSDT", "LOSTUSDT")
            assert "GONEUSDT is not listed; LOSTUSDT is not listed" in found
            assert "BTCUSDT" not in found
            server.delisted["ETHUSDT"] = "BREAK"
            assert "ETHUSDT is not traded now, its status is BREAK" in await refused(*BOTH)

    asyncio.run(whole())


def test_symbol_that_is_delisted_while_the_feed_is_open_is_told_and_the_other_goes_on() -> None:
    server = BinanceServer("spot", of_both(400))

    def all_of(*left: tuple[str, FeedKind]) -> Callable[[FeedUpdate], bool]:
        missing = set(left)

        def enough(update: FeedUpdate) -> bool:
            missing.discard((update.symbol, update.kind))
            return not missing

        return enough

    async def whole() -> list[FeedUpdate]:
        async with server, BinanceFeed(config_for(server), BOTH, lambda: server.now_ns) as feed:
            await heard(feed, all_of(*((name, FeedKind.SIGHTED) for name in BOTH)))
            server.delisted["ETHUSDT"] = ""
            for socket in list(server._requests):
                await server._abort(socket)
            return await heard(feed, all_of(("BTCUSDT", FeedKind.SIGHTED), ("ETHUSDT", FeedKind.FAILED)))

    updates = asyncio.run(whole())
    assert ("ETHUSDT", FeedKind.BLIND) in kinds(updates)
    assert ("ETHUSDT", FeedKind.SIGHTED) not in kinds(updates)
    [failed] = [each for each in updates if each.kind == FeedKind.FAILED]
    assert failed.interruption.detail == "ETHUSDT is not listed"


def test_symbol_that_is_halted_when_the_feed_opens_comes_back_when_the_venue_speaks_of_it() -> None:
    lines = lines_of(BTCUSDT_SPOT, 400)

    async def first_calm() -> None:
        await server.until(lambda: server.calm)

    server = BinanceServer("spot", [*lines, *renamed(lines, "ETHUSDT")], {len(lines): first_calm})
    server.delisted["ETHUSDT"] = "BREAK"
    steps = dict.fromkeys(BOTH, ("0.01", "0.0000001"))

    async def whole() -> list[FeedUpdate]:
        async with (
            server,
            BinanceFeed(config_for(server), BOTH, lambda: server.now_ns, steps=steps) as feed,
        ):

            def enough(update: FeedUpdate) -> bool:
                if (update.symbol, update.kind) == ("BTCUSDT", FeedKind.SIGHTED):
                    feed._want_quiet(halted := feed._symbols["ETHUSDT"])
                    assert not halted.asked, "what rests in a halted market is not to be traded against"
                    server.listened(calm=True)
                return (update.symbol, update.kind) == ("ETHUSDT", FeedKind.SIGHTED)

            assert list(feed.hints) == list(BOTH)
            return await heard(feed, enough)

    updates = asyncio.run(whole())
    assert kinds(updates) == [
        ("ETHUSDT", FeedKind.FAILED),
        ("BTCUSDT", FeedKind.BLIND),
        ("ETHUSDT", FeedKind.BLIND),
        ("BTCUSDT", FeedKind.SIGHTED),
        ("ETHUSDT", FeedKind.SIGHTED),
    ]
    assert updates[0].interruption.detail == "ETHUSDT is not traded now, its status is BREAK"


def test_snapshots_of_one_symbol_that_cannot_be_read_leave_the_other_alone() -> None:
    server = BinanceServer("spot", of_both(400))

    server.always["ETHUSDT"] = '{"lastUpdateId":50093239218,"bids":[["61837.635","1.0"]],"asks":[]}'
    left = {("BTCUSDT", FeedKind.SIGHTED), ("ETHUSDT", FeedKind.FAILED)}

    def enough(update: FeedUpdate) -> bool:
        left.discard((update.symbol, update.kind))
        return not left

    async def whole() -> list[FeedUpdate]:
        async with server, BinanceFeed(config_for(server), BOTH, lambda: server.now_ns) as feed:
            return await heard(feed, enough)

    updates = asyncio.run(whole())
    failed = next(each for each in updates if each.kind == FeedKind.FAILED)
    assert "price in field bids is '61837.635'; expected a multiple of 0.01" in failed.interruption.detail
    assert ("ETHUSDT", FeedKind.SIGHTED) not in kinds(updates)


def test_snapshot_that_comes_while_the_socket_is_down_makes_no_book_right() -> None:
    lines = lines_of(BTCUSDT_SPOT, 3000)
    gap = next(place for place in range(1000, len(lines)) if lines[place].kind == "depth")
    up = []

    async def late() -> str:
        for socket in list(server._requests):
            await server._abort(socket)
        await server.until(lambda: not feeds[0]._links[0].connected)
        return server.books["btcusdt"].snapshot()

    async def let() -> None:
        await server.settled()
        server.replies.append(late)

    server = BinanceServer("spot", lines, {gap - 1: let, gap: "drop"})
    feeds: list[BinanceFeed] = []

    async def whole() -> None:
        async with server:
            config = config_for(server, backoff_seconds=0.4, longest_backoff_seconds=0.4)
            async with BinanceFeed(config, ["BTCUSDT"], lambda: server.now_ns) as feed:
                feeds.append(feed)
                blind = True

                def enough(update: FeedUpdate) -> bool:
                    nonlocal blind
                    if update.kind == FeedKind.QUOTE:
                        server.listened(heard=int(update.records["update_id"][0]))
                    elif update.kind in (FeedKind.BLIND, FeedKind.SIGHTED):
                        blind = update.kind == FeedKind.BLIND
                        server.listened(calm=not blind)
                        if not blind:
                            up.append(feed._links[0].connected)
                    return len(up) == 2

                await heard(feed, enough)

    asyncio.run(whole())
    assert up == [True, True]
    assert server.snapshots == 3, "the late one was asked for again"


def test_loss_of_trades_alone_leaves_the_book_in_sight_and_is_told_apart() -> None:
    lines = lines_of(BTCUSDT_PERPETUAL, 3000)
    trades = [place for place, line in enumerate(lines) if line.kind == "trade"]
    cut = trades[len(trades) // 2]

    async def lose() -> None:
        for socket in list(server.open["/market/stream"]):
            await server._abort(socket)

    async def again() -> None:
        await server.until(lambda: server.connected == 2)

    server = BinanceServer("futures", lines, {cut: lose, cut + 40: again}, listeners=2)
    routes = (("/public/stream", ALL[:2]), ("/market/stream", ALL[2:]))

    async def whole() -> tuple[list[FeedUpdate], dict[str, Any]]:
        async with server:
            real = tuple(Route(server.stream_url(path), names) for path, names in routes)
            async with BinanceFeed(config_for(server, routes=real), ["BTCUSDT"], lambda: server.now_ns) as feed:
                last = max(trades)
                number = msgspec.json.decode(lines[last].text)["t"]
                updates = await heard(
                    feed, lambda each: each.kind == FeedKind.TRADE and each.records["trade_id"][0] == number
                )
                return updates, feed.summary()

    updates, summary = asyncio.run(whole())
    told = [each.kind for each in updates if each.kind > FeedKind.BOOK]
    of_trades = [FeedKind.SILENT, FeedKind.RESUMED]
    assert [kind for kind in told if kind not in of_trades] == [FeedKind.BLIND, FeedKind.SIGHTED]
    assert [kind for kind in told if kind in of_trades] == of_trades * 2, "until it first stood, and for the loss"
    sighted = next(each for each in updates if each.kind == FeedKind.SIGHTED)
    assert summary["symbols"]["BTCUSDT"]["blind_ns"] == sighted.interruption.blind_ns
    assert summary["missed_trades"] > 0
    flags = [int(each.records["flags"][0]) & GAP_FLAG for each in updates if each.kind == FeedKind.TRADE]
    assert flags.count(GAP_FLAG) >= 1
    assert flags[0] == 0


def test_quote_that_the_hub_marks_is_stale_for_who_asks() -> None:
    quote = np.zeros(1, QUOTE)
    assert not _value(QUOTES, quote).stale
    quote["flags"] = STALE
    assert _value(QUOTES, quote).stale


class Played:
    """A live source beside a venue in a thread, without a core: what it gives is kept."""

    def __init__(self, server: BinanceServer, **more: Any) -> None:
        self.server = server
        self.later_ns = 0
        config = config_for(self.server, **more)
        venue = "binance" if server.market == "spot" else "binance-futures"
        instruments = asyncio.run(resolve(venue, config, [name.upper() for name in server.books]))
        now_ns = wall_ns()
        settings = FeedSettings(
            venue,
            msgspec.to_builtins(config),
            {each.symbol: each.instrument_id for each in instruments},
            ClockAnchor(now_ns, now_ns, 1.0),
            steps=steps_of(instruments),
        )
        self.source = LiveSource(instruments, settings, wall_ns, timer=lambda: time.monotonic_ns() + self.later_ns)
        self.books = {1: DepthBook(), 2: DepthBook()}
        self.quotes: dict[int, Any] = {}
        self.source.attach(None)  # type: ignore[arg-type]

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < end, self.source.summary()
            next_ns = self.source.next_ns()
            assert next_ns is not None
            if next_ns > wall_ns():
                select.select([self.source.fileno()], [], [], 0.002)  # until the feed says something
                continue
            for records in self.source.step().records:
                number = int(records["instrument_id"][0])
                if topic_of(records) is BOOK_DELTAS:
                    self.books[number].apply(records)
                elif topic_of(records) is QUOTES:
                    self.quotes[number] = records[-1]

    def blind(self) -> list[str]:
        told = self.source.summary()["instruments"]
        return [
            name
            for name in BOTH
            if told[name]["blind_since_ns"] or not len(self.books[BOTH.index(name) + 1].depth(1)[0])
        ]


@contextmanager
def played() -> Iterator[Played]:
    server = BinanceServer("spot", of_both(400))
    with served(server):
        made = Played(server)
        try:
            yield made
        finally:
            made.source.close()


def test_market_that_refuses_connections_is_blind_and_silent_until_it_does_not() -> None:
    server = BinanceServer("futures", lines_of(BTCUSDT_PERPETUAL, 400), listeners=2)
    server.refusing = True

    def told(live: Played) -> list[bool]:
        facts = live.source.summary()["instruments"]["BTCUSDT"]
        return [bool(facts[name]) for name in ("blind_since_ns", "silent_since_ns")]

    def losses(live: Played) -> int:
        records: dict[str, int] = live.source.summary()["instruments"]["BTCUSDT"]["records"]
        return records.get("trade_losses", 0)

    with served(server):
        routes = (
            Route(server.stream_url("/public/stream"), ALL[:2]),
            Route(server.stream_url("/market/stream"), ALL[2:]),
        )
        live = Played(server, routes=routes)
        try:
            live.until(lambda: told(live) == [True, True] and server.refused > 3)
            assert losses(live) == 0, "none had come"
            server.refusing = False
            live.until(lambda: told(live) == [False, False] and server.finished.is_set())
            assert len(live.books[1].depth(1)[0])
            server.refusing = True
            for again in (False, True):  # what is silent when its feed dies is not so for ever
                starts = live.source.summary()["starts"]
                os.kill(live.source._process.pid, signal.SIGKILL)
                if again:
                    server.refusing = False
                live.until(lambda: live.source.summary()["starts"] > starts)  # noqa: B023
                live.until(lambda: told(live) == [not again] * 2)  # noqa: B023
            live.source._heard.append(Heard(wall_ns(), SILENT, 1, np.zeros(0, TRADE)))
            live.until(lambda: told(live) == [False, True])
            live.source._heard.append(Heard(wall_ns(), int(FeedKind.TRADE), 1, np.zeros(1, TRADE)))
            live.until(lambda: told(live) == [False, False])
            before = losses(live)
            live.source._heard.extend(Heard(wall_ns(), SILENT, 1, np.zeros(0, TRADE)) for _ in range(2))
            live.until(lambda: told(live) == [False, True] and not live.source._heard)
            assert losses(live) == before + 1
        finally:
            live.source.close()


def test_feed_that_hangs_is_replaced_and_one_in_other_steps_keeps_its_book_blind() -> None:
    with played() as live:
        live.until(lambda: live.blind() == [] and len(live.quotes) == 2 and live.server.finished.is_set())
        first = live.source._process
        os.kill(first.pid, signal.SIGSTOP)
        assert live.source.summary()["starts"] == 1
        for _ in range(3):  # what it has said before it was stopped
            live.source._read()
        live.later_ns += 2 * HUNG_NS
        live.until(lambda: live.blind() == list(BOTH))
        for number in (1, 2):
            quote = live.quotes[number]
            assert quote["flags"] & STALE
            assert (quote["bid_quantity"], quote["ask_quantity"]) == (0, 0)
        assert first.poll() is not None
        live.until(lambda: live.blind() == [])
        assert live.source.summary()["starts"] == 2
        live.server.steps["BTCUSDT"] = ("0.10000000", "0.00001000")
        os.kill(live.source._process.pid, signal.SIGKILL)
        live.until(lambda: live.blind() == list(BOTH))
        live.until(lambda: live.blind() == ["BTCUSDT"])
        notes = live.source.summary()["notes"]
        assert any("BTCUSDT is traded with price increment 0.1 instead of 0.01" in note for note in notes), notes
        live.server.steps["ETHUSDT"] = live.server.steps["BTCUSDT"]
        os.kill(live.source._process.pid, signal.SIGKILL)
        live.until(lambda: any("ETHUSDT is traded" in note for note in live.source.summary()["notes"]))
        assert live.blind() == list(BOTH)


def test_feed_that_is_started_again_goes_on_without_a_symbol_that_was_delisted() -> None:
    with played() as live:
        live.until(lambda: live.blind() == [] and live.server.finished.is_set())
        live.server.delisted["ETHUSDT"] = ""
        os.kill(live.source._process.pid, signal.SIGKILL)
        live.until(lambda: live.blind() == list(BOTH))
        live.until(lambda: live.blind() == ["ETHUSDT"])
        notes = live.source.summary()["notes"]
        assert any("ETHUSDT is not listed" in note for note in notes), notes
        live.server.delisted["BTCUSDT"] = ""
        os.kill(live.source._process.pid, signal.SIGKILL)
        live.until(lambda: any("BTCUSDT is not listed" in note for note in live.source.summary()["notes"]))
        assert live.blind() == list(BOTH)
        live.server.delisted.clear()
        live.until(lambda: live.blind() == [])


def test_error_of_the_whole_feed_blinds_every_book() -> None:
    with played() as live:
        live.until(lambda: live.blind() == [])
        from nautilus.runtime.live_feed import FAILED, HEAD

        text = msgspec.json.encode({"where": "depth of BTCUSDT", "what": "cannot be read"})
        live.source._received += HEAD.pack(len(text), FAILED, 0, wall_ns()) + text
        live.source._cut()
        live.until(lambda: live.blind() == list(BOTH))
        assert [live.quotes[number]["flags"] & STALE for number in (1, 2)] == [STALE] * 2


def test_instrument_without_room_is_given_up_alone() -> None:
    with played() as live:
        live.until(lambda: live.blind() == [])
        odd = np.zeros(1, BOOK_DELTA)
        odd["instrument_id"], odd["action"], odd["side"] = 1, 3, 1
        from nautilus.runtime.live_source import BOOK_KIND

        live.source._heard.append(Heard(wall_ns(), BOOK_KIND, 1, odd))
        live.until(lambda: live.blind() == ["BTCUSDT"])
        assert "action 3" in live.source.summary()["instruments"]["BTCUSDT"]["broken"]
