"""A catalog made of recordings plays as the files do: the same records, in the same order, the same run."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from nautilus.adapters.formats import Recording, open_file, open_recording
from nautilus.cli.live_run import FASTEST
from nautilus.core.ticks import BAR, FLOW
from nautilus.core.types import QUOTE
from nautilus.model.errors import NautilusError
from nautilus.model.marketdata import AUCTION
from nautilus.model.topics import AUCTIONS, BARS, BOOK_DELTAS, FLOWS, QUOTES, TRADES, topic_of
from nautilus.runtime.clock import ClockAnchor, wall_ns
from nautilus.runtime.file_import import import_files
from nautilus.runtime.market_name import MarketName, catalog_name, files_name, market_name
from nautilus.runtime.replay import Run
from nautilus.runtime.sources import begin_ns_of, open_source
from nautilus.runtime.stored import open_stored, pinned
from nautilus.simulation import MarketSource
from nautilus.store.catalog import Catalog
from tests.kit.context import btcusdt
from tests.kit.data import BTCUSDT_PERPETUAL, BTCUSDT_SPOT, LOBSTER, recording
from tests.kit.live_host import short_directory
from tests.kit.market_site import Site

SECOND = 1_000_000_000
MARKET_SECONDS = 3
KINDS = {QUOTES.name: "quote", TRADES.name: "trade", BOOK_DELTAS.name: "book"}


def store(path: Path, files: MarketName, seconds: float) -> MarketName:
    """Recordings in a catalog, as they come."""
    source = open_source(files)
    instruments = {each.instrument_id: each for each in source.instruments()}
    with Catalog(path, create=True).writer() as writer:
        for number, name in enumerate(files.paths, 1):
            log = open_recording(name, instrument_id=number)
            updates = log.updates(until_ns=log.start_ns + int(seconds * SECOND))
            for kind, group in groupby(updates, lambda each: KINDS[topic_of(each.records).name]):
                records = np.concatenate([each.records for each in group])
                assert writer.append(instruments[number], kind, records, wait=True)
    return catalog_name(path, [f"{each.symbol}@{each.venue}" for each in source.instruments()])


def played(source: MarketSource, seconds: float) -> tuple[list[tuple[str, bytes]], Any]:
    """What the hub's subscribers get in lock-step, and the report."""
    run = Run(source, ("quoting",), {}, 1, "none", None)
    seen: list[tuple[str, bytes]] = []
    for topic in (QUOTES, TRADES, BOOK_DELTAS):
        run._host.tap(topic, lambda records, name=topic.name: seen.append((name, records.tobytes())))
    try:
        report = run.run(None, seconds, None)
    finally:
        run.close()
    return seen, report


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[MarketName, MarketName]:
    files = files_name([recording(BTCUSDT_PERPETUAL), recording(BTCUSDT_SPOT)])
    return files, store(tmp_path_factory.mktemp("store") / "catalog", files, MARKET_SECONDS + 2)


def test_a_catalog_plays_byte_for_byte_as_its_recordings(stored: tuple[MarketName, MarketName]) -> None:
    files, catalog = stored
    from_files, first = played(open_source(files), MARKET_SECONDS)
    from_catalog, second = played(open_source(market_name(str(catalog))), MARKET_SECONDS)
    assert len(from_files) > 500
    assert from_catalog == from_files
    assert (second.event_hash, second.state_hash) == (first.event_hash, first.state_hash)
    assert second.instruments == first.instruments == ["BTCUSDT.perpetual at BINANCE", "BTCUSDT.spot at BINANCE"]
    assert begin_ns_of(catalog) >= begin_ns_of(files)
    checks = second.book_checks
    assert checks["compared"] == checks["equal"] > 10
    assert {part["book_checks"]["compared"] > 0 for part in second.market["instruments"].values()} == {True}


@pytest.mark.parametrize("speed", [1.0, 20.0, float(FASTEST)])
def test_a_catalog_plays_onto_the_star_in_the_same_order_at_every_speed(
    stored: tuple[MarketName, MarketName], speed: float
) -> None:
    name = pinned(stored[1])
    want: dict[tuple[str, int], list[bytes]] = {}
    for _, _, records in (update for part in open_stored(name) for update in part.updates()):
        for record in records:
            want.setdefault((topic_of(records).name, int(record["instrument_id"])), []).append(record.tobytes())
    with short_directory() as directory, ExitStack() as undo:
        anchor = ClockAnchor(wall_ns(), begin_ns_of(name) - int(0.5 * min(speed, 20) * SECOND), speed)
        site = Site(directory, undo, market=str(name), speed=speed, clock=anchor)
        begun_ns = wall_ns()
        site.open()
        site.until(lambda: site.ended)
        taken = (wall_ns() - begun_ns) / SECOND
        site.read_all()
        assert site.ended == [""]
        assert (site.reader.lost, site.reader.gaps, site.reader.duplicates) == (0, 0, 0)
    got: dict[tuple[str, int], list[bytes]] = {}
    for records in site.records:
        for record in records:
            got.setdefault((topic_of(records).name, int(record["instrument_id"])), []).append(record.tobytes())
    assert got == want
    assert len({number for _, number in got}) == 2
    if speed == 1.0:
        assert taken >= MARKET_SECONDS


def test_an_order_by_order_recording_plays_from_a_catalog(tmp_path: Path) -> None:
    files = files_name([recording(LOBSTER)])
    catalog = store(tmp_path / "catalog", files, 3600)
    from_files, first = played(open_source(files), 1)
    from_catalog, second = played(open_source(catalog), 1)
    assert from_catalog == from_files
    assert second.event_hash == first.event_hash


