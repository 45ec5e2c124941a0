"""Limits in base money and what goes by the past: each control at its limit and one beyond."""

from __future__ import annotations

import numpy as np
import pytest

from nautilus.core import AccountFlag, CommandKind, Kernel, LimitKind, Reason
from nautilus.core.types import AdjustKind, RateKind
from tests.kit import builders
from tests.kit.builders import BUY, IOC, SELL, batch, limit, mark, market, new, replace, resume, session, time
from tests.kit.pair import Pair, beyond_counters, reasons, shown, told

UNIT = 1_000_000_000


def rate(currency: int, value: int, **fields: object) -> np.ndarray:
    return builders.command(
        CommandKind.RATE, **{"group_id": RateKind.CURRENCY, "offset": currency, "price_ticks": value, **fields}
    )


def fee(kind: RateKind, parts: int, account_id: int = 0, instrument_id: int = 0) -> np.ndarray:
    return builders.command(
        CommandKind.RATE, group_id=kind, price_ticks=parts, account_id=account_id, instrument_id=instrument_id
    )


def cash(amount: int, account_id: int = 1, currency: int = 0, **fields: object) -> np.ndarray:
    values = {"group_id": AdjustKind.CASH, "quantity": amount, "account_id": account_id, "offset": currency, **fields}
    return builders.command(CommandKind.ADJUST, **values)


def held(lots: int, price: int, account_id: int = 1, instrument_id: int = 1) -> np.ndarray:
    return builders.command(
        CommandKind.ADJUST,
        group_id=AdjustKind.POSITION,
        quantity=lots,
        price_ticks=price,
        account_id=account_id,
        instrument_id=instrument_id,
    )


def adjust_split(new_lots: int) -> np.ndarray:
    return builders.command(
        CommandKind.ADJUST, group_id=AdjustKind.SPLIT, instrument_id=1, quantity=new_lots, min_quantity=1
    )


