"""The market's driver with a real kernel behind it: what it plays is what lock-step plays, whatever goes wrong."""

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import BOOK_DELTA, COMMAND, QUOTE, TRADE, Kernel
from nautilus.core.counters import Counters
from nautilus.core.depth import DepthBook
from nautilus.core.ticks import QUARANTINE, TickKind, TickReason
from nautilus.core.types import CommandKind, EventKind, Reason, RecordFlag, Side
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.engines.marketdata.gate import Gate
from nautilus.model.enums import EngineState
from nautilus.model.errors import VenueError
from nautilus.model.queries import GetQuotes
from nautilus.model.topics import BOOK_DELTAS, CORE_EVENTS, QUARANTINES, QUOTES, TRADES
from nautilus.runtime.market_driver import PLAYED, TURN_STEPS, MarketDriver, Phase
from nautilus.runtime.replay import Run
from nautilus.runtime.sources import open_source
from nautilus.simulation import RecordedSource, SimulatedSource
from nautilus.simulation.simulated import START_NS
from nautilus.simulation.source import Step
from tests.kit import builders
from tests.kit.context import SECOND, ScriptedMarket, btcusdt, market_order, quote_array
from tests.kit.core_client import InProcessClient, InProcessCore
from tests.kit.data import BTCUSDT_PERPETUAL, LOBSTER, recording
from tests.kit.market_host import HubContext, MarketHost
from tests.kit.spoilt import Spoilt

MS = 1_000_000
FAR_NS = 1 << 62
STRATEGY = 1
NAMES = ("order_id", "counter_order_id", "command_sequence", "sequence", "match_id")


@dataclass
class Live:
    """A hub with its driver over a core in this process; several may follow each other over one core."""

    source: object
    core: InProcessCore
    host: MarketHost
    directory: Path | None = None
    epoch: int = 1
    after: int = 0
    most: int = 4_096
    speed: float = 1.0
    checks: bool = False
    ended: list = field(default_factory=list)

    def __post_init__(self):
        instruments = self.source.instruments() if self.source is not None else (btcusdt(),)
        derive = not isinstance(self.source, RecordedSource | ScriptedMarket)
        self.hub = MarketDataEngine(MarketDataConfig(derive=derive, checks=self.checks), instruments)
        self.context = HubContext(self.hub)
        self.client: InProcessClient | None = None
        self.counters = Counters()
        self.driver = MarketDriver(
            self.host,
            self.context,
            self.connect,
            self.source,
            self.counters,
            name="test",
            speed=self.speed,
            directory=self.directory,
            epoch=self.epoch,
            finished=self.ended.append,
            timer=count(0, 10_000).__next__,  # each look at it takes 10 us, however busy the machine is
        )

    def connect(self, hub):
        self.client = self.core.client(after=hub.last_sequence, most=self.most)
        return self.client

    def open(self):
        self.driver.start()
        self.driver.open()
        return self

    def play(self, until_ns=FAR_NS):
        self.host.run(until_ns, lambda: self.driver.phase is Phase.ENDED)
        return self

    def published(self, kind):
        return [records for records in self.context.published if records.dtype == kind]

    def count(self, name):
        return self.counters.snapshot()[f"market.{name}"]


def live(source, *, start_ns=SECOND, every_ns=1, clocked=False, accounts=(STRATEGY,), **options):
    """A driver over a new core that knows the source's instruments and accounts."""
    host = MarketHost(start_ns, every_ns)
    instruments = source.instruments() if source is not None else [btcusdt()]
    kernel = Kernel(instruments=instruments, accounts=accounts, huge_pages=False, capacity=1 << 16)
    core = InProcessCore(kernel, host.clock if clocked else None)
    if source is not None:
        core.process(source.setup())
    return Live(source, core, host, **options)


def played_in_lock_step(source, seconds):
    """Every event of a market without strategies, in lock-step."""
    events = []
    this = Run(source, (), {}, None, "none", None)
    this._host.tap(CORE_EVENTS, lambda batch: events.append(batch.copy()))
    this.run(None, seconds, None)
    return np.concatenate(events)


