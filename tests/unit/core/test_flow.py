"""Order-flow imbalance against its twin, and the cases of its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.book_set import BookSet
from nautilus.core.flow import FlowBuilder
from nautilus.core.ticks import FLOW, GAP_FLAG
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE, BookAction, RecordFlag
from tests.kit.derived import flows_agree

LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)


def quotes(*rows, instrument=1):
    """(stamp, bid, lots, ask, lots[, flags]) each."""
    full = [(*row, *(LAST,)[len(row) - 5 :]) for row in rows]
    return np.array([(at, 0, 0, bid, b, ask, a, instrument, flags, 0) for at, bid, b, ask, a, flags in full], QUOTE)


@pytest.mark.parametrize(
    ("after", "imbalance"),
    [
        ((100, 7, 101, 5), 2),  # more at the bid
        ((100, 5, 101, 2), 3),  # less at the ask
        ((101, 4, 102, 5), 4 + 5),  # both move up: a new bid, an ask gone
        ((99, 6, 100, 3), -5 - 3),  # both move down: a bid gone, a new ask
        ((0, 0, 101, 5), -5),  # the bid side empties
        ((100, 5, 0, 0), 5),
        ((100, 5, 101, 5), 0),
    ],
)
def test_an_update_counts_what_the_definition_says(after, imbalance):
    flows = FlowBuilder(updates=1).process(quotes((1, 100, 5, 101, 5), (2, *after)))
    assert flows.dtype == FLOW
    assert flows.tolist() == [(2, 2, imbalance, after[1], after[3], 1, 1, 1, 0, LAST, 0)]


def test_intervals_of_time_end_with_the_first_update_behind_them():
    builder = FlowBuilder(interval_ns=10)
    flows = builder.process(
        quotes((1, 100, 5, 101, 5), (8, 100, 6, 101, 5), (9, 100, 8, 101, 5, LAST | GAP_FLAG), (40, 100, 1, 101, 5))
    )
    assert flows.tolist() == [(9, 0, 3, 14, 10, 2, 1, 1, 0, LAST | GAP_FLAG, 0)]
    assert builder.flush().tolist() == [(40, 40, -7, 1, 5, 1, 1, 1, 0, 0, 0)]
    assert len(builder.flush()) == 0


def test_a_snapshot_of_a_book_tells_no_flow_and_a_blind_book_says_so():
    books, builder = BookSet(), FlowBuilder(updates=1, levels=2)
    clear = int(BookAction.CLEAR)

    def delta(at, side, price, lots, flags=LAST, action=1):
        return (at, 0, 0, 0, price, lots, 1, side, action, flags)

    image = [delta(5, side, 0, 0, SNAPSHOT, clear) for side in (1, 2)] + [delta(5, 1, 99, 4, SNAPSHOT | LAST)]
    rows = [delta(1, 1, 100, 3), delta(2, 2, 101, 2), *image, delta(6, 1, 98, 2), delta(7, 1, 97, 9)]
    flows = builder.process_books(books, np.array(rows, BOOK_DELTA))
    assert flows[["now_ns", "imbalance", "bid_depth", "flags"]].tolist() == [
        (2, -2, 3, LAST | STALE),
        (6, 2, 6, LAST),
        (7, 0, 6, LAST),
    ]
    assert books.best(1) == (99, 4, 0, 0)


def test_a_blind_time_between_quotes_is_no_flow():
    same, blind = (100, 10, 101, 20), (100, 0, 101, 0, LAST | STALE)
    rows = quotes((1, *same), (2, *blind), (3, *same))
    builder = FlowBuilder(updates=1)
    assert len(builder.process(rows)) == 0
    assert builder.process(quotes((4, 100, 13, 101, 20))).tolist() == [(4, 4, 3, 13, 20, 1, 1, 1, 0, LAST, 0)]
    builder = FlowBuilder(interval_ns=10)
    builder.process(quotes((0, 100, 9, 101, 20), (1, *same)))
    builder.process(rows)
    assert builder.flush()[["imbalance", "updates", "flags"]].tolist() == [(1, 2, STALE)], "and the interval says so"


def test_what_cannot_be_is_refused():
    for settings_ in ({}, {"interval_ns": 1, "updates": 1}, {"updates": -1}, {"updates": 1, "levels": 11}):
        with pytest.raises(ValueError, match="FlowBuilder"):
            FlowBuilder(**settings_)
    builder = FlowBuilder(updates=5)
    with pytest.raises(ValueError, match=r"quotes\[1\]"):
        builder.process(quotes((1, 1, 1, 2, 1), (1, 1, -1, 2, 1)))
    with pytest.raises(ValueError, match="levels"):
        FlowBuilder(updates=5, levels=2).process(quotes((1, 1, 1, 2, 1)))
    with pytest.raises(ValueError, match=r"deltas\[0\]"):
        builder.process_books(BookSet(), np.zeros(1, BOOK_DELTA))
    with pytest.raises(TypeError):
        builder.process(np.zeros(1, TRADE))
    with pytest.raises(TypeError):
        builder.process_books(None, np.zeros(1, BOOK_DELTA))


LOTS = st.sampled_from([0, 1, 2, 5, 1 << 40])
QUOTES = st.tuples(
    st.integers(0, 60), st.integers(97, 100), LOTS, st.integers(100, 103), LOTS, st.sampled_from([1, 5, 33, 9])
)
INTERVALS = st.one_of(
    st.fixed_dictionaries({"interval_ns": st.integers(1, 20)}), st.fixed_dictionaries({"updates": st.integers(1, 6)})
)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(QUOTES, max_size=40), cut=st.integers(0, 40), every=INTERVALS)
def test_of_quotes_it_is_that_of_the_twin(rows, cut, every):
    records = quotes(*rows)
    records["instrument_id"] = np.arange(len(rows)) % 2 * 69_999 + 1
    flows_agree(records, cut=cut, **every)


DELTAS = st.tuples(
    st.integers(0, 60),
    st.integers(97, 103),
    LOTS,
    st.integers(1, 2),
    st.sampled_from([1, 1, 1, 1, 7]),
    st.sampled_from([0, LAST, LAST, LAST, LAST | SNAPSHOT, LAST | 4]),
)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(DELTAS, max_size=40), levels=st.integers(1, 10), every=INTERVALS)
def test_of_books_it_is_that_of_the_twin(rows, levels, every):
    records = np.array(
        [(at, 0, 0, 0, price, lots, 9, side, action, flags) for at, price, lots, side, action, flags in rows],
        BOOK_DELTA,
    )
    flows_agree(records, levels=levels, **every)
