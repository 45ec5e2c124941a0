"""The live feed of Binance against the venue on real sockets, playing recordings, whole and with faults."""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nautilus.adapters.formats import BookCheck, FormatError
from nautilus.adapters.formats.binance import BinanceRecording
from nautilus.adapters.sources.binance_live import (
    BinanceConfig,
    BinanceFeed,
    FeedKind,
    FeedUpdate,
    Route,
)
from nautilus.adapters.sources.binance_weight import Weight
from nautilus.adapters.sources.errors import MalformedError, NotFoundError, RateLimitedError, UnavailableError
from nautilus.core.clock import now_ns
from nautilus.core.depth import DepthBook
from nautilus.core.quotas import Quotas
from nautilus.core.types import RecordFlag
from nautilus.model.errors import ConfigError
from tests.kit.binance_server import BinanceServer, Line, VenueBook, read_lines, renamed
from tests.kit.data import BTCUSDT_PERPETUAL, BTCUSDT_SPOT, recording

IDS = {"depth": "u", "bookTicker": "u", "trade": "t"}
ALL = ("depth@100ms", "bookTicker", "trade")


@functools.cache
def lines_of(name: str, count: int = 0) -> list[Line]:
    return read_lines(recording(name), count)


def config_for(server: BinanceServer, **more: Any) -> BinanceConfig:
    routes = (Route(server.stream_url(), ALL),)
    settings = {"rest_url": server.rest_url, "routes": routes, "backoff_seconds": 0.01, "longest_backoff_seconds": 0.05}
    return BinanceConfig(market=server.market, **(settings | more))


class Listener:
    """Takes a feed's updates as a subscriber would: its books are made of the records alone."""

    def __init__(self, feed: BinanceFeed, server: BinanceServer) -> None:
        self.feed = feed
        self._server = server
        self._blind = 0
        self.counts = dict.fromkeys(FeedKind, 0)
        self.books = {symbol: DepthBook() for symbol in feed.hints}
        self.turns: list[FeedUpdate] = []
        self.stamps: list[int] = []
        self.quotes: list[int] = []
        self.trades: list[int] = []
        self._seen: dict[tuple[str, str], int] = {}
        self._last: dict[tuple[str, str], int] = {}
        for line in {(line.symbol, line.kind): line for line in server.lines if line.kind in IDS}.values():
            self._last[line.symbol.upper(), line.kind] = json.loads(line.text)[IDS[line.kind]]

    def take(self, update: FeedUpdate) -> None:
        self.counts[FeedKind(update.kind)] += 1
        self.stamps.append(update.now_ns)
        if update.kind == FeedKind.QUOTE:
            self.quotes.append(int(update.records["update_id"][0]))
            self._seen[update.symbol, "bookTicker"] = self.quotes[-1]
            self._server.listened(heard=self.quotes[-1])
        elif update.kind == FeedKind.TRADE:
            self.trades.append(int(update.records["trade_id"][0]))
            self._seen[update.symbol, "trade"] = self.trades[-1]
        else:
            if update.kind == FeedKind.BOOK:
                assert update.records["flags"][-1] & RecordFlag.LAST
            elif update.kind in (FeedKind.BLIND, FeedKind.SIGHTED):
                self.turns.append(update)
                self._blind += 1 if update.kind == FeedKind.BLIND else -1
                self._server.listened(calm=not self._blind)
            if len(update.records):
                self.books[update.symbol].apply(update.records)
                self._seen[update.symbol, "depth"] = self.books[update.symbol].update_id

    @property
    def complete(self) -> bool:
        return not self._blind and all(self._seen.get(key) == number for key, number in self._last.items())

    def reasons(self) -> list[str]:
        return [turn.interruption.reason for turn in self.turns if turn.kind == FeedKind.BLIND]


async def listen(
    server: BinanceServer, config: BinanceConfig, symbols: tuple[str, ...] = ("BTCUSDT",)
) -> tuple[Listener, dict[str, Any], dict[str, BookCheck]]:
    """Until every line was played and every book is as new as the last diff."""
    async with BinanceFeed(config, symbols, lambda: server.now_ns) as feed:
        listener = Listener(feed, server)
        async with asyncio.timeout(180):  # long, for a machine that has other work
            async for update in feed:
                listener.take(update)
                if server.finished.is_set() and listener.complete:
                    break
        checks = {symbol: feed.check(symbol) for symbol in symbols}
        return listener, feed.summary(), checks