def without(events, *names):
    """The same events with these fields cleared."""
    events = events.copy()
    for name in names:
        events[name] = 0
    return events


# The same as in lock-step.


@pytest.mark.parametrize("every_ns", [1, 20 * MS, SECOND])
def test_a_recording_gives_the_events_of_lock_step_however_many_steps_are_due_at_once(every_ns):
    path = recording(BTCUSDT_PERPETUAL)
    expected = played_in_lock_step(open_source(path), 25)
    source = open_source(path)
    begin_ns = source.recording.start_ns
    run = live(source, start_ns=begin_ns - SECOND, every_ns=every_ns, accounts=())
    run.open().play(begin_ns + 24 * SECOND)
    got = np.concatenate(run.core.events)[: len(expected)]
    assert len(got) > 30_000
    sources = ("source_id", "source_sequence")
    assert without(got, *sources).tobytes() == without(expected[: len(got)], *sources).tobytes()
    assert run.count("steps") > 4_000
    assert (run.count("refused"), run.count("repeated")) == (0, 0)
    quotes, trades, deltas = (sum(map(len, run.published(kind))) for kind in (QUOTE, TRADE, BOOK_DELTA))
    assert quotes + trades + deltas == run.count("records")
    # In few frames where much is due at once.
    assert len(run.context.published) <= run.count("steps") / (2 if every_ns > 1 else 1)


def test_what_lock_step_refuses_of_a_recording_a_live_host_refuses_too():
    path = recording(BTCUSDT_PERPETUAL)
    assert MarketDataConfig().validate == "all"
    this = Run(RecordedSource(Spoilt(open_source(path).recording)), (), {}, None, "none", None)
    published, told = [], []
    for topic in (QUOTES, TRADES, BOOK_DELTAS):
        this._host.tap(topic, lambda records: published.append(records.copy()))
    this._host.tap(QUARANTINES, lambda records: told.append(records.copy()))
    this.run(None, 11, None)
    source = RecordedSource(Spoilt(open_source(path).recording))
    begin_ns = source.recording.start_ns
    run = live(source, start_ns=begin_ns - SECOND, every_ns=20 * MS, accounts=(), checks=True)
    run.open().play(begin_ns + 10 * SECOND)
    there = this._host._hub.gate
    assert set(there.counts) == {"CROSSED", "JUMP"}
    assert min(there.counts.values()) > 3
    refused = [row.item() for row in there.refused]
    got = [row.item() for row in run.hub.gate.refused]
    assert 40 < len(got) < 1_000
    assert got == refused[: len(got)]
    for kind in (QUOTE, TRADE, BOOK_DELTA, QUARANTINE):
        given = [records for records in (told if kind is QUARANTINE else published) if records.dtype == kind]
        assert np.concatenate(given).tobytes().startswith(np.concatenate(run.published(kind)).tobytes())
    book, seen = DepthBook(), Counter()
    for deltas in (records for records in published if records.dtype == BOOK_DELTA):
        book.apply(deltas)
        bid, bid_lots, ask, ask_lots = book.best()
        crossed = bool(bid_lots and ask_lots and bid >= ask)
        seen[crossed, bool(deltas["flags"][-1] & RecordFlag.STALE)] += 1
    assert seen[True, False] == 0, "no crossed book is taken for right"
    assert seen[True, True] == sum(row["kind"] == TickKind.LEVEL for row in there.refused)
    assert seen[False, True] == 0


def test_an_order_by_order_recording_plays_to_its_end_as_in_lock_step(tmp_path):
    expected = played_in_lock_step(open_source(recording(LOBSTER)), None)
    source = open_source(recording(LOBSTER))
    run = live(source, start_ns=source.recording.start_ns, every_ns=50 * MS, accounts=(), directory=tmp_path)
    run.open().play()
    got = np.concatenate(run.core.events)
    sources = ("source_id", "source_sequence")
    assert without(got, *sources).tobytes() == without(expected, *sources).tobytes()
    assert run.ended == [""]
    line = run.hub.on_request(GetQuotes(), run.context)
    assert (line.finished, line.broken, line.progress, line.market) == (True, "", 1.0, "test")
    assert line.market_seconds > 1
    played = json.loads((tmp_path / PLAYED).read_bytes())
    assert played["book_checks"]["compared"] == played["book_checks"]["equal"] == 998
    assert (played["finished"], played["refused"], played["gaps"]) == (True, 0, 0)


