"""A feed's ticks in shared memory, written by a process of its own, on the live platform's star."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from nautilus.bus import Subscriber, make_context
from nautilus.core import BOOK_DELTA, QUOTE, TRADE
from nautilus.core.book_set import BookSet
from nautilus.core.ticks import QUARANTINE, TICK
from nautilus.core.types import COMMAND
from nautilus.model.errors import ConfigError
from nautilus.model.queries import GetBook, GetQuarantine, GetQuotes
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.market import market_part, setup_commands
from nautilus.runtime.market_name import market_name
from nautilus.runtime.process import EngineBuilder
from nautilus.runtime.tick_ring import TickWriter, listed_in
from tests.kit import core as native
from tests.kit.live_host import RunningHost, eventually, make_plan, short_directory
from tests.kit.tick_feed import Twin, instruments_of_feed

ROOT = Path(__file__).parents[2]


class Site:
    """A core, a hub that plays a feed, and a reader of the star; the feed is a process."""

    def __init__(self, directory: Path, undo: ExitStack) -> None:
        self.directory, self._undo = directory / "feed", undo
        self.feed = self.begin_feed()
        self.plan = make_plan(
            directory,
            {"marketdata": ("marketdata",)},
            market=f"ticks:{self.directory}",
            listed=listed_in(self.directory),
            sections={"marketdata": {"jump_bps": 0}},
        )
        clock = self.plan.clock
        core, _ = undo.enter_context(
            native.running(directory, clock=(clock.wall_ns, clock.platform_ns, clock.speed), epoch=wall_ns())
        )
        rows = np.concatenate([np.frombuffer(bytearray(each.row), COMMAND) for each in setup_commands(self.plan)])
        native.carry_out(native.attach(core, "core"), rows)
        self.begin_hub()
        context = make_context()
        undo.callback(context.destroy, 0)
        self.reader = Subscriber(context, self.plan.star, (QUOTES, TRADES, BOOK_DELTAS), clock=wall_ns, high_water=0)
        undo.callback(self.reader.close)
        self.records: list[np.ndarray] = []
        eventually(lambda: self.read() is None and self.reader.synchronised)
        self.hub.do(self.hub.host.open)

    def begin_hub(self) -> None:
        builder = EngineBuilder(self.plan)
        self.hub = RunningHost(
            self.plan,
            "marketdata",
            {"marketdata": lambda: builder.build("marketdata")},
            lambda host: host.parts.append(market_part(host, self.plan)),
        )
        self._undo.callback(self.hub.stop)
        self.hub.ready()

    def begin_feed(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "tests.kit.tick_feed", str(self.directory)]
        feed = self._undo.enter_context(
            subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
        self._undo.callback(feed.kill)
        assert feed.stdout is not None
        assert feed.stdout.readline() == b"ready\n"
        return feed

    def write(self, blocks: int) -> None:
        """Have the feed write blocks; it has when this returns."""
        assert self.feed.stdin is not None
        assert self.feed.stdout is not None
        self.feed.stdin.write(b"%d\n" % blocks)
        self.feed.stdin.flush()
        assert self.feed.stdout.readline() == b"written\n"

    def read(self) -> None:
        self.records += [records for _, records in self.reader.drain(4_096)]

    def of(self, kind: np.dtype) -> np.ndarray:
        parts = [records for records in self.records if records.dtype == kind]
        return np.concatenate(parts) if parts else np.zeros(0, kind)

    def until(self, condition: Any) -> None:
        eventually(lambda: self.read() is None and condition(), seconds=60)

    def ask(self, message: Any) -> Any:
        return self.hub.host.ask_engine("marketdata", message).result(60)

    def summary(self) -> dict[str, Any]:
        [part] = self.hub.host.parts
        return self.hub.do(part.summary)


@pytest.fixture
def site() -> Iterator[Site]:
    with short_directory() as directory, ExitStack() as undo:
        yield Site(directory, undo)


def test_ticks_of_a_feed_are_checked_published_and_kept_as_books(site: Site) -> None:
    twin = Twin()
    site.write(2)
    twin.write(2)
    site.until(lambda: sum(map(len, site.records)) >= twin.published)
    assert (site.reader.lost, site.reader.gaps, site.reader.duplicates) == (0, 0, 0)
    for kind in (QUOTE, TRADE, BOOK_DELTA):
        # A stream of the star is one kind of one instrument.
        got, want = (
            records[np.argsort(records["instrument_id"], kind="stable")] for records in (site.of(kind), twin.of(kind))
        )
        for name in set(kind.names or ()) - {"now_ns", "venue_ns"}:
            assert got[name].tolist() == want[name].tolist(), name
    books = BookSet()
    books.apply(np.ascontiguousarray(site.of(BOOK_DELTA)))
    for each in instruments_of_feed():
        book = site.ask(GetBook(instrument=each.symbol, levels=100))
        assert (book.blind_since_ns, len(book.bids), len(book.asks)) == (0, *books.counts(each.instrument_id))
        shown = [round(float(side[0].price) * 10_000) for side in (book.bids, book.asks)]
        assert tuple(shown) == books.best(each.instrument_id)[::2]
    refused = site.ask(GetQuarantine())
    assert sum(refused.counts.values()) == twin.refused > 0
    assert site.summary()["quarantined"] == refused.counts
    assert {line.symbol for line in refused.lines} <= {each.symbol for each in instruments_of_feed()}


def test_the_end_of_a_feed_ends_its_books_until_the_next_one_writes_them(site: Site) -> None:
    site.write(1)
    site.until(lambda: len(site.of(TRADE)))
    before = Twin()
    before.write(1)
    site.until(lambda: sum(map(len, site.records)) >= before.published)
    site.feed.send_signal(signal.SIGKILL)
    site.feed.wait()
    site.until(lambda: all(line.blind_since_ns for line in site.ask(GetQuotes()).quotes))
    assert not any(site.ask(GetBook(instrument=each.symbol)).bids for each in instruments_of_feed())
    site.feed = site.begin_feed()
    site.write(1)
    site.until(lambda: not any(line.blind_since_ns for line in site.ask(GetQuotes()).quotes))
    book = site.ask(GetBook(instrument="FEED1"))
    assert book.gaps == 1
    assert book.blind_ns > 0
    assert book.bids
    found = site.summary()
    assert (found["losses"], found["feeds"], found["missed_frames"]) == (1, 2, 0)


def test_a_hub_that_was_too_late_for_the_ring_trusts_no_book(site: Site) -> None:
    site.write(1)
    twin = Twin()
    twin.write(1)
    site.until(lambda: sum(map(len, site.records)) >= twin.published)
    # While its thread is held here the feed writes more than the ring holds.
    site.hub.do(lambda: site.write(8))
    site.until(lambda: all(line.blind_since_ns for line in site.ask(GetQuotes()).quotes))
    found = site.summary()
    assert found["missed_frames"] > 0
    assert found["losses"] >= 1
    site.feed.send_signal(signal.SIGKILL)
    site.feed.wait()
    site.feed = site.begin_feed()
    site.write(1)
    site.until(lambda: not any(line.blind_since_ns for line in site.ask(GetQuotes()).quotes))


def test_a_hub_that_begins_again_publishes_no_trade_twice_and_has_its_books(site: Site) -> None:
    site.write(1)
    twin = Twin()
    twin.write(1)
    site.until(lambda: sum(map(len, site.records)) >= twin.published)
    before = [site.ask(GetBook(instrument=each.symbol, levels=100)) for each in instruments_of_feed()]
    site.hub.stop()
    site.begin_hub()
    site.hub.do(site.hub.host.open)
    site.until(lambda: all(site.ask(GetBook(instrument=each.symbol)).bids for each in instruments_of_feed()))
    for each, old in zip(instruments_of_feed(), before, strict=True):
        book = site.ask(GetBook(instrument=each.symbol, levels=100))
        assert (book.bids, book.asks, book.blind_since_ns) == (old.bids, old.asks, 0)
    site.write(1)
    twin.write(1)
    site.until(lambda: all(len(site.of(kind)) >= len(twin.of(kind)) for kind in (TRADE, QUOTE)))
    ids = [(int(row["instrument_id"]), int(row["trade_id"])) for row in site.of(TRADE)]
    assert len(set(ids)) == len(ids) == len(twin.of(TRADE))
    assert len(site.of(QUOTE)) == len(twin.of(QUOTE))


def test_a_feed_of_other_instruments_ends_the_market_by_name(site: Site) -> None:
    site.feed.send_signal(signal.SIGKILL)
    site.feed.wait()
    others = tuple(msgspec.structs.replace(each, symbol=f"OTHER{each.instrument_id}") for each in instruments_of_feed())
    writer = TickWriter(site.directory, others, epoch=wall_ns())
    writer.write(np.zeros(40_000, TICK))  # more than the hub takes at once
    site.until(lambda: "OTHER1" in site.ask(GetQuotes()).broken)
    writer.close()


def test_a_place_without_a_feed_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no list of instruments.*a feed that has begun"):
        listed_in(tmp_path)
    (tmp_path / "instruments.json").write_bytes(b"[]")
    with pytest.raises(ConfigError, match="one at least, each id once"):
        listed_in(tmp_path)
    writer = TickWriter(tmp_path / "feed", instruments_of_feed(), epoch=1)
    with pytest.raises(TypeError, match="expected TICK"):
        writer.write(np.zeros(1, QUARANTINE))
    writer.close()


def test_its_name_is_read_and_written() -> None:
    name = market_name("ticks:some/place")
    assert (name.kind, name.paths, name.lives, name.ends, name.derives) == (
        "ticks",
        ("some/place",),
        True,
        False,
        False,
    )
    assert str(name) == "ticks:some/place"
    assert str(name.absolute()) == f"ticks:{Path('some/place').absolute()}"
