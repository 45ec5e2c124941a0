"""Rebuilt books against the venue's ticker, whatever the pieces in which both arrive."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.adapters.formats import BookCheck
from nautilus.core.types import QUOTE


def quotes_of(rows):
    """QUOTE array of (update id, bid)."""
    quotes = np.zeros(len(rows), QUOTE)
    for i, (update_id, bid) in enumerate(rows):
        quotes[i] = (0, 0, update_id, bid, 1, bid + 1, 2, 1, 0, 0)
    return quotes


def test_book_is_compared_with_the_last_ticker_not_above_it():
    check = BookCheck()
    check.add(quotes_of([(15, 7), (25, 8)]), quotes_of([(10, 7), (20, 9)]))
    assert (check.compared, check.equal, check.pending) == (1, 1, 1)
    check.add(quotes_of([]), quotes_of([(30, 1)]))
    assert (check.compared, check.equal, check.pending) == (2, 1, 0)
    assert check.differences == [{"update_id": 25, "rebuilt": (8, 1, 9, 2), "venue": (9, 1, 10, 2)}]


def test_ticker_may_arrive_after_the_book_that_it_concerns():
    check = BookCheck()
    check.add(quotes_of([(15, 7)]), quotes_of([(10, 1)]))
    assert check.pending == 1
    check.add(quotes_of([]), quotes_of([(14, 7), (16, 2)]))
    assert (check.compared, check.equal, check.pending) == (1, 1, 0)


def test_ticker_may_run_far_ahead_of_the_books():
    check = BookCheck()
    check.add(quotes_of([]), quotes_of([(10, 1), (20, 2), (30, 3), (99, 9)]))
    check.add(quotes_of([(12, 1), (25, 2)]), quotes_of([]))
    check.add(quotes_of([(31, 3)]), quotes_of([]))
    assert (check.compared, check.equal, check.pending) == (3, 3, 0)


def test_end_of_the_stream_decides_the_rest():
    check = BookCheck()
    check.add(quotes_of([(15, 7)]), quotes_of([(10, 7)]))
    assert check.compared == 0
    check.finish()
    assert (check.compared, check.equal, check.pending) == (1, 1, 0)


def test_book_before_the_first_ticker_is_not_compared():
    check = BookCheck()
    check.add(quotes_of([(5, 7)]), quotes_of([(10, 7)]))
    assert (check.compared, check.without_ticker) == (0, 1)


def test_ticker_out_of_order_is_counted():
    check = BookCheck()
    check.add(quotes_of([(15, 7)]), quotes_of([(12, 7), (10, 1), (20, 2)]))
    assert (check.unordered, check.compared, check.equal) == (1, 1, 1)


def test_levels_are_equal_where_every_depth_is():
    check = BookCheck()
    check.add_levels(1, {1: True, 3: True}, [[(1, 1)]], [[(1, 1)]])
    check.add_levels(2, {1: True, 3: False}, [[(1, 1)]], [[(2, 2)]])
    summary = check.summary()
    assert (summary["compared"], summary["equal"], summary["by_depth"]) == (2, 1, {"1": 2, "3": 1})
    assert summary["differences"] == [{"update_id": 2, "rebuilt": [[(1, 1)]], "venue": [[(2, 2)]]}]


IDS = st.sets(st.integers(0, 60), max_size=25)


@settings(max_examples=200, deadline=None)
@given(IDS, IDS, st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12), st.integers(0, 2**32))
def test_any_pieces_give_what_the_whole_streams_give(book_ids, ticker_ids, pieces, seed):
    bids = np.random.default_rng(seed).integers(1, 4, 61).tolist()
    books = [(i, bids[i]) for i in sorted(book_ids)]
    tickers = [(i, bids[i - 1]) for i in sorted(ticker_ids)]
    expected = {}
    for update_id, bid in books:
        known = [ticker for i, ticker in tickers if i <= update_id]
        if known:
            expected[update_id] = known[-1] == bid
    check = BookCheck()
    given_books = given_tickers = 0
    for more_books, more_tickers in [*pieces, (60, 60)]:
        check.add(
            quotes_of(books[given_books : given_books + more_books]),
            quotes_of(tickers[given_tickers : given_tickers + more_tickers]),
        )
        given_books += more_books
        given_tickers += more_tickers
        # What was decided early is what the whole streams say: a ticker with a greater id was seen.
        newest = max([i for i, _ in tickers[:given_tickers]], default=-1)
        decided = [equal for i, equal in expected.items() if i < newest and i in dict(books[:given_books])]
        assert (check.compared, check.equal) == (len(decided), sum(decided))
    check.finish()
    assert (check.compared, check.equal) == (len(expected), sum(expected.values()))
    assert check.compared + check.without_ticker + check.pending == len(books)
