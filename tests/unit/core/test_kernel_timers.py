"""Expiry by timers: GTD, DAY and the session's close; on the kernel and on its twin."""

from __future__ import annotations

from nautilus.core import SessionPhase
from tests.kit import builders
from tests.kit.builders import BUY, DAY, GTD, SELL, batch, cancel, new, replace, session
from tests.kit.pair import AnyKernel, both, reasons, shown, told


def opened(build: type[AnyKernel]) -> AnyKernel:
    return build(instruments=batch(builders.instrument(1), builders.instrument(2)), accounts=[1, 2])


def gtd(order_id: int, expire_ns: int, **fields: int) -> object:
    return new(order_id, BUY, 100, 5, time_in_force=GTD, expire_ns=expire_ns, **fields)


@both
def test_timers_fire_by_due_time_and_then_by_arming(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(gtd(1, 30), gtd(2, 20), gtd(3, 30), gtd(4, 10), gtd(5, 31)))
    assert kernel.next_timer_ns == 10
    events = kernel.process(builders.time(30))
    assert [(shown(event)["order_id"], shown(event)["now_ns"]) for event in events] == [
        (4, 10),
        (2, 20),
        (1, 30),
        (3, 30),
    ]
    assert kernel.next_timer_ns == 31


@both
def test_expiry_belongs_to_the_command_that_moved_the_clock(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(gtd(1, 20, strategy_id=7, source_id=3, source_sequence=1))
    events = kernel.process(new(2, SELL, 200, 5, now_ns=25, source_id=4, source_sequence=9))
    assert shown(events[0]) == {
        "sequence": 6,
        "command_sequence": 6,
        "now_ns": 20,
        "order_id": 1,
        "price_ticks": 100,
        "quantity": 5,
        "kind": "EXPIRED",
        "side": BUY,
        "reason": "EXPIRED",
        "instrument_id": 1,
        "account_id": 1,
        "strategy_id": 7,
    }
    assert shown(events[1])["now_ns"] == 25


@both
def test_timers_fire_before_a_command_that_is_refused(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(gtd(1, 20), gtd(2, 21), gtd(3, 22, source_id=1, source_sequence=5)))
    assert reasons(kernel.process(cancel(9, now_ns=20))) == ["EXPIRED EXPIRED", "REJECTED UNKNOWN_ORDER"]
    assert reasons(kernel.process(builders.time(21, deadline_ns=1))) == ["EXPIRED EXPIRED", "REJECTED LATE"]
    repeated = builders.time(22, source_id=1, source_sequence=5)
    assert reasons(kernel.process(repeated)) == ["EXPIRED EXPIRED", "DUPLICATE"]


@both
def test_closed_order_takes_its_timer_along(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(gtd(1, 10), gtd(2, 20), gtd(3, 30), cancel(1), new(4, SELL, 100, 5, account_id=2)))
    assert kernel.next_timer_ns == 30
    assert reasons(kernel.process(builders.time(100))) == ["EXPIRED EXPIRED"]
    assert kernel.next_timer_ns == 0


@both
def test_order_that_never_rested_has_no_timer(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5, account_id=2), gtd(2, 20)))
    assert kernel.next_timer_ns == 0


@both
def test_replace_leaves_the_timer_alone(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(gtd(1, 20), gtd(2, 20), replace(1, 101, 9)))
    events = kernel.process(builders.time(20))
    assert [(event["order_id"], event["quantity"]) for event in told(events)] == [(1, 9), (2, 5)]


@both
def test_day_order_ends_with_the_session(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    day = {"time_in_force": DAY}
    kernel.process(
        batch(session(1, close_ns=50), new(1, BUY, 100, 5, **day), new(2, BUY, 100, 5, instrument_id=2, **day))
    )
    assert kernel.next_timer_ns == 50
    late = kernel.process(new(3, BUY, 100, 5, now_ns=50, **day))
    assert reasons(late) == ["EXPIRED EXPIRED", "REJECTED EXPIRY"]
    assert kernel.open_orders == 1


@both
def test_session_moves_the_timers_of_day_orders(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    day = {"time_in_force": DAY}
    kernel.process(
        batch(new(1, SELL, 105, 5, **day), new(2, BUY, 100, 5, **day), gtd(3, 60), new(4, BUY, 101, 5, **day))
    )
    assert kernel.next_timer_ns == 60
    kernel.process(session(close_ns=40))
    assert kernel.next_timer_ns == 40
    kernel.process(session(close_ns=70))
    assert kernel.next_timer_ns == 60
    events = kernel.process(builders.time(80))
    assert [event["order_id"] for event in told(events)] == [3, 4, 2, 1], "armed anew in walk order"


@both
def test_session_without_a_close_takes_the_timers_out(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(session(close_ns=40), new(1, BUY, 100, 5, time_in_force=DAY), session()))
    assert kernel.next_timer_ns == 0
    assert reasons(kernel.process(builders.time(1_000))) == []


@both
def test_closing_the_session_ends_day_orders_at_once(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(
        batch(
            new(1, BUY, 100, 5, time_in_force=DAY),
            new(2, BUY, 100, 5),
            new(3, BUY, 100, 5, time_in_force=DAY, instrument_id=2),
        )
    )
    closed = session(1, SessionPhase.CLOSED, date=20_240_808, source_id=9, source_sequence=1)
    events = told(kernel.process(closed))
    source = {"source_id": 9, "source_sequence": 1, "instrument_id": 1}
    assert events == [
        {
            "kind": "EXPIRED",
            "reason": "SESSION_CLOSED",
            "order_id": 1,
            "price_ticks": 100,
            "quantity": 5,
            "side": BUY,
            "account_id": 1,
            **source,
        },
        {"kind": "APPLIED", **source},
    ]
    assert kernel.open_orders == 2
    assert reasons(kernel.process(batch(new(4, BUY, 100, 5), new(5, BUY, 100, 5, instrument_id=2)))) == [
        "REJECTED SESSION",
        "ACCEPTED",
    ]


@both
def test_halted_instrument_takes_cancels_only(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, BUY, 100, 5), session(0, SessionPhase.HALTED)))
    assert reasons(kernel.process(batch(new(2, BUY, 1, 1), replace(1, 99, 5), cancel(1)))) == [
        "REJECTED SESSION",
        "REJECTED SESSION",
        "CANCELLED REQUESTED",
    ]
    assert reasons(kernel.process(batch(session(), new(2, BUY, 1, 1)))) == ["APPLIED", "ACCEPTED"]


@both
def test_hundreds_of_timers_fire_in_order_in_one_command(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    dues = [(number * 7919) % 509 + 1 for number in range(600)]
    kernel.process(batch(*(gtd(number + 1, due) for number, due in enumerate(dues))))
    kernel.process(batch(*(cancel(number) for number in range(1, 601, 3))))
    left = [(due, number + 1) for number, due in enumerate(dues) if number % 3]
    events = kernel.process(builders.time(1_000))
    assert [(int(event["now_ns"]), int(event["order_id"])) for event in events] == sorted(left)
