"""One thread. Order books of many instruments, order by order; hot path here, batches and Python face in order_book.pyx.

Every level is a queue of orders, so that depth (L1, L2) and orders in priority (L3) come from the same records. Orders
are found by (instrument, 64-bit id) in one hashed index, lie in a LIFO pool, and hold a handle of their level: what acts
on an order that is known never searches the ladder. Nothing is allocated after opening, but to refine a price grid.

Cache lines per operation: slot of the index (1), order (1), level (1), neighbours in the queue (0 to 2).
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from nautilus.core.inlining cimport inlined_int
from nautilus.core.ladder cimport ladder_at_hand, ladder_give, ladder_level, ladder_mark, level_rank
from nautilus.core.pages cimport (
    LADDER_EMPTY,
    ladder_choose,
    ladder_likely,
    ladder_t,
    ladder_unlikely,
    level_t,
    pages_t,
)
from nautilus.core.hashmap cimport map_find, map_t, prefetch_line
from nautilus.core.types cimport SIDE_BUY, SIDE_SELL, book_delta_t, quote_t

cdef extern from *:
    """
    #ifndef NAUTILUS_ORDER_BOOK_H
    #define NAUTILUS_ORDER_BOOK_H
    #include <stdint.h>
    /* a / step without a division: exact for a < 2^41 and step <= 2^22 (the error is under a * step / 2^64). */
    static inline int64_t high_half(uint64_t a, uint64_t reciprocal)
    { return (int64_t)(((unsigned __int128)a * reciprocal) >> 64); }
    #endif
    """
    int64_t high_half(uint64_t a, uint64_t reciprocal) noexcept nogil

cdef enum:
    BOOKS_OK = 0
    BOOKS_SIDE = -1
    BOOKS_ACTION = -2
    BOOKS_QUANTITY = -3
    BOOKS_PRICE = -4
    BOOKS_ORDERS = -5           # no room for another order
    BOOKS_PAGES = -6            # or for another page of levels
    BOOKS_INSTRUMENTS = -7

cdef enum:
    BOOKS_SMALL_IDS = 65536     # instrument ids below this are found in one read
    OWNER_SELL = 1
    OWNER_LEVEL = 2             # the order stands for a whole level (SET): it has no id
    OWNER_SHIFT = 2
    SLOT_GROUP_BITS = 9         # 512 slots of 8 bytes, a page of memory
    FREE_AHEAD = 4              # records to be taken that are asked for ahead

ctypedef struct resting_t:      # half a cache line
    uint32_t next               # in the level's queue
    uint32_t prev
    uint32_t level              # its number in the pages
    uint32_t owner              # index of the book << 2 and the OWNER bits
    int64_t quantity
    uint64_t order_id

ctypedef struct order_slot_t:
    uint32_t tag                # low half of the order id
    uint32_t order              # index, 0: none

ctypedef struct order_book_t:
    ladder_t sides[2]           # bids, offers
    int64_t edge                # prices from here on
    int64_t step                # are multiples of this, counted from `edge`
    uint64_t reciprocal         # 2^64 / step, rounded up
    uint32_t id
    uint32_t orders

ctypedef struct books_t:
    resting_t* orders           # from 1
    uint32_t* free              # stack of the records given back, the last one first; FREE_AHEAD zeros below it
    uint32_t free_count, high_water, order_capacity, used
    pages_t pages
    order_slot_t* slots         # see `home_of`
    uint32_t* displaced         # a group: orders that found their slot taken and lie elsewhere
    uint32_t group_mask, slot_mask
    uint32_t farthest           # steps from its own slot of the order displaced farthest
    order_book_t* books         # from 1
    uint32_t* small             # instrument id to index
    map_t large
    uint32_t count, capacity, page_capacity
    int64_t edge, step          # of a book that is opened by its first record
    # what did not fit the books
    uint64_t unknown            # a change of an order that is not there
    uint64_t duplicates         # ADD of an id that is there: the old order is gone
    uint64_t excess             # more taken than there was


cdef inline resting_t* resting_at(const books_t* b, uint32_t index) noexcept nogil:
    return b.orders + index


cdef inline uint32_t resting_take(books_t* b) noexcept nogil:
    """A record that no order has, 0 where all are in use."""
    cdef uint32_t index
    if b.free_count:
        b.free_count -= 1
        index = b.free[b.free_count]
        # A list through the records themselves would miss at each step; here those that come next are known.
        prefetch_line(resting_at(b, (b.free + b.free_count)[-FREE_AHEAD]))
    elif b.high_water < b.order_capacity:
        b.high_water += 1
        index = b.high_water
    else:
        return 0
    b.used += 1
    return index


cdef inline void resting_give(books_t* b, uint32_t index) noexcept nogil:
    b.free[b.free_count] = index
    b.free_count += 1
    b.used -= 1


cdef inline order_book_t* book_of(const books_t* b, const resting_t* order) noexcept nogil:
    return &b.books[order.owner >> OWNER_SHIFT]


cdef inline uint32_t books_index(books_t* b, uint32_t instrument_id) noexcept nogil:
    """Index of an instrument's book, 0 where there is none."""
    cdef uint32_t* found
    if instrument_id < BOOKS_SMALL_IDS:
        return b.small[instrument_id]
    found = map_find(&b.large, instrument_id)
    return found[0] if found != NULL else 0


