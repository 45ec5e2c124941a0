"""Bars against their twin, and each rule by itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.bars import BarBuilder
from nautilus.core.ticks import BAR, GAP_FLAG, BarKind
from nautilus.core.types import QUOTE, TRADE, RecordFlag
from tests.kit.derived import bars_agree

LAST = int(RecordFlag.LAST)


def trades(*rows, instrument=1):
    """(stamp, price, lots[, side[, flags]]) each."""
    full = [(*row, *(0, LAST)[len(row) - 3 :]) for row in rows]
    return np.array(
        [(stamp + 1, stamp, 0, price, lots, instrument, side, 0, flags) for stamp, price, lots, side, flags in full],
        TRADE,
    )


def shown(bars, *names):
    return bars[list(names)].tolist()


def test_a_volume_bar_ends_with_the_trade_that_fills_it_and_is_not_split():
    builder = BarBuilder(BarKind.VOLUME, 10)
    bars = builder.process(
        trades((1, 100, 4, 1), (2, 105, 5, 2), (3, 95, 7, 1, LAST | GAP_FLAG), (4, 99, 25), (5, 98, 1))
    )
    assert bars.dtype == BAR
    assert bars.tolist() == [
        (4, 1, 3, 100, 105, 95, 95, 16, 11, 400.0 + 525 + 665, 10, 3, 1, 3, 0, LAST | GAP_FLAG, 0),
        (5, 4, 4, 99, 99, 99, 99, 25, 0, 2475.0, 10, 1, 1, 3, 0, LAST, 0),
    ]
    assert shown(builder.flush(), "volume", "trades", "flags") == [(1, 1, 0)]
    assert len(builder.flush()) == 0


def test_tick_and_dollar_bars():
    rows = trades((1, 100, 4), (2, -105, 5), (3, 95, 7))
    assert shown(BarBuilder(BarKind.TICK, 2).process(rows), "trades", "volume") == [(2, 9)]
    assert shown(BarBuilder(BarKind.DOLLAR, 925).process(rows), "trades", "notional") == [(2, -125.0)]
    assert len(BarBuilder(BarKind.DOLLAR, 926).process(rows[:2])) == 0
    # Sums beyond 64 bits are exact.
    big = trades(*((at, 1 << 40, 1 << 40) for at in range(4)))
    assert shown(BarBuilder(BarKind.DOLLAR, 1 << 62).process(big), "notional") == [(float(1 << 80),)] * 4


def test_time_bars_end_with_the_next_trade_or_by_the_clock():
    builder = BarBuilder(BarKind.TIME, 10)
    bars = builder.process(trades((12, 100, 1), (19, 101, 2), (20, 99, 4), (47, 98, 1), (33, 120, 1)))
    assert shown(bars, "now_ns", "begin_ns", "end_ns", "volume", "close_ticks") == [
        (21, 10, 20, 3, 101),
        (48, 20, 30, 4, 99),
    ]
    assert builder.late == 1
    assert len(builder.advance(49)) == 0
    assert shown(builder.advance(50), "now_ns", "begin_ns", "volume", "high_ticks") == [(50, 40, 2, 120)]
    assert len(builder.advance(90)) == 0
    assert shown(builder.process(trades((205, 1, 1), (219, 2, 2))), "begin_ns", "volume") == [(200, 1)]


def test_empty_intervals_have_bars_where_they_are_wanted():
    builder = BarBuilder(BarKind.TIME, 10, empty=True)
    bars = builder.process(trades((12, 100, 1), (43, 101, 2)))
    assert shown(bars, "begin_ns", "open_ticks", "low_ticks", "volume", "trades") == [
        (10, 100, 100, 1, 1),
        (20, 100, 100, 0, 0),
        (30, 100, 100, 0, 0),
    ]
    assert shown(builder.advance(65), "begin_ns", "volume") == [(40, 2), (50, 0)]
    assert len(builder.process(trades((65 + 10 * 99_000, 1, 1)))) == 99_000
    assert len(builder.process(trades((10**9, 1, 1), (3 * 10**9, 1, 1)))) == 2
    assert builder.skipped > 100_000


def test_an_imbalance_bar_ends_where_one_side_presses():
    builder = BarBuilder(BarKind.IMBALANCE, 10, alpha=0.5)
    calm = trades(*((at, 100, 1, 1 if at % 5 else 2) for at in range(10)))
    assert shown(builder.process(calm), "trades", "buy_volume") == [(10, 8)]
    assert builder.expected(1) == (10.0, 0.6)
    # 10 * 0.6 trades of one side; then (10 + 6) / 2 * |(0.6 - 1) / 2|, that is 1.6 of them.
    assert shown(builder.process(trades(*((at, 100, 1, 2) for at in range(8)))), "trades") == [(6,), (2,)]
    with pytest.raises(KeyError):
        builder.expected(2)
    # Sides that are not known follow the price; without an end it ends at ten times the size.
    balanced = trades(*((at, 100 + at % 2, 1) for at in range(40)))
    ends = BarBuilder(BarKind.IMBALANCE, 3, alpha=1.0).process(balanced)
    assert ends["trades"].max() <= 30


def test_a_bar_that_was_given_before_its_end_is_no_first_one():
    builder = BarBuilder(BarKind.IMBALANCE, 10)
    buys = trades(*((at, 100, 1, 1) for at in range(12)))
    assert len(builder.process(buys[:4])) == 0
    assert shown(builder.flush(), "trades", "flags") == [(4, 0)]
    assert shown(builder.process(buys), "trades", "flags") == [(10, LAST)]
    assert builder.expected(1) == (10.0, 1.0)


def test_the_end_of_the_longest_interval_fits():
    builder = BarBuilder(BarKind.TIME, 1 << 62)
    with pytest.raises(ValueError, match=r"trades\[0\]"):
        builder.process(trades((1 << 62, 1, 1)))
    builder.process(trades(((1 << 62) - 1, 1, 1)))
    assert shown(builder.flush(), "begin_ns", "end_ns") == [(0, 1 << 62)]


def test_what_cannot_be_is_refused():
    for kind, size, rest in (
        (BarKind.TIME, 0, {}),
        (BarKind.TICK, 1 << 29, {}),
        (BarKind.IMBALANCE, 5, {"alpha": 0}),
        (BarKind.IMBALANCE, 5, {"weight": "x"}),
        (9, 5, {}),
    ):
        with pytest.raises(ValueError, match=r"BarBuilder|BarKind"):
            BarBuilder(kind, size, **rest)
    builder = BarBuilder(BarKind.TICK, 5)
    for wrong in ((1, 1 << 41, 1), (1, 1, -1), (1, 1, 1, 3), (-5, 1, 1)):
        with pytest.raises(ValueError, match=r"trades\[1\]"):
            builder.process(trades((1, 1, 1), wrong))
    with pytest.raises(TypeError):
        builder.process(np.zeros(1, QUOTE))
    with pytest.raises(ValueError, match="now_ns"):
        builder.advance(-1)


ROW = st.tuples(
    st.integers(0, 60),
    st.integers(-3, 3),
    st.one_of(st.integers(0, 9), st.just(1 << 40)),
    st.integers(0, 2),
    st.sampled_from([LAST, LAST | 4, GAP_FLAG, 8]),
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(ROW, max_size=40),
    kind=st.sampled_from(BarKind),
    size=st.integers(1, 12),
    weight=st.sampled_from(["trades", "lots", "value"]),
    alpha=st.sampled_from([0.1, 0.5, 1.0]),
    venue_clock=st.booleans(),
    empty=st.booleans(),
    cut=st.integers(0, 40),
    clock=st.integers(0, 80),
)
def test_bars_are_those_of_the_twin_and_hold_every_trade(
    rows, kind, size, weight, alpha, venue_clock, empty, cut, clock
):
    records = np.concatenate([trades(*rows[0::2], instrument=1), trades(*rows[1::2], instrument=70_000)])
    # Both instruments by turns.
    records = records[np.argsort(np.r_[np.arange(0, len(rows), 2), np.arange(1, len(rows), 2)], kind="stable")]
    rules = {"venue_clock": venue_clock, "empty": empty}
    bars_agree(records, cut, clock, kind=kind, size=size, weight=weight, alpha=alpha, **rules)
