"""Price-time matching, order life and self-match prevention, event by event; on the kernel and on its twin."""

from __future__ import annotations

from nautilus.core import AccountFlag, OrderFlag, OrderType
from tests.kit import builders
from tests.kit.builders import BUY, DAY, FOK, GTC, GTD, IOC, SELL, batch, cancel, market, new, replace
from tests.kit.pair import AnyKernel, both, levels, reasons, told

RECORDED = AccountFlag.EXEMPT | AccountFlag.RECORDED


def opened(build: type[AnyKernel], **options: int) -> AnyKernel:
    accounts = batch(*(builders.account(number) for number in (1, 2, 3)), builders.account(4, RECORDED))
    return build(instruments=batch(builders.instrument(1), builders.instrument(2)), accounts=accounts, **options)


def fills(events: object) -> list[tuple[int, int, int, int]]:
    """(resting order, price, quantity, leaves of the incoming order) of each fill."""
    return [
        (event["counter_order_id"], event["price_ticks"], event["quantity"], event.get("leaves_quantity", 0))
        for event in told(events)  # type: ignore[arg-type]
        if event["kind"] == "FILLED"
    ]


@both
def test_best_price_fills_first_and_within_a_price_the_oldest(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 102, 3), new(2, SELL, 101, 3), new(3, SELL, 101, 3), new(4, SELL, 100, 1)))
    events = kernel.process(new(5, BUY, 102, 9, account_id=2))
    assert fills(events) == [(4, 100, 1, 8), (2, 101, 3, 5), (3, 101, 3, 2), (1, 102, 2, 0)]
    assert levels(kernel, 1) == [[], [(102, 1, 1)]]


@both
def test_fill_says_everything_about_both_orders(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(new(1, SELL, 100, 5, strategy_id=8))
    events = kernel.process(new(2, BUY, 103, 2, account_id=2, strategy_id=9, source_id=6, source_sequence=7))
    cause = {"source_id": 6, "source_sequence": 7, "instrument_id": 1, "account_id": 2, "strategy_id": 9, "order_id": 2}
    assert told(events) == [
        {
            "kind": "ACCEPTED",
            "price_ticks": 103,
            "quantity": 2,
            "leaves_quantity": 2,
            "side": BUY,
            "flags": OrderType.LIMIT << 16 | GTC << 24,
            **cause,
        },
        {
            "kind": "FILLED",
            "price_ticks": 100,
            "quantity": 2,
            "side": BUY,
            "counter_order_id": 1,
            "counter_account_id": 1,
            "counter_leaves_quantity": 3,
            "match_id": 1,
            **cause,
        },
    ]


@both
def test_immediate_or_cancel_drops_what_is_left(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(new(1, SELL, 100, 5))
    events = kernel.process(new(2, BUY, 100, 8, account_id=2, time_in_force=IOC))
    assert reasons(events) == ["ACCEPTED", "FILLED", "CANCELLED UNFILLED"]
    assert told(events)[-1]["quantity"] == 3
    assert levels(kernel, 1) == [[], []]


@both
def test_fill_or_kill_fills_all_or_nothing(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5), new(2, SELL, 101, 5)))
    short = kernel.process(new(3, BUY, 101, 11, account_id=2, time_in_force=FOK))
    assert reasons(short) == ["ACCEPTED", "CANCELLED UNFILLED"]
    dear = kernel.process(new(4, BUY, 100, 6, account_id=2, time_in_force=FOK))
    assert reasons(dear) == ["ACCEPTED", "CANCELLED UNFILLED"]
    full = kernel.process(new(5, BUY, 101, 10, account_id=2, time_in_force=FOK))
    assert fills(full) == [(1, 100, 5, 5), (2, 101, 5, 0)]


@both
def test_fill_or_kill_counts_only_up_to_its_own_order(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5), new(2, SELL, 100, 5, account_id=2), new(3, SELL, 100, 5)))
    events = kernel.process(new(4, BUY, 100, 10, account_id=2, time_in_force=FOK))
    assert reasons(events) == ["ACCEPTED", "CANCELLED UNFILLED"]


@both
def test_market_order_takes_any_price_and_never_rests(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, BUY, 7, 5), new(2, BUY, 1 << 40, 5)))
    events = kernel.process(market(3, SELL, 12, account_id=2))
    assert fills(events) == [(2, 1 << 40, 5, 7), (1, 7, 5, 2)]
    assert reasons(events)[-1] == "CANCELLED UNFILLED"
    assert reasons(kernel.process(market(4, SELL, 1, account_id=2))) == ["ACCEPTED", "CANCELLED UNFILLED"]


@both
def test_own_resting_order_cancels_what_is_left_of_the_incoming_one(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 2, account_id=2), new(2, SELL, 100, 5), new(3, SELL, 100, 5, account_id=2)))
    events = kernel.process(new(9, BUY, 100, 9))
    assert reasons(events) == ["ACCEPTED", "FILLED", "CANCELLED SELF_MATCH"]
    assert told(events)[-1] == {
        "kind": "CANCELLED",
        "reason": "SELF_MATCH",
        "order_id": 9,
        "price_ticks": 100,
        "quantity": 7,
        "side": BUY,
        "instrument_id": 1,
        "account_id": 1,
    }
    assert levels(kernel, 1)[1] == [(100, 10, 2)]


