"""A market on the real core, bus and clock: recorded and simulated, through restarts of the core and of the hub."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from nautilus.adapters.formats import open_recording
from nautilus.core import BOOK_DELTA, QUOTE, TRADE
from nautilus.core.types import EventKind, Reason, RecordFlag
from nautilus.engines.marketdata import MarketDataConfig
from nautilus.model.queries import GetBook, GetQuotes
from nautilus.model.topics import BARS, CORE_EVENTS, topic_of
from nautilus.runtime.clock import ClockAnchor, wall_ns
from nautilus.runtime.market import market_begin_ns
from nautilus.runtime.market_driver import PLAYED
from nautilus.runtime.market_name import files_name
from nautilus.runtime.replay import Run
from nautilus.runtime.sources import open_source
from perf.platform import FREE_PORTS, private_place, run_cli
from tests.kit.bus import SECOND
from tests.kit.data import BTCUSDT_PERPETUAL, BTCUSDT_SPOT, recording
from tests.kit.live_host import short_directory
from tests.kit.market_site import SHOWN, Site, plain
from tests.kit.platform import PATIENT

SPEED = 20.0
CLOCKS_AGREE_NS = 500_000


@pytest.fixture
def site() -> Iterator[Any]:
    """Makes a `Site`."""
    with short_directory() as directory, ExitStack() as undo:
        yield lambda **changes: Site(directory, undo, **changes)


def beginning(path: Path, seconds: int, directory: Path) -> Path:
    """The first seconds of a log of stamped lines, as a plain file."""
    cut = directory / ("spot_cut.log" if path.name.startswith("spot") else "cut.log")
    with gzip.open(path) as whole, cut.open("wb") as file:
        end_ns = 0
        for line in whole:
            now_ns = int(line.split(b" ", 1)[0])
            end_ns = end_ns or now_ns + seconds * SECOND
            if now_ns > end_ns:
                break
            file.write(line)
    return cut


def test_a_recording_at_twenty_times_its_speed_is_played_and_read_whole(site: Any, tmp_path: Path) -> None:
    path = beginning(recording(BTCUSDT_PERPETUAL), 50, tmp_path)
    expected: list[np.ndarray] = []
    lock_step = Run(open_source(path), (), {}, None, "none", None)
    lock_step._host.tap(CORE_EVENTS, lambda events: expected.append(events.copy()))
    report = lock_step.run(None, None, None)

    now_ns = wall_ns()
    anchor = ClockAnchor(now_ns, market_begin_ns(path) - int(0.7 * SPEED * SECOND), SPEED)
    here = site(market=str(path), speed=SPEED, clock=anchor)
    here.open()
    here.until(lambda: here.ended)
    here.read_all()

    assert here.ended == [""]
    reader, counters = here.reader, here.hub.host.counters.snapshot()
    assert (reader.lost, reader.gaps, reader.duplicates) == (0, 0, 0)
    assert reader.delivered == counters["market.records"]
    # Of the same recording the core has made the same events, at its own times.
    played = json.loads((here.directory / PLAYED).read_bytes())
    assert played["book_checks"] == report.book_checks
    assert played["records"] == report.records
    sources = ("now_ns", "source_id", "source_sequence", "command_sequence", "sequence")
    got, want = here.events(), np.concatenate(expected)
    got = got[len(got) - len(want) :]
    for name in got.dtype.names:
        assert name in sources or np.array_equal(got[name], want[name]), name
    # None before its time, by two clocks that the machine keeps together; how long after is its own affair.
    assert (got["now_ns"] - want["now_ns"])[want["kind"] == EventKind.ACCEPTED].min() > -SPEED * CLOCKS_AGREE_NS
    # The book that a reader has is the venue's own.
    final = here.ask(GetBook("BTCUSDT", 1_000))
    book = here.replica().depth(1_000)
    instrument = open_source(path).instruments()[0]
    shown = [
        [(instrument.ticks(level.price), instrument.lots(level.quantity)) for level in side]
        for side in (final.bids, final.asks)
    ]
    assert shown == plain(book)
    line = here.ask(GetQuotes())
    assert (line.finished, line.broken, line.market) == (True, "", "cut.log")
    assert 49 < line.market_seconds <= 50


def rows_of(arrays: list[np.ndarray]) -> list[tuple[int, int, str, bytes]]:
    """Each record with stamp, instrument and kind."""
    return [
        (int(row["now_ns"]), int(row["instrument_id"]), topic_of(array).name, row.tobytes())
        for array in arrays
        for row in array
    ]


@pytest.mark.long
def test_streams_of_several_recordings_have_the_order_of_their_files(site: Any, tmp_path: Path) -> None:
    """On a reader of the star at speed as in the files; the third has every stamp of the first."""
    cut = [beginning(recording(name), 8, tmp_path) for name in (BTCUSDT_PERPETUAL, BTCUSDT_SPOT)]
    paths = [cut[0], cut[1], shutil.copy(cut[0], tmp_path / "again.log")]
    name = files_name(paths)
    streams: dict[tuple[int, str], list[bytes]] = {}
    for number, path in enumerate(paths, 1):
        for update in open_recording(path, instrument_id=number).updates():
            streams.setdefault((number, topic_of(update.records).name), []).append(update.records.tobytes())
    hub = MarketDataConfig(bars=("time:1s", "time:300ms", "tick:10"))
    lock_step, expected = Run(open_source(name), (), {"marketdata": hub}, None, "none", None), []
    for topic in SHOWN:
        lock_step._host.tap(topic, lambda records: expected.append(records.copy()))
    lock_step.run(None, None, None)

    anchor = ClockAnchor(wall_ns(), market_begin_ns(str(name)) - int(0.7 * SPEED * SECOND), SPEED)
    here = site(market=str(name), speed=SPEED, clock=anchor, sections={"marketdata": msgspec.to_builtins(hub)})
    here.open()
    here.until(lambda: here.ended)
    here.read_all()
    assert here.ended == [""]
    assert (here.reader.lost, here.reader.gaps, here.reader.duplicates) == (0, 0, 0)

    seen = rows_of(here.records)
    assert len(streams) == 9
    for (number, kind), parts in streams.items():
        assert b"".join(row for _, instrument, name, row in seen if (instrument, name) == (number, kind)) == b"".join(
            parts
        )
    # Over all of them: by stamp, then by the order of the paths. Nothing of one recording shares a stamp across kinds.
    wanted = [row for row in rows_of(expected) if row[2] != BARS.name]
    assert sorted((row for row in seen if row[2] != BARS.name), key=itemgetter(0, 1)) == wanted
    # What derives of them, by a clock or without.
    for number in (1, 2, 3):
        mine = [[row[3] for row in rows if row[1:3] == (number, BARS.name)] for rows in (seen, rows_of(expected))]
        assert mine[0] == mine[1]
        assert len(mine[0]) > 20


@pytest.mark.long
def test_a_whole_recording_at_twenty_times_its_speed_arrives_whole() -> None:
    path = recording(BTCUSDT_PERPETUAL)
    with private_place() as name:
        # Whole, however late: on a busy machine nobody is given up.
        sets = [word for setting in (FREE_PORTS, *PATIENT) for word in ("--set", setting)]
        words = ("replay", str(path), "--speed", "20", "--json", "--instance", name, *sets)
        report = json.loads(run_cli(*words, timeout=560))
    assert (report["lost"], report["gaps"], report["restarts"]) == (0, 0, {})
    assert report["positions_equal"] is True
    assert report["complete"] is True
    assert report["fills"] > 0


def test_the_simulated_market_is_lively_and_its_book_never_crosses(site: Any) -> None:
    here = site(market="simulated")
    here.open()
    here.until(lambda: len(here.of(TRADE)) >= 30)
    here.pause()
    here.read_all()
    quotes = here.of(QUOTE)
    both = quotes[(quotes["bid_quantity"] > 0) & (quotes["ask_quantity"] > 0)]
    assert len(both) > 30
    assert (both["bid_ticks"] < both["ask_ticks"]).all()
    assert here.reader.lost == here.reader.gaps == 0
    here.until(here.agrees)


def test_the_market_goes_on_with_a_core_that_was_started_again(site: Any) -> None:
    here = site(market="simulated")
    here.open()
    here.until(lambda: len(here.of(TRADE)) >= 5)
    here.end_core()
    traded = len(here.of(TRADE))
    here.begin_core()
    here.until(lambda: len(here.of(TRADE)) > traded + 5)
    here.pause()
    here.read_all()
    assert here.hub.error is None
    here.until(here.agrees)
    # Each trade once, in the log as on the star.
    events = here.events()
    assert events["sequence"].tolist() == list(range(1, len(events) + 1))
    fills = events[events["kind"] == EventKind.FILLED]
    assert here.of(TRADE)["trade_id"].tolist() == fills["match_id"].tolist()


@pytest.mark.parametrize("after_seconds", [0.3, 1.5])
def test_a_new_hub_takes_the_simulated_market_over(site: Any, after_seconds: float) -> None:
    """Before anything was saved, and after."""
    here = site(market="simulated")
    begun_ns = wall_ns()
    here.open()
    here.until(lambda: wall_ns() - begun_ns > after_seconds * SECOND and len(here.of(TRADE)) > 2)
    here.hub.kill()
    died_at = here.core.facts()["events"]
    here.begin_hub()
    assert here.hub.engine("marketdata").last_sequence >= died_at
    here.open()
    read = len(here.of(TRADE))
    here.until(lambda: len(here.of(TRADE)) > read + 10 and (here.of(BOOK_DELTA)["flags"] & RecordFlag.SNAPSHOT).any())
    here.pause()
    here.read_all()
    later = here.events()
    later = later[later["sequence"] > died_at]
    assert (later["reason"] == Reason.MASS_CANCEL).any()
    assert not np.isin(later["reason"], (Reason.DUPLICATE_ORDER, Reason.UNKNOWN_ORDER)).any()
    here.until(here.agrees)
    # Nothing of before is told again.
    ids = here.of(TRADE)["trade_id"]
    assert (np.diff(ids) > 0).all()


def test_a_new_hub_does_not_go_on_with_a_recording(site: Any, tmp_path: Path) -> None:
    path = beginning(recording(BTCUSDT_PERPETUAL), 20, tmp_path)
    anchor = ClockAnchor(wall_ns(), market_begin_ns(path), 1.0)
    here = site(market=str(path), clock=anchor)
    here.open()
    here.until(lambda: len(here.of(QUOTE)) > 5)
    here.hub.kill()
    here.begin_hub()
    here.open()
    here.until(lambda: here.ended)
    assert here.ended == ["the hub was restarted during the recording"]
    assert here.ask(GetQuotes()).broken == here.ended[0]