def run(
    server: BinanceServer, symbols: tuple[str, ...] = ("BTCUSDT",), **more: Any
) -> tuple[Listener, dict[str, Any], dict[str, BookCheck]]:
    async def whole() -> tuple[Listener, dict[str, Any], dict[str, BookCheck]]:
        async with server:
            return await listen(server, config_for(server, **more), symbols)

    return asyncio.run(whole())


def assert_books_are_right(server: BinanceServer, listener: Listener, checks: dict[str, BookCheck]) -> None:
    for symbol, check in checks.items():
        assert check.compared > 0
        assert check.differences == []
        assert check.equal == check.compared
        hint = listener.feed.hints[symbol]
        tick, lot = float(hint.price_increment), float(hint.lot_size)
        bid, bid_quantity, ask, ask_quantity = listener.books[symbol].best()
        rebuilt = (bid * tick, bid_quantity * lot, ask * tick, ask_quantity * lot)
        assert rebuilt == pytest.approx(server.books[symbol.lower()].best())
        assert listener.books[symbol].best() == listener.feed.book(symbol).best()
    assert listener.stamps == sorted(listener.stamps)
    assert listener.quotes == sorted(set(listener.quotes)) or len(checks) > 1
    assert listener.trades == sorted(set(listener.trades)) or len(checks) > 1


def test_undisturbed_spot_session_equals_every_ticker() -> None:
    server = BinanceServer("spot", lines_of(BTCUSDT_SPOT))
    listener, summary, checks = run(server)
    assert_books_are_right(server, listener, checks)
    checks["BTCUSDT"].finish()
    assert (checks["BTCUSDT"].compared, checks["BTCUSDT"].equal) == (3449, 3449)
    kinds = [line.kind for line in server.lines]
    assert listener.counts[FeedKind.QUOTE] == kinds.count("bookTicker")
    assert listener.counts[FeedKind.TRADE] == kinds.count("trade")
    assert listener.reasons() == ["start"]
    assert (summary["malformed"], summary["repeated"], summary["missed_trades"]) == (0, 0, 0)
    assert server.accepted == ["/stream"]
    assert server.queries == ["btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade"]
    assert server.snapshots == 1


def test_undisturbed_futures_session_equals_every_ticker() -> None:
    """Books and trades come over the two addresses that the futures market has."""
    server = BinanceServer("futures", lines_of(BTCUSDT_PERPETUAL), listeners=2)
    routes = (("/public/stream", ("depth@100ms", "bookTicker")), ("/market/stream", ("trade",)))

    async def whole() -> tuple[Listener, dict[str, Any], dict[str, BookCheck]]:
        async with server:
            config = config_for(server, routes=tuple(Route(server.stream_url(path), names) for path, names in routes))
            return await listen(server, config)

    listener, summary, checks = asyncio.run(whole())
    assert_books_are_right(server, listener, checks)
    checks["BTCUSDT"].finish()
    assert (checks["BTCUSDT"].compared, checks["BTCUSDT"].equal) == (6547, 6547)
    assert sorted(server.accepted) == ["/market/stream", "/public/stream"]
    assert summary["symbols"]["BTCUSDT"]["gaps"] == 0
    hint = listener.feed.hints["BTCUSDT"]
    assert (hint.price_increment, hint.lot_size, hint.product) == ("0.1", "0.00001", "perpetual")


def place_of(lines: list[Line], kind: str, after: int) -> int:
    return next(place for place in range(after, len(lines)) if lines[place].kind == kind)


def test_every_fault_of_the_stream_is_told_and_ends_in_a_right_book() -> None:
    lines = lines_of(BTCUSDT_SPOT)[:9000]
    depth = functools.partial(place_of, lines, "depth")
    script = {
        depth(1000): "ping",
        depth(2000): "drop",
        depth(3000): "twice",
        place_of(lines, "trade", 3200): "twice",
        place_of(lines, "bookTicker", 3400): "twice",
        depth(4000): "garbage",
        depth(5000): "cut",
        depth(7000): "leave",
    }
    server = BinanceServer("spot", lines, script)
    listener, summary, checks = run(server)
    assert_books_are_right(server, listener, checks)
    assert listener.reasons() == ["start", "gap", "closed", "closed"]
    assert [turn.kind for turn in listener.turns] == [FeedKind.BLIND, FeedKind.SIGHTED] * 4
    for blind, sighted in zip(listener.turns[::2], listener.turns[1::2], strict=True):
        assert blind.interruption is sighted.interruption
        assert sighted.interruption.blind_ns == sighted.now_ns - sighted.interruption.since_ns
    total = sum(turn.interruption.blind_ns for turn in listener.turns[1::2])
    facts = summary["symbols"]["BTCUSDT"]
    assert facts["blind_ns"] == total > 0
    assert not facts["blind"]
    assert facts["gaps"] == 1
    assert facts["diffs_dropped"] >= 1
    assert summary["repeated"] == 2
    assert summary["malformed"] == 3
    assert summary["connections"][0]["opened"] == len(server.accepted) == 3
    assert summary["connections"][0]["pings"] == 1
    assert server.pongs == [b"1723161255"]
    assert server.snapshots == 4