@both
def test_recorded_account_cancels_its_older_order_and_matches_on(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5, account_id=4), new(2, SELL, 100, 3), new(3, SELL, 101, 5, account_id=4)))
    events = kernel.process(new(9, BUY, 101, 4, account_id=4))
    assert reasons(events) == ["ACCEPTED", "CANCELLED SELF_MATCH", "FILLED", "CANCELLED SELF_MATCH"]
    assert [event["order_id"] for event in told(events)] == [9, 1, 9, 3]
    assert levels(kernel, 1) == [[(101, 1, 1)], []]


@both
def test_post_only_order_rests_where_it_does_not_cross(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(new(1, SELL, 100, 5))
    events = kernel.process(new(2, BUY, 99, 5, account_id=2, flags=OrderFlag.POST_ONLY))
    assert reasons(events) == ["ACCEPTED"]
    raised = kernel.process(replace(2, 100, 5, 2))
    assert reasons(raised) == ["REJECTED WOULD_CROSS"]
    assert levels(kernel, 1)[0] == [(99, 5, 1)]


@both
def test_replace_to_less_keeps_its_place_and_to_more_loses_it(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5), new(2, SELL, 100, 5), new(3, SELL, 100, 5)))
    less = kernel.process(replace(1, 100, 3))
    assert told(less)[0]["leaves_quantity"] == 3
    kernel.process(replace(2, 100, 6))
    assert fills(kernel.process(new(9, BUY, 100, 14, account_id=2))) == [
        (1, 100, 3, 11),
        (3, 100, 5, 6),
        (2, 100, 6, 0),
    ]


@both
def test_replace_of_the_same_price_and_quantity_keeps_its_place(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5), new(2, SELL, 100, 5), replace(1, 100, 5)))
    assert fills(kernel.process(new(9, BUY, 100, 1, account_id=2))) == [(1, 100, 1, 0)]


@both
def test_replace_counts_what_was_filled(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5), new(2, BUY, 100, 2, account_id=2)))
    assert reasons(kernel.process(replace(1, 100, 2))) == ["REJECTED QUANTITY"]
    events = kernel.process(replace(1, 101, 3))
    assert (told(events)[0]["quantity"], told(events)[0]["leaves_quantity"]) == (3, 1)
    assert levels(kernel, 1)[1] == [(101, 1, 1)]


@both
def test_replace_through_the_book_trades_as_the_incoming_order(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5), new(2, BUY, 98, 8, account_id=2, strategy_id=3)))
    events = kernel.process(replace(2, 101, 8, 2))
    assert reasons(events) == ["REPLACED", "FILLED"]
    assert told(events)[1]["order_id"] == 2
    assert told(events)[1]["strategy_id"] == 3
    assert levels(kernel, 1) == [[(101, 3, 1)], []]
    closing = kernel.process(batch(new(3, SELL, 103, 3), replace(2, 103, 8, 2), cancel(2, 2)))
    assert reasons(closing) == ["ACCEPTED", "REPLACED", "FILLED", "REJECTED CLOSED_ORDER"]


@both
def test_replace_into_an_own_order_cancels_the_rest_of_it(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5), new(2, BUY, 98, 8)))
    events = kernel.process(replace(2, 100, 9))
    assert reasons(events) == ["REPLACED", "CANCELLED SELF_MATCH"]
    assert told(events)[1]["quantity"] == 9
    assert told(events)[1]["price_ticks"] == 100


@both
def test_cancel_names_the_order_and_closes_it(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5, strategy_id=3), new(2, BUY, 100, 2, account_id=2)))
    events = kernel.process(cancel(1, instrument_id=99, strategy_id=77))
    assert told(events) == [
        {
            "kind": "CANCELLED",
            "reason": "REQUESTED",
            "order_id": 1,
            "price_ticks": 100,
            "quantity": 3,
            "side": SELL,
            "instrument_id": 1,
            "account_id": 1,
            "strategy_id": 3,
        }
    ]
    assert reasons(kernel.process(cancel(1))) == ["REJECTED CLOSED_ORDER"]


@both
def test_two_accounts_may_use_the_same_order_id(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, BUY, 100, 5), new(1, BUY, 100, 6, account_id=2), cancel(1, 2)))
    assert levels(kernel, 1)[0] == [(100, 5, 1)]


@both
def test_closed_id_is_forgotten_after_as_many_others(build: type[AnyKernel]) -> None:
    kernel = opened(build, closed_capacity=4)
    for number in range(1, 6):
        kernel.process(batch(new(number, BUY, 100, 5), cancel(number)))
    assert reasons(kernel.process(batch(cancel(1), cancel(2)))) == ["REJECTED UNKNOWN_ORDER", "REJECTED CLOSED_ORDER"]
    assert reasons(kernel.process(batch(new(2, BUY, 100, 5), new(1, BUY, 100, 5)))) == [
        "REJECTED DUPLICATE_ORDER",
        "ACCEPTED",
    ]


