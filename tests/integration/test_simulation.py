"""Whole recordings in the compiled core: its book against the recorded one, with and without a strategy's orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nautilus.adapters.formats import open_recording
from nautilus.adapters.formats.orderdepth import OrderDepth
from nautilus.core import Kernel
from nautilus.core.depth import DepthBook
from nautilus.core.types import EventKind, Side
from nautilus.simulation.config import Cancellation
from nautilus.simulation.playback import RecordedSource
from nautilus.simulation.recording import BOOK_ACCOUNT, TAPE_ACCOUNT
from nautilus.simulation.source import Step
from tests.kit import builders
from tests.kit.data import BTCUSDT_PERPETUAL, BTCUSDT_SPOT, LOBSTER, recording

OWN = 1
ALL_LEVELS = 1 << 20
MINUTE = 60_000_000_000


class Playback:
    """A recording in the core, step by step; the strategy's orders are the test's."""

    def __init__(self, name: str, *, for_ns: int | None = None, cancel: Cancellation = "back") -> None:
        recorded = open_recording(recording(name))
        self.source = RecordedSource(recorded, recorded.hint.instrument(1), cancel=cancel)
        self.until_ns = None if for_ns is None else recorded.start_ns + for_ns
        self.kernel = Kernel(list(self.source.instruments()), accounts=[OWN])
        self.source.attach(self.kernel)
        self.send(self.source.setup())
        self.own_id = 0
        self.now_ns = 0

    def send(self, commands: np.ndarray) -> np.ndarray:
        """Commands into the core; its events, which the source has seen."""
        events = self.kernel.process(commands)
        self.source.on_events(events)
        return events

    def step(self) -> tuple[Step, np.ndarray | None] | None:
        """Play one step; None at the end."""
        next_ns = self.source.next_ns()
        if next_ns is None or (self.until_ns is not None and next_ns > self.until_ns):
            return None
        step = self.source.step()
        self.now_ns = step.now_ns
        return step, None if step.commands is None else self.send(step.commands)

    def order(self, side: Side, price: int, quantity: int, **fields: Any) -> np.ndarray:
        """A strategy's limit order."""
        self.own_id += 1
        return self.send(builders.new(self.own_id, side, price, quantity, account_id=OWN, now_ns=self.now_ns, **fields))

    def depth(self) -> tuple[dict[int, int], dict[int, int]]:
        """`{price: quantity}` of bids and of asks in the core."""
        bids, asks = self.kernel.depth(1, ALL_LEVELS)
        return as_dict(bids), as_dict(asks)


def as_dict(levels: np.ndarray) -> dict[int, int]:
    return dict(zip(levels["price_ticks"].tolist(), levels["quantity"].tolist(), strict=True))


def is_book(step: Step) -> bool:
    return bool(step.records) and "action" in step.records[0].dtype.names