# Order ids to orders. A slot is 8 bytes; the order itself proves the match, and it is needed anyway. 512 consecutive ids
# share a group of slots, so a venue that counts its orders walks through memory in steps, and sparse ids scatter. The
# lane within a group is turned by the group's hash, so that ids in strides of 512 scatter too. An order whose slot is
# taken goes to the same lane of a following group, which is counted by the group that it was meant for: where nothing
# is counted one look settles presence and absence, and a deletion is one store.

cdef inline uint32_t home_of(const books_t* b, uint64_t order_id) noexcept nogil:
    """The slot where an id's search begins: group * 512 + lane."""
    cdef uint64_t mixed = (order_id >> SLOT_GROUP_BITS) * <uint64_t>0x9E3779B97F4A7C15   # 2^64 / golden ratio
    cdef uint32_t lane = <uint32_t>((order_id ^ (mixed >> 16)) & ((1 << SLOT_GROUP_BITS) - 1))
    return (<uint32_t>(mixed >> 32) & b.group_mask) << SLOT_GROUP_BITS | lane


cdef inline order_slot_t* slot_at(const books_t* b, uint32_t home) noexcept nogil:
    return &b.slots[home]


cdef inline uint32_t slot_next(const books_t* b, uint32_t at) noexcept nogil:
    """The same lane of the next group, after the last group the next lane of the first."""
    cdef uint64_t next = <uint64_t>at + (1 << SLOT_GROUP_BITS)
    return <uint32_t>next if next <= b.slot_mask else (at + 1) & ((1 << SLOT_GROUP_BITS) - 1)


cdef inline bint slot_holds(
    const books_t* b, const order_slot_t* slot, uint32_t index, uint64_t order_id
) noexcept nogil:
    cdef const resting_t* order
    if slot.order == 0 or slot.tag != <uint32_t>order_id:
        return False
    order = resting_at(b, slot.order)
    return order.order_id == order_id and order.owner >> OWNER_SHIFT == index and not order.owner & OWNER_LEVEL


cdef inline order_slot_t* books_slot(
    const books_t* b, uint32_t home, uint32_t index, uint64_t order_id
) noexcept nogil:
    """The slot of an order of the book of that index, NULL where there is none."""
    cdef order_slot_t* slot = slot_at(b, home)
    cdef uint32_t step
    if slot_holds(b, slot, index, order_id):
        return slot
    if ladder_likely(b.displaced[home >> SLOT_GROUP_BITS] == 0):
        return NULL
    for step in range(b.farthest):
        home = slot_next(b, home)
        slot = slot_at(b, home)
        if slot_holds(b, slot, index, order_id):
            return slot
    return NULL


cdef inline void index_put(books_t* b, uint32_t home, uint64_t order_id, uint32_t order) noexcept nogil:
    """Enters an order that is not there; there is room, the index has twice as many slots as there are orders."""
    cdef order_slot_t* slot = slot_at(b, home)
    cdef uint32_t step = 0, at = home
    while ladder_unlikely(slot.order != 0):
        step += 1
        at = slot_next(b, at)
        slot = slot_at(b, at)
    if ladder_unlikely(step != 0):
        b.displaced[home >> SLOT_GROUP_BITS] += 1
        if step > b.farthest:
            b.farthest = step
    slot.tag = <uint32_t>order_id
    slot.order = order