def test_futures_gap_is_seen_by_pu_and_asked_for_again_after_refusals() -> None:
    lines = lines_of(BTCUSDT_PERPETUAL, 9000)
    gap = place_of(lines, "depth", 3000)
    server = BinanceServer("futures", lines, {gap: "drop"})

    async def refuse() -> str:
        server.replies.extend([(429, {"Retry-After": "0"}), (418, {"Retry-After": "0"}), (503, {})])
        return ""

    server.replies.append(refuse)
    listener, summary, checks = run(server)
    assert_books_are_right(server, listener, checks)
    assert listener.reasons() == ["start", "gap"]
    assert (summary["requests"]["refused"], summary["requests"]["failed"]) == (2, 1)
    assert server.snapshots == 2
    assert any("banned" in note for note in summary["notes"])


def test_session_without_a_snapshot_says_how_long_it_was_blind() -> None:
    """The requests for the book are not answered before much of the session is over."""
    lines = lines_of(BTCUSDT_SPOT)[:6000]
    late = asyncio.Event()

    async def answer() -> str:
        await late.wait()
        return server.books["btcusdt"].snapshot()

    async def hold() -> None:
        late.set()
        await server.until(lambda: server.snapshots == 1)

    server = BinanceServer("spot", lines, {4000: hold})
    server.replies.append(answer)
    listener, summary, checks = run(server)
    assert_books_are_right(server, listener, checks)
    first_book = next(turn for turn in listener.turns if turn.kind == FeedKind.SIGHTED)
    assert first_book.interruption.reason == "start"
    since_ns = first_book.interruption.since_ns
    assert since_ns in {line.stamp_ns for line in lines[:4000]}
    assert first_book.now_ns >= lines[3999].stamp_ns
    assert summary["symbols"]["BTCUSDT"]["blind_ns"] == first_book.now_ns - since_ns
    assert summary["symbols"]["BTCUSDT"]["diffs_dropped"] > 100


def test_log_without_a_snapshot_ends_right_after_a_later_one_and_says_how_long_it_was_blind(tmp_path: Path) -> None:
    lines = lines_of(BTCUSDT_SPOT)[:9000]
    book = VenueBook()
    path = tmp_path / "late.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        for place, line in enumerate(lines):
            if line.kind == "snapshot":
                book.start(line.text)
                continue
            if line.kind == "depth":
                book.change(json.loads(line.text))
            if place == 4000:
                file.write(f"{line.stamp_ns} {book.snapshot()}\n")
            file.write(f'{line.stamp_ns} {{"stream":"{line.symbol}@{line.kind}","data":{line.text}}}\n')
    log = BinanceRecording(path)
    for _ in log.updates():
        pass
    summary = log.summary()
    assert summary["blind_ns"] == lines[4000].stamp_ns - lines[0].stamp_ns
    assert summary["diffs_dropped"] > 100
    assert summary["book_checks"]["compared"] > 300
    assert summary["book_checks"]["equal"] == summary["book_checks"]["compared"]
    tick, lot = float(log.hint.price_increment), float(log.hint.lot_size)
    bid, bid_quantity, ask, ask_quantity = log.book.best()
    assert (bid * tick, bid_quantity * lot, ask * tick, ask_quantity * lot) == pytest.approx(book.best())


def test_snapshot_older_than_the_diffs_held_is_asked_for_again() -> None:
    lines = lines_of(BTCUSDT_SPOT)[:3000]
    gap = place_of(lines, "depth", 1000)
    kept = []

    async def keep() -> None:
        kept.append(server.books["btcusdt"].snapshot())

    async def stale() -> str:
        return kept[0]

    async def let() -> None:
        await server.settled()
        server.replies.append(stale)

    server = BinanceServer("spot", lines, {gap - 1: keep, gap - 2: let, gap: "drop"})
    listener, summary, checks = run(server)
    assert_books_are_right(server, listener, checks)
    assert listener.reasons() == ["start", "gap"]
    assert summary["symbols"]["BTCUSDT"]["skipped"]["stale_snapshots"] == 1
    assert server.snapshots == 3


