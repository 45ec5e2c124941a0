"""One side of an order book: a price ladder of pages.

Threading contract: one thread. Nothing here allocates: pages come from a pool.

A ladder covers every price. Prices are kept as `rank`: price for bids, -price for offers, so that the best level
of either side is the highest rank and there is one code path. 512 consecutive ranks are a page: flat levels plus a
two-level bitmap (9 words). The pages in use lie in one array sorted by page number with the best at its end, so work
near the touch moves nothing and looks at one or two entries; far pages cost a binary search. There is no window to
re-centre and no separate overflow: a market that moves takes the next page.

Cache lines per operation near the touch: entry (1), page bitmap (2), level (1), neighbour order (1).
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memmove

from nautilus.core.pool cimport pool_at, pool_give, pool_t, pool_take

cdef extern from *:
    """
    #ifndef NAUTILUS_BOOK_H
    #define NAUTILUS_BOOK_H
    #include <stdint.h>
    #define BOOK_PAGE_BITS 9
    #define BOOK_PAGE_LEVELS (1 << BOOK_PAGE_BITS)
    typedef struct level_t { int64_t quantity; uint32_t head, tail; } level_t;
    typedef struct page_t {
        uint64_t summary;            /* the pool keeps its free link here */
        uint64_t words[BOOK_PAGE_LEVELS / 64];
        uint64_t pad[7];
        level_t levels[BOOK_PAGE_LEVELS];
    } page_t;
    typedef struct page_ref_t { int64_t number; page_t *page; uint32_t index, pad; } page_ref_t;
    typedef struct ladder_t {
        page_ref_t *refs;
        uint32_t count, capacity;
        int64_t best;                /* rank of the best level, LADDER_EMPTY when there is none */
    } ladder_t;
    #define LADDER_EMPTY INT64_MIN
    static inline int book_high_bit(uint64_t word) { return 63 - __builtin_clzll(word); }
    #endif
    """
    ctypedef struct level_t:
        int64_t quantity
        uint32_t head
        uint32_t tail
    ctypedef struct page_t:
        uint64_t summary
        uint64_t words[8]
        level_t levels[512]
    ctypedef struct page_ref_t:
        int64_t number
        page_t* page
        uint32_t index
    ctypedef struct ladder_t:
        page_ref_t* refs
        uint32_t count
        uint32_t capacity
        int64_t best
    const int64_t LADDER_EMPTY
    int book_high_bit(uint64_t word) noexcept nogil


cdef inline uint32_t ladder_position(const ladder_t* ladder, int64_t number) noexcept nogil:
    """Index of the first entry (from the worst) whose page number is >= `number`; `count` if there is none."""
    cdef uint32_t low, high, middle
    high = ladder.count
    # Near the touch the answer is one of the last few.
    cdef uint32_t tries = 4
    while tries and high and ladder.refs[high - 1].number >= number:
        high -= 1
        tries -= 1
    if not high or ladder.refs[high - 1].number < number:
        return high
    low = 0
    while low < high:
        middle = (low + high) >> 1
        if ladder.refs[middle].number < number:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline page_t* ladder_page(const ladder_t* ladder, int64_t number) noexcept nogil:
    cdef uint32_t at = ladder_position(ladder, number)
    if at < ladder.count and ladder.refs[at].number == number:
        return ladder.refs[at].page
    return NULL


cdef inline level_t* ladder_find(const ladder_t* ladder, int64_t rank) noexcept nogil:
    """The level at `rank`, NULL where no page holds it. Its quantity is 0 where the level is empty."""
    cdef page_t* page = ladder_page(ladder, rank >> 9)
    if page == NULL:
        return NULL
    return &page.levels[rank & 511]


cdef inline bint ladder_room(const ladder_t* ladder, const pool_t* pages, int64_t rank) noexcept nogil:
    """Whether `ladder_take` at this rank will find a page."""
    return pages.used < pages.capacity or ladder_page(ladder, rank >> 9) != NULL


cdef inline level_t* ladder_take(ladder_t* ladder, pool_t* pages, int64_t rank) noexcept nogil:
    """The level at `rank`, marked as in use; the caller fills it. NULL where no page is left."""
    cdef int64_t number = rank >> 9
    cdef uint32_t slot = <uint32_t>(rank & 511)
    cdef uint32_t at = ladder_position(ladder, number)
    cdef uint32_t index
    cdef page_t* page
    if at < ladder.count and ladder.refs[at].number == number:
        page = ladder.refs[at].page
    else:
        if ladder.count == ladder.capacity:
            return NULL
        index = pool_take(pages)
        if index == 0:
            return NULL
        page = <page_t*>pool_at(pages, index)
        page.summary = 0  # a page goes back with all words and levels zero, but for the pool's link
        memmove(&ladder.refs[at + 1], &ladder.refs[at], (ladder.count - at) * sizeof(page_ref_t))
        ladder.refs[at].number = number
        ladder.refs[at].page = page
        ladder.refs[at].index = index
        ladder.count += 1
    page.words[slot >> 6] |= (<uint64_t>1) << (slot & 63)
    page.summary |= (<uint64_t>1) << (slot >> 6)
    if rank > ladder.best:
        ladder.best = rank
    return &page.levels[slot]


cdef inline int64_t page_top(const page_ref_t* ref) noexcept nogil:
    cdef int word = book_high_bit(ref.page.summary)
    return ref.number * 512 + (word << 6) + book_high_bit(ref.page.words[word])


cdef inline void ladder_give(ladder_t* ladder, pool_t* pages, int64_t rank) noexcept nogil:
    """Marks the level at `rank` as empty; its page goes back to the pool with its last level."""
    cdef uint32_t slot = <uint32_t>(rank & 511)
    cdef uint32_t at = ladder_position(ladder, rank >> 9)
    cdef page_t* page = ladder.refs[at].page
    cdef level_t* level = &page.levels[slot]
    level.quantity = 0
    level.head = 0
    level.tail = 0
    page.words[slot >> 6] &= ~((<uint64_t>1) << (slot & 63))
    if page.words[slot >> 6] == 0:
        page.summary &= ~((<uint64_t>1) << (slot >> 6))
        if page.summary == 0:
            pool_give(pages, ladder.refs[at].index)
            ladder.count -= 1
            memmove(&ladder.refs[at], &ladder.refs[at + 1], (ladder.count - at) * sizeof(page_ref_t))
    if rank == ladder.best:
        ladder.best = page_top(&ladder.refs[ladder.count - 1]) if ladder.count else LADDER_EMPTY


cdef inline int64_t ladder_next(const ladder_t* ladder, int64_t rank) noexcept nogil:
    """The best rank below `rank` that is in use, LADDER_EMPTY when there is none."""
    cdef int64_t number = rank >> 9
    cdef uint32_t slot = <uint32_t>(rank & 511)
    cdef uint32_t at = ladder_position(ladder, number)
    cdef page_t* page
    cdef uint64_t word
    cdef int high
    if at < ladder.count and ladder.refs[at].number == number:
        page = ladder.refs[at].page
        word = page.words[slot >> 6] & (((<uint64_t>1) << (slot & 63)) - 1)
        if word:
            return number * 512 + (slot & ~(<uint32_t>63)) + book_high_bit(word)
        word = page.summary & (((<uint64_t>1) << (slot >> 6)) - 1)
        if word:
            high = book_high_bit(word)
            return number * 512 + (high << 6) + book_high_bit(page.words[high])
    if at == 0:
        return LADDER_EMPTY
    return page_top(&ladder.refs[at - 1])


cdef int ladder_open(ladder_t* ladder, uint32_t capacity) noexcept nogil
cdef void ladder_close(ladder_t* ladder) noexcept nogil
