"""A recorded book of absolute quantities in the core: queues, what strategies take, cancellations, trades."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.recorded import RecordedLevels
from nautilus.core.types import BOOK_DELTA, COMMAND, BookAction, CommandKind, EventKind, Reason, Side
from nautilus.model.errors import ConfigError
from nautilus.simulation.recording import BOOK_ACCOUNT, TAPE_ACCOUNT, RecordedMarket
from tests.kit import builders
from tests.unit.simulation.naive_levels import NaiveLevels
from tests.unit.simulation.venue import BUY, INSTRUMENT, OWN, SELL, Venue, deltas


def test_displayed_quantity_rests_in_the_core() -> None:
    v = Venue()
    v.update((BUY, 100, 5), (BUY, 99, 7), (SELL, 101, 3))
    assert v.depth(BUY) == {100: 5, 99: 7}
    assert v.depth(SELL) == {101: 3}


def test_own_order_queues_behind_displayed_quantity() -> None:
    v = Venue()
    v.update((BUY, 100, 5))
    own = v.order(BUY, 100, 2)
    v.trade(SELL, 100, 5)
    assert v.own_filled(own) == 0
    v.trade(SELL, 100, 1)
    assert v.own_filled(own) == 1


def test_increase_joins_behind_own_order() -> None:
    v = Venue()
    v.update((BUY, 100, 5))
    own = v.order(BUY, 100, 2)
    v.update((BUY, 100, 9))
    v.trade(SELL, 100, 7)
    assert v.own_filled(own) == 2
    assert v.market.level(BUY, 100)[:3] == (9, 4, 0)


def test_taken_quantity_stays_taken_until_another_quantity_is_reported() -> None:
    v = Venue()
    v.update((SELL, 101, 10), (BUY, 100, 1))
    v.order(BUY, 101, 4)
    assert v.quantity(SELL, 101) == 6
    v.update((SELL, 101, 10))
    assert v.quantity(SELL, 101) == 6
    assert v.market.level(SELL, 101)[:3] == (10, 6, 4)
    v.update((SELL, 101, 9))
    assert v.quantity(SELL, 101) == 9


def test_snapshot_with_the_same_quantity_keeps_what_is_taken() -> None:
    v = Venue()
    v.update((SELL, 101, 10), (SELL, 102, 5), (BUY, 100, 1))
    v.order(BUY, 101, 4)
    v.update((BookAction.CLEAR, SELL, 0, 0), (SELL, 101, 10))
    assert v.depth(SELL) == {101: 6}
    assert v.depth(BUY) == {100: 1}


def test_clear_without_a_side_empties_both() -> None:
    v = Venue()
    v.update((SELL, 101, 10), (BUY, 100, 1))
    v.update((BookAction.CLEAR, 0, 0, 0), (SELL, 103, 2))
    assert v.depth(BUY) == {}
    assert v.depth(SELL) == {103: 2}


def test_what_a_displayed_order_fills_on_arrival_is_taken() -> None:
    v = Venue()
    v.update((BUY, 99, 5), (SELL, 103, 5))
    own = v.order(BUY, 101, 4)
    v.update((SELL, 101, 10))
    assert v.own_filled(own) == 4
    assert v.market.level(SELL, 101)[:3] == (10, 6, 4)
    v.update((SELL, 101, 10))
    assert v.quantity(SELL, 101) == 6


def test_conservative_decrease_leaves_from_the_back_first() -> None:
    v = Venue()
    v.update((BUY, 100, 5))
    own = v.order(BUY, 100, 1)
    v.update((BUY, 100, 9))
    v.update((BUY, 100, 12))
    events = v.update((BUY, 100, 7))
    assert [event["kind"] for event in events] == [EventKind.CANCELLED, EventKind.REPLACED]
    assert [leaves for _, leaves in v.market.level(BUY, 100)[3]] == [5, 2]
    v.update((BUY, 100, 5))
    v.trade(SELL, 100, 5)
    assert v.own_filled(own) == 0, "what stood in front of the strategy is still there"


def test_proportional_decrease_leaves_from_all_orders() -> None:
    v = Venue(cancel="proportion")
    v.update((BUY, 100, 5))
    v.order(BUY, 100, 1)
    v.update((BUY, 100, 8))
    v.update((BUY, 100, 12))
    v.update((BUY, 100, 7))
    # 5, 3, 4 lose 5 of 12: 2 1/12, 1 3/12, 1 8/12: the last two lots go to the largest remainders.
    assert [leaves for _, leaves in v.market.level(BUY, 100)[3]] == [3, 2, 2]
    v.update((BUY, 100, 0))
    assert v.depth(BUY) == {100: 1}


def test_replacement_counts_what_was_filled_before() -> None:
    v = Venue()
    v.update((BUY, 100, 10))
    v.trade(SELL, 100, 4)
    v.update((BUY, 100, 3))
    assert v.quantity(BUY, 100) == 3
    assert v.market.summary()["rejected"] == {}


def test_trade_and_the_diff_that_reports_it_are_not_counted_twice() -> None:
    v = Venue()
    v.update((BUY, 100, 10))
    v.trade(SELL, 100, 4)
    assert v.quantity(BUY, 100) == 6
    assert v.update((BUY, 100, 6)) == []
    assert v.quantity(BUY, 100) == 6


def test_own_order_in_front_takes_the_trade_and_the_diff_sets_the_rest() -> None:
    v = Venue()
    v.update((BUY, 99, 10), (SELL, 102, 10))
    own = v.order(BUY, 100, 3)
    v.update((BUY, 100, 10))
    v.trade(SELL, 100, 5)
    assert v.own_filled(own) == 3
    assert v.market.level(BUY, 100)[:2] == (10, 8)
    v.update((BUY, 100, 5))
    assert v.quantity(BUY, 100) == 5


def test_trade_fills_own_order_at_a_better_price_and_sweeps_no_level_between() -> None:
    v = Venue()
    v.update((BUY, 100, 5), (BUY, 99, 5), (BUY, 98, 5), (SELL, 103, 5))
    own = v.order(BUY, 101, 2)
    v.trade(SELL, 98, 4)
    assert v.own_filled(own) == 2
    assert v.depth(BUY) == {100: 5, 99: 5, 98: 3}


def test_booked_trade_acts_on_own_orders_only() -> None:
    v = Venue()
    v.update((BUY, 100, 5), (SELL, 103, 5))
    better, behind = v.order(BUY, 101, 2), v.order(BUY, 100, 3)
    v.trade(SELL, 100, 9, booked=True)
    assert v.own_filled(better) == 2
    assert v.own_filled(behind) == 2, "9 less 2 at the better price less 5 displayed in front"
    assert v.market.level(BUY, 100)[:2] == (5, 5)


def test_older_recorded_order_goes_silently_where_the_recording_crosses_itself() -> None:
    v = Venue()
    v.update((BUY, 100, 5), (BUY, 99, 5), (SELL, 103, 5))
    events = v.update((SELL, 100, 4))
    assert v.depth(BUY) == {99: 5}
    assert v.depth(SELL) == {100: 4, 103: 5}
    assert all(event["kind"] != EventKind.FILLED for event in events)
    assert v.market.summary()["crossing_removals"] == 1
    v.update((SELL, 100, 0), (BUY, 100, 5))
    assert v.depth(BUY) == {100: 5, 99: 5}


def test_decreases_come_before_increases_within_one_update() -> None:
    v = Venue()
    v.update((BUY, 100, 5), (SELL, 101, 5))
    v.update((SELL, 100, 4), (BUY, 100, 0), (BUY, 99, 1))
    assert v.depth(BUY) == {99: 1}
    assert v.market.summary()["crossing_removals"] == 0


def test_unmatched_trades_are_dropped_and_counted() -> None:
    v = Venue()
    v.update((BUY, 100, 5), (SELL, 101, 5))
    v.trade(SELL, 100, 7)
    v.trade(SELL, 90, 3)
    facts = v.market.summary()
    assert (facts["trades"], facts["unmatched_trades"], facts["unmatched_lots"]) == (2, 2, 5)
    assert v.depth(SELL) == {101: 5}


def test_last_quantity_of_a_level_named_twice_counts() -> None:
    v = Venue()
    v.update((BUY, 100, 5), (BUY, 100, 3), (BUY, 100, 4))
    assert v.depth(BUY) == {100: 4}


def test_records_no_order_can_express_are_counted() -> None:
    v = Venue()
    v.update((BUY, 1 << 41, 5), (BUY, 100, (1 << 40) + 1), (BUY, 100, -1), (3, 100, 1), (SELL, 101, 1))
    v.trade(SELL, 100, 0)
    assert v.market.summary()["rejected"] == {"OUT_OF_BOUNDS": 5}
    assert v.depth(SELL) == {101: 1}


def test_what_the_core_refuses_is_counted_by_reason() -> None:
    v = Venue()
    v.update((BUY, -5, 1), (BUY, 100, 1))
    assert v.market.summary()["rejected"] == {"PRICE": 1}
    assert v.market.level(BUY, -5)[:2] == (1, 0)


def test_kill_of_the_book_account_is_seen() -> None:
    v = Venue()
    v.update((BUY, 100, 5))
    v.send(builders.kill(BOOK_ACCOUNT))
    assert v.market.level(BUY, 100)[:2] == (5, 0)
    assert v.market.summary()["other_removals"] == 1
    v.update((BUY, 100, 5))
    assert v.market.summary()["rejected"] == {"KILLED": 1}


def test_recorded_accounts_hold_no_position() -> None:
    v = Venue()
    v.update((SELL, 101, 5))
    v.order(BUY, 101, 2)
    assert [int(row["quantity"]) for row in v.kernel.positions(OWN)] == [2]
    assert len(v.kernel.positions(BOOK_ACCOUNT)) == 0


def test_levels_that_are_gone_take_no_memory() -> None:
    v = Venue()
    levels = v.market._levels
    for price in range(1, 200):
        v.update((BUY, price, 5))
        v.trade(SELL, price, 2)
        v.update((BUY, price, 0))
    assert (levels.open_levels, levels.open_orders) == (0, 0)


def test_capacity_is_counted_not_exceeded() -> None:
    levels = RecordedLevels(1, BOOK_ACCOUNT, TAPE_ACCOUNT, capacity=2)
    rows = levels.update(deltas([(BookAction.SET, BUY, price, 1) for price in range(5)]), 1)
    assert len(rows) == 2
    assert levels.out_of_bounds == 3


def test_order_ids_ascend_over_book_and_tape() -> None:
    v = Venue()
    v.update((BUY, 100, 5), (SELL, 103, 5))
    v.trade(SELL, 100, 1)
    v.update((BUY, 100, 9))
    ids = [event["order_id"] for event in v.events if event["kind"] == EventKind.ACCEPTED]
    assert ids == sorted(set(ids))


def test_single_order_actions_are_refused_by_a_book_of_levels() -> None:
    with pytest.raises(ValueError, match="expected SET or CLEAR"):
        Venue().update((BookAction.ADD, BUY, 100, 5))


def test_other_records_are_refused_by_type() -> None:
    levels = RecordedLevels(1, BOOK_ACCOUNT, TAPE_ACCOUNT)
    for wrong in (np.zeros(1, COMMAND), np.zeros((1, 1), BOOK_DELTA), [1]):
        with pytest.raises(TypeError, match="expected a one-dimensional array"):
            levels.update(wrong, 1)  # type: ignore[arg-type]


def test_unknown_way_of_cancellation_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected back or proportion"):
        RecordedMarket(INSTRUMENT, cancel="front")  # type: ignore[arg-type]


def test_strided_records_are_taken_as_they_read() -> None:
    levels = RecordedLevels(1, BOOK_ACCOUNT, TAPE_ACCOUNT)
    every = deltas([(BookAction.SET, BUY, price, 1) for price in range(100, 110)])
    assert levels.update(every[::3], 1)["price_ticks"].tolist() == [100, 103, 106, 109]


PRICES = range(90, 111)
REPORT = st.tuples(st.sampled_from(list(PRICES)), st.integers(0, 6))
STEP = st.one_of(
    st.tuples(st.just("diff"), st.lists(REPORT, min_size=1, max_size=6)),
    st.tuples(
        st.just("trade"), st.tuples(st.sampled_from([BUY, SELL]), st.sampled_from(list(PRICES)), st.integers(1, 8))
    ),
    st.tuples(
        st.just("booked"), st.tuples(st.sampled_from([BUY, SELL]), st.sampled_from(list(PRICES)), st.integers(1, 8))
    ),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, max_size=30), cancel=st.sampled_from(["back", "proportion"]))
def test_without_own_orders_the_core_holds_the_recorded_book(steps: list, cancel: str) -> None:
    """Bids below 100, asks from 100: never crossed. Equal after each diff; less only by what the tape took since."""
    v = Venue(cancel=cancel)
    recorded: dict[Side, dict[int, int]] = {BUY: {}, SELL: {}}
    tape: dict[tuple[Side, int], int] = {}
    for kind, content in steps:
        if kind == "diff":
            rows = []
            for price, quantity in content:
                side = BUY if price < 100 else SELL
                rows.append((side, price, quantity))
                recorded[side][price] = quantity
                tape.pop((side, price), None)
            v.update(*rows)
        else:
            aggressor, price, quantity = content
            side = SELL if aggressor == BUY else BUY
            v.trade(aggressor, price, quantity, booked=kind == "booked")
            if kind == "trade":
                there = recorded[side].get(price, 0) - tape.get((side, price), 0)
                tape[side, price] = tape.get((side, price), 0) + min(there, quantity)
        for side in (BUY, SELL):
            wanted = {
                price: quantity - tape.get((side, price), 0)
                for price, quantity in recorded[side].items()
                if quantity > tape.get((side, price), 0)
            }
            assert v.depth(side) == wanted
    # A diff that names every level leaves exactly the recorded book.
    v.update(*((side, price, quantity) for side in (BUY, SELL) for price, quantity in recorded[side].items()))
    for side in (BUY, SELL):
        assert v.depth(side) == {price: quantity for price, quantity in recorded[side].items() if quantity}
    facts = v.market.summary()
    assert facts["taken_lots"] == facts["crossing_removals"] == facts["other_removals"] == 0
    assert facts["rejected"] == {}


OWN_STEP = st.tuples(
    st.just("own"), st.tuples(st.sampled_from([BUY, SELL]), st.sampled_from(list(PRICES)), st.integers(1, 8))
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.one_of(STEP, OWN_STEP), max_size=30), cancel=st.sampled_from(["back", "proportion"]))
def test_with_own_orders_each_report_leaves_recorded_less_taken(steps: list, cancel: str) -> None:
    """A second account reads the events alone and reckons each reported level anew."""
    v = Venue(cancel=cancel)
    recorded: dict[tuple[int, int], int] = {}
    taken: dict[tuple[int, int], int] = {}
    home: dict[int, tuple[int, int]] = {}

    def follow(events: list[dict]) -> None:
        for event in events:
            if event["kind"] == EventKind.ACCEPTED and event["account_id"] == BOOK_ACCOUNT:
                home[event["order_id"]] = (event["side"], event["price_ticks"])
            if event["kind"] == EventKind.FILLED:
                ids = {event["account_id"]: event["order_id"], event["counter_account_id"]: event["counter_order_id"]}
                if set(ids) == {OWN, BOOK_ACCOUNT}:
                    key = home[ids[BOOK_ACCOUNT]]
                    taken[key] = taken.get(key, 0) + event["quantity"]

    for kind, content in steps:
        if kind == "diff":
            rows = {(BUY if price < 100 else SELL, price): quantity for price, quantity in content}
            for key, quantity in rows.items():
                if recorded.get(key, 0) != quantity:
                    taken[key] = 0
                recorded[key] = quantity
            follow(v.update(*((side, price, quantity) for (side, price), quantity in rows.items())))
            for key in rows:
                resting = v.market.level(*key)[1]
                if recorded[key] == 0:
                    assert resting == 0
                else:
                    assert resting == max(0, recorded[key] - taken.get(key, 0))
        elif kind == "own":
            before = len(v.events)
            v.order(*content)
            follow(v.events[before:])
        else:
            follow(v.trade(*content, booked=kind == "booked"))
    reasons = {event["reason"] for event in v.events if event["account_id"] in (BOOK_ACCOUNT, TAPE_ACCOUNT)}
    assert reasons <= {Reason.NONE, Reason.REQUESTED, Reason.UNFILLED}
    # The market's view of its orders is the core's own.
    for side in (BUY, SELL):
        mine = sum(v.market.level(side, price)[1] for price in PRICES)
        own = sum(
            int(order["quantity"]) - v.own_filled(order["order_id"])
            for order in v.events
            if order["kind"] == EventKind.ACCEPTED and order["account_id"] == OWN and order["side"] == side
        ) - sum(
            event["quantity"]
            for event in v.events
            if event["kind"] == EventKind.CANCELLED and event["account_id"] == OWN and event["side"] == side
        )
        assert mine + own == sum(v.depth(side).values())


CLEARING = st.tuples(st.just("clear"), st.tuples(st.sampled_from([0, BUY, SELL]), st.lists(REPORT, max_size=4)))


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(st.one_of(STEP, OWN_STEP, CLEARING), max_size=30), proportional=st.booleans(), crossing=st.booleans()
)
def test_commands_are_those_of_the_naive_bookkeeping(steps: list, proportional: bool, crossing: bool) -> None:
    v = Venue(cancel="proportion" if proportional else "back")
    naive = NaiveLevels(proportional=proportional)
    for kind, content in steps:
        seen = len(v.events)
        if kind in ("diff", "clear"):
            reports = content if kind == "diff" else content[1]
            start = [(BookAction.CLEAR, content[0], 0, 0)] if kind == "clear" else []
            rows = [(BookAction.SET, (BUY if price < 100 else SELL), price, quantity) for price, quantity in reports]
            if crossing:  # either side at any price
                rows = [(action, BUY if price % 2 else SELL, price, quantity) for action, _, price, quantity in rows]
            records = deltas(start + rows, 7)
            commands = v.market.book_update(records)
            wanted = naive.update(records, 7)
            # CLEAR goes through the levels in an order of its own.
            assert sorted_rows(commands, start) == sorted_rows(wanted, start)
            v.send(commands)
        elif kind == "own":
            v.order(*content)
        else:
            v.trade(*content, booked=kind == "booked")
        naive.on_events(v.events[seen:])


def sorted_rows(commands: np.ndarray, unordered: list) -> list[bytes]:
    """The commands' bytes; where their order is free, decreases sorted, increases without their ids too."""
    if not unordered:
        return [row.tobytes() for row in commands]
    free = commands.copy()
    free["order_id"][free["kind"] == CommandKind.NEW] = 0
    assert (np.diff((free["kind"] == CommandKind.NEW).astype(int)) >= 0).all()
    return sorted(row.tobytes() for row in free)


def test_wide_quantities_are_shared_out_exactly() -> None:
    v = Venue(cancel="proportion")
    whole = 1 << 40
    v.update((BUY, 100, whole // 2))
    v.update((BUY, 100, whole // 2 + 3))
    v.update((BUY, 100, whole))
    v.update((BUY, 100, 1))
    assert [leaves for _, leaves in v.market.level(BUY, 100)[3]] == [1]
    assert v.market.summary()["rejected"] == {}
