"""Limits and other pre-trade controls: the exact value at which each bites; on the kernel and on its twin."""

from __future__ import annotations

import pytest

from nautilus.core import AccountFlag, LimitKind, Reason
from tests.kit import builders
from tests.kit.builders import BUY, FOK, GTC, IOC, SELL, batch, limit, mark, market, new, replace
from tests.kit.pair import AnyKernel, both, reasons, shown, told

MAX_PRICE = MAX_QUANTITY = 1 << 40


def opened(build: type[AnyKernel], *commands: object, multiplier: int = 3) -> AnyKernel:
    """Instruments 1 and 2 (negative prices), accounts 1 and 2, account 3 exempt."""
    kernel = build(
        instruments=batch(
            builders.instrument(1, multiplier=multiplier),
            builders.instrument(2, multiplier=multiplier, negative=True),
        ),
        accounts=batch(builders.account(1), builders.account(2), builders.account(3, AccountFlag.EXEMPT)),
    )
    if commands:
        kernel.process(batch(*commands))  # type: ignore[arg-type]
    return kernel


def verdicts(kernel: AnyKernel, *commands: object) -> list[str]:
    """The first event of each command."""
    return [reasons(kernel.process(command))[0] for command in commands]  # type: ignore[arg-type]


@both
def test_order_quantity_limit_is_the_largest_allowed(build: type[AnyKernel]) -> None:
    kernel = opened(build, limit(LimitKind.ORDER_QUANTITY, 10))
    assert verdicts(kernel, new(1, BUY, 5, 10), new(2, BUY, 5, 11)) == ["ACCEPTED", "REJECTED ORDER_QUANTITY"]


@both
def test_notional_limit_counts_price_quantity_and_multiplier(build: type[AnyKernel]) -> None:
    kernel = opened(build, limit(LimitKind.ORDER_NOTIONAL, 3_000))
    assert verdicts(kernel, new(1, BUY, 100, 10), new(2, BUY, 100, 11)) == ["ACCEPTED", "REJECTED ORDER_NOTIONAL"]
    negative = {"instrument_id": 2}
    assert verdicts(kernel, new(3, SELL, -100, 10, **negative), new(4, SELL, -101, 10, **negative)) == [
        "ACCEPTED",
        "REJECTED ORDER_NOTIONAL",
    ]


@both
def test_notional_of_the_largest_order_does_not_wrap(build: type[AnyKernel]) -> None:
    kernel = opened(build, limit(LimitKind.ORDER_NOTIONAL, (1 << 63) - 1), multiplier=1 << 20)
    assert verdicts(kernel, new(1, BUY, MAX_PRICE, MAX_QUANTITY), new(2, BUY, 1 << 13, MAX_QUANTITY >> 10)) == [
        "REJECTED ORDER_NOTIONAL",
        "REJECTED ORDER_NOTIONAL",
    ]
    assert verdicts(kernel, new(3, BUY, (1 << 13) - 1, MAX_QUANTITY >> 10)) == ["ACCEPTED"]


@both
def test_market_order_is_valued_at_the_reference_or_the_collar_bound(build: type[AnyKernel]) -> None:
    kernel = opened(build, mark(100), limit(LimitKind.ORDER_NOTIONAL, 3_000))
    assert verdicts(kernel, market(1, BUY, 10), market(2, BUY, 11)) == ["ACCEPTED", "REJECTED ORDER_NOTIONAL"]
    kernel.process(limit(LimitKind.PRICE_COLLAR, 1_000))  # buys up to 110, sells down to 90
    assert verdicts(kernel, market(3, BUY, 10), market(4, BUY, 9)) == ["REJECTED ORDER_NOTIONAL", "ACCEPTED"]
    assert verdicts(kernel, market(5, SELL, 11), market(6, SELL, 12)) == ["ACCEPTED", "REJECTED ORDER_NOTIONAL"]


@both
def test_collar_bounds_are_exact(build: type[AnyKernel]) -> None:
    kernel = opened(build, mark(10_001), limit(LimitKind.PRICE_COLLAR, 100))  # 100.01 ticks, cut to 100
    assert verdicts(kernel, new(1, BUY, 10_101, 1), new(2, BUY, 10_102, 1)) == ["ACCEPTED", "REJECTED COLLAR"]
    assert verdicts(kernel, new(3, SELL, 9_901, 1, account_id=2), new(4, SELL, 9_900, 1)) == [
        "ACCEPTED",
        "REJECTED COLLAR",
    ]
    assert verdicts(kernel, new(5, BUY, 1, 1), new(6, SELL, MAX_PRICE, 1)) == ["ACCEPTED", "ACCEPTED"], "passive"


