"""From records to rows: the kernel against its twin, and what it refuses."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.feature_feed import BARS, QUOTES, TRADES, FeatureFeed
from nautilus.core.indicators import Bank
from nautilus.core.ticks import BAR, GAP_FLAG
from nautilus.core.types import QUOTE, TRADE
from nautilus.maths.indicators import every
from nautilus.model.enums import RecordFlag
from tests.kit.context import btcusdt
from tests.kit.naive_feature_feed import NaiveFeed

INSTRUMENTS = [
    btcusdt(),
    btcusdt(instrument_id=70_000, symbol="FINE", tick_table=(("0", "0.00001"),), lot_size="1", currency_decimals=8),
    btcusdt(instrument_id=5, symbol="ODD", tick_table=(("0", "0.25"),), lot_size="100", currency_decimals=2),
]
IDS = [each.instrument_id for each in INSTRUMENTS] + [9]
SOURCES = {"bar": BARS, "quote": QUOTES, "trade": TRADES}
FLAGS = st.sampled_from([0, 0, 0, int(RecordFlag.STALE), int(RecordFlag.SYNTHETIC), GAP_FLAG])
STAMP = st.integers(1, 40)
ID = st.sampled_from(IDS)
BAR_ROWS = st.lists(
    st.tuples(STAMP, ID, FLAGS, st.sampled_from([1, 1, 1, 2]), st.integers(10, 20), st.integers(0, 30)), max_size=30
)
TICK_ROWS = st.lists(
    st.tuples(
        st.booleans(),
        STAMP,
        st.sampled_from([0, 3]),
        ID,
        FLAGS,
        st.integers(95, 105),
        st.integers(95, 105),
        st.integers(0, 3),
        st.integers(0, 3),
        st.integers(0, 2),
        st.integers(0, 4),
    ),
    max_size=40,
)


def feed(source, **more):
    made = FeatureFeed(Bank(every(source).program, len(INSTRUMENTS)), SOURCES[source], **more)
    for each in INSTRUMENTS:
        parts = (each.price_increment, each.quantity(1))
        made.add(each.instrument_id, *(float(part) for step in parts for part in step.as_integer_ratio()))
    return made


def bars(rows):
    out = np.zeros(len(rows), BAR)
    for at, (stamp, number, flags, kind, price, volume) in enumerate(rows):
        record = out[at]
        record["end_ns"] = record["now_ns"] = stamp
        record["instrument_id"], record["flags"], record["kind"], record["size"] = number, flags, kind, 60
        record["open_ticks"], record["high_ticks"] = price, price + 2
        record["low_ticks"], record["close_ticks"], record["volume"] = price - 1, price + 1, volume
    return out


def dictionaries(records):
    return [dict(zip(records.dtype.names, row, strict=True)) for row in records.tolist()]


def agree(made, twin):
    rows = []
    for slot, each in enumerate(INSTRUMENTS):
        begin_ns, time_ns, known_ns, gaps, synthetic = made.where(slot)
        mine = twin.rows[each.instrument_id]
        assert (gaps, synthetic) == (twin.gaps[each.instrument_id], twin.synthetic[each.instrument_id])
        assert (begin_ns, time_ns, known_ns) == ((mine[0][0], *mine[-1][:2]) if mine else (0, 0, 0))
        rows += mine
    names = ("taken", "late", "duplicates", "stale", "crossed", "one_sided", "unknown", "foreign")
    assert {name: getattr(made, name) for name in names} == {name: twin.counts[name] for name in names}
    times, collected = made.collected()
    found = sorted(zip(*times.tolist(), collected.T.tolist(), strict=True))
    assert found == sorted((time_ns, known_ns, list(numbers)) for time_ns, known_ns, numbers in rows)


@given(BAR_ROWS)
def test_bars_become_the_rows_of_the_twin(rows):
    made, twin = feed("bar", bar_kind=1, bar_size=60, collects=True), NaiveFeed("bar", INSTRUMENTS, 1, 60)
    records = bars(rows)
    made.bars(records)
    twin.feed("bars", dictionaries(records))
    agree(made, twin)


@given(TICK_ROWS, st.sampled_from(["quote", "trade"]))
def test_quotes_and_trades_become_the_rows_of_the_twin(rows, source):
    made, twin = feed(source, collects=True), NaiveFeed(source, INSTRUMENTS)
    for is_quote, stamp, venue, number, flags, bid, ask, bid_lots, ask_lots, side, trade_id in rows:
        if is_quote:
            records = np.array([(stamp, venue, trade_id % 3, bid, bid_lots, ask, ask_lots, number, flags, 0)], QUOTE)
            made.quotes(records)
            twin.feed("quotes", dictionaries(records))
        elif source == "trade":
            records = np.array([(stamp, venue, trade_id, bid, bid_lots + 1, number, side, 0, flags)], TRADE)
            made.trades(records)
            twin.feed("trades", dictionaries(records))
    agree(made, twin)


def test_of_one_stamp_the_last_sixteen_trades_are_known_again():
    made = feed("trade", collects=True)
    rows = np.zeros(20, TRADE)
    rows["now_ns"], rows["trade_id"], rows["quantity"], rows["instrument_id"] = 5, np.arange(20) + 1, 1, 1
    assert made.trades(rows) == 20
    assert made.trades(rows[4:]) == 0
    assert made.duplicates == 16
    assert made.trades(rows[:4]) == 4
    rows["now_ns"] = 6
    assert made.trades(rows) == 20


def test_a_quote_that_is_the_one_before_again_is_known():
    made = feed("quote", collects=True)
    rows = np.array([(5, 0, update, 10, 1, 11, 2, 1, 0, 0) for update in (0, 0, 7, 7, 8)], QUOTE)
    assert made.quotes(rows) == 4
    rows["bid_quantity"] = [3, 4, 5, 6, 7]
    assert made.quotes(rows) == 5
    assert made.duplicates == 1


def test_what_is_collected_is_what_the_bank_had():
    rows = bars([(stamp, 1, 0, 1, 10 + stamp % 5, 7) for stamp in range(1, 41)])
    streamed, kept = feed("bar", bar_kind=1, bar_size=60), feed("bar", bar_kind=1, bar_size=60, collects=True)
    assert streamed.bars(rows) == kept.bars(rows) == 40
    _, columns = kept.collected()
    values, valid = Bank(every("bar").program).run(0, *columns)
    now, marks = streamed.bank.values(0)
    assert now.tobytes() == values[:, -1].tobytes()
    assert marks.tobytes() == valid[:, -1].tobytes()
    assert streamed.times().tolist() == [[40, 0, 0], [40, 0, 0], [40, 0, 0], [0, 0, 0]]


def test_a_feed_takes_the_records_of_its_source_alone():
    made = feed("bar", bar_kind=1, bar_size=60)
    with pytest.raises(ValueError, match="expected"):
        made.quotes(np.zeros(1, QUOTE))
    with pytest.raises(ValueError, match="expected"):
        made.trades(np.zeros(1, TRADE))
    with pytest.raises(TypeError):
        made.bars(np.zeros(1, TRADE))
    with pytest.raises(ValueError, match="each once"):
        made.add(1, 1.0, 10.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="at most"):
        made.add(77, 1.0, 10.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="expected"):
        FeatureFeed(Bank(every("quote").program), BARS)
    for source, more in (("quote", {"keeps": 1}), ("bar", {"keeps": -1}), ("bar", {"keeps": 5, "collects": True})):
        with pytest.raises(ValueError, match="keeps"):
            feed(source, **more)
    for ratio in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="split"):
            made.split(1, 5, ratio)
    assert not made.split(9, 5, 2.0)
    with pytest.raises(ValueError, match="collected"):
        feed("bar", collects=True).split(1, 5, 2.0)
    with pytest.raises(IndexError):
        made.where(3)


def test_state_goes_to_the_same_instrument_alone():
    first, second = feed("quote"), feed("quote")
    first.quotes(np.array([(5, 0, 0, 10, 1, 11, 2, 1, 0, 0)], QUOTE))
    second.restore(0, *first.state(0))
    assert second.where(0) == first.where(0) == (5, 5, 5, 0, 0)
    assert second.bank.values(0)[0].tobytes() == first.bank.values(0)[0].tobytes()
    with pytest.raises(ValueError, match="same increments"):
        second.restore(1, *first.state(0))
    with pytest.raises(ValueError, match="bytes"):
        second.restore(0, 1, b"")
    rows, memory = first.state(0)
    with pytest.raises(ValueError, match="rows"):
        second.restore(0, rows, memory + bytes(56))


def test_an_increment_that_takes_rows_beyond_all_numbers_is_refused():
    made = FeatureFeed(Bank(every("bar").program, 3), BARS, bar_kind=1, bar_size=60)
    for bad in ((np.inf, 1.0, 1.0, 1.0), (1.0, 1.0, 1e290, 1.0), (1.0, 5e-324, 1.0, 1.0), (np.nan, 1.0, 1.0, 1.0)):
        with pytest.raises(ValueError, match="expected"):
            made.add(1, *bad)
    assert len(made) == 0
    assert made.add(1, 1e280, 1.0, 1.0, 1.0) == 0


@pytest.mark.parametrize("place", [7, 8])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_touch_that_is_none_is_no_state(place, bad):
    made = feed("trade")
    made.quotes(np.array([(5, 0, 0, 10, 1, 11, 2, 1, 0, 0)], QUOTE))
    rows, memory = made.state(0)
    words = np.frombuffer(memory, "<f8").copy()
    assert words[7:9].tolist() == [1.0, 1.1]
    words[place] = bad
    with pytest.raises(ValueError, match="finite"):
        made.restore(0, rows, words.tobytes())
    assert made.state(0) == (rows, memory)


def test_a_touch_at_a_price_of_nothing_is_a_touch():
    made = feed("trade", collects=True)
    made.quotes(np.array([(5, 0, 0, 0, 1, 0, 2, 1, 0, 0)], QUOTE))
    made.trades(np.array([(6, 0, 1, 30, 1, 1, 1, 0, 0)], TRADE))
    assert made.collected()[1][:, 0].tolist() == [3.0, 0.001, 1.0, 0.0, 0.0]


@settings(max_examples=40, deadline=None)
@given(TICK_ROWS, st.sampled_from(["quote", "trade"]), st.integers(0, 40))
def test_a_feed_goes_on_where_another_stood(rows, source, cut):
    # At the capacity: every slot of the bank has an instrument.
    def take(made, part):
        for is_quote, stamp, venue, number, flags, bid, ask, bid_lots, ask_lots, side, trade_id in part:
            if is_quote:
                made.quotes(
                    np.array([(stamp, venue, trade_id % 3, bid, bid_lots, ask, ask_lots, number, flags, 0)], QUOTE)
                )
            elif source == "trade":
                made.trades(np.array([(stamp, venue, trade_id, bid, bid_lots + 1, number, side, 0, flags)], TRADE))

    whole, first, second = feed(source), feed(source), feed(source)
    take(whole, rows)
    take(first, rows[:cut])
    for slot in range(len(INSTRUMENTS)):
        second.restore(slot, *first.state(slot))
    take(second, rows[cut:])
    assert [second.state(slot) for slot in range(3)] == [whole.state(slot) for slot in range(3)]
    assert second.times().tolist() == whole.times().tolist()
    assert first.taken + second.taken == whole.taken


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_kept_row_or_a_split_that_is_none_is_no_state(bad):
    made = feed("bar", bar_kind=1, bar_size=60, keeps=8)
    made.bars(bars([(stamp, 1, 0, 1, 10, 7) for stamp in range(1, 4)]))
    made.split(1, 3, 2.0)
    rows, memory = made.state(0)
    words = np.frombuffer(memory, "<f8")
    kept = len(memory) // 8 - made.bank.slot_bytes // 8 - 3 * 7
    for place in (words.tolist().index(2.0), kept + 2, kept + 20):
        spoilt = words.copy()
        spoilt[place] = bad
        with pytest.raises(ValueError, match="expected"):
            made.restore(0, rows, spoilt.tobytes())
    assert made.state(0) == (rows, memory)
