"""Money of accounts: FIFO lots, fees, cash, splits, held against plain integers; a restored kernel goes on the same."""

from __future__ import annotations

import os
from fractions import Fraction

import numpy as np
import pytest

from nautilus.core import AccountFlag, CommandKind, Kernel, LimitKind
from nautilus.core.types import AdjustKind, RateKind, SelfMatch
from tests.kit import builders
from tests.kit.builders import BUY, GTC, IOC, SELL, batch, limit, mark, new, session
from tests.kit.pair import reasons, told

UNIT = 1_000_000_000
SEEDS = range(int(os.environ.get("NAUTILUS_SEEDS", "6")))


def rate(kind: RateKind, value: int, **fields: int) -> np.ndarray:
    return builders.command(CommandKind.RATE, group_id=kind, price_ticks=value, **fields)


def adjust(kind: AdjustKind, **fields: int) -> np.ndarray:
    return builders.command(CommandKind.ADJUST, group_id=kind, **fields)


def opened(flags: int = 0, multiplier: int = 3, closed_capacity: int = 64) -> Kernel:
    return Kernel(
        instruments=batch(
            builders.instrument(1, multiplier=multiplier, currency=0, negative=True),
            builders.instrument(2, multiplier=7, currency=5),
            builders.instrument(3, currency=6),
        ),
        accounts=batch(builders.account(1, flags), builders.account(2, flags), builders.account(3, AccountFlag.EXEMPT)),
        capacity=1 << 12,
        closed_capacity=closed_capacity,
        huge_pages=False,
    )


class NaiveLots:
    """FIFO by the page: a list of [quantity, price, cost], signed like the position."""

    def __init__(self, multiplier: int) -> None:
        self.multiplier, self.realised = multiplier, 0
        self.lots: list[list[int]] = []

    def fill(self, lots: int, price: int) -> None:
        while lots and self.lots and self.lots[0][0] * lots < 0:
            oldest = self.lots[0]
            part = min(abs(lots), abs(oldest[0]))
            gone = round(Fraction(oldest[2] * part, abs(oldest[0])))
            sign = 1 if lots > 0 else -1
            oldest[0] += sign * part
            oldest[2] -= gone
            self.realised += gone - sign * part * price * self.multiplier
            lots -= sign * part
            if oldest[0] == 0:
                self.lots.pop(0)
        if lots and self.lots and self.lots[-1][1] == price:
            self.lots[-1][0] += lots
            self.lots[-1][2] -= lots * price * self.multiplier
        elif lots:
            self.lots.append([lots, price, -lots * price * self.multiplier])


