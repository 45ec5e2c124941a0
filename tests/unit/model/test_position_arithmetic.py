"""Positions and market data structs."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core import BOOK_DELTA, QUOTE, TRADE
from nautilus.model import marketdata
from nautilus.model.enums import BookAction, Side
from nautilus.model.marketdata import BookDelta, Quote, Trade
from nautilus.model.position import Position, half_even

FILLS = st.lists(st.tuples(st.sampled_from(list(Side)), st.integers(1, 1000), st.integers(-50, 2**40)), max_size=30)


@given(st.integers(-(2**130), 2**130), st.integers(1, 2**50))
def test_half_even_is_the_rounding_of_fractions(numerator, denominator):
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(FILLS, st.integers(1, 2**20))
def test_realised_and_cost_are_the_cash_flow_exactly(fills, multiplier):
    position, cash, held = Position(1, 1), 0, 0
    for side, lots, price in fills:
        sign = 1 if side == Side.BUY else -1
        position = position.after_fill(side, lots, price, multiplier)
        cash -= sign * lots * price * multiplier
        held += sign * lots
        assert position.quantity == held
        assert position.realised + position.cost == cash
        if not held:
            assert position.cost == 0


def test_a_fill_through_zero_closes_and_opens_the_other_side():
    position = Position(1, 1).after_fill(Side.BUY, 3, 100, 1).after_fill(Side.SELL, 5, 110, 1)
    assert (position.quantity, position.cost, position.realised) == (-2, 220, 30)
    assert position.unrealised(100, 1) == 20


QUOTES = st.builds(
    Quote, *[st.integers(0, 2**40)] * 7, st.integers(1, 2**32 - 1), st.integers(0, 31), st.integers(0, 9)
)
TRADES = st.builds(
    Trade, *[st.integers(0, 2**40)] * 5, st.integers(1, 99), st.sampled_from([None, *Side]), st.integers(0, 31)
)
DELTAS = st.builds(
    BookDelta,
    *[st.integers(0, 2**40)] * 6,
    st.integers(1, 99),
    st.sampled_from([None, *Side]),
    st.sampled_from(list(BookAction)),
    st.integers(0, 31),
)


@given(st.lists(QUOTES, max_size=5), st.lists(TRADES, max_size=5), st.lists(DELTAS, max_size=5))
def test_market_data_survives_the_round_trip_through_records(quotes, trades, deltas):
    for items, write, read, dtype in (
        (quotes, marketdata.quote_records, marketdata.quotes, QUOTE),
        (trades, marketdata.trade_records, marketdata.trades, TRADE),
        (deltas, marketdata.book_delta_records, marketdata.book_deltas, BOOK_DELTA),
    ):
        records = write(items)
        assert records.dtype == dtype
        assert read(records) == items


def test_a_quote_has_the_fields_of_its_record_in_order():
    assert Quote.__struct_fields__ == QUOTE.names
    quote = marketdata.quotes(np.array([(1, 2, 3, 100, 5, 103, 6, 1, 0, 0)], QUOTE))[0]
    assert (quote.mid_ticks, quote.spread_ticks) == (101.5, 3)
