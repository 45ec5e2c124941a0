"""An order-by-order recording in the core: named orders, what strategies take, executions, unnamed levels."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.types import BookAction, EventKind
from nautilus.model.instrument import Instrument
from tests.kit import builders
from tests.unit.simulation.venue import BOOK_ACCOUNT, BUY, OWN, SELL, TAPE_ACCOUNT, Venue

SET, ADD, REDUCE, DELETE = BookAction.SET, BookAction.ADD, BookAction.REDUCE, BookAction.DELETE
EXECUTE, HIDDEN, CLEAR = BookAction.EXECUTE, BookAction.EXECUTE_HIDDEN, BookAction.CLEAR


def by_order(**settings_: object) -> Venue:
    """A venue with one bid level of 5 unnamed lots at 100 and one ask level of 5 at 105."""
    v = Venue(by_order=True, **settings_)
    v.update((SET, BUY, 100, 5), (SET, SELL, 105, 5))
    return v


def test_named_orders_come_shrink_and_go() -> None:
    v = by_order()
    v.update((ADD, BUY, 101, 4, 71))
    assert v.depth(BUY) == {101: 4, 100: 5}
    v.update((REDUCE, BUY, 101, 1, 71))
    assert v.quantity(BUY, 101) == 3
    v.update((DELETE, BUY, 101, 3, 71))
    assert v.depth(BUY) == {100: 5}
    assert v.market.summary()["rejected"] == {}


def test_unknown_id_acts_on_the_unnamed_order_of_its_level() -> None:
    v = by_order()
    v.update((ADD, BUY, 100, 4, 71))
    v.update((REDUCE, BUY, 100, 2, 99))
    assert [leaves for _, leaves in v.market.level(BUY, 100)[3]] == [3, 4]
    v.update((EXECUTE, BUY, 100, 1, 98))
    v.update((DELETE, BUY, 100, 2, 97))
    assert [leaves for _, leaves in v.market.level(BUY, 100)[3]] == [4]
    v.update((DELETE, BUY, 100, 2, 96))
    assert v.market.summary()["unknown_ids"] == 1
    assert v.quantity(BUY, 100) == 4


def test_execution_of_the_first_order_trades_with_the_tape() -> None:
    v = by_order()
    events = v.update((EXECUTE, BUY, 100, 2, 1))
    fills = [event for event in events if event["kind"] == EventKind.FILLED]
    assert [(f["account_id"], f["counter_account_id"], f["quantity"], f["side"]) for f in fills] == [
        (TAPE_ACCOUNT, BOOK_ACCOUNT, 2, SELL)
    ]
    assert v.quantity(BUY, 100) == 3


def test_execution_that_an_own_order_takes_leaves_the_named_order_at_its_remainder() -> None:
    v = by_order()
    own = v.order(BUY, 101, 2)
    v.update((ADD, BUY, 101, 6, 71))
    v.update((EXECUTE, BUY, 101, 4, 71))
    assert v.own_filled(own) == 2
    assert v.market.level(BUY, 101)[:3] == (2, 2, 0)
    own = v.order(BUY, 102, 9)
    v.update((EXECUTE, BUY, 101, 2, 71))
    assert v.own_filled(own) == 2
    assert v.market.level(BUY, 101)[:3] == (0, 0, 0)


def test_what_a_strategy_took_of_an_order_stays_taken() -> None:
    v = by_order()
    v.update((ADD, SELL, 103, 6, 71), (ADD, SELL, 103, 4, 72))
    v.order(BUY, 103, 5)
    assert v.market.level(SELL, 103)[:3] == (10, 5, 5)
    v.update((REDUCE, SELL, 103, 1, 71))
    assert v.market.level(SELL, 103)[:3] == (9, 4, 5)
    v.update((EXECUTE, SELL, 103, 5, 71))
    assert v.market.level(SELL, 103)[3] == ((v.market.level(SELL, 103)[3][0][0], 4),), "order 72 is untouched"
    v.update((EXECUTE, SELL, 103, 4, 72))
    assert v.depth(SELL) == {105: 5}


def test_execution_out_of_turn_takes_from_no_other_recorded_order() -> None:
    v = by_order()
    v.update((ADD, BUY, 101, 3, 71))
    v.update((ADD, BUY, 101, 3, 72))
    own = v.order(BUY, 101, 1)
    events = v.update((EXECUTE, BUY, 101, 3, 72))
    assert v.own_filled(own) == 0
    assert v.quantity(BUY, 101) == 4
    tape = next(e for e in events if e["kind"] == EventKind.ACCEPTED and e["account_id"] == TAPE_ACCOUNT)
    assert tape["quantity"] == 3
    assert v.market.level(BUY, 101)[:2] == (3, 3)


def test_hidden_execution_acts_on_own_orders_only() -> None:
    v = by_order()
    own = v.order(BUY, 102, 2)
    v.update((HIDDEN, BUY, 101, 5, 0))
    assert v.own_filled(own) == 2
    assert v.depth(BUY) == {100: 5}
    assert v.market.summary()["unmatched_lots"] == 3


def test_hidden_execution_off_tick_meets_the_same_own_orders() -> None:
    instrument = Instrument(
        instrument_id=1,
        symbol="TEST",
        venue="VENUE",
        base_currency="TEST",
        quote_currency="USD",
        tick_table=(("0", "0.0001"), ("1", "0.01")),
        lot_size="1",
        currency_decimals=4,
    )
    v = Venue(instrument, by_order=True)
    v.update((SET, BUY, 20_000, 5), (SET, SELL, 20_300, 5))
    above, below = v.order(BUY, 20_200, 1), v.order(BUY, 20_100, 1)
    v.update((HIDDEN, BUY, 20_150, 5, 0))
    assert (v.own_filled(above), v.own_filled(below)) == (1, 0)
    low, high = v.order(SELL, 20_200, 1), v.order(SELL, 20_250 // 100 * 100 + 100, 1)
    v.update((HIDDEN, SELL, 20_250, 5, 0))
    assert (v.own_filled(low), v.own_filled(high)) == (1, 0)
    assert v.market.summary()["rejected"] == {}


def test_levels_that_enter_or_leave_the_recorded_depth_are_set() -> None:
    v = by_order()
    v.update((ADD, BUY, 99, 3, 71), (SET, BUY, 98, 7), (SET, BUY, 100, 0))
    assert v.depth(BUY) == {99: 3, 98: 7}
    v.update((SET, BUY, 99, 1))
    assert v.depth(BUY) == {99: 1, 98: 7}
    v.update((CLEAR, BUY, 0, 0), (SET, BUY, 97, 2))
    assert v.depth(BUY) == {97: 2}
    v.update((DELETE, BUY, 99, 1, 71))
    assert v.market.summary()["unknown_ids"] == 1


def test_an_order_taken_whole_is_still_known_to_the_recording() -> None:
    v = by_order()
    v.update((ADD, SELL, 103, 4, 71))
    v.order(BUY, 103, 4)
    v.update((ADD, SELL, 103, 2, 72))
    v.update((DELETE, SELL, 103, 4, 71))
    assert v.quantity(SELL, 103) == 2
    assert v.market.summary()["unknown_ids"] == 0


def test_actions_no_order_can_express_are_counted() -> None:
    v = by_order()
    v.update((ADD, BUY, 101, 0, 71), (ADD, 0, 101, 1, 72), (ADD, BUY, 1 << 41, 1, 73), (REDUCE, BUY, 100, -1, 1))
    assert v.market.summary()["rejected"] == {"OUT_OF_BOUNDS": 4}
    assert v.depth(BUY) == {100: 5}


def test_refused_order_is_counted_and_its_messages_do_no_harm() -> None:
    v = by_order()
    v.send(builders.kill(BOOK_ACCOUNT))
    assert v.market.summary()["other_removals"] == 2
    v.update((ADD, BUY, 101, 3, 71))
    v.update((EXECUTE, BUY, 101, 1, 71))
    v.update((DELETE, BUY, 101, 2, 71))
    assert v.market.summary()["rejected"] == {"KILLED": 1}
    assert v.depth(BUY) == {}


def test_trades_of_an_order_by_order_recording_are_in_its_executions() -> None:
    v = by_order()
    assert v.trade(SELL, 100, 3) == []


ID = st.integers(1, 6)
PRICE = st.sampled_from([98, 99, 100, 105, 106, 107])
ACTION = st.tuples(
    st.sampled_from([SET, ADD, ADD, REDUCE, DELETE, EXECUTE, EXECUTE, HIDDEN]), PRICE, st.integers(1, 6), ID
)
STEP = st.one_of(
    st.tuples(st.just("recorded"), st.lists(ACTION, min_size=1, max_size=3)),
    st.tuples(st.just("own"), st.tuples(st.sampled_from([BUY, SELL]), PRICE, st.integers(1, 6))),
)


@settings(max_examples=80, deadline=None)
@given(steps=st.lists(STEP, max_size=30))
def test_the_market_knows_what_the_core_has(steps: list) -> None:
    """Whatever comes: each level's view is the core's, and never above the recorded remainder."""
    v = by_order()
    recorded_alone = True
    for kind, content in steps:
        if kind == "own":
            recorded_alone = False
            v.order(*content)
        else:
            v.update(
                *(
                    (action, BUY if price < 102 else SELL, price, quantity, id_)
                    for action, price, quantity, id_ in content
                )
            )
        own = own_open(v)
        for side in (BUY, SELL):
            depth = v.depth(side)
            for price in range(95, 110):
                recorded, resting, taken, queue = v.market.level(side, price)
                assert resting == sum(leaves for _, leaves in queue)
                assert resting + own.get((side, price), 0) == depth.get(price, 0)
                assert resting <= recorded
                if recorded_alone:
                    assert resting == recorded
                    assert taken == 0
    assert set(v.market.summary()["rejected"]) == set()


def own_open(v: Venue) -> dict[tuple[int, int], int]:
    """Open lots of the strategy by side and price, from the events alone."""
    orders: dict[int, list[int]] = {}
    for event in v.events:
        mine = event["order_id"] if event["account_id"] == OWN else 0
        if event["kind"] == EventKind.ACCEPTED and mine:
            orders[mine] = [event["side"], event["price_ticks"], event["quantity"]]
        elif event["kind"] == EventKind.FILLED:
            counter = event["counter_order_id"] if event["counter_account_id"] == OWN else 0
            for order_id in filter(None, (mine, counter)):
                orders[order_id][2] -= event["quantity"]
        elif event["kind"] == EventKind.CANCELLED and mine:
            orders[mine][2] = 0
    found: dict[tuple[int, int], int] = {}
    for side, price, leaves in orders.values():
        found[side, price] = found.get((side, price), 0) + leaves
    return {key: leaves for key, leaves in found.items() if leaves}