cdef inline void index_delete(books_t* b, uint32_t home, order_slot_t* slot) noexcept nogil:
    slot.order = 0
    if ladder_unlikely(slot != slot_at(b, home)):
        b.displaced[home >> SLOT_GROUP_BITS] -= 1


cdef inline int64_t rank_of(const order_book_t* book, uint32_t side, int64_t price) noexcept nogil:
    """Rank in the ladder of a side (0 bids, 1 offers); LADDER_EMPTY where the price lies off the book's grid."""
    cdef int64_t steps
    if price >= book.edge and book.step != 1:
        steps = high_half(<uint64_t>(price - book.edge), book.reciprocal)
        if <uint64_t>steps * <uint64_t>book.step != <uint64_t>(price - book.edge):
            return LADDER_EMPTY
        price = book.edge + steps
    return <int64_t>(0 - <uint64_t>price) if side else price


cdef inline int64_t rank_near(const order_book_t* book, uint32_t side, int64_t price) noexcept nogil:
    """The same for a prefetch, of a price that may lie off the grid or be none."""
    if price >= book.edge and book.step != 1:
        price = book.edge + high_half(<uint64_t>(price - book.edge), book.reciprocal)
    return <int64_t>(0 - <uint64_t>price) if side else price


cdef inline int64_t price_of(const order_book_t* book, uint32_t side, int64_t rank) noexcept nogil:
    cdef int64_t place = -rank if side else rank
    return place if place < book.edge else book.edge + (place - book.edge) * book.step


cdef inline int64_t order_price(const books_t* b, const resting_t* order) noexcept nogil:
    return price_of(book_of(b, order), order.owner & OWNER_SELL, level_rank(&b.pages, order.level))


cdef inline uint8_t order_side(const resting_t* order) noexcept nogil:
    return SIDE_SELL if order.owner & OWNER_SELL else SIDE_BUY


cdef inline void books_prefetch_order(const books_t* b, uint32_t home, uint32_t index, int64_t price, uint32_t side) noexcept nogil:
    """Asks for the order that `home` leads to, and for the level of a price near the touch. A wish is never wrong."""
    cdef order_book_t* book = &b.books[index]
    cdef int64_t rank = rank_of(book, side & 1, price)
    cdef uint32_t level = ladder_at_hand(&b.pages, &book.sides[side & 1], rank)
    prefetch_line(resting_at(b, slot_at(b, home).order))
    prefetch_line(&b.pages.levels[level])
    prefetch_line(&b.pages.blocks[level >> 6])


cdef inline void books_prefetch_neighbours(
    const books_t* b, uint32_t home, uint32_t index, int64_t price, uint32_t side
) noexcept nogil:
    """Some records later: the neighbours of that order, its level, and the last order of the price's level."""
    cdef order_book_t* book = &b.books[index]
    cdef int64_t rank = rank_of(book, side & 1, price)
    cdef uint32_t level = ladder_at_hand(&b.pages, &book.sides[side & 1], rank)
    cdef resting_t* order = resting_at(b, slot_at(b, home).order)
    prefetch_line(&b.pages.levels[order.level])
    prefetch_line(resting_at(b, order.next))
    prefetch_line(resting_at(b, order.prev))
    prefetch_line(resting_at(b, b.pages.levels[level].tail))


cdef inline void books_prefetch_levels(
    const books_t* b, uint32_t home, uint32_t index, int64_t price, uint32_t side
) noexcept nogil:
    """Asks for the levels of a known order and of a price near the touch, and the order's neighbours."""
    cdef const order_book_t* book = &b.books[index]
    cdef const resting_t* order = resting_at(b, slot_at(b, home).order)
    prefetch_line(&b.pages.levels[ladder_at_hand(&b.pages, &book.sides[side], rank_near(book, side, price))])
    prefetch_line(&b.pages.levels[order.level])
    prefetch_line(resting_at(b, order.next))
    prefetch_line(resting_at(b, order.prev))


