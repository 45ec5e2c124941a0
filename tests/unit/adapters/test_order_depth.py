"""The order-by-order book, against a list of orders."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.adapters.formats.orderdepth import BUY, SELL, OrderDepth
from nautilus.core.types import BookAction

ADD, REDUCE, DELETE, EXECUTE = BookAction.ADD, BookAction.REDUCE, BookAction.DELETE, BookAction.EXECUTE
SET, CLEAR, HIDDEN = BookAction.SET, BookAction.CLEAR, BookAction.EXECUTE_HIDDEN


def book_of(*changes):
    book = OrderDepth()
    for change in changes:
        book.change(*change)
    return book


def test_orders_at_a_price_add_up_and_leave_one_by_one():
    book = book_of((BUY, ADD, 1, 10, 5), (BUY, ADD, 2, 10, 7), (BUY, ADD, 3, 9, 1), (SELL, ADD, 4, 12, 2))
    assert book.levels(BUY, 5) == [(10, 12), (9, 1)]
    book.change(BUY, REDUCE, 1, 10, 2)
    book.change(BUY, EXECUTE, 2, 10, 7)
    assert book.levels(BUY, 5) == [(10, 3), (9, 1)]
    book.change(BUY, DELETE, 1, 10, 3)
    assert (book.best(BUY), book.best(SELL), book.misfits) == ((9, 1), (12, 2), 0)


def test_unknown_id_acts_on_the_initial_order_of_its_level():
    book = book_of((BUY, SET, 0, 10, 100), (BUY, ADD, 1, 10, 5), (BUY, DELETE, 77, 10, 30), (BUY, EXECUTE, 78, 10, 20))
    assert book.best(BUY) == (10, 55)
    book.change(BUY, DELETE, 1, 10, 5)
    assert (book.best(BUY), book.misfits) == ((10, 50), 0)


def test_more_than_there_is_takes_what_there_is_and_is_counted():
    book = book_of((BUY, SET, 0, 10, 5), (BUY, ADD, 1, 10, 4), (BUY, EXECUTE, 9, 10, 8))
    assert (book.best(BUY), book.misfits) == ((10, 4), 1)
    book.change(BUY, EXECUTE, 1, 10, 9)
    assert (book.best(BUY), book.misfits) == ((0, 0), 2)
    book.change(BUY, EXECUTE, 1, 10, 9)
    assert book.misfits == 3


def test_hidden_execution_leaves_the_book_alone():
    book = book_of((SELL, SET, 0, 10, 5), (SELL, HIDDEN, 0, 10, 8), (SELL, HIDDEN, 0, 9, 8))
    assert (book.best(SELL), book.misfits) == ((10, 5), 0)


def test_set_replaces_a_level_and_clear_empties_a_side():
    book = book_of((SELL, ADD, 1, 10, 5), (SELL, SET, 0, 10, 3), (SELL, DELETE, 1, 10, 2))
    assert book.best(SELL) == (10, 1)  # the named order went with its level
    book.change(SELL, SET, 0, 10, 0)
    assert not book.has(SELL, 10)
    book.change(SELL, ADD, 2, 11, 1)
    book.change(SELL, CLEAR, 0, 0, 0)
    assert book.levels(SELL, 3) == []


def test_levels_beyond_a_price_are_the_worse_ones():
    book = book_of(*[(side, ADD, 10 * side + p, p, 1) for side in (BUY, SELL) for p in (5, 6, 7, 8)])
    assert book.beyond(BUY, 6) == [5]
    assert book.beyond(SELL, 6) == [7, 8]
    assert book.beyond(BUY, 4) == book.beyond(SELL, 9) == []


class NaiveOrders:
    """The same book as one list of [side, id, price, quantity]; id 0 is the initial order of its level."""

    def __init__(self):
        self.orders = []

    def change(self, side, action, order_id, price, quantity):
        here = [order for order in self.orders if order[0] == side and order[2] == price]
        if action == ADD:
            self.orders.append([side, order_id, price, quantity])
        elif action == SET:
            self.orders = [order for order in self.orders if order not in here]
            self.orders.append([side, 0, price, quantity])
        elif action == CLEAR:
            self.orders = [order for order in self.orders if order[0] != side]
        elif action != HIDDEN:
            named = [order for order in here if order[1] == order_id] or [order for order in here if order[1] == 0]
            for order in named:
                whole = action == DELETE and order[1] == order_id
                order[3] = 0 if whole else max(0, order[3] - quantity)
        self.orders = [order for order in self.orders if order[3]]

    def levels(self, side, count):
        prices = sorted({order[2] for order in self.orders if order[0] == side}, reverse=side == BUY)
        totals = [(p, sum(o[3] for o in self.orders if o[0] == side and o[2] == p)) for p in prices]
        return totals[:count]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([BUY, SELL]),
            st.sampled_from([ADD, ADD, ADD, REDUCE, DELETE, EXECUTE, SET, HIDDEN, CLEAR]),
            st.integers(1, 12),
            st.integers(1, 6),
            st.integers(0, 9),
        ),
        max_size=50,
    )
)
def test_book_equals_a_list_of_orders_after_each_change(changes):
    book, naive = OrderDepth(), NaiveOrders()
    for number, (side, action, order_id, price, quantity) in enumerate(changes):
        if action == ADD:
            order_id, quantity = 100 + number, quantity + 1
        elif action in (REDUCE, DELETE, EXECUTE):
            order_id, quantity = 100 + order_id, quantity + 1
        book.change(side, action, order_id, price, quantity)
        naive.change(side, action, order_id, price, quantity)
        for each in (BUY, SELL):
            assert book.levels(each, 4) == naive.levels(each, 4)
            assert book.best(each) == (naive.levels(each, 1) or [(0, 0)])[0]