def trade(number: int, lots: int, price: int) -> np.ndarray:
    side, other = (BUY, SELL) if lots > 0 else (SELL, BUY)
    return batch(
        new(number, other, price, abs(lots), account_id=3), new(number, side, price, abs(lots), time_in_force=IOC)
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_lots_are_taken_oldest_first_and_nothing_is_lost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel, naive, flow = opened(AccountFlag.FIFO), NaiveLots(3), 0
    for number in range(1, 300):
        lots = int(rng.integers(1, 12)) * int(rng.choice([-1, 1]))
        price = int(rng.integers(-3, 8))
        assert reasons(kernel.process(trade(number, lots, price)))[-1] == "FILLED"
        naive.fill(lots, price)
        flow -= lots * price * 3
        assert [list(map(int, row)) for row in kernel.lots(1, 1).tolist()] == naive.lots
        row = kernel.positions(1)
        if row.size:
            assert int(row["quantity"][0]) == sum(lot[0] for lot in naive.lots)
            assert row["realised"][0] == naive.realised
            assert row["realised"][0] + row["cost"][0] == flow
    copy = opened()
    copy.restore(kernel.snapshot())
    assert copy.state_hash() == kernel.state_hash()


@pytest.mark.parametrize(
    ("parts", "value", "expected"),
    [
        (100, 10_000, 1),
        (100, 10_001, 2),
        (100, 1, 1),
        (-100, 10_000, -1),
        (-100, 19_999, -1),
        (-100, 9_999, 0),
        (0, 9, 0),
    ],
)
def test_fee_is_rounded_up(parts: int, value: int, expected: int) -> None:
    kernel = opened(multiplier=1)
    kernel.process(batch(rate(RateKind.TAKER_FEE, parts), rate(RateKind.MAKER_FEE, 250_000 // 10)))
    events = kernel.process(batch(new(1, SELL, value, 1, account_id=2), new(1, BUY, value, 1)))
    assert int(events[-1]["fee"]) == expected
    maker = -(-value * 25_000 // 1_000_000)
    assert int(events[-1]["venue_reference"]) == maker
    assert kernel.account(1).fees == expected
    assert kernel.account(2).fees == maker
    assert kernel.account(1).equity is None
    assert kernel.account(1).missing == ("instrument 1: no mark",)


def test_fee_of_the_most_specific_scope_holds_and_exempt_accounts_pay_none() -> None:
    kernel = opened(multiplier=1)
    kernel.process(
        batch(
            rate(RateKind.TAKER_FEE, 100_000),
            rate(RateKind.TAKER_FEE, 50_000, instrument_id=1),
            rate(RateKind.TAKER_FEE, -20_000, account_id=1),
            rate(RateKind.TAKER_FEE, 10_000, account_id=1, instrument_id=2),
            rate(RateKind.MAKER_FEE, 100_000),
        )
    )
    told_fees = []
    for number, (account, instrument) in enumerate([(1, 1), (1, 2), (2, 1), (2, 2)], 1):
        events = kernel.process(
            batch(
                new(number, SELL, 100, 10, account_id=3, instrument_id=instrument),
                new(number, BUY, 100, 10, account_id=account, instrument_id=instrument),
            )
        )
        told_fees.append((int(events[-1]["fee"]), int(events[-1]["venue_reference"])))
    assert told_fees == [(-20, 0), (70, 0), (50, 0), (700, 0)]


def test_largest_fee_is_cut_at_2_to_the_62() -> None:
    kernel = opened(multiplier=1 << 20)
    top = 1 << 40
    kernel.process(rate(RateKind.TAKER_FEE, 100_000))
    events = kernel.process(batch(new(1, SELL, top, top, account_id=3), new(1, BUY, top, top)))
    assert int(events[-1]["fee"]) == 1 << 62


def test_split_keeps_cost_and_cancels_the_orders() -> None:
    kernel = opened(AccountFlag.FIFO)
    kernel.process(
        batch(trade(1, 5, 100), trade(2, 4, 110), mark(120), new(3, BUY, 90, 1), new(4, SELL, 130, 1, account_id=3))
    )
    cost = kernel.positions(1)["cost"][0]
    events = kernel.process(adjust(AdjustKind.SPLIT, instrument_id=1, quantity=3, min_quantity=2))
    assert reasons(events) == ["CANCELLED CORPORATE_ACTION"] * 2 + ["APPLIED"]
    assert kernel.lots(1, 1).tolist() == [(13, 0, cost)]
    assert kernel.account(1).missing == ("instrument 1: no mark",)
    kernel.process(adjust(AdjustKind.SPLIT, instrument_id=1, quantity=1, min_quantity=14))
    assert (kernel.lots(1, 1).size, kernel.positions(1)["realised"][0]) == (0, cost)


def test_position_by_hand_is_bounded_by_2_to_the_50() -> None:
    kernel = opened()
    most = 1 << 50
    by_hand = {"account_id": 1, "instrument_id": 1, "price_ticks": 5}
    assert reasons(kernel.process(adjust(AdjustKind.POSITION, quantity=most + 1, **by_hand))) == ["REJECTED OVERFLOW"]
    assert reasons(kernel.process(adjust(AdjustKind.POSITION, quantity=-most, **by_hand))) == ["APPLIED"]
    assert reasons(kernel.process(adjust(AdjustKind.POSITION, quantity=2 * most, **by_hand))) == ["APPLIED"]
    assert reasons(kernel.process(adjust(AdjustKind.POSITION, quantity=-(1 << 63), **by_hand))) == ["REJECTED OVERFLOW"]
    assert kernel.positions(1)["realised"][0] == 0
    assert reasons(kernel.process(new(1, BUY, 5, 1))) == ["REJECTED OVERFLOW"]


def test_account_face_reuses_an_answer_within_its_lifetime() -> None:
    kernel = opened()
    kernel.process(builders.time(1_000))
    first = kernel.account(1, lifetime_ns=100)
    kernel.process(batch(adjust(AdjustKind.CASH, account_id=1, quantity=5), builders.time(1_099)))
    assert kernel.account(1, lifetime_ns=100) is first
    kernel.process(builders.time(1_100))
    assert kernel.account(1, lifetime_ns=100).cash == {0: 5}


def test_positions_are_taken_again_from_the_same_snapshot_within_its_lifetime() -> None:
    kernel = opened()
    kernel.process(batch(new(1, BUY, 5, 3), builders.time(1_000)))
    first = kernel.positions(1, lifetime_ns=100)
    assert first["open_buy"].tolist() == [3]
    kernel.process(batch(new(2, BUY, 5, 4), builders.time(1_099)))
    assert kernel.positions(1, lifetime_ns=100) is first
    assert kernel.positions(1)["open_buy"].tolist() == [7], "without a lifetime it is as of now"
    with pytest.raises(ValueError, match="read-only"):
        first["quantity"] = 1
    kernel.process(builders.time(1_100))
    assert kernel.positions(1, lifetime_ns=100)["open_buy"].tolist() == [7]
    other = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    other.restore(kernel.snapshot())
    other.positions(1, lifetime_ns=1 << 62)
    other.restore(opened().snapshot())
    assert other.positions(1, lifetime_ns=1 << 62).tolist() == [], "a snapshot is of the state that it was taken of"


def administration(rng: np.random.Generator) -> np.ndarray:
    """One random LIMIT, RATE, ADJUST, MARK, SESSION, KILL or RESUME; some are refused."""
    account, instrument = int(rng.choice([0, 1, 2])), int(rng.choice([0, 1, 2, 3]))
    draw = rng.random()
    if draw < 0.4:
        kind = int(rng.integers(1, 20))
        value = int(rng.choice([-1, 0, 1, 3, 2_000, 100_000, 1_000_000]))
        if kind in (LimitKind.PERMISSION, LimitKind.DUPLICATE):
            value = min(value, 1)
        per_account = kind in range(9, 15) or kind in (LimitKind.MESSAGE_RATE, LimitKind.DAILY_LOSS, LimitKind.LEVERAGE)
        if kind == LimitKind.CREDIT_TOTAL:
            account = 0
        window = kind in (LimitKind.MESSAGE_RATE, LimitKind.PRICE_BAND, LimitKind.REPEATED, LimitKind.DUPLICATE)
        return limit(
            kind, value, account_id=account, instrument_id=0 if per_account else instrument,
            window_ns=int(rng.choice([5, 2_000_000])) if window else 0,
        )  # fmt: skip
    if draw < 0.5:
        return rate(RateKind.CURRENCY, int(rng.integers(1, 3 * UNIT)), offset=int(rng.choice([5, 6, 9])))
    if draw < 0.55:
        kind = RateKind.MAKER_FEE if rng.random() < 0.5 else RateKind.TAKER_FEE
        return rate(kind, int(rng.integers(-100_000, 100_001)), account_id=account, instrument_id=instrument)
    if draw < 0.65:
        amount = int(rng.integers(-2_000, 9_000))
        return adjust(AdjustKind.CASH, account_id=account, quantity=amount, offset=int(rng.choice([0, 5, 9])))
    if draw < 0.7:
        lots = int(rng.integers(-20, 21))
        return adjust(AdjustKind.POSITION, account_id=account, instrument_id=instrument, quantity=lots, price_ticks=9)
    if draw < 0.71:
        return adjust(AdjustKind.SPLIT, instrument_id=instrument, quantity=int(rng.integers(1, 4)), min_quantity=2)
    if draw < 0.85:
        return mark(int(rng.integers(1, 30)), instrument or 1)
    if draw < 0.9:
        return session(date=int(rng.integers(0, 4)))
    scope = {"account_id": account, "instrument_id": instrument}
    if rng.random() < 0.5:
        scope = {"account_id": max(account, 1), "instrument_id": 0, "strategy_id": int(rng.integers(1, 3))}
    return batch(builders.kill(**scope), builders.resume(**scope)) if rng.random() < 0.8 else builders.resume(**scope)


def orders(rng: np.random.Generator, number: int) -> np.ndarray:
    account, order_id = int(rng.choice([1, 2, 3])), int(rng.integers(1, 2 + number))
    if rng.random() < 0.2:
        return builders.cancel(order_id, account_id=account)
    if rng.random() < 0.2:
        return builders.replace(order_id, int(rng.integers(1, 30)), int(rng.integers(1, 30)), account_id=account)
    price, lots, side = int(rng.integers(1, 30)), int(rng.integers(1, 20)), (BUY, SELL)[int(rng.integers(0, 2))]
    where = {"account_id": account, "instrument_id": int(rng.integers(1, 4)), "strategy_id": int(rng.integers(0, 3))}
    if rng.random() < 0.1:
        return builders.market(number, side, lots, **where)
    return new(number, side, price, lots, time_in_force=GTC if rng.random() < 0.8 else IOC, **where)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_restored_kernel_goes_on_as_the_one_that_never_stopped(seed: int) -> None:
    """Sums kept step by step and sums worked out from nothing give the same verdicts, events and state."""
    rng = np.random.default_rng(seed)
    kernel = opened(AccountFlag.FIFO if seed % 2 else 0)
    kernel.process(builders.account(2, kernel_flags(seed), group_id=9, order_type=SelfMatch.DECREMENT))
    number, refused, now = 0, set(), 0
    for _round in range(40):
        drawn = []
        for _ in range(60):
            number += 1
            now += int(rng.integers(0, 3))
            drawn.append(administration(rng) if rng.random() < 0.15 else orders(rng, number))
            drawn[-1]["now_ns"] = now
        commands = batch(*drawn)
        copy = opened()
        copy.restore(kernel.snapshot())
        assert copy.state_hash() == kernel.state_hash()
        events = kernel.process(commands)
        assert copy.process(commands).tobytes() == events.tobytes()
        assert copy.state_hash() == kernel.state_hash()
        for account in (1, 2):
            assert copy.account(account) == kernel.account(account)
            assert copy.positions(account).tolist() == kernel.positions(account).tolist()
        refused |= {name for name in reasons(events) if name.startswith("REJECTED")}
    assert len(refused) > 12, refused


def kernel_flags(seed: int) -> int:
    return AccountFlag.FIFO if seed % 2 else 0


@pytest.mark.parametrize("seed", SEEDS)
def test_no_flow_passes_the_limits_in_base_money(seed: int) -> None:
    """After every accepted order the account as worked out from nothing is within its limits."""
    rng = np.random.default_rng(seed)
    kernel = opened()
    top = {"gross_exposure": 40_000, "open_value": 15_000, "credit": 30_000}
    kernel.process(
        batch(
            limit(LimitKind.GROSS_EXPOSURE, top["gross_exposure"]),
            limit(LimitKind.OPEN_VALUE, top["open_value"]),
            limit(LimitKind.CREDIT, top["credit"]),
            rate(RateKind.CURRENCY, 1_333_333_333, offset=5),
            rate(RateKind.CURRENCY, 77_777_777, offset=6),
            *(mark(20, instrument) for instrument in (1, 2, 3)),
        )
    )
    accepted = 0
    for number in range(1, 1_500):
        command = orders(rng, number)
        answer = reasons(kernel.process(command))
        if answer[0] in ("ACCEPTED", "REPLACED") and len(answer) == 1:
            accepted += 1
            state = kernel.account(int(command["account_id"][0]))
            assert state.gross <= top["gross_exposure"]
            assert state.open_value <= top["open_value"]
            assert state.credit_used is not None
            assert state.credit_used <= top["credit"]
    assert accepted > 100


@pytest.mark.long
@pytest.mark.parametrize("flags", [0, AccountFlag.FIFO])
def test_ten_million_fills_do_not_drift(flags: int) -> None:
    """realised + cost is the cash flow and fees are the sum of all fees, to the last unit; 10^8 with `make drift`."""
    fills = int(os.environ.get("NAUTILUS_FILLS", "10000000"))
    if flags:
        fills //= 10
    rng = np.random.default_rng(11)
    kernel = opened(flags, multiplier=7)
    kernel.process(batch(rate(RateKind.TAKER_FEE, 137), rate(RateKind.MAKER_FEE, -61)))
    size, flow, fees, done = 200_000, [0, 0], [0, 0], 0
    out = np.zeros(4 * size, kernel.process(builders.time(1)).dtype)
    commands = batch(new(0, BUY, 1, 1)).repeat(2 * size)
    while done < fills:
        buy = rng.random(size) < 0.5
        price = rng.integers(900_000, 1_100_001, size)
        lots = rng.integers(1, 50, size)
        commands["order_id"] = 2 * done + np.arange(1, 2 * size + 1)
        commands["account_id"] = np.tile([2, 1], size)
        commands["side"][1::2] = np.where(buy, BUY, SELL)
        commands["side"][0::2] = np.where(buy, SELL, BUY)
        for half in (0, 1):
            commands["price_ticks"][half::2] = price
            commands["quantity"][half::2] = lots
        consumed, produced = kernel.process_into(commands, out)
        assert (consumed, produced) == (2 * size, 3 * size)
        filled = out[:produced][2::3]
        value = int((price * lots * 7 * np.where(buy, -1, 1)).sum())
        flow[0] += value
        flow[1] -= value
        fees[0] += int(filled["fee"].sum())
        fees[1] += int(filled["venue_reference"].astype(np.int64).sum())
        assert np.array_equal(filled["fee"], -(-price * lots * 7 * 137 // 1_000_000))
        done += size
    for account in (1, 2):
        row = kernel.positions(account)[0]
        assert row["realised"] + row["cost"] == flow[account - 1]
        assert row["fees"] == fees[account - 1]
        if flags:
            assert sum(kernel.lots(account, 1)["cost"]) == row["cost"]


def test_negative_prices_are_charged_by_their_size() -> None:
    kernel = opened(multiplier=1)
    kernel.process(rate(RateKind.TAKER_FEE, 100_000))
    events = kernel.process(batch(new(1, SELL, -100, 10, account_id=2), new(1, BUY, -100, 10)))
    assert told(events)[-1]["fee"] == 100
