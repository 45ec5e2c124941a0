"""A venue session between the real kernel and a venue that is wrong in every way, by seeds, in a clock of the test.

`NAUTILUS_SEEDS=N` takes N seeds (`make soak`). With processes, sockets and kills: tests/integration/test_venues.py.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.core.types import CommandKind, EventKind, OrderState, Reason
from nautilus.core.venue_view import external_venues
from nautilus.model.venue import OrderKey, number_of
from nautilus.trading.venue_session import VENUE_SOURCES, SessionState, VenueSession
from tests.kit import builders
from tests.kit.core_client import InProcessCore
from tests.kit.venue import CALM, MS, DirectAdapter, SeededVenue
from tests.kit.venue_checks import Traders, check_end, check_history

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "8"))
INSTRUMENTS = (1, 2)


class Scenario:
    """Core, session, venue and traders; every one of them may fail."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = [1_000 * MS]
        self.core = InProcessCore(Kernel(accounts=(), capacity=256, closed_capacity=64, huge_pages=False), self.now)
        self.venue = SeededVenue(seed)
        self.traders = Traders(seed)
        self.core.process(self.traders.opening())
        self.sessions = self.lost = 0
        self.session = self.begin()

    def now(self) -> int:
        return self.clock[0]

    def begin(self, accounts: tuple[int, ...] | None = None) -> VenueSession:
        """A session that knows nothing, in a process of its own in real life."""
        self.sessions += 1
        self.lost += self.session.lost if self.sessions > 1 else 0
        self.client = self.core.client(VENUE_SOURCES | 9, 0, self.random.choice((1, 7, 4096)))
        return VenueSession(
            DirectAdapter(self.venue, self.clock),
            self.client,  # type: ignore[arg-type]
            INSTRUMENTS,
            patience_ns=200 * MS,
            ask_every_ns=50 * MS,
            clock=self.now,
            accounts=accounts,
        )

    def turn(self, trade: bool = True) -> None:
        """A few milliseconds."""
        self.clock[0] += self.random.randint(0, 4) * MS
        if trade and not self.core.absent:
            self.traders.read(self.core.process(self.traders.draw()))
        if trade:
            self.venue.turn(self.clock[0])
        self.session.step()

    def disturb(self) -> None:
        """Somebody is killed and comes back."""
        roll = self.random.random()
        if roll < 0.003:
            self.session = self.begin()
        elif roll < 0.005:
            self.core.absent = True
        elif self.core.absent and roll < 0.2:
            self.core.absent = False
            self.client.restarts += 1
            self.core.run()

    def settle(self) -> None:
        """The venue behaves from now on; until everything is known."""
        self.core.absent = False
        self.venue.faults = CALM
        for _ in range(4_000):
            self.turn(trade=False)
            if self.session.state == SessionState.LIVE and not self.pending() and self.is_quiet():
                break
        else:
            raise AssertionError(f"not settled: {self.session.state!r}, {self.pending()}")

    def is_quiet(self) -> bool:
        """Nothing is on its way, in either direction."""
        return self.client.current and not (self.venue.on_way or self.session.under_way or self.session.straying)

    def pending(self) -> list[object]:
        return [order for order in self.session.orders.orders.values() if order.state != OrderState.OPEN]


def run(seed: int, turns: int = 700) -> Scenario:
    """A scenario up to its settled end."""
    scenario = Scenario(seed)
    for _ in range(turns):
        scenario.turn()
        scenario.disturb()
    scenario.settle()
    return scenario


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_end_state_is_what_the_venue_knows(seed: int) -> None:
    scenario = run(seed)
    events = np.concatenate(scenario.core.events)
    kinds = np.concatenate(scenario.core.kinds)
    assert not check_history(events, kinds)
    check_end(scenario.core.kernel, scenario.session.orders, scenario.venue)


@pytest.mark.long
def test_the_scenarios_reach_every_kind_of_trouble() -> None:
    seen: Counter[str] = Counter()
    for seed in range(12):
        scenario = run(seed)
        events = np.concatenate(scenario.core.events)
        seen["late fill"] += int(((events["kind"] == EventKind.FILLED) & (events["flags"] == 2)).sum())
        seen["doubled"] += int((events["kind"] == EventKind.DUPLICATE).sum())
        seen["unknown"] += int((events["kind"] == EventKind.UNKNOWN).sum())
        refused = events[events["kind"] == EventKind.REJECTED]
        seen["refused by the venue"] += int((refused["reason"] == Reason.VENUE).sum())
        seen["not reconciled"] += int((refused["flags"] >> int(Reason.RECONCILE) & 1).sum())
        seen["after it was closed"] += int((refused["reason"] == Reason.CLOSED_ORDER).sum())
        seen["lines lost"] += scenario.lost + scenario.session.lost
        seen["sessions"] += scenario.sessions - 1
        seen["cuts"] += scenario.venue.cuts
    assert not [what for what, count in seen.items() if not count], seen