def test_connection_that_says_nothing_is_opened_anew() -> None:
    lines = lines_of(BTCUSDT_SPOT)[:3000]
    server = BinanceServer("spot", lines, {place_of(lines, "depth", 1500): "hang"})
    listener, _, checks = run(server, stalled_seconds=0.4)
    assert_books_are_right(server, listener, checks)
    assert listener.reasons() == ["start", "stalled"]
    assert len(server.accepted) == 2


def test_connection_is_replaced_before_its_day_is_over_without_a_gap() -> None:
    lines = lines_of(BTCUSDT_SPOT)[:4000]

    async def until_replaced() -> None:
        await server.until(lambda: len(server.accepted) == 2)

    async def until_left() -> None:
        await server.until(lambda: server.connected == 1)

    server = BinanceServer("spot", lines, {1500: until_replaced, 2500: until_left})
    listener, summary, checks = run(server, renew_seconds=0.5)
    assert_books_are_right(server, listener, checks)
    assert listener.reasons() == ["start"]
    assert summary["connections"][0]["renewed"] >= 1
    assert summary["symbols"]["BTCUSDT"]["gaps"] == 0


def test_connection_that_lags_behind_its_replacement_is_heard_until_it_has_said_the_same() -> None:
    lines = lines_of(BTCUSDT_SPOT)[:4000]

    async def until_replaced() -> None:
        await server.until(lambda: len(server.accepted) == 2)

    async def until_left() -> None:
        await server.until(lambda: server.connected == 1)

    server = BinanceServer("spot", lines, {1500: until_replaced, 2500: until_left})
    server.lag = 60
    listener, summary, checks = run(server, renew_seconds=0.5)
    assert_books_are_right(server, listener, checks)
    assert listener.trades == [json.loads(line.text)["t"] for line in lines if line.kind == "trade"]
    assert summary["missed_trades"] == 0, "no trade has the flag of a gap"
    assert listener.reasons() == ["start"]
    assert summary["connections"][0]["renewed"] >= 1
    assert summary["symbols"]["BTCUSDT"]["gaps"] == 0


def test_replacement_that_is_refused_is_tried_again_soon() -> None:
    lines = lines_of(BTCUSDT_SPOT)[:3000]
    waits = []

    async def refuse() -> None:
        server.refusing = True
        await server.until(lambda: server.refused == 1)
        begin = asyncio.get_running_loop().time()
        await server.until(lambda: server.refused == 3)
        waits.append(asyncio.get_running_loop().time() - begin)
        server.refusing = False
        await server.until(lambda: len(server.accepted) == 2)

    server = BinanceServer("spot", lines, {1500: refuse})
    listener, summary, checks = run(server, renew_seconds=2.0)
    assert_books_are_right(server, listener, checks)
    assert waits[0] < 1.5, "and not when another renewal would be due"
    assert listener.reasons() == ["start"]
    assert summary["connections"][0]["failed"] >= 3


def test_several_symbols_share_one_connection_and_keep_their_order() -> None:
    lines = lines_of(BTCUSDT_SPOT)[:4000]
    both = [line for pair in zip(lines, renamed(lines, "ETHUSDT"), strict=True) for line in pair]
    gap = place_of(both, "depth", 4001)
    server = BinanceServer("spot", both, {gap: "drop"})
    listener, summary, checks = run(server, ("BTCUSDT", "ETHUSDT"))
    assert_books_are_right(server, listener, checks)
    assert server.accepted == ["/stream"]
    blind = [turn.symbol for turn in listener.turns if turn.interruption.reason == "gap"]
    assert blind == [both[gap].symbol.upper()] * 2
    assert {name: facts["gaps"] for name, facts in summary["symbols"].items()} == {
        name: int(name == both[gap].symbol.upper()) for name in checks
    }


def test_requests_wait_when_the_weight_of_the_minute_is_spent() -> None:
    server = BinanceServer("spot", lines_of(BTCUSDT_SPOT)[:100])
    server.used_weight = "2999"

    async def spend() -> None:
        stamps_ns = [now_ns()]  # no minute ends here by itself
        clocks: dict[str, Any] = {"clock": lambda: server.now_ns, "minutes": lambda: stamps_ns[-1]}
        async with server, BinanceFeed(config_for(server), ["BTCUSDT"], **clocks) as feed:
            stamps_ns.append(stamps_ns[0] + 3600 * 10**9)
            await feed.rest.depth("BTCUSDT")
            asked = asyncio.ensure_future(feed.rest.depth("BTCUSDT"))
            done, _ = await asyncio.wait({asked}, timeout=0.05)
            assert not done
            assert feed.rest.used_weight == 2999
            assert server.snapshots == 1
            asked.cancel()

    asyncio.run(spend())