def test_the_simulated_market_trades_as_in_lock_step():
    seconds = 20
    expected = played_in_lock_step(SimulatedSource(seed=3), seconds)
    run = live(SimulatedSource(seed=3), start_ns=START_NS, clocked=True, accounts=())
    run.open().play(START_NS + seconds * SECOND)
    fills = [
        without(events[events["kind"] == EventKind.FILLED], *NAMES, "source_id", "source_sequence")
        for events in (expected, np.concatenate(run.core.events))
    ]
    assert len(fills[0]) > 300
    assert fills[0].tobytes() == fills[1].tobytes()
    assert {len(records) for records in run.published(QUOTE)} == {1}
    assert not set(run.driver.summary()["rejected"]) - {"WOULD_CROSS", "CLOSED_ORDER"}


# What others do.


def test_what_somebody_else_takes_from_a_recorded_level_reaches_the_market():
    book = np.array(
        [(1, 1, 1, 0, price, 10, 1, side, 1, 1) for side, price in ((Side.BUY, 100), (Side.SELL, 101))], BOOK_DELTA
    )
    source = RecordedSource(
        Updates([(2 * SECOND, 3, book), (3 * SECOND, 1, quote_array(3 * SECOND, 100, 101))]), btcusdt()
    )
    run = live(source).open()
    run.play(2 * SECOND)
    assert run.core.kernel.best(1) == (100, 10, 101, 10)
    run.core.process(builders.new(1, Side.BUY, 101, 4, account_id=STRATEGY, now_ns=2 * SECOND))
    run.play()
    assert source.market.summary()["taken_lots"] == 4
    assert source.market.level(Side.SELL, 101)[1] == 6
    assert [len(records) for records in run.context.published] == [2, 1]
    assert run.ended == [""]


def test_without_a_market_the_hub_derives_what_clients_trade():
    run = live(None, accounts=(1, 2)).open()
    assert run.driver.ready
    run.core.process(builders.new(1, Side.BUY, 600_000, 4, account_id=1))
    run.core.process(builders.new(1, Side.SELL, 600_000, 1, account_id=2))
    run.play(2 * SECOND)
    assert [str(records.dtype == TRADE) for records in run.context.published].count("True") == 1
    assert run.published(QUOTE)[-1]["bid_quantity"].tolist() == [3]
    run.driver.stop()
    run.core.process(builders.new(2, Side.SELL, 600_000, 1, account_id=2))
    before = len(run.context.published)
    run.play(4 * SECOND)
    assert len(run.context.published) == before


# Waiting for the core.


def orders(count, now_ns=SECOND, first=1):
    """A step of so many resting orders, and a quote."""
    commands = np.concatenate([market_order(now_ns, first + n, Side.BUY, 1, 1_000 + n) for n in range(count)])
    return Step(now_ns, commands, (quote_array(now_ns, 1, 2),))


def test_nothing_is_published_before_the_core_has_answered():
    run = live(ScriptedMarket([orders(1), orders(1, SECOND, 2)]))
    run.driver.start()
    run.core.held = True
    run.driver.open()
    run.play(2 * SECOND)
    assert run.context.published == []
    assert run.count("steps") == 1
    run.core.held = False
    run.play(3 * SECOND)
    assert run.count("steps") == 2
    assert len(run.context.published) == 2
    assert run.ended == [""]


def test_the_market_does_not_open_by_itself():
    run = live(ScriptedMarket([orders(1)]))
    run.driver.start()
    run.play(5 * SECOND)
    assert (run.count("steps"), run.driver.phase) == (0, Phase.CLOSED)
    run.driver.open()
    assert run.count("steps") == 1
    assert run.count("late_most_ns") == 4 * SECOND