def test_a_session_sends_nothing_that_was_routed_before_it_began() -> None:
    scenario = Scenario(3)
    scenario.venue.faults = CALM
    scenario.settle()
    assert not scenario.venue.submits
    order = builders.new(7, 1, account_id=1, instrument_id=1, price_ticks=100, quantity=5)
    scenario.core.process(order)  # routed, and its session dies before it has read that
    scenario.session = scenario.begin()
    scenario.settle()
    assert not scenario.venue.submits
    assert scenario.venue.queries[OrderKey(1, 7, 1).client_id] == 1
    last = scenario.core.events[-1][-1]
    assert not len(scenario.session.orders), last


def opened(scenario: Scenario) -> int:
    """Accounts that are open at the venue."""
    return external_venues(scenario.core.kernel)[0].open_accounts


def test_only_the_accounts_of_the_venue_are_opened_there() -> None:
    scenario = Scenario(3)
    scenario.session = scenario.begin(accounts=(2, 99))
    scenario.settle()
    assert opened(scenario) == scenario.session.reconciled == 1
    refused = scenario.core.process(builders.new(7, 1, account_id=1, instrument_id=1, price_ticks=100, quantity=5))
    assert refused["flags"][0] >> int(Reason.RECONCILE) & 1
    routed = scenario.core.process(builders.new(8, 1, account_id=2, instrument_id=1, price_ticks=100, quantity=5))
    assert routed["kind"].tolist() == [EventKind.ROUTED]


def test_a_session_whose_accounts_the_core_has_closed_asks_after_everything_again() -> None:
    scenario = Scenario(3)
    scenario.settle()
    scenario.core.process(builders.new(7, 1, account_id=1, instrument_id=1, price_ticks=100, quantity=5))
    scenario.settle()
    begun = scenario.venue.session
    before = dict(scenario.venue.submits)
    assert before == {OrderKey(1, 7, 1).client_id: 1}
    scenario.core.process(builders.command(CommandKind.VENUE_UNKNOWN, instrument_id=2))
    assert opened(scenario) == 0
    left = [scenario.session.live]
    while all(left) and len(left) < 20:  # it may read one event at a time
        scenario.session.step()
        left.append(scenario.session.live)
    assert not left[-1]
    scenario.settle()
    assert opened(scenario) == 3
    assert scenario.venue.session == begun + 1
    assert scenario.venue.submits == before
    assert scenario.venue.queries[OrderKey(1, 7, 1).client_id] > 0
    # One that begins reads of all that was closed before, and begins once.
    scenario.session = scenario.begin()
    scenario.settle()
    assert scenario.venue.session == begun + 2


def test_a_session_that_ends_has_its_accounts_closed_behind_its_last_reports() -> None:
    scenario = Scenario(3)
    scenario.settle()
    scenario.core.process(builders.new(7, 1, account_id=1, instrument_id=1, price_ticks=100, quantity=5))
    scenario.session.step()
    scenario.session.end()
    assert opened(scenario) == 0
    kinds = np.concatenate(scenario.core.kinds)
    assert kinds[-1] == CommandKind.VENUE_UNKNOWN
    assert scenario.session.orders.get(OrderKey(1, 7, 1)) is not None
    scenario.session = scenario.begin()
    scenario.settle()
    assert scenario.venue.submits == {OrderKey(1, 7, 1).client_id: 1}
    assert opened(scenario) == 3


def test_a_session_ends_although_there_is_no_core() -> None:
    scenario = Scenario(3)
    scenario.settle()
    scenario.core.absent = True
    scenario.session.end()
    assert opened(scenario) == 3, "the core finds the slot empty, and closes them itself"


def test_text_ids_become_numbers_that_do_not_meet() -> None:
    assert number_of("17", 9) == 17
    assert number_of("017", 9) >> 63 == 1
    assert number_of("", 9) >> 63 == 1
    assert number_of(str(1 << 63), 9) >> 63 == 1
    assert number_of(str((1 << 63) - 1), 9) == (1 << 63) - 1
    assert number_of("E1", 9) != number_of("E1", 10)
    texts = {f"E{n}" for n in range(20_000)} | {str(n) for n in range(1, 20_000)}
    assert len({number_of(text, 9) for text in texts}) == len(texts)
