"""Order books of many instruments, order by order: set-up, batches and Python face. The hot path is in order_book.pxd."""

import numpy as np

from nautilus.core.types import BOOK_DELTA as _BOOK_DELTA
from nautilus.core.types import QUOTE as _QUOTE

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from nautilus.core.hashing cimport xxh64_words
from nautilus.core.pages cimport pages_close, pages_open
from nautilus.core.hashmap cimport map_close, map_open, map_put
from nautilus.core.ladder cimport ladder_below, ladder_find, ladder_open
from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.types cimport (
    ACTION_ADD,
    ACTION_CLEAR,
    ACTION_DELETE,
    ACTION_EXECUTE,
    ACTION_EXECUTE_HIDDEN,
    ACTION_REDUCE,
    ACTION_SET,
    RECORD_LAST,
)

cnp.import_array()

BOOK_LEVEL = np.dtype([("price_ticks", "<i8"), ("quantity", "<i8"), ("orders", "<i8")])
BOOK_ORDER = np.dtype([("order_id", "<u8"), ("price_ticks", "<i8"), ("quantity", "<i8"), ("side", "<i8")])
MAX_ORDERS = 1 << 30
cdef int64_t LARGEST_PRICE = <int64_t>1 << 40    # what a ladder takes
cdef int64_t LARGEST_STEP = <int64_t>1 << 22
cdef int64_t LARGEST = <int64_t>1 << 62
# Records ahead of the one at hand whose slot, order and level are asked for. Measured; few enough for a core's
# outstanding misses, far enough for one from memory.
cdef enum:
    AHEAD_SLOT = 12
    AHEAD_ORDER = 8
    AHEAD_LEVEL = 4
    AHEAD_RING = 16
_REASONS = {
    BOOKS_SIDE: "side is neither BUY nor SELL",
    BOOKS_ACTION: "action is none of BookAction",
    BOOKS_QUANTITY: "quantity is out of range",
    BOOKS_PRICE: "price is out of range",
    BOOKS_ORDERS: "there is no room for another order",
    BOOKS_PAGES: "there is no room for another page of levels",
    BOOKS_INSTRUMENTS: "there is no room for another instrument",
}

ctypedef struct moved_t:
    int64_t price
    level_t level


cdef int books_open(
    books_t* b, uint32_t instruments, uint32_t orders, uint32_t pages, bint huge
) noexcept nogil:
    """0, or -1 where the memory cannot be had."""
    cdef uint64_t slots = 1 << SLOT_GROUP_BITS
    memset(b, 0, sizeof(books_t))
    b.capacity = instruments
    b.page_capacity = pages
    b.step = 1
    b.books = <order_book_t*>map_region(<size_t>(instruments + 1) * sizeof(order_book_t), huge)
    b.small = <uint32_t*>map_region(BOOKS_SMALL_IDS * sizeof(uint32_t), False)
    b.order_capacity = orders
    b.orders = <resting_t*>map_region(<size_t>(orders + 1) * sizeof(resting_t), huge)
    b.free = <uint32_t*>map_region(<size_t>(orders + FREE_AHEAD) * sizeof(uint32_t), huge)
    if b.free != NULL:
        b.free += FREE_AHEAD
    if (b.books == NULL or b.small == NULL or b.orders == NULL or b.free == NULL
            or map_open(&b.large, instruments)
            or pages_open(&b.pages, pages, huge)):
        return -1
    while slots < 2 * <uint64_t>orders:
        slots <<= 1
        b.group_shift += 1
    b.slot_mask = <uint32_t>(slots - 1)
    b.group_mask = (<uint32_t>1 << b.group_shift) - 1
    b.slots = <order_slot_t*>map_region(slots * sizeof(order_slot_t), huge)
    b.displaced = <uint32_t*>map_region(<size_t>(b.group_mask + 1) * sizeof(uint32_t), False)
    if b.slots == NULL or b.displaced == NULL:
        return -1
    return 0


cdef void books_close(books_t* b) noexcept nogil:
    if b.books != NULL:
        unmap_region(b.books, <size_t>(b.capacity + 1) * sizeof(order_book_t))
    if b.small != NULL:
        unmap_region(b.small, BOOKS_SMALL_IDS * sizeof(uint32_t))
    map_close(&b.large)
    if b.orders != NULL:
        unmap_region(b.orders, <size_t>(b.order_capacity + 1) * sizeof(resting_t))
    if b.free != NULL:
        unmap_region(b.free - FREE_AHEAD, <size_t>(b.order_capacity + FREE_AHEAD) * sizeof(uint32_t))
    pages_close(&b.pages)
    if b.slots != NULL:
        unmap_region(b.slots, (<size_t>b.slot_mask + 1) * sizeof(order_slot_t))
    if b.displaced != NULL:
        unmap_region(b.displaced, (<size_t>b.group_mask + 1) * sizeof(uint32_t))


