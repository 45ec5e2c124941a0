"""What a strategy gets in a recorded market, against the rules in plain lists."""

from __future__ import annotations

import random

import pytest

from nautilus.core.types import EventKind, TimeInForce
from tests.unit.simulation.plain_market import PlainMarket
from tests.unit.simulation.venue import BUY, OWN, SELL, Venue


def fills(venue: Venue) -> list[tuple[int, int, int]]:
    """Price, quantity and own order of each fill."""
    return [
        (e["price_ticks"], e["quantity"], e["order_id"] if e["account_id"] == OWN else e["counter_order_id"])
        for e in venue.events
        if e["kind"] == EventKind.FILLED and OWN in (e["account_id"], e["counter_account_id"])
    ]


@pytest.mark.parametrize("cancel", ["back", "proportion"])
def test_fills_and_book_are_those_of_the_rules_also_where_the_recording_crosses_itself(cancel: str) -> None:
    filled = crossed = 0
    for seed in range(100):
        chance = random.Random(seed)
        venue, plain = Venue(cancel=cancel), PlainMarket(proportional=cancel == "proportion")
        for _ in range(30):
            side, price, quantity = chance.choice([BUY, SELL]), chance.randint(97, 103), chance.randint(1, 9)
            what, flag = chance.random(), chance.random() < 0.3
            if what < 0.45:
                levels = {
                    (chance.choice([BUY, SELL]), chance.randint(97, 103)): chance.choice([0, 0, 1, 2, 3, 5, 8, 13])
                    for _ in range(chance.randint(1, 4))
                }
                rows = [(*key, reported) for key, reported in levels.items()]
                plain.report(rows)
                venue.update(*rows)
            elif what < 0.7:
                plain.trade(side, price, quantity, booked=flag)
                venue.trade(side, price, quantity, booked=flag)
            else:
                plain.enter(side, price, quantity, venue.own_id + 1, rest=not flag)
                venue.order(side, price, quantity, time_in_force=TimeInForce.IOC if flag else TimeInForce.GTC)
            assert fills(venue) == plain.fills
            assert [venue.depth(of) for of in (BUY, SELL)] == [plain.depth(of) for of in (BUY, SELL)]
        facts = venue.market.summary()
        assert (facts["unmatched_lots"], facts["crossing_removals"]) == (plain.unmatched, plain.crossed)
        filled += len(plain.fills)
        crossed += plain.crossed
    assert filled > 500
    assert crossed > 100