def test_a_range_of_one_instrument_begins_with_its_book(stored: tuple[MarketName, MarketName]) -> None:
    _, catalog = stored
    begin_ns = begin_ns_of(catalog) + 2 * SECOND
    part = catalog_name(catalog.paths[0], ["BTCUSDT.spot"], begin_ns, begin_ns + SECOND)
    source = open_source(part)
    assert [each.symbol for each in source.instruments()] == ["BTCUSDT.spot"]
    seen, report = played(source, 10)
    assert report.market_seconds <= 1
    assert report.complete
    assert len(seen[0][1]) // 56 > 1_000, "a whole book"
    assert report.book_checks["compared"] == report.book_checks["equal"] > 0


def test_a_range_that_is_pinned_stays_what_it_is(stored: tuple[MarketName, MarketName]) -> None:
    path = stored[1].paths[0]
    name = pinned(market_name(str(catalog_name(path, ()))))
    assert name.instruments == tuple(sorted(stored[1].instruments))
    before = open_source(name).instruments()
    with Catalog(path).writer() as writer:
        early = open_recording(recording(LOBSTER), instrument_id=1)
        hint = msgspec.structs.replace(early.hint, symbol="AAA")
        writer.append(hint, "trade", np.zeros(1, TRADES.record), wait=True)
    assert open_source(name).instruments() == before


def test_what_is_not_stored_is_said(stored: tuple[MarketName, MarketName], tmp_path: Path) -> None:
    path = stored[1].paths[0]
    for name, what in (
        (catalog_name(path, ["ETHUSDT"]), "ETHUSDT"),
        (catalog_name(path, (), 1, 2), "no market data"),
        (catalog_name(tmp_path / "absent"), "absent"),
    ):
        with pytest.raises(NautilusError, match=what):
            open_source(name)


def test_a_catalog_is_closed_when_the_last_recording_of_it_has_ended(
    stored: tuple[MarketName, MarketName], monkeypatch: pytest.MonkeyPatch
) -> None:
    gc.collect()  # what tests before have left is not counted
    closed: list[bool] = []
    close = Catalog.close
    monkeypatch.setattr(Catalog, "close", lambda self: closed.append(True) or close(self))
    first, second = open_stored(stored[1])
    for _ in first.updates():
        pass
    assert not closed
    for _ in second.updates():
        break
    assert len(closed) == 1
    del first, second
    gc.collect()
    assert len(closed) == 1
    unplayed = open_source(stored[1])
    del unplayed
    gc.collect()
    assert len(closed) == 2
    with pytest.raises(NautilusError, match="ETHUSDT"):
        open_stored(catalog_name(stored[1].paths[0], ["ETHUSDT"]))
    assert len(closed) == 3


def test_names_of_markets_are_read_back() -> None:
    for name in (
        market_name("none"),
        files_name(["/a b/c.gz", "/d:e"]),
        catalog_name("/a b?c/d", ["A@B", "C"], 5, 7),
        market_name("binance:btcusdt,ETHUSDT"),
    ):
        assert market_name(str(name)) == name
    for text in ("binance:", "binance:A,A"):
        with pytest.raises(NautilusError):
            market_name(text)


def test_a_catalog_that_holds_only_bars_plays_them(tmp_path: Path) -> None:
    """A day of minutes of Lean: imported, then played to whoever subscribes."""
    path = recording("ohlcv_minute_lean/20131004_trade.zip")
    (result,) = import_files([path], tmp_path / "catalog")
    assert result.status == "stored", result.error
    name = catalog_name(tmp_path / "catalog", result.instruments)
    opened = open_file(path)
    assert isinstance(opened, Recording)
    expected = np.concatenate([block.records for block in opened.blocks()])
    assert set(result.rows) == {"bar"}
    assert begin_ns_of(name) == expected["now_ns"][0]
    run = Run(open_source(name), ("quoting",), {}, 1, "none", None)
    seen: list[tuple[int, np.ndarray]] = []
    run._host.tap(BARS, lambda records: seen.append((run._host.now_ns, records.copy())))
    try:
        report = run.run(None, None, None)
    finally:
        run.close()
    assert np.concatenate([bars for _, bars in seen]).tobytes() == expected.tobytes()
    assert [now_ns for now_ns, _ in seen] == expected["now_ns"].tolist(), "each in its time"
    assert report.records == {"bars": len(expected)}
    assert report.orders == 0


def test_stored_auctions_and_flows_play_beside_quotes_in_order_of_time(tmp_path: Path) -> None:
    instrument = msgspec.structs.replace(btcusdt(), symbol="A", venue="X")
    kinds = {"quote": QUOTE, "auction": AUCTION, "flow": FLOW, "bar": BAR}
    with Catalog(tmp_path / "catalog", create=True).writer() as writer:
        for place, (kind, dtype) in enumerate(kinds.items()):
            records = np.zeros(5, dtype)
            records["instrument_id"], records["now_ns"] = 1, SECOND * (1 + np.arange(5) * 4 + place)
            if kind == "quote":
                records["update_id"], records["bid_ticks"], records["ask_ticks"] = np.arange(1, 6), 100, 101
                records["bid_quantity"] = records["ask_quantity"] = 1
            assert writer.append(instrument, kind, records, wait=True)
    source = open_source(catalog_name(tmp_path / "catalog", ["A"]))
    run = Run(source, ("quoting",), {}, 1, "none", None)
    seen: list[tuple[int, str]] = []
    for topic in (QUOTES, AUCTIONS, FLOWS, BARS):
        run._host.tap(topic, lambda records, name=topic.name: seen.append((run._host.now_ns, name)))
    try:
        run.run(None, None, None)
    finally:
        run.close()
    order = [topic.name for topic in (QUOTES, AUCTIONS, FLOWS, BARS)]
    assert seen == [(SECOND * (1 + place), order[place % 4]) for place in range(20)]