def test_a_turn_is_bounded_and_what_is_late_is_played_all_the_same():
    steps = [Step(SECOND + n, None, (quote_array(SECOND + n, 1, 2),)) for n in range(3 * TURN_STEPS)]
    run = live(ScriptedMarket(steps), start_ns=10 * SECOND, speed=2.0)
    run.driver.start()
    run.driver.open()
    assert run.count("steps") <= TURN_STEPS
    assert len(run.context.published) == 1
    run.play()
    assert run.count("steps") == len(steps)
    assert run.count("late_most_ns") == 4_500_000_000
    published = np.concatenate(run.context.published)
    assert published["now_ns"].tolist() == [SECOND + n for n in range(len(steps))]


@pytest.mark.parametrize("reason", [Reason.BUSY, Reason.NOT_READY])
def test_what_the_core_is_too_busy_for_is_sent_again(reason):
    run = live(ScriptedMarket([orders(40), orders(1, 2 * SECOND, 41)]))
    run.core.refuse.extend([reason] * 50)
    run.open().play()
    assert (run.count("repeated"), run.count("refused"), run.count("commands")) == (50, 0, 41)
    assert run.core.kernel.open_orders == 41
    assert run.driver.summary()["repeated"] == 50
    # It paused in between, rather than ask again at once.
    assert run.host.now_ns >= SECOND + 10 * MS


def test_other_refusals_are_counted_and_told_to_the_market():
    market = ScriptedMarket([orders(5)])
    run = live(market)
    run.core.refuse.extend([Reason.JOURNAL_FULL] * 2)
    run.open().play()
    assert (run.count("repeated"), run.count("refused")) == (0, 2)
    told = np.concatenate(market.events)
    assert told[told["kind"] == EventKind.REJECTED]["reason"].tolist() == [Reason.JOURNAL_FULL] * 2
    assert run.core.kernel.open_orders == 3


def test_commands_wait_for_room_and_keep_their_order():
    run = live(ScriptedMarket([orders(300)]))
    run.core.room = 7
    run.open().play()
    taken = np.concatenate(run.core.events)
    assert taken[taken["kind"] == EventKind.ACCEPTED]["order_id"].tolist() == list(range(1, 301))


def test_the_market_waits_for_a_core_that_is_gone():
    run = live(ScriptedMarket([orders(2), orders(2, 2 * SECOND, 3)])).open()
    assert run.count("steps") == 1
    run.core.absent = True
    run.play(4 * SECOND)
    assert (run.count("steps"), run.ended) == (2, [])
    assert len(run.context.published) == 1
    run.core.absent = False
    run.play()
    assert run.core.kernel.open_orders == 4
    assert run.ended == [""]


def test_the_hub_is_followed_up_only_once_it_has_its_state():
    run = live(ScriptedMarket([orders(1)]))
    run.context.state = EngineState.STARTING
    run.open()
    run.play(2 * SECOND)
    assert not run.driver.ready
    run.context.state = EngineState.RUNNING
    run.play()
    assert run.ended == [""]


# Its end.


class Updates:
    """A recording from a list; at its end, perhaps, a fault."""

    order_by_order = False
    progress = 0.5

    def __init__(self, updates, fault=""):
        self._updates = updates
        self._fault = fault

    def updates(self):
        yield from self._updates
        if self._fault:
            raise VenueError(self._fault, where="log.gz:7")

    def summary(self):
        return {"records": {}}


def test_a_recording_that_breaks_off_is_played_up_to_there(tmp_path):
    updates = [(SECOND + n, 1, quote_array(SECOND + n, 1, 2)) for n in range(3)]
    run = live(RecordedSource(Updates(updates, "cut short"), btcusdt()), every_ns=SECOND, directory=tmp_path)
    run.open().play()
    assert sum(map(len, run.context.published)) == 3
    assert run.ended == ["log.gz:7: cut short"]
    line = run.hub.on_request(GetQuotes(), run.context)
    assert (line.finished, line.broken, line.progress) == (True, "log.gz:7: cut short", 0.5)
    assert json.loads((tmp_path / PLAYED).read_bytes())["broken"] == "log.gz:7: cut short"