def opened(*commands: np.ndarray, marks: bool = True) -> Kernel:
    """Instruments 1 (base money) and 2 (currency 5 at 1.5), marked 1,000, multiplier 10; accounts 1, 2; 3 exempt."""
    kernel = Kernel(
        instruments=batch(
            builders.instrument(1, multiplier=10, currency=0),
            builders.instrument(2, multiplier=10, currency=5),
            builders.instrument(3, currency=6, negative=True),
        ),
        accounts=batch(builders.account(1), builders.account(2), builders.account(3, AccountFlag.EXEMPT)),
        capacity=256,
        closed_capacity=256,
        huge_pages=False,
    )
    if marks:
        kernel.process(batch(rate(5, 3 * UNIT // 2), mark(1_000, 1), mark(1_000, 2)))
    if commands:
        done = kernel.process(batch(*commands))
        assert "REJECTED" not in {name.split()[0] for name in reasons(done)}, reasons(done)
    return kernel


def verdicts(kernel: Kernel, *commands: np.ndarray) -> list[str]:
    """The first event of each command that has one."""
    return [first[0].removesuffix(" REQUESTED") for first in map(reasons, map(kernel.process, commands)) if first]


def violated(kernel: Kernel, command: np.ndarray) -> set[str]:
    """Names of every control that the refusal lists."""
    event = kernel.process(command)[0]
    bits = int(event["flags"])
    return {reason.name for reason in Reason if 0 < reason < 32 and bits >> reason & 1}


def test_gross_exposure_counts_positions_and_orders_of_all_instruments() -> None:
    kernel = opened(limit(LimitKind.GROSS_EXPOSURE, 100_000), held(2, 900), new(1, BUY, 900, 3))
    # 5 lots at 10,000; of instrument 2 a lot is 15,000: three are 45,000.
    assert verdicts(kernel, new(2, SELL, 900, 4, instrument_id=2)) == ["REJECTED EXPOSURE"]
    assert verdicts(kernel, new(3, SELL, 900, 3, instrument_id=2)) == ["ACCEPTED"]
    assert kernel.account(1).gross == 95_000
    # The other side of instrument 1 costs nothing as long as it is not the worse one.
    assert verdicts(kernel, new(4, SELL, 5_000, 7), new(5, SELL, 5_000, 1)) == ["ACCEPTED", "REJECTED EXPOSURE"]


def test_gross_exposure_takes_the_worse_side_of_a_pair() -> None:
    kernel = opened(limit(LimitKind.GROSS_EXPOSURE, 50_000), held(2, 900), new(1, BUY, 900, 3))
    assert verdicts(kernel, new(2, SELL, 5_000, 8), new(3, SELL, 5_000, 7)) == ["REJECTED EXPOSURE", "ACCEPTED"]


def test_net_exposure_is_tested_on_the_order_s_side() -> None:
    kernel = opened(limit(LimitKind.NET_EXPOSURE, 30_000), held(-2, 1_000), held(1, 1_000, instrument_id=2))
    # Bought: -20,000 + 15,000; three more lots of 1 are 25,000.
    assert verdicts(kernel, new(1, BUY, 500, 4), new(2, BUY, 500, 3)) == ["REJECTED EXPOSURE", "ACCEPTED"]
    assert (kernel.account(1).bought, kernel.account(1).sold) == (25_000, 5_000)


def test_exposure_without_a_mark_or_a_rate_is_refused() -> None:
    kernel = opened(limit(LimitKind.GROSS_EXPOSURE, 1 << 60), marks=False)
    assert violated(kernel, new(1, BUY, 5, 1)) == {"REFERENCE"}
    kernel.process(mark(10, 1))
    assert verdicts(kernel, new(2, BUY, 5, 1)) == ["ACCEPTED"]
    assert violated(kernel, new(3, BUY, 5, 1, instrument_id=3)) == {"REFERENCE"}
    kernel.process(mark(10, 3))
    assert violated(kernel, new(4, BUY, 5, 1, instrument_id=3)) == {"REFERENCE"}
    kernel.process(rate(6, UNIT))
    assert verdicts(kernel, new(5, BUY, 5, 1, instrument_id=3)) == ["ACCEPTED"]


def test_leverage_compares_gross_with_equity() -> None:
    kernel = opened(limit(LimitKind.LEVERAGE, 100_000), cash(5_000))
    assert verdicts(kernel, new(1, BUY, 900, 6), new(2, BUY, 900, 5)) == ["REJECTED LEVERAGE", "ACCEPTED"]
    kernel.process(mark(1_001, 1))
    assert violated(kernel, replace(2, 899, 5)) == {"LEVERAGE"}


@pytest.mark.parametrize("money", [None, -1])
def test_leverage_and_concentration_need_equity_above_zero(money: int | None) -> None:
    kernel = opened(limit(LimitKind.LEVERAGE, 1 << 62), limit(LimitKind.CONCENTRATION, 1 << 62))
    if money is not None:
        kernel.process(cash(money))
    assert violated(kernel, new(1, BUY, 900, 1)) == {"LEVERAGE", "CONCENTRATION"}
    kernel.process(cash(1 - (money or 0)))
    assert verdicts(kernel, new(2, BUY, 900, 1)) == ["ACCEPTED"]


def test_concentration_is_of_one_pair() -> None:
    kernel = opened(limit(LimitKind.CONCENTRATION, 1_000), cash(200_000), held(3, 1_000, instrument_id=2))
    assert verdicts(kernel, new(1, BUY, 900, 3), new(2, BUY, 900, 2)) == ["REJECTED CONCENTRATION", "ACCEPTED"]


def test_unvalued_cash_or_position_refuses_what_needs_equity() -> None:
    kernel = opened(limit(LimitKind.LEVERAGE, 1 << 62), cash(1_000), cash(1, currency=9))
    assert violated(kernel, new(1, BUY, 900, 1)) == {"REFERENCE"}
    assert kernel.account(1).missing == ("cash: no rate of currency 9",)
    kernel.process(rate(9, 1))
    assert verdicts(kernel, new(2, BUY, 900, 1)) == ["ACCEPTED"]
    kernel.process(held(1, 5, instrument_id=3))
    assert violated(kernel, new(3, BUY, 900, 1)) == {"REFERENCE"}


def test_daily_loss_counts_from_the_day_base() -> None:
    kernel = opened(limit(LimitKind.DAILY_LOSS, 20_000), cash(100_000), held(2, 1_000))
    assert violated(kernel, new(1, BUY, 900, 1)) == {"DAILY_LOSS"}, "no day base yet"
    kernel.process(session(date=20_240_101))
    assert kernel.account(1).day_base == 100_000
    kernel.process(mark(0 + 1, 1))
    assert kernel.account(1).equity == 100_000 - 2 * 10 * 999
    assert verdicts(kernel, new(2, BUY, 900, 1)) == ["ACCEPTED"]
    kernel.process(batch(cash(-50_000), held(1, 3)))
    assert kernel.account(1).equity == 30_000
    assert verdicts(kernel, new(3, BUY, 900, 1)) == ["ACCEPTED"]
    kernel.process(session(date=20_240_101))
    assert kernel.account(1).day_base == 50_000, "the same date sets nothing; cash moves the base"
    kernel.process(session(date=20_240_102))
    assert kernel.account(1).day_base == kernel.account(1).equity


def test_daily_loss_bites_one_beyond() -> None:
    kernel = opened(limit(LimitKind.DAILY_LOSS, 1_000), held(1, 1_000), session(date=1))
    kernel.process(mark(900, 1))
    assert verdicts(kernel, new(1, BUY, 10, 1)) == ["ACCEPTED"]
    kernel.process(mark(899, 1))
    assert verdicts(kernel, new(2, BUY, 10, 1), new(3, SELL, 2_000, 1)) == ["REJECTED DAILY_LOSS"] * 2


def test_credit_is_cost_and_open_value_at_rates_alone() -> None:
    kernel = opened(limit(LimitKind.CREDIT, 100_000, account_id=1), rate(5, UNIT), marks=False)
    kernel.process(held(-2, 1_000))
    assert kernel.account(1).credit_used == 20_000
    assert verdicts(kernel, new(1, BUY, 500, 16, instrument_id=2)) == ["ACCEPTED"]
    assert verdicts(kernel, new(2, BUY, 1, 1)) == ["REJECTED CREDIT"]
    assert verdicts(kernel, replace(1, 501, 16), replace(1, 400, 20)) == ["REJECTED CREDIT", "REPLACED"]
    assert violated(kernel, new(3, BUY, 1, 1, instrument_id=3)) == {"REFERENCE"}
    assert verdicts(kernel, new(4, BUY, 1, 1, account_id=2)) == ["ACCEPTED"]


def test_credit_in_total_is_of_all_accounts() -> None:
    kernel = opened(new(1, BUY, 100, 3, account_id=2), new(2, BUY, 100, 3))
    assert verdicts(kernel, limit(LimitKind.CREDIT_TOTAL, 10_000)) == ["APPLIED"]
    assert verdicts(kernel, new(3, BUY, 100, 5), new(4, BUY, 100, 4)) == ["REJECTED CREDIT", "ACCEPTED"]
    kernel.process(builders.cancel(1, account_id=2))
    assert verdicts(kernel, new(5, BUY, 100, 4), new(6, BUY, 100, 3, account_id=2)) == ["REJECTED CREDIT", "ACCEPTED"]
    kernel.process(held(1, 5, 2, 3))
    assert violated(kernel, new(7, BUY, 1, 1)) == {"REFERENCE"}


def test_open_value_follows_fills_cancels_and_replaces() -> None:
    kernel = opened(limit(LimitKind.OPEN_VALUE, 10_000, account_id=1))
    assert verdicts(kernel, new(1, BUY, 100, 10), new(2, BUY, 1, 1)) == ["ACCEPTED", "REJECTED OPEN_VALUE"]
    kernel.process(new(3, SELL, 100, 4, account_id=2))
    assert kernel.account(1).open_value == 6_000
    assert verdicts(kernel, new(4, BUY, 100, 5), new(5, BUY, 100, 4)) == ["REJECTED OPEN_VALUE", "ACCEPTED"]
    kernel.process(replace(1, 50, 10))
    assert kernel.account(1).open_value == 7_000
    kernel.process(builders.cancel(5))
    assert kernel.account(1).open_value == 3_000
    assert verdicts(kernel, market(6, BUY, 1), mark(700), market(7, BUY, 1)) == ["REJECTED OPEN_VALUE", "ACCEPTED"]


def test_value_of_a_market_order_without_any_price_is_refused() -> None:
    kernel = opened(limit(LimitKind.OPEN_VALUE, 10_000), marks=False)
    assert violated(kernel, market(1, BUY, 1)) == {"REFERENCE"}


def test_open_orders_counts_those_of_the_account() -> None:
    kernel = opened(
        limit(LimitKind.OPEN_ORDERS, 2), new(1, BUY, 5, 1), new(2, BUY, 5, 1), new(3, BUY, 5, 1, account_id=2)
    )
    assert verdicts(kernel, new(4, BUY, 5, 1), replace(1, 6, 1), builders.cancel(2), new(5, BUY, 5, 1)) == [
        "REJECTED OPEN_ORDERS",
        "REPLACED",
        "CANCELLED",
        "ACCEPTED",
    ]


def test_price_band_holds_for_a_period() -> None:
    kernel = opened(limit(LimitKind.PRICE_BAND, 100, window_ns=50))
    assert verdicts(kernel, new(1, BUY, 1_010, 1), new(2, BUY, 1_011, 1)) == ["ACCEPTED", "REJECTED PRICE_BAND"]
    kernel.process(mark(1_200, 1, now_ns=10))
    assert verdicts(kernel, new(3, BUY, 1_010, 1, now_ns=49), new(4, BUY, 1_100, 1, now_ns=49)) == [
        "ACCEPTED",
        "REJECTED PRICE_BAND",
    ]
    assert verdicts(kernel, market(5, BUY, 1, now_ns=49)) == ["REJECTED PRICE_BAND"], "the reference has moved"
    assert verdicts(kernel, new(6, BUY, 1_212, 1, now_ns=50), new(7, BUY, 1_187, 1)) == [
        "ACCEPTED",
        "REJECTED PRICE_BAND",
    ]


def test_price_band_without_a_reference_is_refused() -> None:
    kernel = opened(limit(LimitKind.PRICE_BAND, 100, window_ns=50), marks=False)
    assert violated(kernel, new(1, BUY, 1_010, 1)) == {"REFERENCE"}


def test_repeated_executions_need_a_person() -> None:
    kernel = opened(limit(LimitKind.REPEATED, 2, account_id=1))
    for number in range(1, 4):
        kernel.process(new(number, SELL, 5, 10, account_id=2))
    assert verdicts(kernel, new(11, BUY, 5, 3), new(12, BUY, 5, 15), new(13, BUY, 5, 1)) == [
        "ACCEPTED",
        "ACCEPTED",
        "REJECTED REPEATED",
    ], "an order counts once, however many it meets"
    kernel.process(batch(resume(1), resume(0, 1), time(1 << 40)))
    assert verdicts(kernel, new(14, BUY, 5, 1), resume(1, 1), new(15, BUY, 5, 1)) == [
        "REJECTED REPEATED",
        "APPLIED",
        "ACCEPTED",
    ]


def test_nothing_is_remembered_of_the_executions_of_an_exempt_account() -> None:
    pair = Pair(instruments=builders.instrument(1), accounts=builders.account(1, AccountFlag.EXEMPT), capacity=8)
    pair.process(batch(limit(LimitKind.REPEATED, 2, window_ns=5), time(1_000), builders.kill(1, 1), resume(1, 1)))
    pair.compare()


def test_repeated_executions_are_forgotten_after_their_window() -> None:
    kernel = opened(limit(LimitKind.REPEATED, 2, window_ns=100))
    kernel.process(new(1, SELL, 5, 10, account_id=2, now_ns=1_000))
    assert verdicts(kernel, new(11, BUY, 5, 1, now_ns=1_000), new(12, BUY, 4, 1, now_ns=1_100)) == ["ACCEPTED"] * 2
    assert verdicts(kernel, new(13, BUY, 5, 1), new(14, BUY, 5, 1), new(15, BUY, 5, 1, now_ns=9_999)) == [
        "ACCEPTED",
        "ACCEPTED",
        "REJECTED REPEATED",
    ]


def test_same_order_too_soon_is_refused() -> None:
    kernel = opened(limit(LimitKind.DUPLICATE, 1, window_ns=10))
    assert verdicts(kernel, new(1, BUY, 5, 1, now_ns=100), new(2, BUY, 5, 1, now_ns=109)) == [
        "ACCEPTED",
        "REJECTED REPEATED_ORDER",
    ]
    others = (
        new(3, BUY, 5, 2),
        new(4, BUY, 5, 1),
        new(5, BUY, 4, 1),
        new(6, SELL, 9, 1),
        new(7, BUY, 4, 1, account_id=2),
    )
    assert verdicts(kernel, *others) == ["ACCEPTED"] * 5
    assert verdicts(kernel, new(8, BUY, 4, 1, now_ns=119), new(9, SELL, 9, 1)) == ["ACCEPTED"] * 2


def test_permission_of_the_most_specific_scope_decides() -> None:
    kernel = opened(limit(LimitKind.PERMISSION, 0, instrument_id=1), limit(LimitKind.PERMISSION, 1, account_id=2))
    assert verdicts(kernel, new(1, BUY, 5, 1), new(2, BUY, 5, 1, account_id=2), new(3, BUY, 5, 1, instrument_id=2)) == [
        "REJECTED RESTRICTED",
        "ACCEPTED",
        "ACCEPTED",
    ]
    kernel.process(limit(LimitKind.PERMISSION, 0, account_id=2, instrument_id=1))
    assert verdicts(kernel, new(4, BUY, 5, 1, account_id=2), new(5, BUY, 5, 1, instrument_id=2)) == [
        "REJECTED PERMISSION",
        "ACCEPTED",
    ]
    kernel.process(batch(limit(LimitKind.PERMISSION, -1, instrument_id=1), limit(LimitKind.PERMISSION, 0)))
    assert verdicts(kernel, new(6, BUY, 5, 1), new(7, BUY, 5, 1, account_id=2, instrument_id=2)) == [
        "REJECTED RESTRICTED",
        "ACCEPTED",
    ]


def test_stale_price_is_that_of_the_mark_else_of_the_last_trade() -> None:
    kernel = opened(limit(LimitKind.STALE_PRICE, 10, account_id=1), marks=False)
    assert violated(kernel, new(1, BUY, 5, 1)) == {"REFERENCE"}
    kernel.process(batch(new(2, SELL, 5, 1, account_id=3, now_ns=100), new(3, BUY, 5, 1, account_id=2)))
    assert verdicts(kernel, new(4, BUY, 5, 1, now_ns=110), new(5, BUY, 5, 1, now_ns=111)) == [
        "ACCEPTED",
        "REJECTED STALE_PRICE",
    ]
    kernel.process(mark(5, 1, now_ns=200))
    assert verdicts(kernel, new(6, BUY, 5, 1, now_ns=210), new(7, BUY, 5, 1, now_ns=211)) == [
        "ACCEPTED",
        "REJECTED STALE_PRICE",
    ]


def test_killed_strategy_stops_and_the_others_go_on() -> None:
    kernel = opened(
        *(new(number, BUY, 5, 1, strategy_id=number) for number in (1, 2)),
        new(3, BUY, 5, 1, account_id=2, strategy_id=1),
    )
    assert told(kernel.process(builders.kill(1, strategy_id=1)))[-1]["quantity"] == 1
    assert verdicts(kernel, new(4, BUY, 5, 1, strategy_id=1), new(5, BUY, 5, 1, strategy_id=2)) == [
        "REJECTED KILLED",
        "ACCEPTED",
    ]
    assert verdicts(
        kernel, new(6, BUY, 5, 1, account_id=2, strategy_id=1), resume(1), new(7, BUY, 5, 1, strategy_id=1)
    ) == [
        "ACCEPTED",
        "APPLIED",
        "REJECTED KILLED",
    ]
    assert verdicts(kernel, resume(1, strategy_id=1), new(8, BUY, 5, 1, strategy_id=1)) == ["APPLIED", "ACCEPTED"]
    wrong = (builders.kill(0, strategy_id=1), builders.kill(1, 1, strategy_id=1), resume(0, strategy_id=1))
    assert verdicts(kernel, *wrong) == ["REJECTED MALFORMED"] * 3


def test_every_violated_control_is_listed() -> None:
    kernel = opened(
        cash(1),
        limit(LimitKind.LEVERAGE, 1),
        limit(LimitKind.CONCENTRATION, 1),
        limit(LimitKind.CREDIT, 1),
        limit(LimitKind.OPEN_ORDERS, 0),
        limit(LimitKind.OPEN_VALUE, 1),
        limit(LimitKind.NET_EXPOSURE, 1),
        limit(LimitKind.DAILY_LOSS, 0),
        limit(LimitKind.PRICE_BAND, 1, window_ns=1),
        limit(LimitKind.PERMISSION, 0),
        limit(LimitKind.STALE_PRICE, 5),
        limit(LimitKind.POSITION, 1),
    )
    expected = {
        "LEVERAGE", "CONCENTRATION", "CREDIT", "OPEN_ORDERS", "OPEN_VALUE", "EXPOSURE", "DAILY_LOSS", "PRICE_BAND",
        "RESTRICTED", "STALE_PRICE", "POSITION",
    }  # fmt: skip
    assert violated(kernel, new(1, BUY, 500, 2, now_ns=99)) == expected
    assert verdicts(kernel, new(2, BUY, 500, 2, account_id=3)) == ["ACCEPTED"], "exempt"


WRONG = {
    "account scope with an instrument": limit(LimitKind.LEVERAGE, 1, instrument_id=1),
    "window where there is none": limit(LimitKind.POSITION, 1, window_ns=1),
    "credit in total of an account": limit(LimitKind.CREDIT_TOTAL, 1, account_id=1),
    "volatility band of an account": limit(LimitKind.VOLATILITY_BAND, 1, account_id=1),
    "volatility band of 0": limit(LimitKind.VOLATILITY_BAND, 0),
    "band without a window": limit(LimitKind.PRICE_BAND, 1),
    "band over 1,000,000": limit(LimitKind.PRICE_BAND, 1_000_001, window_ns=1),
    "executions 0": limit(LimitKind.REPEATED, 0),
    "duplicate 2": limit(LimitKind.DUPLICATE, 2, window_ns=1),
    "duplicate without a window": limit(LimitKind.DUPLICATE, 1),
    "stale after 0 ns": limit(LimitKind.STALE_PRICE, 0),
    "permission 2": limit(LimitKind.PERMISSION, 2),
    "rate of base money": rate(0, UNIT),
    "rate of currency 256": rate(256, UNIT),
    "rate of 0": rate(5, 0),
    "rate over 2^40": rate(5, (1 << 40) + 1),
    "rate kind 4": rate(5, 1, group_id=4),
    "fee over 10 %": fee(RateKind.MAKER_FEE, 100_001),
    "rebate over 10 %": fee(RateKind.TAKER_FEE, -100_001),
    "cash 0": cash(0),
    "cash over 2^60": cash((1 << 60) + 1),
    "cash of an exempt account": cash(1, account_id=3),
    "cash of currency 256": cash(1, currency=256),
    "adjustment kind 4": cash(1, group_id=4),
    "adjustment with a side": cash(1, side=1),
    "self-match mode 6": builders.account(1, order_type=6),
    "split 0": adjust_split(0),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_the_table_does_not_allow_is_malformed(name: str) -> None:
    kernel = opened()
    before = beyond_counters(kernel)
    events = kernel.process(WRONG[name])
    assert reasons(events) == ["REJECTED MALFORMED"]
    assert shown(events[0]).get("flags") is None
    assert beyond_counters(kernel) == before


def test_a_limit_goes_away_and_what_it_remembers_with_it() -> None:
    kernel = opened(limit(LimitKind.DUPLICATE, 1, window_ns=100), new(1, BUY, 5, 1))
    kernel.process(batch(limit(LimitKind.DUPLICATE, -1), limit(LimitKind.DUPLICATE, 1, window_ns=100)))
    assert verdicts(kernel, new(2, BUY, 5, 1), new(3, BUY, 5, 1)) == ["ACCEPTED", "REJECTED REPEATED_ORDER"]


def test_account_in_use_changes_its_self_match_mode_alone() -> None:
    kernel = opened(new(1, BUY, 5, 1))
    assert verdicts(
        kernel,
        builders.account(1, order_type=4),
        builders.account(1, group_id=7, order_type=4),
        builders.account(1, AccountFlag.FIFO),
        builders.account(2, AccountFlag.FIFO, group_id=7),
    ) == ["APPLIED", "REJECTED MALFORMED", "REJECTED MALFORMED", "APPLIED"]


def test_ioc_leaves_nothing_open() -> None:
    kernel = opened(limit(LimitKind.OPEN_VALUE, 100_000))
    kernel.process(new(1, BUY, 900, 1, time_in_force=IOC))
    assert kernel.account(1).open_value == 0
    assert kernel.account(1).gross == 0