@both
def test_order_that_filled_at_once_counts_as_closed(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5), new(2, BUY, 100, 5, account_id=2)))
    assert reasons(kernel.process(batch(cancel(1), cancel(2, 2)))) == ["REJECTED CLOSED_ORDER"] * 2


@both
def test_mass_cancel_walks_instrument_side_price_and_age(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(
        batch(
            new(1, SELL, 105, 1),
            new(2, BUY, 99, 1),
            new(3, BUY, 100, 1),
            new(4, SELL, 104, 1),
            new(5, BUY, 100, 1),
            new(6, BUY, 50, 1, instrument_id=2),
            new(7, BUY, 101, 1, account_id=2),
            new(8, BUY, 101, 1, account_id=4),
        )
    )
    events = told(kernel.process(builders.mass_cancel(strategy_id=0, quantity=99)))
    assert [event["order_id"] for event in events[:-1]] == [7, 3, 5, 2, 4, 1, 6]
    assert {event["reason"] for event in events[:-1]} == {"MASS_CANCEL"}
    assert events[-1] == {"kind": "APPLIED", "quantity": 7}
    assert levels(kernel, 1)[0] == [(101, 1, 1)], "the exempt account is not named"
    assert told(kernel.process(builders.mass_cancel(4)))[-1]["quantity"] == 1


@both
def test_mass_cancel_takes_only_what_fits(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(
        batch(
            new(1, BUY, 100, 1, strategy_id=1),
            new(2, SELL, 105, 1, strategy_id=1),
            new(3, BUY, 100, 1, strategy_id=2),
            new(4, BUY, 100, 1, strategy_id=1, instrument_id=2),
            new(5, BUY, 100, 1, strategy_id=1, account_id=2),
        )
    )
    events = told(kernel.process(builders.mass_cancel(1, 1, BUY, 1)))
    assert [event["order_id"] for event in events if event["kind"] == "CANCELLED"] == [1]
    assert kernel.open_orders == 4


@both
def test_kill_cancels_its_scope_and_stops_it_until_resumed(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(
        batch(
            new(1, BUY, 100, 1),
            new(2, BUY, 100, 1, instrument_id=2),
            new(3, BUY, 100, 1, account_id=4),
            new(4, BUY, 9, 1),
        )
    )
    events = told(kernel.process(builders.kill(1, 1)))
    assert [(event["kind"], event.get("reason"), event.get("quantity")) for event in events] == [
        ("CANCELLED", "KILL_SWITCH", 1),
        ("CANCELLED", "KILL_SWITCH", 1),
        ("APPLIED", None, 2),
    ]
    stopped = kernel.process(
        batch(new(5, BUY, 1, 1), new(6, BUY, 1, 1, instrument_id=2), new(7, BUY, 1, 1, account_id=2))
    )
    assert reasons(stopped) == ["REJECTED KILLED", "ACCEPTED", "ACCEPTED"]
    kernel.process(builders.resume(1))
    assert reasons(kernel.process(new(5, BUY, 1, 1))) == ["REJECTED KILLED"], "another scope was resumed"
    assert reasons(kernel.process(batch(builders.resume(1, 1), new(5, BUY, 1, 1)))) == ["APPLIED", "ACCEPTED"]


@both
def test_exempt_account_is_stopped_only_where_it_is_named(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(new(1, BUY, 100, 1, account_id=4))
    assert told(kernel.process(builders.kill()))[-1] == {"kind": "APPLIED"}
    assert told(kernel.process(builders.kill(0, 1)))[-1] == {"kind": "APPLIED", "instrument_id": 1}
    assert reasons(kernel.process(new(2, BUY, 100, 1, account_id=4))) == ["ACCEPTED"]
    assert reasons(kernel.process(builders.kill(4))) == ["CANCELLED KILL_SWITCH"] * 2 + ["APPLIED"]
    assert reasons(kernel.process(new(3, BUY, 100, 1, account_id=4))) == ["REJECTED KILLED"]


@both
def test_cancels_pass_while_everything_is_stopped(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, BUY, 100, 1, account_id=4), new(2, BUY, 100, 1, time_in_force=DAY)))
    kernel.process(batch(builders.session(1, 2), builders.kill(0, 2)))
    assert reasons(kernel.process(batch(replace(2, 99, 1), cancel(2)))) == ["REJECTED SESSION", "CANCELLED REQUESTED"]


@both
def test_price_far_from_the_touch_is_kept_and_found(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    far = [1 << power for power in range(41)]
    kernel.process(batch(*(new(number + 1, BUY, price, 1) for number, price in enumerate(far))))
    assert [level[0] for level in levels(kernel, 1)[0]] == far[::-1]
    events = kernel.process(market(99, SELL, 41, account_id=2))
    assert [price for _, price, _, _ in fills(events)] == far[::-1]


@both
def test_expiring_order_does_not_fill_at_its_end(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(new(1, BUY, 100, 5, time_in_force=GTD, expire_ns=10))
    events = kernel.process(new(2, SELL, 100, 5, account_id=2, now_ns=10))
    assert reasons(events) == ["EXPIRED EXPIRED", "ACCEPTED"]