@pytest.mark.parametrize(("name", "diffs"), [(BTCUSDT_PERPETUAL, 6_547), (BTCUSDT_SPOT, 3_449)])
def test_core_holds_the_recorded_book_less_what_the_tape_took_since(name: str, diffs: int) -> None:
    playback = Playback(name)
    book = DepthBook()
    tape: dict[int, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
    updates = compared = 0
    while (played := playback.step()) is not None:
        step, events = played
        if events is not None:
            for fill in events[(events["kind"] == EventKind.FILLED) & (events["account_id"] == TAPE_ACCOUNT)]:
                taken = tape[3 - int(fill["side"])]
                price = int(fill["price_ticks"])
                taken[price] = taken.get(price, 0) + int(fill["quantity"])
        if not is_book(step):
            continue
        book.apply(step.records[0])
        for side, price in zip(*(step.records[0][field].tolist() for field in ("side", "price_ticks")), strict=True):
            if side:
                tape[side].pop(price, None)
        updates += 1
        if updates % 40 and updates < diffs:
            continue
        compared += 1
        for side, levels, mine in zip((Side.BUY, Side.SELL), book.depth(ALL_LEVELS), playback.depth(), strict=True):
            wanted = as_dict(levels)
            for price, quantity in tape[side].items():
                wanted[price] = wanted.get(price, 0) - quantity
            assert mine == {price: quantity for price, quantity in wanted.items() if quantity}
    facts = playback.source.summary()
    assert updates >= diffs
    assert compared > diffs // 50
    assert facts["book_checks"]["compared"] == facts["book_checks"]["equal"] == diffs
    assert facts["rejected"] == {}
    assert facts["market"]["taken_lots"] == facts["market"]["crossing_removals"] == 0
    assert 0 < facts["market"]["unmatched_trades"] < facts["market"]["trades"]


def test_core_holds_the_recorded_orders_after_every_message() -> None:
    playback = Playback(LOBSTER)
    book = OrderDepth()
    messages = 0
    while (played := playback.step()) is not None:
        step, _ = played
        if is_book(step):
            book.apply(step.records[0])
        elif step.records and "bid_ticks" in step.records[0].dtype.names:  # the quote ends a message
            messages += 1
            for side, mine in zip((Side.BUY, Side.SELL), playback.depth(), strict=True):
                assert mine == dict(book.levels(side, ALL_LEVELS))
    assert messages == 999
    facts = playback.source.summary()
    assert facts["rejected"] == {}
    assert facts["book_checks"]["equal"] == 998
    assert facts["market"]["unknown_ids"] == facts["market"]["taken_lots"] == 0


@pytest.mark.parametrize("name", [BTCUSDT_PERPETUAL, BTCUSDT_SPOT, LOBSTER])
def test_summary_of_a_run_that_stops_early_tells_what_was_played(name: str) -> None:
    playback = Playback(name, for_ns=MINUTE // 12)
    played = {"quotes": 0, "trades": 0, "diffs": 0}
    while (one := playback.step()) is not None:
        names = one[0].records[0].dtype.names if one[0].records else ()
        played["quotes"] += "bid_ticks" in names
        played["trades"] += "trade_id" in names
        played["diffs"] += "action" in names
    facts = playback.source.summary()
    assert facts["records"]["quotes"] == played["quotes"] > 0
    assert facts["records"]["trades"] == played["trades"] > 0
    checks = facts["book_checks"]
    if name == LOBSTER:
        assert checks["compared"] == checks["equal"] == facts["records"]["book_messages"] - 1 > 0
    else:
        assert facts["diffs_applied"] + 1 == played["diffs"]  # and the snapshot
        assert facts["diffs_applied"] + facts["diffs_dropped"] == facts["records"]["book_diffs"]
        assert 0 <= facts["diffs_applied"] - checks["compared"] == checks["pending"] <= 2
        assert checks["compared"] == checks["equal"] > 0
    assert facts == playback.source.summary(), "asking again changes nothing"


def trade_along(playback: Playback, every: int) -> dict[str, int]:
    """Quote at the touch on both sides and take now and then; what came of it."""
    counts = {"own_fills": 0, "tape_fills": 0, "book_fills": 0}
    steps = 0
    while (played := playback.step()) is not None:
        events = [] if played[1] is None else [played[1]]
        steps += 1
        if steps % every == 0:
            bids, asks = playback.kernel.depth(1, 1)
            if len(bids) and len(asks):
                bid, ask = int(bids["price_ticks"][0]), int(asks["price_ticks"][0])
                playback.send(builders.mass_cancel(OWN, now_ns=playback.now_ns))
                events.append(playback.order(Side.BUY, bid, 5))
                events.append(playback.order(Side.SELL, ask, 5))
                if steps % (7 * every) == 0:
                    events.append(playback.order(Side.BUY, ask, 3))
        for some in events:
            fills = some[some["kind"] == EventKind.FILLED]
            own = (fills["account_id"] == OWN) | (fills["counter_account_id"] == OWN)
            counts["own_fills"] += int(own.sum())
            counts["tape_fills"] += int((own & (fills["account_id"] == TAPE_ACCOUNT)).sum())
            counts["book_fills"] += int((own & (fills["counter_account_id"] == BOOK_ACCOUNT)).sum())
    return counts


@pytest.mark.parametrize(
    ("name", "cancel"), [(BTCUSDT_PERPETUAL, "back"), (BTCUSDT_PERPETUAL, "proportion"), (LOBSTER, "back")]
)
def test_strategy_trades_with_the_tape_and_the_book_and_nothing_is_refused(name: str, cancel: Cancellation) -> None:
    playback = Playback(name, for_ns=MINUTE, cancel=cancel)
    counts = trade_along(playback, every=10)
    facts = playback.source.summary()
    assert counts["tape_fills"] > 0
    assert counts["book_fills"] > 0
    assert facts["rejected"] == {}
    assert facts["market"]["taken_lots"] > 0
    assert facts["book_checks"]["compared"] == facts["book_checks"]["equal"] > 0
    # With the strategy's orders gone, the core holds exactly what the market believes that it holds.
    playback.send(builders.mass_cancel(OWN, now_ns=playback.now_ns))
    for side, levels in zip((Side.BUY, Side.SELL), playback.depth(), strict=True):
        for price, quantity in levels.items():
            recorded, resting, taken, _ = playback.source.market.level(side, price)
            assert resting == quantity
            assert resting <= recorded
            assert taken >= 0


@pytest.mark.parametrize("name", [BTCUSDT_PERPETUAL, LOBSTER])
def test_two_playbacks_are_the_same(name: str) -> None:
    first, second = (Playback(name, for_ns=MINUTE // 2) for _ in range(2))
    assert trade_along(first, every=25) == trade_along(second, every=25)
    assert first.kernel.event_hash() == second.kernel.event_hash()
    assert first.kernel.journal_hash() == second.kernel.journal_hash()
    assert first.kernel.state_hash() == second.kernel.state_hash()