cdef int books_new(books_t* b, uint32_t instrument_id, int64_t edge, int64_t step) noexcept nogil:
    cdef order_book_t* book
    cdef uint32_t index = b.count + 1
    if b.count == b.capacity:
        return BOOKS_INSTRUMENTS
    if instrument_id < BOOKS_SMALL_IDS:
        b.small[instrument_id] = index
    elif map_put(&b.large, instrument_id, index):
        return BOOKS_INSTRUMENTS
    book = &b.books[index]
    ladder_open(&book.sides[0], SIDE_BUY)
    ladder_open(&book.sides[1], SIDE_SELL)
    book.id = instrument_id
    book.edge = edge
    book.step = step
    book.reciprocal = ~<uint64_t>0 // <uint64_t>step + 1
    b.count = index
    return <int>index


cdef int books_refine(books_t* b, uint32_t index) noexcept nogil:
    """Puts a book whose grid is too coarse for a price on one of single ticks. Rare: once a book at most."""
    cdef order_book_t* book = &b.books[index]
    cdef size_t count = 0, place = 0, kept = 0
    cdef uint32_t side, slot, number
    cdef ladder_t* ladder
    cdef moved_t* moved
    for side in range(2):
        number = book.sides[side].best_level
        while number:
            count += 1
            number = ladder_below(&b.pages, number)
    # One page a level at most, and as many nodes as its way down may ask for.
    if count > b.pages.pool.capacity - b.pages.pool.used or count * 12 > b.pages.node_pool.capacity - b.pages.node_pool.used:
        return BOOKS_PAGES
    moved = <moved_t*>malloc((count + 1) * sizeof(moved_t))
    if moved == NULL:
        return BOOKS_PAGES
    for side in range(2):
        ladder = &book.sides[side]
        kept = place
        while ladder.best_level:
            number = ladder.best_level
            moved[place].price = price_of(book, side, ladder.best)
            moved[place].level = b.pages.levels[number]
            memset(&b.pages.levels[number], 0, sizeof(level_t))
            place += 1
            ladder_give(&b.pages, ladder, number)
        for kept in range(kept, place):
            number = ladder_take(&b.pages, ladder, index, -moved[kept].price if side else moved[kept].price)
            b.pages.levels[number] = moved[kept].level
            slot = moved[kept].level.head
            while slot:
                resting_at(b, slot).level = number
                slot = resting_at(b, slot).next
    free(moved)
    book.edge = 0
    book.step = 1
    return BOOKS_OK


cdef void books_empty_level(books_t* b, uint32_t index, uint32_t number) noexcept nogil:
    """Removes every order of a level, and so the level."""
    cdef uint32_t slot = b.pages.levels[number].head, next
    cdef resting_t* order
    while slot:
        order = resting_at(b, slot)
        next = order.next
        if order.owner & OWNER_LEVEL:
            books_leave(b, slot, order)
        else:
            books_remove(b, home_of(b, order.order_id), books_slot(b, home_of(b, order.order_id), index, order.order_id))
        slot = next


cdef void books_clear(books_t* b, uint32_t index, uint32_t side) noexcept nogil:
    while b.books[index].sides[side].best_level:
        books_empty_level(b, index, b.books[index].sides[side].best_level)


cdef uint32_t books_level(books_t* b, uint32_t index, uint32_t side, int64_t price) noexcept nogil:
    """The number of the level at a price, 0 where there is none."""
    cdef order_book_t* book = &b.books[index]
    cdef int64_t rank = rank_of(book, side, price)
    cdef uint32_t number = ladder_find(&b.pages, &book.sides[side], rank) if rank != LADDER_EMPTY else 0
    return number if b.pages.levels[number].head else 0


cdef void books_take_unnamed(books_t* b, uint32_t index, uint32_t side, const book_delta_t* delta) noexcept nogil:
    """A change of an order that is not known acts on the order that stands for its level, where there is one."""
    cdef level_t* level = &b.pages.levels[books_level(b, index, side, delta.price_ticks)]
    cdef resting_t* order
    if not resting_at(b, level.head).owner & OWNER_LEVEL:
        b.unknown += 1
        return
    order = resting_at(b, level.head)           # SET put it there, before any that came later
    if delta.quantity >= order.quantity:
        b.excess += delta.quantity > order.quantity
        books_leave(b, level.head, order)
    else:
        order.quantity -= delta.quantity
        level.quantity -= delta.quantity


