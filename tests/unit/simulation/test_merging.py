"""Recordings side by side: exact order over many instruments, events to the right one, accounts that do not collide."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from nautilus.core.types import QUOTE, TRADE, BookAction
from nautilus.model.errors import ConfigError, VenueError
from nautilus.model.instrument import Instrument
from nautilus.simulation import MergedSource
from nautilus.simulation.playback import BOOK, RecordedSource
from nautilus.simulation.playback import QUOTE as QUOTE_KIND
from nautilus.simulation.playback import TRADE as TRADE_KIND
from tests.kit.effort import one_of
from tests.kit.twin import TwinKernel
from tests.unit.simulation.test_playback import ListedRecording
from tests.unit.simulation.venue import BUY, INSTRUMENT, SELL, deltas

MANY = 60


def instrument(number: int) -> Instrument:
    return Instrument(
        instrument_id=number,
        symbol=f"S{number}",
        venue="VENUE",
        base_currency="BTC",
        quote_currency="USD",
        tick_table=(("0", "0.01"),),
        lot_size="1",
        currency_decimals=2,
    )


def own(records: np.ndarray, instrument_id: int, now_ns: int, label: int) -> np.ndarray:
    records = records.copy()
    (
        records["instrument_id"],
        records["now_ns"],
        records["update_id" if "update_id" in records.dtype.names else "trade_id"],
    ) = (
        instrument_id,
        now_ns,
        label,
    )
    return records


def random_updates(number: int, dice: random.Random, most: int) -> list[tuple[int, int, np.ndarray]]:
    """Few distinct stamps, so that many updates of many recordings share one."""
    found = []
    for label, now_ns in enumerate(sorted(dice.randrange(1, 40) for _ in range(dice.randrange(most))), 1):
        kind = dice.choice((BOOK, QUOTE_KIND, TRADE_KIND))
        if kind == BOOK:
            price = dice.randrange(90, 100)
            records = deltas([(BookAction.SET, BUY, price, dice.randrange(9)), (BookAction.SET, SELL, price + 10, 5)])
        else:
            records = np.zeros(1, QUOTE if kind == QUOTE_KIND else TRADE)
            if kind == TRADE_KIND:
                records["price_ticks"], records["quantity"], records["side"] = 95, 1, BUY
        found.append((now_ns, kind, own(records, number, now_ns, label)))
    return found


def merged(lists: list[list[tuple[int, int, np.ndarray]]], faults: dict[int, str] | None = None) -> MergedSource:
    return MergedSource(
        [
            RecordedSource(
                ListedRecording(updates or [(1, QUOTE_KIND, np.zeros(1, QUOTE))], fault=(faults or {}).get(place, "")),
                instrument(place + 1),
                number=place,
                capacity=64,
            )
            for place, updates in enumerate(lists)
        ]
    )


def play(source: MergedSource) -> tuple[TwinKernel, list[Any]]:
    kernel = TwinKernel(source.instruments())
    source.attach(kernel)
    source.on_events(kernel.process(source.setup()))
    steps = []
    while (now_ns := source.next_ns()) is not None:
        assert source.next_ns() == now_ns, "asking again changes nothing"
        step = source.step()
        assert step.now_ns == now_ns
        if step.commands is not None:
            source.on_events(kernel.process(step.commands))
        steps.append(step)
    return kernel, steps


@pytest.mark.parametrize("seed", one_of(0, 1, 2))
def test_many_recordings_play_in_order_of_time_then_of_place_then_as_recorded(seed: int) -> None:
    dice = random.Random(seed)
    lists = [random_updates(number, dice, 24) or [(5, QUOTE_KIND, own(np.zeros(1, QUOTE), number, 5, 1))]
             for number in range(1, MANY + 1)]  # fmt: skip
    expected = sorted(
        ((now_ns, place, number, records.tobytes()) for place, updates in enumerate(lists)
         for number, (now_ns, _, records) in enumerate(updates)),
        key=lambda row: row[:3],
    )  # fmt: skip
    source = merged(lists)
    kernel, steps = play(source)
    assert [(step.now_ns, step.records[0].tobytes()) for step in steps] == [(row[0], row[3]) for row in expected]
    # What rests in the core is what each recording says last, apart from what its own trades took.
    alone = {}
    for place, updates in enumerate(lists):
        single, _ = play(merged([[] for _ in range(place)] + [updates]))
        alone[place + 1] = [side.tolist() for side in single.depth(place + 1, 20)]
    assert {number: [side.tolist() for side in kernel.depth(number, 20)] for number in alone} == alone
    assert source.progress == 1.0
    assert source.summary()["records"] == {"updates": len(expected)}


def test_each_recording_has_accounts_of_its_own_and_counts_its_own_trades() -> None:
    rows = [
        (10, BOOK, deltas([(BookAction.SET, BUY, 100, 5), (BookAction.SET, SELL, 101, 5)])),
        (12, TRADE_KIND, own_trade()),
    ]
    source = merged([rows, rows, rows])
    accounts = {(each.market.book_account, each.market.tape_account) for each in source.sources}
    assert len({account for pair in accounts for account in pair}) == 6
    kernel, _ = play(source)
    facts = source.summary()
    assert facts["market"]["trades"] == 3
    assert [part["market"]["unmatched_lots"] for part in facts["instruments"].values()] == [0, 0, 0]
    assert [kernel.depth(number, 1)[0]["quantity"].tolist() for number in (1, 2, 3)] == [[3], [3], [3]]


def own_trade() -> np.ndarray:
    record = np.zeros(1, TRADE)
    record["price_ticks"], record["quantity"], record["side"] = 100, 2, SELL
    return record


def test_a_broken_recording_ends_the_whole_there() -> None:
    quote = np.zeros(1, QUOTE)
    source = merged([[(1, QUOTE_KIND, quote), (9, QUOTE_KIND, quote)], [(4, QUOTE_KIND, quote)]], {1: "cut"})
    with pytest.raises(VenueError, match="cut"):
        play(source)
    assert source.sources[0].recording.given == 2  # the one at 9 was read ahead, and not played


def test_two_of_the_same_kind_are_refused() -> None:
    def one(number: int, place: int) -> RecordedSource:
        return RecordedSource(ListedRecording([(1, QUOTE_KIND, np.zeros(1, QUOTE))]), instrument(number), number=place)

    for sources, what in (((one(1, 0), one(1, 1)), "ids"), ((one(1, 0), one(2, 0)), "accounts"), ((), "no recording")):
        with pytest.raises(ConfigError, match=what):
            MergedSource(sources)
    with pytest.raises(ConfigError, match="recording 32767"):
        RecordedSource(ListedRecording([]), INSTRUMENT, number=32767)