def test_a_market_that_raises_ends_and_says_why():
    class Faulty(ScriptedMarket):
        def on_events(self, events):
            raise RuntimeError("no idea")

    run = live(Faulty([orders(1), orders(1, 2 * SECOND, 2)])).open()
    run.play()
    assert run.ended == ["RuntimeError: no idea"]
    assert run.count("steps") == 1


# A new hub over the same core.


def follow(run, **options):
    """The next life of a hub's process, over the same core."""
    seed = run.source.seed if isinstance(run.source, SimulatedSource) else 0
    source = SimulatedSource(seed=seed) if seed else run.source
    return Live(source, run.core, run.host, **options)


@pytest.mark.parametrize("with_state", [False, True])
def test_new_agents_take_over_from_those_of_a_hub_that_died(with_state):
    first = live(SimulatedSource(seed=2), start_ns=START_NS, clocked=True).open()
    first.play(START_NS + 3 * SECOND)
    kept = json.loads(json.dumps(first.hub.state())) if with_state else None
    first.play(START_NS + 5 * SECOND)
    first.driver.stop()
    strangers = first.core.process(builders.new(7, Side.BUY, 500_000, 3, account_id=STRATEGY))
    died_at = first.core.last_sequence
    old = sum(len(levels) for levels in first.core.kernel.depth(1, 1_000))
    assert old > 10

    second = follow(first, most=100)
    if kept is not None:
        second.hub.restore(kept)
    second.driver.start()
    while not second.driver.ready:
        second.host.run(second.host.now_ns + 10 * MS)
    # The book of before, whole, and none of the trades of before.
    assert not second.published(TRADE)
    book = replica(second.published(BOOK_DELTA))
    assert all(map(np.array_equal, plain(book.depth(1_000)), plain(second.core.kernel.depth(1, 1_000))))
    second.driver.open()
    second.play(START_NS + 9 * SECOND)
    later = np.concatenate([batch for batch in second.core.events if batch["sequence"][0] > died_at])
    assert EventKind.DUPLICATE not in later["kind"]
    assert Reason.DUPLICATE_ORDER not in later["reason"]
    cancelled = later[later["reason"] == Reason.MASS_CANCEL]
    assert len(cancelled) > 10
    assert int(strangers["order_id"][0]) not in cancelled["order_id"]
    assert (later[later["kind"] == EventKind.FILLED]["now_ns"] > START_NS + 5 * SECOND).sum() > 50
    book = replica(second.published(BOOK_DELTA))
    assert all(map(np.array_equal, plain(book.depth(1_000)), plain(second.core.kernel.depth(1, 1_000))))
    # Everyone's orders but the stranger's are the new agents'.
    accepted = later[later["kind"] == EventKind.ACCEPTED]["order_id"]
    assert accepted.min() > 1 << 40


def replica(deltas):
    """The book that a subscriber has."""
    book = DepthBook()
    for records in deltas:
        book.apply(records)
    return book


def plain(sides):
    return [np.column_stack([side["price_ticks"], side["quantity"]]) for side in sides]


def test_nobody_goes_on_with_a_recording(tmp_path):
    updates = [(SECOND * n, 1, quote_array(SECOND * n, 1, 2)) for n in range(2, 6)]
    first = live(RecordedSource(Updates(updates), btcusdt()), directory=tmp_path).open()
    first.play(3 * SECOND)
    assert first.count("steps") == 2
    second = follow(first, directory=tmp_path)
    second.open().play()
    assert second.ended == ["the hub was restarted during the recording"]
    assert second.hub.market.finished
    # Another instance in the same directory begins anew.
    third = Live(RecordedSource(Updates(updates), btcusdt()), first.core, first.host, directory=tmp_path, epoch=2)
    third.open().play()
    assert third.ended == [""]