cdef inline inlined_int books_join(
    books_t* b, uint32_t index, uint32_t side, uint32_t owner_bits, int64_t price, uint64_t order_id, int64_t quantity
) noexcept nogil:
    """A new order at the end of its level's queue; the caller enters it in the index. Its index in `b.orders`, or a status."""
    cdef order_book_t* book = &b.books[index]
    cdef int64_t rank = rank_of(book, side, price)
    cdef level_t* level
    cdef resting_t* order
    cdef uint32_t slot, number, tail
    if rank == LADDER_EMPTY:
        if books_refine(b, index) != BOOKS_OK:
            return BOOKS_PAGES
        rank = rank_of(book, side, price)
    slot = resting_take(b)
    if slot == 0:
        return BOOKS_ORDERS
    number = ladder_level(&b.pages, &book.sides[side], index, rank)
    if number == 0:
        resting_give(b, slot)
        return BOOKS_PAGES
    level = &b.pages.levels[number]
    tail = level.tail
    order = resting_at(b, slot)
    order.next = 0
    order.prev = tail
    order.level = number
    order.owner = index << OWNER_SHIFT | owner_bits | side
    order.quantity = quantity
    order.order_id = order_id
    if tail:
        resting_at(b, tail).next = slot
    else:
        level.head = slot
        ladder_mark(&b.pages, &book.sides[side], number, rank)
    level.tail = slot
    level.quantity += quantity
    book.orders += 1
    return <int>slot


cdef inline void books_leave(books_t* b, uint32_t slot, resting_t* order) noexcept nogil:
    """Takes an order out of its queue and its pool; the caller has taken it out of the index."""
    cdef order_book_t* book = book_of(b, order)
    cdef level_t* level = &b.pages.levels[order.level]
    cdef uint32_t following = order.next, before = order.prev
    book.orders -= 1
    if (following | before) == 0:
        level.head = 0
        level.tail = 0
        level.quantity = 0
        ladder_give(&b.pages, &book.sides[order.owner & OWNER_SELL], order.level)
    else:
        ladder_choose(before, &resting_at(b, before).next, &level.head)[0] = following
        ladder_choose(following, &resting_at(b, following).prev, &level.tail)[0] = before
        level.quantity -= order.quantity
    resting_give(b, slot)


cdef inline void books_remove(books_t* b, uint32_t home, order_slot_t* slot) noexcept nogil:
    """Takes the order that a slot of the index leads to out of everything."""
    cdef uint32_t number = slot.order
    index_delete(b, home, slot)
    books_leave(b, number, resting_at(b, number))


cdef inline inlined_int books_add(
    books_t* b, uint32_t home, uint32_t index, uint32_t side, int64_t price, uint64_t order_id, int64_t quantity
) noexcept nogil:
    cdef order_slot_t* old = books_slot(b, home, index, order_id)
    cdef int slot
    if ladder_unlikely(old != NULL):
        b.duplicates += 1
        books_remove(b, home, old)
    slot = books_join(b, index, side, 0, price, order_id, quantity)
    if slot < 0:
        return slot
    index_put(b, home, order_id, <uint32_t>slot)
    return BOOKS_OK


cdef inline int64_t books_take(
    books_t* b, uint32_t home, order_slot_t* slot, resting_t* order, int64_t quantity
) noexcept nogil:
    """Takes quantity off an order, which keeps its place; one that has none left is removed. What was taken."""
    if quantity >= order.quantity:
        b.excess += quantity > order.quantity
        quantity = order.quantity
        books_remove(b, home, slot)
    else:
        order.quantity -= quantity
        b.pages.levels[order.level].quantity -= quantity
    return quantity


cdef int books_open(
    books_t* b, uint32_t instruments, uint32_t orders, uint32_t pages, bint huge
) noexcept nogil
cdef void books_close(books_t* b) noexcept nogil
cdef int books_new(books_t* b, uint32_t instrument_id, int64_t edge, int64_t step) noexcept nogil   # index or a status
cdef int books_refine(books_t* b, uint32_t index) noexcept nogil
cdef void books_clear(books_t* b, uint32_t index, uint32_t side) noexcept nogil
cdef int books_apply_one(books_t* b, const book_delta_t* delta) noexcept nogil
cdef void books_best(const books_t* b, uint32_t index, quote_t* quote) noexcept nogil


cdef class OrderBooks:
    cdef books_t b

    cdef uint32_t _index(self, uint32_t instrument_id) except 0
