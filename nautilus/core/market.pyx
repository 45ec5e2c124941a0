"""The market in one unit: continuous.pxi and special.pxi are its parts, entry.pxi its C face."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from nautilus.core.ladder cimport (
    LADDER_AT_HAND,
    LADDER_DEPTH,
    LADDER_EMPTY,
    LADDER_KEY_ZERO,
    ladder_below,
    ladder_choose,
    ladder_find,
    ladder_give,
    ladder_likely,
    ladder_open,
    ladder_t,
    ladder_take,
    ladder_unlikely,
    level_rank,
    level_t,
    node_t,
    page_t,
    pages_t,
    page_find,
)
from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.order_index cimport (
    INDEX_FIRST_BITS,
    INDEX_MARK,
    index_add,
    index_double,
    index_home,
    index_key,
    index_move,
    index_remove,
    index_remove_old,
    index_table_t,
    index_use,
    order_index_t,
)
from nautilus.core.pool cimport pool_close, pool_give, pool_open, pool_t, pool_take
from nautilus.core.types cimport (
    COMMAND_CANCEL,
    COMMAND_NEW,
    COMMAND_REPLACE,
    EVENT_ACCEPTED,
    EVENT_CANCELLED,
    EVENT_FILLED,
    EVENT_REJECTED,
    EVENT_REPLACED,
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    PHASE_CONTINUOUS,
    REASON_DUPLICATE_ORDER,
    REASON_MALFORMED,
    REASON_ORDER_ID,
    REASON_POOL_FULL,
    REASON_PRICE,
    REASON_QUANTITY,
    REASON_REQUESTED,
    REASON_SELF_MATCH,
    REASON_UNFILLED,
    REASON_UNKNOWN_INSTRUMENT,
    REASON_UNKNOWN_ORDER,
    REASON_UNSUPPORTED,
    SIDE_BUY,
    SIDE_SELL,
    TIF_DAY,
    TIF_FOK,
    TIF_GTC,
    TIF_IOC,
    TYPE_LIMIT,
    TYPE_MARKET,
)

cdef extern from *:
    """
    #define NO_OFFER INT64_MAX
    #define market_prefetch(address) __builtin_prefetch((address), 1, 3)
    #define PLAIN_TIMES (1u << 1 | 1u << 2 | 1u << 4 | 1u << 5)    /* GTC, DAY, IOC, FOK */
    #define market_publish(word, value) __atomic_store_n(&(word), (value), __ATOMIC_RELEASE)
    #define market_seen(word) __atomic_load_n(&(word), __ATOMIC_ACQUIRE)
    #if defined(__x86_64__) || defined(__i386__)
    #define market_pause() __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define market_pause() __asm__ volatile("yield")
    #else
    #define market_pause() ((void)0)
    #endif
    """
    const int64_t NO_OFFER
    void market_prefetch(const void* address) noexcept nogil
    const uint32_t PLAIN_TIMES  # bit per TIF_* that a plain order may have
    void market_publish(uint64_t word, uint64_t value) noexcept nogil
    uint64_t market_seen(uint64_t word) noexcept nogil
    void market_pause() noexcept nogil

include "names.pxi"
include "continuous.pxi"
include "special.pxi"


# ---- Set-up

cdef int market_open(market_t* m, const market_options_t* options) noexcept nogil:
    cdef uint64_t reports = options.reports
    cdef uint32_t i
    memset(m, 0, sizeof(market_t))
    if options.instruments == 0 or options.orders == 0 or options.pages == 0 or options.pages >= 1 << 23:
        return -1
    if reports == 0:
        reports = 64            # a command fills, triggers and moves each order a few times at most
        while reports < 4 * <uint64_t>options.orders + 64:
            reports <<= 1
    m.keep = options.keep
    if pool_open(&m.order_pool, sizeof(order_t), options.orders, True) != 0:
        return market_fail(m)
    m.orders = <order_t*>m.order_pool.base
    if options.extras:
        if pool_open(&m.extra_pool, sizeof(extra_t), options.extras, True) != 0:
            return market_fail(m)
        m.extras = <extra_t*>m.extra_pool.base
    if pool_open(&m.pages.pool, sizeof(page_t), options.pages, True) != 0:
        return market_fail(m)
    m.pages.headers = <page_t*>m.pages.pool.base
    if pool_open(&m.pages.node_pool, sizeof(node_t), 2 * options.pages + 64, True) != 0:
        return market_fail(m)
    m.pages.nodes = <node_t*>m.pages.node_pool.base
    m.pages.levels = <level_t*>map_region(((<size_t>options.pages + 1) << 9) * sizeof(level_t), True)
    m.pages.idle_limit = options.pages // 4 + 16
    m.books = <book_t*>map_region(<size_t>options.instruments * sizeof(book_t), True)
    m.own = <report_t*>map_region(reports * sizeof(report_t), True)
    m.reports = m.own
    if m.pages.levels == NULL or m.books == NULL or m.own == NULL:
        return market_fail(m)
    if not options.keep and names_open(m, options.orders) != 0:
        return market_fail(m)
    m.book_count = options.instruments
    for i in range(options.instruments):
        m.books[i].instrument = i
        m.books[i].phase = PHASE_CONTINUOUS
        ladder_open(&m.books[i].ladders[0], SIDE_BUY)
        ladder_open(&m.books[i].ladders[1], SIDE_SELL)
        ladder_open(&m.books[i].dark[0], SIDE_BUY)
        ladder_open(&m.books[i].dark[1], SIDE_SELL)
        ladder_open(&m.books[i].triggers[0], SIDE_BUY)
        ladder_open(&m.books[i].triggers[1], SIDE_SELL)
        ladder_open(&m.books[i].triggers[2], SIDE_BUY)
        ladder_open(&m.books[i].triggers[3], SIDE_SELL)
    m.limit = reports
    m.mask = ~<uint64_t>0
    if options.ring:
        m.mask = reports - 1
        m.ring = <report_ring_t*>map_region(sizeof(report_ring_t), False)
        if m.ring == NULL:
            return market_fail(m)
        m.ring.reports = m.reports
        m.ring.capacity = reports
    m.report_capacity = reports
    return 0


cdef int market_fail(market_t* m) noexcept nogil:
    market_close(m)
    return -1


cdef void market_close(market_t* m) noexcept nogil:
    if m.pages.levels != NULL:
        unmap_region(m.pages.levels, ((<size_t>m.pages.pool.capacity + 1) << 9) * sizeof(level_t))
    if m.books != NULL:
        unmap_region(m.books, <size_t>m.book_count * sizeof(book_t))
    if m.own != NULL:
        unmap_region(m.own, m.report_capacity * sizeof(report_t))
    names_close(m)
    if m.ring != NULL:
        unmap_region(m.ring, sizeof(report_ring_t))
    pool_close(&m.order_pool)
    pool_close(&m.extra_pool)
    pool_close(&m.pages.pool)
    pool_close(&m.pages.node_pool)
    memset(m, 0, sizeof(market_t))


cdef void touch(void* start, size_t bytes) noexcept nogil:
    """Commits memory that is zero and nobody uses yet."""
    cdef volatile char* at = <volatile char*>start
    cdef size_t offset = 0
    while offset < bytes:
        at[offset] = 0
        offset += 4096


cdef void market_warm(market_t* m, uint32_t orders, uint32_t pages) noexcept nogil:
    """Right after market_open: commits the memory of so many orders and pages, and of all reports of a ring."""
    if orders > m.order_pool.capacity:
        orders = m.order_pool.capacity
    if pages > m.pages.pool.capacity:
        pages = m.pages.pool.capacity
    touch(&m.orders[1], <size_t>orders * sizeof(order_t))
    touch(&m.pages.headers[1], <size_t>pages * sizeof(page_t))
    touch(m.pages.levels, (<size_t>pages + 1) * 512 * sizeof(level_t))
    touch(m.pages.nodes, (<size_t>pages + 1) * sizeof(node_t))
    if not m.keep:
        names_warm(m, orders)
    if m.ring != NULL:
        touch(m.reports, m.report_capacity * sizeof(report_t))


# ---- Slots and commands on them

cdef uint32_t market_take(market_t* m) noexcept nogil:
    return pool_take(&m.order_pool)


cdef void market_give(market_t* m, uint32_t slot) noexcept nogil:
    pool_give(&m.order_pool, slot)


cdef void special_new(market_t* m, book_t* book, uint32_t slot, const intent_t* intent) noexcept nogil:
    """A NEW that is not plain, or that meets a book which is not."""
    cdef aggressor_t a
    cdef int64_t worst, quantity = intent.quantity
    cdef int mode = PLAIN_REST
    if (
        intent.flags or (intent.order_type != TYPE_LIMIT and intent.order_type != TYPE_MARKET)
        or intent.time_in_force == 0 or intent.time_in_force > TIF_FOK
    ):
        refuse(m, intent.side, intent.id, 0, REASON_UNSUPPORTED)
        return
    market_report(m, EVENT_ACCEPTED, intent.side, 0, 0, intent.id, 0, intent.price, quantity)
    worst = -rank_of(intent.side, intent.price)
    if intent.order_type == TYPE_MARKET:
        worst = -rank_of(intent.side, intent.bound) if intent.bounded else WORST_OF_ALL
        mode = PLAIN_CANCEL
    if intent.time_in_force == TIF_IOC:
        mode = PLAIN_CANCEL
    elif intent.time_in_force == TIF_FOK:
        mode = PLAIN_KILL
    plain_enter(
        m, book, slot, intent.id, intent.side, intent.price, quantity, intent.owner, worst, mode, m.keep
    )
    if book.special:
        settle(m, book)


cdef void market_new(market_t* m, uint32_t instrument, uint32_t slot, const intent_t* intent) noexcept nogil:
    special_new(m, &m.books[instrument], slot, intent)


cdef void market_cancel(market_t* m, uint32_t slot, int kind, int reason) noexcept nogil:
    cdef order_t* order = &m.orders[slot]
    cdef book_t* book = &m.books[m.pages.headers[order.level >> 9].owner]
    plain_cancel(m, slot, order, kind, reason, m.keep)
    if book.special:
        settle(m, book)


cdef void market_reduce(market_t* m, uint32_t slot, int64_t leaves) noexcept nogil:
    cdef order_t* order = &m.orders[slot]
    m.pages.levels[order.level].quantity += leaves - order.leaves
    order.leaves = leaves


cdef void market_replace(market_t* m, uint32_t slot, int64_t price, int64_t leaves) noexcept nogil:
    cdef order_t* order = &m.orders[slot]
    cdef book_t* book = &m.books[m.pages.headers[order.level >> 9].owner]
    plain_replace(m, slot, order, price, leaves, m.keep)
    if book.special:
        settle(m, book)


# ---- Questions

cdef int64_t market_price(const market_t* m, uint32_t slot) noexcept nogil:
    return order_price(m, &m.orders[slot])


cdef uint32_t market_instrument(const market_t* m, uint32_t slot) noexcept nogil:
    return m.pages.headers[m.orders[slot].level >> 9].owner


cdef bint market_crosses(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil:
    cdef int64_t best = m.books[instrument].ladders[2 - side].best
    return best >= -rank_of(side, price)


cdef bint market_room(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil:
    if page_find(&m.pages, &m.books[instrument].ladders[side - 1], rank_of(side, price) >> 9):
        return True
    return (
        (m.pages.pool.used < m.pages.pool.capacity or m.pages.idle != 0)
        and m.pages.node_pool.capacity - m.pages.node_pool.used >= 2 * LADDER_DEPTH
    )


cdef bint market_fills(const market_t* m, uint32_t instrument, const aggressor_t* a) noexcept nogil:
    return fills_wholly(m, &m.books[instrument], a)


cdef uint32_t market_best(const market_t* m, uint32_t instrument, int side) noexcept nogil:
    return m.books[instrument].ladders[side - 1].best_level


cdef uint32_t market_next(const market_t* m, uint32_t instrument, int side, uint32_t level) noexcept nogil:
    return ladder_below(&m.pages, level)


cdef int64_t market_depth(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil:
    cdef uint32_t level = ladder_find(&m.pages, &m.books[instrument].ladders[side - 1], rank_of(side, price))
    return m.pages.levels[level].quantity if level else 0


# ---- Reports

cdef void report_wide(market_t* m) noexcept nogil:
    """Goes before a report whose ids are over 32 bits."""
    if m.written >= m.limit:
        market_full(m)
    report_put(
        &m.reports[m.written & m.mask], REPORT_WIDE, 0, 0, 0, m.order_high, m.counter_high, m.tag, 0, 0
    )
    m.written += 1


cdef void market_rewind(market_t* m) noexcept nogil:
    m.written = 0


cdef void market_full(market_t* m) noexcept nogil:
    """Room for one more report: a ring waits for its reader, a full array of the caller gives way to `own`, and
    that (it holds more than one command makes) keeps its last place and counts."""
    cdef uint64_t read
    if m.outside:
        m.outside = False
        m.reports = m.own
        m.written = 0
        m.limit = m.report_capacity
        return
    if m.ring == NULL:
        m.lost += 1
        m.written = m.limit - 1
        return
    market_publish(m.ring.written, m.written)
    read = market_seen(m.ring.read)
    if m.written - read == m.ring.capacity:
        m.waited += 1
        while m.written - read == m.ring.capacity:
            market_pause()
            read = market_seen(m.ring.read)
    m.limit = read + m.ring.capacity


include "entry.pxi"
include "matcher.pxi"
include "shared_object.pxi"
