"""Engines that let market data gather: few wake-ups, the same records in the same order, prompt answers."""

import numpy as np
import pytest

from nautilus.bus.star_reader import Marked
from nautilus.engines import CATALOGUE
from nautilus.engines.base import Engine
from nautilus.model.queries import GetPositions, Positions
from nautilus.model.topics import QUOTES, TRADES
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.patience import patience_of, together
from tests.kit.context import SECOND, quote_array
from tests.kit.live_host import RunningHost, Venue, eventually, make_plan, short_directory

MS = 1_000_000
QUOTED = 40  # fewer than a turn takes


class Watcher(Engine):
    """Notes each array, and when it came."""

    name = "portfolio"
    subscribes = (QUOTES,)
    takes_arrays = True
    patience_ns = 20 * MS

    def __init__(self):
        self.arrays = []

    def on_quote(self, records, ctx):
        self.arrays.append(records["bid_ticks"].tolist())

    def on_request(self, message, ctx):
        return Positions((), message.account_id)

    @property
    def bids(self):
        return [bid for array in self.arrays for bid in array]


class Prompt(Watcher):
    name = "strategy"
    takes_arrays = False
    patience_ns = 0
    subscribes = (TRADES,)


def test_a_patient_engine_is_woken_a_few_times_for_many_quotes_and_misses_none():
    with short_directory() as directory:
        plan = make_plan(directory, {"venue": ("marketdata", "trading"), "portfolio": ("portfolio",)})
        venue = Venue(plan)
        host = RunningHost(plan, "portfolio", {"portfolio": Watcher})
        try:
            engine = host.ready().engine("portfolio")
            eventually(lambda: host.host.subscriber.way == "ring" and host.host.subscriber.synchronised)
            venue.publish(quote_array(SECOND, 1, 2))
            eventually(lambda: engine.bids)
            before, begun_ns = len(engine.arrays), monotonic_ns()
            for bid in range(2, QUOTED):
                venue.publish(quote_array(SECOND + bid, bid, bid + 1))
            eventually(lambda: len(engine.bids) == QUOTED - 1)
            took_ns = monotonic_ns() - begun_ns
            assert engine.bids == list(range(1, QUOTED))
            # Twice as often as its patience, where it is awake anyway; and what is seen to now and then sees to it too.
            assert len(engine.arrays) - before <= 3 * took_ns // Watcher.patience_ns + 4
            assert host.host.ask_engine("portfolio", GetPositions(3)).result(60) == Positions((), 3)
            assert host.host.subscriber.lost == 0
        finally:
            host.stop()
            venue.stop()


def test_a_process_is_as_patient_as_the_least_patient_of_those_that_take_market_data():
    watcher, prompt = Watcher(), Prompt()
    assert patience_of(BusConfig(), [watcher], [QUOTES]) == 20 * MS
    assert patience_of(BusConfig(), [watcher, prompt], [QUOTES, TRADES]) == 0
    assert patience_of(BusConfig(), [watcher, prompt], [QUOTES]) == 20 * MS
    assert patience_of(BusConfig(patient=False), [watcher], [QUOTES]) == 0
    settings = BusConfig(patience_us={"portfolio": 7_000, "strategy": 3_000})
    assert patience_of(settings, [watcher], [QUOTES]) == 7 * MS
    assert patience_of(settings, [watcher, prompt], [QUOTES, TRADES]) == 3 * MS


def test_who_decides_or_warns_waits_for_nothing():
    found = {name: entry.load().patience_ns for name, entry in CATALOGUE.items()}
    assert {name for name, each in found.items() if not each} == {
        "marketdata",
        "trading",
        "risk",
        "vpin",
        "strategy",
        "gateway",
    }
    assert max(found.values()) <= 20 * MS, "a heartbeat of the star"


def marked(topic, records):
    batch = Marked((topic, records))
    batch.flags, batch.sequence = 1, 0
    return batch


def flat(batches):
    return [(topic.name, bid) for topic, records in batches for bid in records["bid_ticks"].tolist()]


def test_what_follows_one_another_becomes_one_array_and_nothing_changes_places():
    def of(*bids):
        return np.concatenate([quote_array(SECOND + bid, bid, bid + 1) for bid in bids])

    batches = [
        (QUOTES, of(1)),
        (QUOTES, of(2, 3)),
        (TRADES, of(4)),
        (QUOTES, of(5)),
        marked(QUOTES, of(6)),
        (QUOTES, of(7)),
        (QUOTES, of(8)),
        (TRADES, of(9)),
        (TRADES, of(10)),
    ]
    found = list(together(batches, lambda topic: topic is QUOTES))
    assert flat(found) == flat(batches)
    assert [len(records) for _, records in found] == [3, 1, 1, 1, 2, 1, 1]
    assert isinstance(found[3], Marked)
    assert list(together(batches[:1], lambda topic: True)) == batches[:1]


@pytest.mark.parametrize("key", ["nobody", "pricing"])
def test_a_patience_of_nobody_is_refused(key):
    from nautilus.model.errors import ConfigError

    with pytest.raises(ConfigError, match="patience_us"):
        BusConfig(patience_us={key: 1})
