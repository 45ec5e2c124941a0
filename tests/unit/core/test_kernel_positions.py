"""Positions, cost and P&L as exact integers, held against fractions and against the cash flow."""

from __future__ import annotations

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from nautilus.core import AccountFlag, Kernel, KernelError
from tests.kit import builders
from tests.kit.builders import BUY, IOC, SELL, batch, mark, new
from tests.kit.pair import AnyKernel, both, canonical, held, reasons

LARGE = 1 << 40
trades = st.lists(
    st.tuples(
        st.sampled_from([BUY, SELL]),
        st.integers(-50, 50) | st.integers(-LARGE, LARGE),
        st.integers(1, 20) | st.integers(1, LARGE),
    ),
    max_size=25,
)


def opened(build: type[AnyKernel], multiplier: int) -> AnyKernel:
    options = {"huge_pages": False} if build is Kernel else {}
    return build(
        instruments=builders.instrument(1, multiplier=multiplier, negative=True),
        accounts=batch(builders.account(1), builders.account(2, AccountFlag.EXEMPT)),
        capacity=8,
        closed_capacity=8,
        **options,
    )


def trade(kernel: AnyKernel, number: int, side: int, price: int, quantity: int) -> None:
    """Account 1 trades with the exempt account 2 at this price."""
    other = SELL if side == BUY else BUY
    events = kernel.process(
        batch(
            new(number, other, price, quantity, account_id=2),
            new(number, side, price, quantity, time_in_force=IOC),
        )
    )
    assert reasons(events) == ["ACCEPTED", "ACCEPTED", "FILLED"]


def rounded_half_even(value: Fraction) -> int:
    return round(value)  # Fraction's own rounding is half to even


@both
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(trades=trades, multiplier=st.sampled_from([1, 3, 1 << 20]), reference=st.integers(-LARGE, LARGE))
def test_cost_is_taken_in_proportion_and_nothing_is_lost(
    build: type[AnyKernel], trades: list[tuple[int, int, int]], multiplier: int, reference: int
) -> None:
    kernel = opened(build, multiplier)
    quantity = cost = realised = cash = 0
    for number, (side, price, lots) in enumerate(trades, 1):
        trade(kernel, number, side, price, lots)
        signed = lots if side == BUY else -lots
        flow = -signed * price * multiplier
        cash += flow
        if quantity * signed < 0:
            closed = min(abs(quantity), lots)
            taken = rounded_half_even(Fraction(cost * closed, abs(quantity)))
            part = flow * closed // lots
            cost, realised = cost - taken + flow - part, realised + taken + part
        else:
            cost += flow
        quantity += signed
        rows = held(kernel, 1)
        unrealised = quantity * price * multiplier + cost
        expected = (1, quantity, cost, realised, unrealised)
        assert rows == ([expected] if any(expected[1:]) else [])
        assert realised + cost == cash
        assert quantity or not cost
    kernel.process(mark(reference))
    assert sum(row[4] for row in held(kernel, 1)) == quantity * reference * multiplier + cost


@both
@pytest.mark.parametrize(
    ("opening", "closed", "cost"),
    [
        ([(1, 1), (2, 1)], 1, -2),  # half of -3 is -1.5: -2 goes, -1 stays
        ([(2, 1), (3, 1)], 1, -2),  # half of -5 is -2.5: -2 goes
        ([(-1, 1), (-2, 1)], 1, 2),  # half of 3 is 1.5: 2 goes
        ([(-2, 1), (-3, 1)], 1, 2),  # half of 5 is 2.5: 2 goes
        ([(5, 2), (1, 1)], 1, -4),  # a third of -11 is -3.67: -4 goes
        ([(5, 2), (1, 1)], 2, -7),  # two thirds of -11 are -7.33: -7 goes
    ],
)
def test_cost_taken_is_rounded_half_to_even(
    build: type[AnyKernel], opening: list[tuple[int, int]], closed: int, cost: int
) -> None:
    kernel = opened(build, 1)
    for number, (price, lots) in enumerate(opening, 1):
        trade(kernel, number, BUY, price, lots)
    before = held(kernel, 1)[0]
    trade(kernel, 9, SELL, 0, closed)
    after = held(kernel, 1)[0]
    assert before[2] - after[2] == cost
    assert after[3] == cost


@both
def test_fill_through_zero_opens_the_other_side_at_its_own_price(build: type[AnyKernel]) -> None:
    kernel = opened(build, 2)
    trade(kernel, 1, BUY, 100, 3)
    trade(kernel, 2, SELL, 110, 5)
    assert held(kernel, 1) == [(1, -2, 440, 60, 0)]


@both
def test_flat_position_with_no_result_is_gone(build: type[AnyKernel]) -> None:
    kernel = opened(build, 2)
    empty = canonical(kernel)
    trade(kernel, 1, BUY, 100, 3)
    trade(kernel, 2, SELL, 100, 3)
    assert held(kernel, 1) == []
    assert np.frombuffer(canonical(kernel), "<i8").size > np.frombuffer(empty, "<i8").size, "closed ids and last price"


@both
def test_exempt_account_has_no_position(build: type[AnyKernel]) -> None:
    kernel = opened(build, 2)
    trade(kernel, 1, BUY, 100, 3)
    assert held(kernel, 2) == []


def test_positions_show_open_orders_in_lots() -> None:
    kernel = opened(Kernel, 2)
    kernel.process(batch(new(1, BUY, 100, 3), new(2, BUY, 90, 4), new(3, SELL, 101, 2)))
    assert kernel.positions(1)[["open_buy", "open_sell"]].tolist() == [(7, 2)]


def test_unknown_account_or_instrument_is_named() -> None:
    kernel = opened(Kernel, 2)
    with pytest.raises(KernelError, match="77"):
        kernel.positions(77)
    with pytest.raises(KernelError, match="77"):
        kernel.depth(77, 1)
    with pytest.raises(KernelError, match="77"):
        kernel.best(77)


def test_result_beyond_two_to_the_hundred_and_twenty_stops_the_account() -> None:
    """It would take a million of the largest fills: written into a snapshot instead."""
    kernel = opened(Kernel, 1)
    trade(kernel, 1, BUY, 100, 3)
    trade(kernel, 2, SELL, 101, 3)
    words = np.frombuffer(kernel.snapshot(), "<i8").copy()
    record = [1, 1, 0, 0, 0, 0, 3, 0]  # account, instrument, killed, quantity, cost (2 words), realised (2 words)
    found = [at for at in range(len(words) - 7) if words[at : at + 8].tolist() == record]
    assert len(found) == 1
    for realised, verdict in ((1 << 120, "ACCEPTED"), ((1 << 120) + 1, "REJECTED OVERFLOW")):
        for sign in (1, -1):
            changed = words.copy()
            value = sign * realised
            low, high = value & 0xFFFF_FFFF_FFFF_FFFF, value >> 64
            changed[found[0] + 6] = low - (1 << 64) if low >> 63 else low
            changed[found[0] + 7] = high
            other = opened(Kernel, 1)
            other.restore(changed.tobytes())
            assert held(other, 1)[0][3] == value
            assert reasons(other.process(new(5, BUY, 1, 1))) == [verdict]