@both
def test_collar_around_a_negative_reference(build: type[AnyKernel]) -> None:
    two = {"instrument_id": 2}
    kernel = opened(build, mark(-1_000, 2), limit(LimitKind.PRICE_COLLAR, 500))
    assert verdicts(kernel, new(1, BUY, -950, 1, **two), new(2, BUY, -949, 1, **two)) == ["ACCEPTED", "REJECTED COLLAR"]
    assert verdicts(kernel, new(3, SELL, -1_050, 1, account_id=2, **two), new(4, SELL, -1_051, 1, **two)) == [
        "ACCEPTED",
        "REJECTED COLLAR",
    ]


@both
def test_market_order_stops_at_the_collar_bound(build: type[AnyKernel]) -> None:
    kernel = opened(
        build, mark(100), new(1, SELL, 109, 1, account_id=2), new(2, SELL, 110, 1, account_id=2),
        new(3, SELL, 111, 1, account_id=2), limit(LimitKind.PRICE_COLLAR, 1_000),
    )  # fmt: skip
    short = kernel.process(market(4, BUY, 3, time_in_force=FOK))
    assert reasons(short) == ["ACCEPTED", "CANCELLED UNFILLED"]
    events = kernel.process(market(5, BUY, 3))
    assert reasons(events) == ["ACCEPTED", "FILLED", "FILLED", "CANCELLED UNFILLED"]
    exempt = kernel.process(market(6, BUY, 1, account_id=3))
    assert reasons(exempt) == ["ACCEPTED", "FILLED"], "an exempt account has no collar"


@both
def test_reference_is_the_mark_before_the_last_fill(build: type[AnyKernel]) -> None:
    collar = limit(LimitKind.PRICE_COLLAR, 1_000)
    kernel = opened(build, new(1, SELL, 200, 9, account_id=2), collar)
    assert verdicts(kernel, new(2, BUY, 200, 1)) == ["REJECTED REFERENCE"]
    kernel.process(batch(limit(LimitKind.PRICE_COLLAR, -1), new(2, BUY, 200, 1), collar))
    assert verdicts(kernel, new(3, BUY, 220, 1), new(4, BUY, 221, 1)) == ["ACCEPTED", "REJECTED COLLAR"]
    kernel.process(mark(150))
    assert verdicts(kernel, new(5, BUY, 165, 1), new(6, BUY, 166, 1)) == ["ACCEPTED", "REJECTED COLLAR"]


@both
def test_missing_reference_is_its_own_reason(build: type[AnyKernel]) -> None:
    kernel = opened(build, limit(LimitKind.ORDER_NOTIONAL, 1_000))
    assert verdicts(kernel, market(1, BUY, 1), new(1, BUY, 10, 1)) == ["REJECTED REFERENCE", "ACCEPTED"]
    kernel.process(limit(LimitKind.PRICE_COLLAR, 1_000))
    assert verdicts(kernel, new(2, BUY, 10, 1), new(2, BUY, 10, 1, account_id=3)) == ["REJECTED REFERENCE", "ACCEPTED"]


@both
def test_position_limit_counts_position_and_open_orders_of_the_side(build: type[AnyKernel]) -> None:
    kernel = opened(build, limit(LimitKind.POSITION, 10), new(1, SELL, 100, 8, account_id=2), new(2, BUY, 100, 4))
    kernel.process(new(3, BUY, 90, 5))  # holds 4, 5 open
    assert verdicts(kernel, new(4, BUY, 90, 2), new(5, BUY, 90, 1)) == ["REJECTED POSITION", "ACCEPTED"]
    assert verdicts(kernel, new(6, SELL, 200, 15), new(7, SELL, 200, 14)) == ["REJECTED POSITION", "ACCEPTED"]


@both
def test_replace_is_measured_by_what_it_adds(build: type[AnyKernel]) -> None:
    kernel = opened(build, limit(LimitKind.POSITION, 10), new(1, SELL, 100, 3, account_id=2), new(2, BUY, 100, 8))
    assert verdicts(kernel, replace(2, 99, 11), replace(2, 99, 10)) == ["REJECTED POSITION", "REPLACED"]
    kernel.process(limit(LimitKind.ORDER_QUANTITY, 9))
    assert verdicts(kernel, replace(2, 99, 10), replace(2, 99, 9)) == ["REJECTED ORDER_QUANTITY", "REPLACED"]