cdef int books_set(books_t* b, uint32_t index, uint32_t side, const book_delta_t* delta) noexcept nogil:
    cdef uint32_t number = books_level(b, index, side, delta.price_ticks)
    cdef int status
    if number:
        books_empty_level(b, index, number)
    if delta.quantity == 0:
        return BOOKS_OK
    status = books_join(b, index, side, OWNER_LEVEL, delta.price_ticks, 0, delta.quantity)
    return status if status < 0 else BOOKS_OK


cdef int books_rare(books_t* b, uint32_t index, const book_delta_t* delta) noexcept nogil:
    """CLEAR and SET, and what is refused."""
    cdef uint32_t side = delta.side == SIDE_SELL
    if delta.action == ACTION_CLEAR:
        if delta.side > SIDE_SELL:
            return BOOKS_SIDE
        if delta.side != SIDE_SELL:
            books_clear(b, index, 0)
        if delta.side != SIDE_BUY:
            books_clear(b, index, 1)
        return BOOKS_OK
    if delta.side != SIDE_BUY and delta.side != SIDE_SELL:
        return BOOKS_SIDE
    if delta.action != ACTION_SET:
        return BOOKS_ACTION
    if delta.price_ticks > LARGEST_PRICE or delta.price_ticks < -LARGEST_PRICE:
        return BOOKS_PRICE
    if delta.quantity < 0 or delta.quantity > LARGEST:
        return BOOKS_QUANTITY
    return books_set(b, index, side, delta)


cdef inline int books_apply_at(books_t* b, uint32_t home, const book_delta_t* delta) noexcept nogil:
    cdef uint32_t index = books_index(b, delta.instrument_id)
    cdef uint32_t side
    cdef order_slot_t* slot
    cdef int status
    if index == 0:
        status = books_new(b, delta.instrument_id, b.edge, b.step)
        if status < 0:
            return status
        index = <uint32_t>status
    if delta.action == ACTION_ADD:
        side = delta.side - SIDE_BUY
        if side > 1:
            return BOOKS_SIDE
        if delta.quantity <= 0 or delta.quantity > LARGEST:
            return BOOKS_QUANTITY
        if delta.price_ticks > LARGEST_PRICE or delta.price_ticks < -LARGEST_PRICE:
            return BOOKS_PRICE
        return books_add(b, home, index, side, delta.price_ticks, delta.order_id, delta.quantity)
    if delta.action < ACTION_REDUCE or delta.action > ACTION_EXECUTE:
        if delta.action == ACTION_EXECUTE_HIDDEN:
            return BOOKS_OK
        return books_rare(b, index, delta)
    slot = books_slot(b, home, index, delta.order_id)
    if ladder_likely(slot != NULL):
        if delta.action == ACTION_DELETE:
            books_remove(b, home, slot)
            return BOOKS_OK
        if delta.quantity < 0:
            return BOOKS_QUANTITY
        books_take(b, home, slot, resting_at(b, slot.order), delta.quantity)
        return BOOKS_OK
    if delta.quantity < 0:
        return BOOKS_QUANTITY
    side = delta.side - SIDE_BUY
    if side > 1 or delta.price_ticks > LARGEST_PRICE or delta.price_ticks < -LARGEST_PRICE:
        b.unknown += 1
    else:
        books_take_unnamed(b, index, side, delta)
    return BOOKS_OK


cdef int books_apply_one(books_t* b, const book_delta_t* delta) noexcept nogil:
    return books_apply_at(b, home_of(b, delta.order_id), delta)


cdef inline uint32_t books_near(books_t* b, uint32_t instrument_id, uint32_t* last) noexcept nogil:
    """Index of a book for a prefetch; of the last instrument it is remembered, for a large id would be looked up."""
    if instrument_id < BOOKS_SMALL_IDS:
        return b.small[instrument_id]
    if last[0] != instrument_id:
        last[0] = instrument_id
        last[1] = books_index(b, instrument_id)
    return last[1]


