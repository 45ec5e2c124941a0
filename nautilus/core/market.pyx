"""The market in one unit: continuous.pxi and special.pxi are its parts, entry.pxi its C face."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from nautilus.core.inlining cimport apart_int, apart_uint32, inlined_int
from nautilus.core.ladder cimport (
    ladder_at_hand,
    ladder_below,
    ladder_find,
    ladder_give,
    ladder_level,
    ladder_open,
    ladder_take,
    ladder_worse,
    level_ladder,
    level_owner,
    level_rank,
)
from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.order_index cimport (
    INDEX_NARROW,
    bucket_t,
    index_add,
    index_bucket,
    index_buckets,
    index_close,
    index_double,
    index_equal,
    index_first,
    index_home,
    index_key,
    index_move,
    index_open,
    index_remove,
    index_table_t,
    order_index_t,
)
from nautilus.core.pages cimport (
    LADDER_DEPTH,
    LADDER_EMPTY,
    block_t,
    ladder_choose,
    ladder_likely,
    ladder_t,
    ladder_unlikely,
    level_t,
    node_t,
    page_find,
    page_t,
    pages_close,
    pages_open,
)
from nautilus.core.pool cimport pool_close, pool_give, pool_open, pool_pop, pool_push, pool_take
from nautilus.core.queues cimport order_put, queue_begin, queue_join, queue_leave
from nautilus.core.types cimport (
    COMMAND_CANCEL,
    COMMAND_NEW,
    COMMAND_REPLACE,
    EVENT_ACCEPTED,
    EVENT_CANCELLED,
    EVENT_FILLED,
    EVENT_INDICATIVE,
    EVENT_PHASE,
    EVENT_REJECTED,
    EVENT_REPLACED,
    EVENT_REPLENISHED,
    EVENT_TRIGGERED,
    FLAG_ALL_OR_NONE,
    FLAG_HIDDEN,
    FLAG_PEG_MID,
    FLAG_PEG_OPPOSITE,
    FLAG_POST_ONLY,
    FLAG_REDUCE_ONLY,
    FLAG_SLIDE,
    FLAG_TRAIL_BPS,
    FLAG_TRIGGER_MARK,
    FLAG_TRIGGER_QUOTE,
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    PHASE_CONTINUOUS,
    PHASE_VOLATILITY_AUCTION,
    PHASE_PRE_OPEN,
    PHASE_OPENING_AUCTION,
    PHASE_CLOSING_AUCTION,
    PHASE_CLOSED,
    REASON_CONTINGENT,
    REASON_DUPLICATE_ORDER,
    REASON_MALFORMED,
    REASON_POOL_FULL,
    REASON_PRICE,
    REASON_QUANTITY,
    REASON_REDUCE_ONLY,
    REASON_REQUESTED,
    REASON_SELF_MATCH,
    REASON_UNFILLED,
    REASON_UNKNOWN_INSTRUMENT,
    REASON_UNKNOWN_ORDER,
    REASON_UNSUPPORTED,
    REASON_WOULD_CROSS,
    SELF_MATCH_CANCEL_BOTH,
    SELF_MATCH_CANCEL_OLDEST,
    SELF_MATCH_DECREMENT,
    SELF_MATCH_NONE,
    SIDE_BUY,
    SIDE_SELL,
    STANDING_AUCTION,
    STANDING_DARK,
    STANDING_DISPLAYED,
    STANDING_PARKED,
    STANDING_WAITING,
    TIF_AT_OPEN,
    TIF_DAY,
    TIF_FOK,
    TIF_GTC,
    TIF_GTD,
    TIF_IOC,
    TYPE_LIMIT,
    TYPE_LIMIT_IF_TOUCHED,
    TYPE_MARKET,
    TYPE_MARKET_IF_TOUCHED,
    TYPE_MARKET_TO_LIMIT,
    TYPE_PEGGED,
    TYPE_STOP,
    TYPE_STOP_LIMIT,
    TYPE_TRAILING_STOP,
    TYPE_TRAILING_STOP_LIMIT,
)

cdef extern from *:
    """
    #define NO_OFFER INT64_MAX
    /* The empty statement keeps it: gcc takes calls of a function without any effect out, and theirs. */
    #define market_prefetch(address) do { __builtin_prefetch((address), 1, 3); __asm__ volatile(""); } while (0)
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
include "dark.pxi"
include "groups.pxi"
include "triggers.pxi"
include "pegs.pxi"
include "settle.pxi"
include "auction.pxi"
include "special.pxi"
include "tape.pxi"


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
        if not options.ring:
            reports += MOST_OF_ICEBERGS     # a ring waits for its reader instead
    m.keep = options.keep
    if pool_open(&m.order_pool, sizeof(order_t), options.orders, not options.small) != 0:
        return market_fail(m)
    m.orders = <order_t*>m.order_pool.base
    # Also without any: record 0, of zeros, stands for that of every plain order.
    if pool_open(&m.extra_pool, sizeof(extra_t), options.extras or 1, options.extras and not options.small) != 0:
        return market_fail(m)
    m.extras = <extra_t*>m.extra_pool.base
    if pages_open(&m.pages, options.pages, not options.small) != 0:
        return market_fail(m)
    m.books = <book_t*>map_region(<size_t>options.instruments * sizeof(book_t), not options.small)
    m.own = <report_t*>map_region(reports * sizeof(report_t), options.ring and not options.small)
    m.reports = m.own
    if m.books == NULL or m.own == NULL:
        return market_fail(m)
    if not options.keep and names_open(m, options.orders) != 0:
        return market_fail(m)
    m.book_count = options.instruments
    if not options.closed:
        for i in range(options.instruments):
            market_book(m, i)
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
    m.shares = <share_t*>map_region((<size_t>options.orders + 1) * sizeof(share_t), False)
    m.ticks = <ticks_t*>map_region(<size_t>options.instruments * sizeof(ticks_t), False)
    m.triggers = <ladder_t*>map_region(<size_t>options.instruments * (SOURCES * KINDS * sizeof(ladder_t)), False)
    m.auctions = <auction_t*>map_region(<size_t>options.instruments * sizeof(auction_t), False)
    m.curves = <curve_t*>map_region(2 * (<size_t>options.orders + 2) * sizeof(curve_t), False)
    m.notices = <uint32_t*>map_region(<size_t>options.instruments * sizeof(uint32_t), False)
    if m.shares == NULL or m.ticks == NULL or m.triggers == NULL:
        return market_fail(m)
    if m.auctions == NULL or m.curves == NULL or m.notices == NULL:
        return market_fail(m)
    if options.groups:
        if pool_open(&m.group_pool, sizeof(group_t), options.groups, False) != 0:
            return market_fail(m)
        m.groups = <group_t*>m.group_pool.base
    m.arming = &m.own_arming
    return 0