def test_mass_cancel_commands_name_each_agent():
    source = SimulatedSource(seed=1)
    commands = source.begin(START_NS + 5)
    assert commands.dtype is COMMAND
    assert set(commands["kind"].tolist()) == {CommandKind.MASS_CANCEL}
    accounts = source.setup()
    opened = accounts[accounts["kind"] == CommandKind.ACCOUNT]["account_id"]
    assert commands["account_id"].tolist() == opened.tolist()
    assert source.next_ns() == START_NS + 5


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_command_that_arrives_in_parts_changes_the_book_at_once(most):
    """Each of its events alone would show an order that never rests, or a crossed book."""
    run = live(None, accounts=(1, 2), most=most).open()
    for number in range(1, 5):
        run.core.process(builders.new(number, Side.BUY, 600_000 + number, 2, account_id=1))
    run.core.process(builders.new(1, Side.SELL, 600_002, 9, account_id=2))
    run.core.process(builders.market(8, Side.BUY, 1, account_id=1))
    run.core.process(builders.new(9, Side.BUY, 600_000, 2, account_id=1))
    run.play(2 * SECOND)
    quotes = np.concatenate(run.published(QUOTE))
    best = [(row["bid_ticks"] - 600_000, row["ask_ticks"] - 600_000, row["ask_quantity"]) for row in quotes]
    assert best[-2:] == [(1, 2, 3), (1, 2, 2)]
    assert all(not ask_lots or bid < ask for bid, ask, ask_lots in best)
    assert sum(map(len, run.published(TRADE))) == 4
    book = replica(run.published(BOOK_DELTA))
    assert all(map(np.array_equal, plain(book.depth(10)), plain(run.core.kernel.depth(1, 10))))


# A market that wakes the process.


class SpeakingMarket(ScriptedMarket):
    """One with a descriptor, which is closed once."""

    def __init__(self, steps):
        super().__init__(steps)
        self.reader, self.writer = os.pipe()
        self.closed = 0

    def fileno(self):
        return self.reader

    def close(self):
        if not self.closed:
            os.close(self.reader)
            os.close(self.writer)
        self.closed += 1


def test_a_live_market_is_watched_while_it_plays_and_let_go_at_its_end():
    source = SpeakingMarket([Step(2 * SECOND, market_order(2 * SECOND, 1, Side.BUY, 1, 100), ())])
    run = live(source).open()
    run.play(2 * SECOND - 1)
    assert source.reader in run.host.sources
    descriptor = source.reader
    run.play()
    assert run.driver.phase is Phase.ENDED
    assert descriptor not in run.host.sources
    assert source.closed == 1
    run.driver.stop()


def test_a_live_market_does_not_wake_the_process_while_the_core_has_not_answered():
    source = SpeakingMarket([Step(2 * SECOND, market_order(2 * SECOND, 1, Side.BUY, 1, 100), ()),
                             Step(9 * SECOND, None, ())])  # fmt: skip
    run = live(source).open()
    run.play(2 * SECOND - 1)
    taken, run.client.poll = run.client.poll, lambda wait_ns=0: None
    run.play(3 * SECOND)
    assert source.reader not in run.host.sources
    run.client.poll = taken
    run.play(4 * SECOND)
    assert source.reader in run.host.sources
    run.driver.stop()
    assert source.closed == 1


class CheckedMarket(ScriptedMarket):
    """One that asks before its records are published, as recorded and live ones do."""

    check = None

    def step(self):
        step = super().step()
        return step._replace(records=tuple(rest for each in step.records if len(rest := self.check(each))))


def test_refusals_are_published_also_where_nothing_else_is():
    steps = [
        Step(2 * SECOND, None, (quote_array(2 * SECOND, 100, 101),)),
        Step(3 * SECOND, None, (quote_array(3 * SECOND, 105, 101),)),
        Step(4 * SECOND, None, (quote_array(4 * SECOND, 100, 102),)),
        Step(5 * SECOND, None, (quote_array(5 * SECOND, 103, 102), quote_array(5 * SECOND + 1, 104, 102))),
    ]
    run = live(CheckedMarket(steps))
    run.hub.gate = Gate([btcusdt()], 1_000, SECOND)
    run.open().play()
    refused = np.concatenate(run.published(QUARANTINE))
    assert refused["receive_ns"].tolist() == [3 * SECOND, 5 * SECOND, 5 * SECOND + 1]
    assert set(refused["reason"].tolist()) == {TickReason.CROSSED}
    assert np.concatenate(run.published(QUOTE))["now_ns"].tolist() == [2 * SECOND, 4 * SECOND]
    assert not run.hub.gate.untold
