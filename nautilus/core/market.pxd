"""The market: what a venue's matching engine does, for any number of instruments; no money, no journal, no event.

Threading contract: one thread (reports may be read by another, through `report_ring_t`). Nothing allocates after
`market_open`, no Python object is touched, and every answer is a report.

    market_t ── books[instrument] ── ladders: bids, offers (displayed, continuous trading)
        │                        └── special: one bit for each kind of thing beside plain orders that the book holds now
        ├── orders: 32-byte records by slot; a plain order is nothing else      ├── extras: side records of the others
        ├── pages:  price levels (ladder.pxd)                                   └── reports: 32 bytes each

Two users. The kernel takes slots itself, keeps records of its own under the same numbers, lets `market_*` work on them
and turns the reports of one command into events; it gives closed slots back when it has read them (`keep` below). The
`Matcher` and the shared object name orders by client id and let the market take and give slots.

A plain order pays for nothing else by three tests: `book.special` once a command, `order.flags` and `order.owner` once
a fill. What they lead to (`special_new`, `special_fill`, `settle`) lives in files of its own.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nautilus.core.ladder cimport ladder_t, level_t, pages_t
from nautilus.core.order_index cimport order_index_t
from nautilus.core.pool cimport pool_t

cdef extern from *:
    """
    #ifndef NAUTILUS_MARKET_H
    #define NAUTILUS_MARKET_H
    #include <stdint.h>
    typedef struct report_t {
        uint8_t  kind, side, reason, flags;
        uint32_t order, counter, aux;
        int64_t  price, quantity;
    } report_t;
    typedef struct message_t {
        uint64_t order_id;
        int64_t  price, quantity;
        uint8_t  kind, side, order_type, time_in_force;
        uint16_t flags, owner;
        uint32_t instrument, tag;
    } message_t;
    _Static_assert(sizeof(report_t) == 32, "report_t");
    _Static_assert(sizeof(message_t) == 40, "message_t");
    #define market_unlikely(x) __builtin_expect(!!(x), 0)
    #define WORST_OF_ALL (INT64_MIN + 1)
    /* In whole words: five narrow stores would cost more than the match. */
    static inline void report_put(
        report_t *report, uint32_t kind, uint32_t side, uint32_t reason, uint32_t flags, uint32_t order, uint32_t counter,
        uint32_t aux, int64_t price, int64_t quantity)
    {
        uint64_t words[4] = {
            (uint64_t)(kind | side << 8 | reason << 16 | flags << 24) | (uint64_t)order << 32,
            (uint64_t)counter | (uint64_t)aux << 32, (uint64_t)price, (uint64_t)quantity};
        __builtin_memcpy(report, words, sizeof(words));
    }
    #endif
    """
    ctypedef struct report_t:
        uint8_t kind            # EVENT_ACCEPTED, FILLED, CANCELLED, REPLACED, REJECTED, TRIGGERED, EXPIRED
        uint8_t side            # of `order`
        uint8_t reason          # REASON_*
        uint8_t flags           # REPORT_*
        uint32_t order          # id; of FILLED: the aggressor (the later one in an auction)
        uint32_t counter        # FILLED: id of the resting order
        uint32_t aux            # `market_t.tag` of the message that caused it
        int64_t price           # FILLED: the resting order's
        int64_t quantity        # FILLED: of the match; CANCELLED, EXPIRED: what was open; else: what is open now
    # A plain command of the Matcher and the shared object, which name orders by client id.
    ctypedef struct message_t:
        uint64_t order_id
        int64_t price
        int64_t quantity        # REPLACE: what is to be open
        uint8_t kind            # COMMAND_NEW, CANCEL, REPLACE
        uint8_t side            # 1 buy, 2 sell
        uint8_t order_type      # TYPE_*
        uint8_t time_in_force   # TIF_*
        uint16_t flags          # FLAG_*
        uint16_t owner          # self-match owner, 0: none
        uint32_t instrument     # 0 to instruments - 1
        uint32_t tag            # comes back in report_t.aux
    bint market_unlikely(bint condition) noexcept nogil
    const int64_t WORST_OF_ALL  # aggressor_t.worst of one that accepts every price
    void report_put(
        report_t* report, uint32_t kind, uint32_t side, uint32_t reason, uint32_t flags, uint32_t order,
        uint32_t counter, uint32_t aux, int64_t price, int64_t quantity
    ) noexcept nogil

# Kinds of report_t beside EVENT_*.
cdef enum:
    REPORT_WIDE = 255           # says of the next report: `order` and `counter` are the upper halves of its ids

# Bits of report_t.flags.
cdef enum:
    REPORT_ORDER_DONE = 1       # `order` is closed by this
    REPORT_COUNTER_DONE = 2     # FILLED: the resting order is filled
    REPORT_OF_CANCEL = 4        # REJECTED: a CANCEL
    REPORT_OF_REPLACE = 8       # REJECTED: a REPLACE

# Bits of order_t.flags: 0 for a plain order.
cdef enum:
    ORDER_ICEBERG = 1           # `leaves` is the displayed part, extra.reserve the rest
    ORDER_ALL_OR_NONE = 2
    ORDER_REDUCE_ONLY = 4
    ORDER_GROUPED = 8           # member of a group: others change when it fills
    ORDER_PARENT = 16           # children wait for it
    ORDER_WAITING = 32          # in no ladder: trigger, parent or phase not there yet
    ORDER_DARK = 64             # not displayed
    ORDER_FLOATING = 128        # its price follows the market: pegged, trailing

# Bits of book_t.special: 0 where the book holds plain orders only and trades continuously.
cdef enum:
    BOOK_DARK = 1               # the dark ladders hold orders
    BOOK_TRIGGERS = 2           # trigger ladders hold orders
    BOOK_PEGS = 4
    BOOK_TRAILING = 8
    BOOK_PRO_RATA = 16          # the book's allocation is pro-rata
    BOOK_PHASE = 32             # not in continuous trading
    BOOK_GROUPS = 64            # orders of the book are linked into groups
    BOOK_SETTLE = 128           # something asks for `settle` after this command

# aggressor_t.self_match: what meeting an order of one's own does.
cdef enum:
    SELF_MATCH_CANCEL_NEWEST = 0
    SELF_MATCH_CANCEL_OLDEST = 1
    SELF_MATCH_CANCEL_BOTH = 2
    SELF_MATCH_DECREMENT = 3
    SELF_MATCH_ALLOW = 4

# What `special_fill` answers.
cdef enum:
    FILL_AS_PLAIN = 0           # the loop fills as if nothing were special
    FILL_AGAIN = 1              # dealt with: the loop looks at the best level anew
    FILL_STOP = 2               # the aggressor's matching ends here

ctypedef struct order_t:
    uint32_t next               # towards the back of the queue; the pool keeps its link here
    uint32_t prev
    uint32_t level              # 0: in no queue
    uint32_t id                 # what reports name; in the kernel the slot itself
    int64_t leaves              # open; of an iceberg the displayed part
    uint16_t owner              # self-match owner, 0: none
    uint8_t side                # 1 buy, 2 sell
    uint8_t flags               # ORDER_*
    uint32_t extra              # 0: none

ctypedef struct extra_t:
    int64_t reserve             # iceberg: open but not displayed
    int64_t display             # iceberg: most that is displayed at once
    int64_t price               # limit of a waiting or floating order
    int64_t trigger
    int64_t offset              # trailing: distance; pegged: to the reference, in ticks (or basis points, see `unit`)
    int64_t cap                 # pegged: no better than this
    int64_t minimum             # least quantity of a match
    int64_t released            # children of an OTO: quantity set free so far
    uint64_t arming             # order of acceptance: who is triggered first
    uint32_t instrument         # of an order in no queue
    uint32_t next               # lists of pegs, of trailing orders
    uint32_t prev
    uint32_t group              # first member of the group, 0: none
    uint32_t group_next         # ring of the group's members
    uint32_t parent
    uint8_t order_type          # TYPE_*
    uint8_t time_in_force       # TIF_*
    uint8_t source              # trigger: last, bid, offer
    uint8_t unit                # offset: ticks, basis points
    uint8_t peg                 # kind
    uint8_t group_kind
    uint8_t self_match
    uint8_t spare

ctypedef struct book_t:
    ladder_t ladders[2]         # [0] bids, [1] offers
    uint32_t special            # BOOK_*
    uint32_t instrument
    int64_t last                # price of the last trade
    int64_t traded              # quantity, since the market was opened
    uint8_t has_last
    uint8_t phase               # PHASE_*
    uint8_t self_match          # SELF_MATCH_* of orders that say nothing
    uint8_t spare
    uint32_t pegs               # first of the list
    uint32_t trailing
    ladder_t dark[2]
    ladder_t triggers[4]

# An order on its way in. `special_new` and `special_fill` may change every field.
ctypedef struct aggressor_t:
    int64_t leaves
    int64_t worst               # the lowest rank of the other side that it accepts
    int64_t price
    uint32_t id
    uint32_t slot               # 0: it has none yet
    uint32_t extra
    uint16_t owner
    uint8_t side
    uint8_t flags               # ORDER_*
    uint8_t self_match
    uint8_t reason              # why `special_fill` stopped it

# All that a NEW or REPLACE can say.
ctypedef struct intent_t:
    int64_t price
    int64_t quantity
    int64_t trigger
    int64_t display
    int64_t minimum
    int64_t offset
    int64_t bound               # MARKET with `bounded`: its worst price
    uint32_t id
    uint32_t group
    uint32_t parent
    uint16_t owner
    uint16_t flags              # FLAG_*
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t self_match
    uint8_t bounded
    uint8_t group_kind
    uint8_t source
    uint8_t unit
    uint8_t peg
    uint8_t spare

# Reports across two threads. The writer's and the reader's words lie on lines of their own; each keeps what it last saw
# of the other's, so a line changes hands only when a side runs out.
ctypedef struct report_ring_t:
    uint64_t written            # published: the reader may read up to here
    uint64_t pad1[15]
    uint64_t read               # the writer may overwrite up to here
    uint64_t seen               # the reader's copy of `written`
    uint64_t pad2[14]
    report_t* reports
    uint64_t capacity           # power of two

ctypedef struct market_t:
    order_t* orders
    report_t* reports           # where the next report goes: reports[written & mask]
    uint64_t written            # reports since the market was opened (or since market_rewind)
    uint64_t mask
    uint64_t limit              # `written` may go up to here before `market_full` is asked
    order_index_t names         # client id -> slot; unused where the user keeps his own (kernel)
    uint32_t* highs             # upper halves of client ids by slot
    uint64_t wide               # open orders whose id is over 32 bits
    uint32_t order_high         # upper half of the id that the next reports name as `order`; see report_wide
    uint32_t counter_high       # and as `counter`
    uint32_t tag                # goes into report_t.aux
    uint32_t book_count
    book_t* books
    pages_t pages
    pool_t order_pool
    pool_t extra_pool
    extra_t* extras
    report_ring_t* ring         # NULL: reports go to a buffer that the user rewinds
    uint64_t arming             # next extra_t.arming
    report_t* own               # the market's own region of reports
    uint64_t report_capacity
    bint outside                # reports go to an array of the caller; what it cannot take goes to `own`
    uint64_t spill_read
    uint64_t spilled            # Matcher: reports of the last message that found no room in the caller's array
    uint64_t waited             # times that the ring was full
    uint64_t lost               # reports that found no room in a buffer; stays 0: it holds more than one command makes
    bint keep                   # closed orders keep their slot until market_give

ctypedef struct market_options_t:
    uint32_t instruments        # books
    uint32_t orders             # most orders at a time
    uint32_t extras             # most of them special
    uint32_t pages              # of 512 price levels
    uint64_t reports            # power of two; 0: as many as one command can make
    bint keep                   # closed orders keep their slot, and the user his own map of ids
    bint ring                   # reports for another thread

cdef int market_open(market_t* m, const market_options_t* options) noexcept nogil       # 0, or -1: no memory
cdef void market_close(market_t* m) noexcept nogil
cdef void market_warm(market_t* m, uint32_t orders, uint32_t pages) noexcept nogil  # commits that much now

# Slots. In a market that keeps them the user gives back each that a report calls done.
cdef uint32_t market_take(market_t* m) noexcept nogil           # 0: full
cdef void market_give(market_t* m, uint32_t slot) noexcept nogil

# Commands on slots. `slot` 0 in market_new: the market takes one when the order rests.
cdef void market_new(market_t* m, uint32_t instrument, uint32_t slot, const intent_t* intent) noexcept nogil
cdef void market_cancel(market_t* m, uint32_t slot, int kind, int reason) noexcept nogil
cdef void market_reduce(market_t* m, uint32_t slot, int64_t leaves) noexcept nogil      # to less, in place
# A new price, a new open quantity. In place where the price stays and the quantity does not grow.
cdef void market_replace(market_t* m, uint32_t slot, int64_t price, int64_t leaves) noexcept nogil

# Questions.
cdef int64_t market_price(const market_t* m, uint32_t slot) noexcept nogil              # of an order in a queue
cdef uint32_t market_instrument(const market_t* m, uint32_t slot) noexcept nogil
cdef bint market_crosses(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil
cdef bint market_room(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil    # can rest
cdef bint market_fills(const market_t* m, uint32_t instrument, const aggressor_t* a) noexcept nogil      # wholly, now
cdef uint32_t market_best(const market_t* m, uint32_t instrument, int side) noexcept nogil               # level, 0
cdef uint32_t market_next(const market_t* m, uint32_t instrument, int side, uint32_t level) noexcept nogil
cdef int64_t market_depth(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil

# Reports of a market without a ring: reports[0] to reports[written - 1] are those since the last market_rewind.
cdef void market_rewind(market_t* m) noexcept nogil
cdef void market_full(market_t* m) noexcept nogil


cdef void report_wide(market_t* m) noexcept nogil


cdef inline void market_report(
    market_t* m, uint32_t kind, uint32_t side, uint32_t reason, uint32_t flags, uint32_t order, uint32_t counter,
    int64_t price, int64_t quantity
) noexcept nogil:
    cdef uint64_t at = m.written
    if market_unlikely((m.order_high | m.counter_high) != 0):
        report_wide(m)
        at = m.written
    if market_unlikely(at >= m.limit):
        market_full(m)
        at = m.written
    report_put(&m.reports[at & m.mask], kind, side, reason, flags, order, counter, m.tag, price, quantity)
    m.written = at + 1


cdef inline int64_t rank_of(int side, int64_t price) noexcept nogil:
    """Higher is better on either side; the same function leads back from rank to price."""
    cdef int64_t mask = 1 - <int64_t>side
    return (price ^ mask) - mask


cdef class Matcher:
    cdef market_t _market
    cdef bint _prefetch
    cdef int _check(self, uint32_t instrument, int side) except -1