cdef void market_book(market_t* m, uint32_t instrument) noexcept nogil:
    cdef book_t* book = &m.books[instrument]
    cdef int side
    book.instrument = instrument
    book.phase = PHASE_CONTINUOUS
    book.lot_step = 1
    book.key = instrument
    for side in range(2):
        ladder_open(&book.ladders[side], SIDE_BUY + side)
        ladder_open(&book.dark[side], SIDE_BUY + side)


cdef int market_fail(market_t* m) noexcept nogil:
    market_close(m)
    return -1


cdef void market_close(market_t* m) noexcept nogil:
    if m.books != NULL:
        unmap_region(m.books, <size_t>m.book_count * sizeof(book_t))
    if m.own != NULL:
        unmap_region(m.own, m.report_capacity * sizeof(report_t))
    names_close(m)
    if m.ring != NULL:
        unmap_region(m.ring, sizeof(report_ring_t))
    if m.ticks != NULL:
        unmap_region(m.ticks, <size_t>m.book_count * sizeof(ticks_t))
    if m.triggers != NULL:
        unmap_region(m.triggers, <size_t>m.book_count * (SOURCES * KINDS * sizeof(ladder_t)))
    if m.groups != NULL:
        pool_close(&m.group_pool)
    if m.shares != NULL:
        unmap_region(m.shares, (<size_t>m.order_pool.capacity + 1) * sizeof(share_t))
    unmap_region(m.auctions, <size_t>m.book_count * sizeof(auction_t))
    unmap_region(m.curves, 2 * (<size_t>m.order_pool.capacity + 2) * sizeof(curve_t))
    unmap_region(m.notices, <size_t>m.book_count * sizeof(uint32_t))
    pool_close(&m.order_pool)
    pool_close(&m.extra_pool)
    pages_close(&m.pages)
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
    touch(&m.pages.blocks[1], (<size_t>pages << 3) * sizeof(block_t))
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
    if m.orders[slot].extra:
        pool_give(&m.extra_pool, m.orders[slot].extra)
        m.orders[slot].extra = 0
    pool_give(&m.order_pool, slot)


cdef void market_new(market_t* m, uint32_t instrument, uint32_t slot, const intent_t* intent) noexcept nogil:
    cdef book_t* book = &m.books[instrument]
    cdef int tif = intent.time_in_force
    if (
        intent.order_type != TYPE_LIMIT or intent.flags & ~<uint32_t>(FLAG_POST_ONLY | FLAG_SLIDE)
        or book.special & BOOK_MATCHES or intent.display or intent.minimum or intent.parent or tif > TIF_FOK or tif == 0
    ):
        special_new(m, book, slot, intent)
        return
    plain_new(
        m, book, slot, intent.id, intent.side, intent.price, intent.quantity, intent.owner,
        PLAIN_CANCEL if tif == TIF_IOC else PLAIN_KILL if tif == TIF_FOK else PLAIN_REST
    )
    if book.special:            # it met an order that set something off
        settle(m, book)


cdef void market_remove(market_t* m, uint32_t slot, int kind, int reason) noexcept nogil:
    cdef order_t* order = &m.orders[slot]
    if order.flags or m.books[level_owner(&m.pages, order.level)].special & BOOK_PHASE:
        order_take_out(m, slot, order, kind, reason)
    else:
        plain_cancel(m, slot, order, kind, reason, m.keep)