@both
def test_smallest_of_the_four_scopes_holds(build: type[AnyKernel]) -> None:
    quantity = LimitKind.ORDER_QUANTITY
    kernel = opened(
        build,
        limit(quantity, 40),
        limit(quantity, 30, instrument_id=1),
        limit(quantity, 20, account_id=1),
        limit(quantity, 10, account_id=1, instrument_id=1),
    )
    for removed, allowed in (((1, 1), 10), ((1, 0), 20), ((0, 1), 30), ((0, 0), 40)):
        refused, accepted = new(99, BUY, 5, allowed + 1), new(100 + allowed, BUY, 5, allowed)
        assert verdicts(kernel, refused, accepted) == ["REJECTED ORDER_QUANTITY", "ACCEPTED"]
        kernel.process(limit(quantity, -1, account_id=removed[0], instrument_id=removed[1]))
    assert verdicts(kernel, new(99, BUY, 5, 1_000)) == ["ACCEPTED"]


@both
def test_limit_of_zero_allows_nothing(build: type[AnyKernel]) -> None:
    kernel = opened(build, limit(LimitKind.ORDER_QUANTITY, 0, account_id=1))
    assert verdicts(kernel, new(1, BUY, 5, 1), new(1, BUY, 5, 1, account_id=2)) == [
        "REJECTED ORDER_QUANTITY",
        "ACCEPTED",
    ]


@both
def test_exempt_account_passes_every_limit(build: type[AnyKernel]) -> None:
    kernel = opened(
        build,
        mark(100),
        limit(LimitKind.ORDER_QUANTITY, 0),
        limit(LimitKind.ORDER_NOTIONAL, 0),
        limit(LimitKind.PRICE_COLLAR, 0),
        limit(LimitKind.POSITION, 0),
        limit(LimitKind.MESSAGE_RATE, 1, window_ns=1 << 40),
        builders.session(0, 2),
        builders.kill(),
    )
    assert (
        verdicts(kernel, *(new(number, BUY, 1_000, MAX_QUANTITY, account_id=3) for number in (1, 2, 3)))
        == ["ACCEPTED"] * 3
    )
    refused = shown(kernel.process(new(4, BUY, 1_000, 5))[0])
    expected = {"KILLED", "SESSION", "ORDER_QUANTITY", "ORDER_NOTIONAL", "COLLAR", "POSITION"}
    assert refused["flags"] == sum(1 << Reason[name] for name in expected)


@both
def test_message_rate_spaces_orders_evenly_with_its_burst(build: type[AnyKernel]) -> None:
    kernel = opened(build, limit(LimitKind.MESSAGE_RATE, 4, window_ns=100, account_id=1))
    at = [new(number, BUY, 5, 1, now_ns=1_000) for number in range(1, 7)]
    assert verdicts(kernel, *at) == ["ACCEPTED"] * 4 + ["REJECTED RATE"] * 2
    assert verdicts(kernel, new(7, BUY, 5, 1, now_ns=1_024), new(8, BUY, 5, 1, now_ns=1_025)) == [
        "REJECTED RATE",
        "ACCEPTED",
    ]
    assert verdicts(kernel, new(9, BUY, 5, 1, account_id=2), replace(1, 6, 1)) == ["ACCEPTED", "REJECTED RATE"]
    assert verdicts(kernel, builders.cancel(1)) == ["CANCELLED REQUESTED"], "a cancel is never held up"


@both
def test_refused_order_uses_up_its_message_but_a_faulty_one_does_not(build: type[AnyKernel]) -> None:
    kernel = opened(build, limit(LimitKind.MESSAGE_RATE, 2, window_ns=100))
    assert verdicts(kernel, new(0, BUY, 5, 1), new(1, 0, 5, 1)) == ["REJECTED ORDER_ID", "REJECTED MALFORMED"]
    assert verdicts(kernel, new(1, BUY, 5, -1), new(1, BUY, 5, 1), new(2, BUY, 5, 1)) == [
        "REJECTED QUANTITY",
        "ACCEPTED",
        "REJECTED RATE",
    ]