def test_weight_and_bans_are_those_of_all_processes_and_of_the_next_start(tmp_path: Path) -> None:
    time_ns = 1_700_000_040 * 10**9  # the beginning of a minute
    place = tmp_path / "quotas"
    one, two = (Weight("https://a.example/api", 100, Quotas(4, place), lambda: time_ns) for _ in range(2))
    other = Weight("https://b.example/api", 100, Quotas(4, place), lambda: time_ns)
    assert [one.take(50), two.take(50), one.used, two.take(1)] == [0, 0, 100, 60]
    assert [other.take(250), other.used] == [0, 250]  # more than a minute's is let go at the beginning of one
    time_ns += 70 * 10**9
    assert one.take(20) == 0
    two.told(90)
    assert [one.used, one.take(20), one.take(10)] == [90, 50, 0]
    one.block(300)
    assert two.take(1) == 300
    del one, two
    assert Weight("https://a.example/api", 100, Quotas(4, place), lambda: time_ns).take(1) == 300
    time_ns += 300 * 10**9
    assert Weight("https://a.example/api", 100, Quotas(4, place), lambda: time_ns).take(1) == 0


def test_opening_says_what_the_venue_lacks() -> None:
    async def opened(symbol: str, **more: Any) -> None:
        async with (
            BinanceServer("spot", lines_of(BTCUSDT_SPOT)[:100]) as server,
            BinanceFeed(config_for(server, **more), [symbol], lambda: 1),
        ):
            pass

    with pytest.raises(NotFoundError, match="NOSUCH is not listed"):
        asyncio.run(opened("NOSUCH"))
    with pytest.raises(UnavailableError, match="no answer"):
        asyncio.run(opened("BTCUSDT", rest_url="http://127.0.0.1:9/api/v3"))
    with pytest.raises(ConfigError, match="400 symbols"):
        BinanceConfig().concluded(400)
    with pytest.raises(ConfigError, match="snapshot_levels"):
        BinanceConfig(market="futures", snapshot_levels=5000).concluded(1)
    with pytest.raises(ConfigError, match="symbols"):
        BinanceFeed(BinanceConfig(), [], lambda: 1)


def test_snapshots_of_another_tick_size_end_the_feed_with_the_reason() -> None:
    server = BinanceServer("spot", lines_of(BTCUSDT_SPOT)[:200])

    async def odd() -> str:
        server.replies.append(odd)
        return json.dumps({"lastUpdateId": 50093239218, "bids": [["61837.635", "1.0"]], "asks": []})

    server.replies.append(odd)
    with pytest.raises(FormatError, match=r"price in field bids is '61837.635'; expected a multiple of 0.01"):
        run(server)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda row: row["filters"][0].pop("tickSize"), r"\$.symbols\[0\].filters.PRICE_FILTER.tickSize is None"),
        (lambda row: row["filters"].pop(1), r"\$.symbols\[0\].filters.LOT_SIZE.stepSize is None"),
        (lambda row: row.update(baseAsset=7), r"\$.symbols\[0\].baseAsset is 7"),
        (lambda row: row["filters"][0].update(tickSize="0.000"), r"tickSize is '0.000'"),
    ],
)
def test_changed_instruments_are_refused_with_the_field(change: Callable[[dict[str, Any]], Any], path: str) -> None:
    from nautilus.adapters.sources.binance_rest import read_listing

    row = {
        "symbol": "BTCUSDT",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "stepSize": "0.00001000"},
        ],
    }
    body = json.dumps({"symbols": [row]}).encode()
    assert read_listing(body, ["BTCUSDT"], where="here").hints["BTCUSDT"].lot_size == "0.00001"
    change(row)
    with pytest.raises(MalformedError, match=path):
        read_listing(json.dumps({"symbols": [row]}).encode(), ["BTCUSDT"], where="here")


def test_refusal_for_too_many_requests_says_until_when() -> None:
    server = BinanceServer("spot", lines_of(BTCUSDT_SPOT)[:100])

    async def refused() -> RateLimitedError:
        async with server, BinanceFeed(config_for(server), ["BTCUSDT"], lambda: server.now_ns) as feed:
            server.replies.append((429, {"Retry-After": "7"}))
            with pytest.raises(RateLimitedError) as caught:
                await feed.rest.depth("BTCUSDT")
            return caught.value

    error = asyncio.run(refused())
    assert (error.code, error.status, error.retry_seconds) == ("source.rate_limited", 429, 7.0)