cdef Py_ssize_t books_apply(
    books_t* b, const book_delta_t* rows, Py_ssize_t count, quote_t* quotes, Py_ssize_t* quote_count, int* status
) noexcept nogil:
    """Number of records applied; fewer than `count` where `status` tells why. With `quotes`, the best after each LAST."""
    cdef uint32_t homes[AHEAD_RING]
    cdef Py_ssize_t i, k
    cdef uint32_t home
    cdef uint32_t last[2]
    last[0] = last[1] = 0
    for k in range(AHEAD_SLOT if count > AHEAD_SLOT else count):
        homes[k] = home_of(b, rows[k].order_id)
    for i in range(count):
        k = i + AHEAD_SLOT
        if k < count:
            home = home_of(b, rows[k].order_id)
            homes[k & (AHEAD_RING - 1)] = home
            prefetch_line(slot_at(b, home))
            k = i + AHEAD_ORDER
            books_prefetch_order(b, homes[k & (AHEAD_RING - 1)], books_near(b, rows[k].instrument_id, last),
                                 rows[k].price_ticks, rows[k].side - SIDE_BUY)
            k = i + AHEAD_LEVEL
            books_prefetch_neighbours(b, homes[k & (AHEAD_RING - 1)], books_near(b, rows[k].instrument_id, last),
                                      rows[k].price_ticks, rows[k].side - SIDE_BUY)
        status[0] = books_apply_at(b, homes[i & (AHEAD_RING - 1)], &rows[i])
        if status[0] != BOOKS_OK:
            return i
        if quotes != NULL and rows[i].flags & RECORD_LAST:
            books_best(b, books_index(b, rows[i].instrument_id), &quotes[quote_count[0]])
            quotes[quote_count[0]].now_ns = rows[i].now_ns
            quotes[quote_count[0]].venue_ns = rows[i].venue_ns
            quotes[quote_count[0]].update_id = rows[i].update_id
            quote_count[0] += 1
    return count


cdef void books_best(const books_t* b, uint32_t index, quote_t* quote) noexcept nogil:
    cdef const order_book_t* book = &b.books[index]
    memset(quote, 0, sizeof(quote_t))
    quote.instrument_id = book.id
    quote.flags = RECORD_LAST
    if book.sides[0].best != LADDER_EMPTY:
        quote.bid_ticks = price_of(book, 0, book.sides[0].best)
        quote.bid_quantity = b.pages.levels[book.sides[0].best_level].quantity
    if book.sides[1].best != LADDER_EMPTY:
        quote.ask_ticks = price_of(book, 1, book.sides[1].best)
        quote.ask_quantity = b.pages.levels[book.sides[1].best_level].quantity