@both
def test_own_message_rate_replaces_the_one_for_every_account(build: type[AnyKernel]) -> None:
    rate = LimitKind.MESSAGE_RATE
    kernel = opened(build, limit(rate, 1, window_ns=100), limit(rate, 3, window_ns=100, account_id=1))
    assert verdicts(kernel, *(new(number, BUY, 5, 1) for number in range(1, 5)))[2:] == ["ACCEPTED", "REJECTED RATE"]
    assert verdicts(kernel, new(1, BUY, 5, 1, account_id=2), new(2, BUY, 5, 1, account_id=2)) == [
        "ACCEPTED",
        "REJECTED RATE",
    ]


@both
@pytest.mark.parametrize("side", [BUY, SELL])
def test_open_orders_beyond_two_to_the_fifty_lots_overflow(build: type[AnyKernel], side: int) -> None:
    kernel = opened(build)
    full = batch(*(new(number, side, 5, MAX_QUANTITY) for number in range(1, 1_025)))
    assert set(reasons(kernel.process(full))) == {"ACCEPTED"}
    assert verdicts(kernel, new(2_000, side, 5, 1)) == ["REJECTED OVERFLOW"]
    assert verdicts(kernel, new(1, side, 5, 1, account_id=2)) == ["ACCEPTED"]
    assert verdicts(kernel, replace(1, 5, MAX_QUANTITY - 1), new(2_000, side, 5, 1)) == ["REPLACED", "ACCEPTED"]


@both
def test_largest_position_is_held_exactly(build: type[AnyKernel]) -> None:
    kernel = opened(build, multiplier=1 << 20)
    for number in range(1, 1_025):
        kernel.process(
            batch(
                new(number, SELL, MAX_PRICE, MAX_QUANTITY, account_id=3),
                new(number, BUY, MAX_PRICE, MAX_QUANTITY, time_in_force=IOC),
            )
        )
    position = kernel.positions(1)[0]
    assert (int(position["quantity"]), int(position["cost"])) == (1 << 50, -(1 << 110))
    assert verdicts(kernel, new(2_000, BUY, 1, 1)) == ["REJECTED OVERFLOW"]
    kernel.process(new(2_001, BUY, 1, MAX_QUANTITY - 1, account_id=3))
    events = kernel.process(new(2_002, SELL, 1, MAX_QUANTITY - 1, time_in_force=IOC))
    assert told(events)[1]["kind"] == "FILLED"
    position = kernel.positions(1)[0]
    lost = (MAX_QUANTITY - 1) * (MAX_PRICE - 1) << 20
    assert int(position["realised"]) == -lost
    assert int(position["unrealised"]) == -(((1 << 50) - (MAX_QUANTITY - 1)) * (MAX_PRICE - 1) << 20)


@both
def test_price_bands_step_by_absolute_price(build: type[AnyKernel]) -> None:
    kernel = opened(build, builders.band(2, 100, 5), builders.band(2, 1_000, 50))
    two = {"instrument_id": 2, "time_in_force": GTC}
    prices = {99: "ACCEPTED", 100: "ACCEPTED", 101: "REJECTED TICK", -101: "REJECTED TICK", -105: "ACCEPTED"}
    prices |= {0: "ACCEPTED", 995: "ACCEPTED", 1_005: "REJECTED TICK", 1_050: "ACCEPTED", -1_005: "REJECTED TICK"}
    for number, (price, expected) in enumerate(prices.items(), 1):
        assert verdicts(kernel, new(number, BUY, price, 1, **two)) == [expected], price
        kernel.process(builders.cancel(number))


@both
def test_immediate_order_needs_no_price_on_the_other_side(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    assert reasons(kernel.process(new(1, BUY, 5, 1, time_in_force=IOC))) == ["ACCEPTED", "CANCELLED UNFILLED"]


@both
@pytest.mark.parametrize(
    ("now_ns", "third"),
    [(1_700_000_000_000_000_000, "REJECTED RATE"), ((1 << 63) - 3, "ACCEPTED")],
    ids=["today", "at the end of time"],
)
def test_message_rate_over_the_longest_window_does_not_wrap(build: type[AnyKernel], now_ns: int, third: str) -> None:
    kernel = opened(build, limit(LimitKind.MESSAGE_RATE, 1, window_ns=(1 << 63) - 1))
    orders = (new(number + 1, BUY, 5, 1, now_ns=now_ns + number) for number in range(3))
    assert verdicts(kernel, *orders) == ["ACCEPTED", "REJECTED RATE", third]