cdef void market_cancel(market_t* m, uint32_t slot, int kind, int reason) noexcept nogil:
    cdef book_t* book = &m.books[market_instrument(m, slot)]
    market_remove(m, slot, kind, reason)
    if book.special:
        settle(m, book)


cdef void market_replace(market_t* m, uint32_t slot, int64_t price, int64_t leaves) noexcept nogil:
    cdef order_t* order = &m.orders[slot]
    cdef book_t* book = &m.books[level_owner(&m.pages, order.level)]
    m.replenished = 0
    if order.flags or book.special & BOOK_MATCHES:
        special_replace(m, book, slot, price, leaves)
    else:
        market_report(m, EVENT_REPLACED, order.side, 0, 0, order.id, 0, price, leaves)
        plain_replace(m, slot, order, price, leaves, m.keep)
    if book.special:
        settle(m, book)


# ---- Questions

cdef int64_t market_price(const market_t* m, uint32_t slot) noexcept nogil:
    return order_price(m, &m.orders[slot])


cdef uint32_t market_instrument(const market_t* m, uint32_t slot) noexcept nogil:
    cdef uint32_t level = m.orders[slot].level
    return level_owner(&m.pages, level) if level else m.extras[m.orders[slot].extra].instrument


cdef bint market_crosses(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil:
    return market_touch(m, instrument, 3 - side) >= -rank_of(side, price)


cdef int64_t market_touch(const market_t* m, uint32_t instrument, int side) noexcept nogil:
    cdef const book_t* book = &m.books[instrument]
    cdef int64_t best = book.ladders[side - 1].best
    return best if best >= book.dark[side - 1].best else book.dark[side - 1].best


cdef int64_t market_open_quantity(const market_t* m, uint32_t slot) noexcept nogil:
    return order_open(m, &m.orders[slot])


cdef void market_ahead(const market_t* m, uint32_t slot, int64_t* orders, int64_t* quantity) noexcept nogil:
    cdef const order_t* order = &m.orders[slot]
    cdef uint32_t level, at
    orders[0] = 0
    quantity[0] = 0
    if order.flags & ORDER_DARK:        # all that is displayed at its price goes first, with all it has
        level = ladder_find(
            &m.pages, &m.books[market_instrument(m, slot)].ladders[order.side - 1], level_rank(&m.pages, order.level)
        )
        at = m.pages.levels[level].head if level else 0
        while at:
            orders[0] += 1
            quantity[0] += market_open_quantity(m, at)
            at = m.orders[at].next
    at = order.prev
    while at:
        orders[0] += 1
        quantity[0] += m.orders[at].leaves
        at = m.orders[at].prev


cdef bint market_room(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil:
    if page_find(&m.pages, &m.books[instrument].ladders[side - 1], rank_of(side, price) >> 9):
        return True
    return (
        (m.pages.pool.used < m.pages.pool.capacity or m.pages.idle != 0)
        and m.pages.node_pool.capacity - m.pages.node_pool.used >= 2 * LADDER_DEPTH
    )


cdef uint32_t market_best(const market_t* m, uint32_t instrument, int side) noexcept nogil:
    return m.books[instrument].ladders[side - 1].best_level


cdef uint32_t market_next(const market_t* m, uint32_t instrument, int side, uint32_t level) noexcept nogil:
    return ladder_below(&m.pages, level)


cdef int64_t market_depth(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil:
    cdef uint32_t level = ladder_find(&m.pages, &m.books[instrument].ladders[side - 1], rank_of(side, price))
    return m.pages.levels[level].quantity if level else 0


cdef uint32_t market_first(const market_t* m, uint32_t instrument, int side) noexcept nogil:
    cdef const book_t* book = &m.books[instrument]
    cdef const ladder_t* ladder = &book.ladders[side - 1]
    if book.dark[side - 1].best > ladder.best:
        ladder = &book.dark[side - 1]
    return m.pages.levels[ladder.best_level].head if ladder.best_level else 0


cdef uint32_t market_after(const market_t* m, uint32_t instrument, uint32_t slot) noexcept nogil:
    cdef const book_t* book = &m.books[instrument]
    cdef const order_t* order = &m.orders[slot]
    cdef const ladder_t* displayed = &book.ladders[order.side - 1]
    cdef const ladder_t* dark = &book.dark[order.side - 1]
    cdef int64_t rank
    cdef uint32_t level, other
    if order.next:
        return order.next
    rank = level_rank(&m.pages, order.level)
    if not order.flags & ORDER_DARK:
        level = ladder_find(&m.pages, dark, rank)
        if level and m.pages.levels[level].head:
            return m.pages.levels[level].head
    level = ladder_worse(&m.pages, displayed, rank)
    other = ladder_worse(&m.pages, dark, rank)
    if other and (not level or level_rank(&m.pages, other) > level_rank(&m.pages, level)):
        level = other
    return m.pages.levels[level].head if level else 0


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