cdef cnp.ndarray _checked(object deltas):
    """The array itself, if it is what the C loops may walk."""
    if not isinstance(deltas, np.ndarray) or (deltas.dtype is not _BOOK_DELTA and deltas.dtype != _BOOK_DELTA):
        raise TypeError(f"deltas are {getattr(deltas, 'dtype', type(deltas).__name__)}; expected a BOOK_DELTA array")
    if deltas.ndim != 1 or not deltas.flags.c_contiguous:
        raise TypeError("deltas are not one contiguous row; expected a one-dimensional C-contiguous BOOK_DELTA array")
    return <cnp.ndarray>deltas


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
@cython.final
cdef class OrderBooks:
    def __cinit__(self, *, uint32_t orders=1 << 20, uint32_t instruments=1 << 14, uint32_t pages=1 << 15,
                  int64_t edge=0, int64_t step=1, bint huge=True):
        for name, value in (("orders", orders), ("instruments", instruments)):
            if not 1 <= value <= MAX_ORDERS:
                raise ValueError(f"{name} is {value}; expected 1 to 2^30")
        if not 1 <= pages < 1 << 23:
            raise ValueError(f"pages is {pages}; expected 1 to 2^23 - 1")
        if edge < 0 or edge > LARGEST_PRICE or step < 1 or step > LARGEST_STEP:
            raise ValueError(f"edge is {edge} and step {step}; expected 0 to 2^40, and 1 to 2^22")
        if books_open(&self.b, instruments, orders, pages, huge):
            raise MemoryError(f"no memory for books of {orders} orders in {pages} pages")
        self.b.edge = edge
        self.b.step = step

    def __dealloc__(self):
        books_close(&self.b)

    def add_instrument(self, uint32_t instrument_id, *, int64_t edge=0, int64_t step=1):
        cdef int status
        if books_index(&self.b, instrument_id):
            raise ValueError(f"instrument {instrument_id} has a book already; expected a new one")
        if edge < 0 or edge > LARGEST_PRICE or step < 1 or step > LARGEST_STEP:
            raise ValueError(f"edge is {edge} and step {step}; expected 0 to 2^40, and 1 to 2^22")
        status = books_new(&self.b, instrument_id, edge, step)
        if status < 0:
            raise MemoryError(_REASONS[<object>status])

    def apply(self, deltas):
        cdef cnp.ndarray array = _checked(deltas)
        cdef const book_delta_t* rows = <const book_delta_t*>cnp.PyArray_DATA(array)
        cdef Py_ssize_t done, count = array.shape[0]
        cdef int status = BOOKS_OK
        with nogil:
            done = books_apply(&self.b, rows, count, NULL, NULL, &status)
        if status != BOOKS_OK:
            _refuse(status, done)

    def apply_quotes(self, deltas):
        cdef cnp.ndarray array = _checked(deltas)
        cdef const book_delta_t* rows = <const book_delta_t*>cnp.PyArray_DATA(array)
        cdef Py_ssize_t done, made = 0, count = array.shape[0]
        cdef int status = BOOKS_OK
        quotes = np.empty(count, _QUOTE)
        cdef quote_t* out = <quote_t*>cnp.PyArray_DATA(<cnp.ndarray>quotes)
        with nogil:
            done = books_apply(&self.b, rows, count, out, &made, &status)
        if status != BOOKS_OK:
            _refuse(status, done)
        return quotes[:made]

    def best(self, uint32_t instrument_id):
        cdef quote_t quote
        books_best(&self.b, self._index(instrument_id), &quote)
        return quote.bid_ticks, quote.bid_quantity, quote.ask_ticks, quote.ask_quantity

    def depth(self, uint32_t instrument_id, int side, Py_ssize_t levels=MAX_ORDERS):
        cdef uint32_t index = self._index(instrument_id), which = _which(side), slot
        cdef ladder_t* ladder = &self.b.books[index].sides[which]
        cdef uint32_t number = ladder.best_level
        cdef int64_t orders
        rows = []
        while number and len(rows) < levels:
            orders = 0
            slot = self.b.pages.levels[number].head
            while slot:
                orders += 1
                slot = resting_at(&self.b, slot).next
            rows.append((price_of(&self.b.books[index], which, level_rank(&self.b.pages, number)),
                         self.b.pages.levels[number].quantity, orders))
            number = ladder_below(&self.b.pages, number)
        return np.array(rows, BOOK_LEVEL)

    def orders(self, uint32_t instrument_id):
        cdef uint32_t index = self._index(instrument_id), side, slot, number
        cdef order_book_t* book = &self.b.books[index]
        cdef resting_t* order
        cdef Py_ssize_t at = 0
        out = np.empty(book.orders, BOOK_ORDER)
        cdef int64_t* row = <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>out)
        for side in range(2):
            number = book.sides[side].best_level
            while number:
                slot = self.b.pages.levels[number].head
                while slot:
                    order = resting_at(&self.b, slot)
                    row[at] = <int64_t>order.order_id
                    row[at + 1] = price_of(book, side, level_rank(&self.b.pages, number))
                    row[at + 2] = order.quantity
                    row[at + 3] = order_side(order)
                    at += 4
                    slot = order.next
                number = ladder_below(&self.b.pages, number)
        return out

    def state_hash(self, uint32_t instrument_id):
        rows = self.orders(instrument_id)
        return xxh64_words(cnp.PyArray_DATA(<cnp.ndarray>rows), rows.nbytes // 8)

    def clear(self, uint32_t instrument_id):
        cdef uint32_t index = self._index(instrument_id)
        books_clear(&self.b, index, 0)
        books_clear(&self.b, index, 1)

    @property
    def instruments(self):
        return [self.b.books[i].id for i in range(1, self.b.count + 1)]

    @property
    def order_count(self):
        return self.b.used

    @property
    def unknown(self):
        return self.b.unknown

    @property
    def duplicates(self):
        return self.b.duplicates

    @property
    def excess(self):
        return self.b.excess

    cdef uint32_t _index(self, uint32_t instrument_id) except 0:
        cdef uint32_t index = books_index(&self.b, instrument_id)
        if index == 0:
            raise KeyError(f"instrument {instrument_id} has no book")
        return index


cdef uint32_t _which(int side) except? 9:
    if side != SIDE_BUY and side != SIDE_SELL:
        raise ValueError(f"side is {side}; expected Side.BUY or Side.SELL")
    return side == SIDE_SELL


def _refuse(int status, Py_ssize_t index):
    if status in (BOOKS_ORDERS, BOOKS_PAGES, BOOKS_INSTRUMENTS):
        raise MemoryError(f"deltas[{index}]: {_REASONS[<object>status]}")
    raise ValueError(f"deltas[{index}]: {_REASONS[<object>status]}")
