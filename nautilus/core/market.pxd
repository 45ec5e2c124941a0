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

from nautilus.core.order_index cimport order_index_t
from nautilus.core.pages cimport ladder_t, pages_t
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
    typedef uint64_t __attribute__((may_alias)) word_t;
    /* In whole words: narrow stores would cost more than the match, and could not be read back as one word. */
    static inline void report_put(
        report_t *report, uint32_t kind, uint32_t side, uint32_t reason, uint32_t flags, uint32_t order, uint32_t counter,
        uint32_t aux, int64_t price, int64_t quantity)
    {
        word_t *words = (word_t *)report;
        words[0] = (uint64_t)(kind | side << 8 | reason << 16 | flags << 24) | (uint64_t)order << 32;
        words[1] = (uint64_t)counter | (uint64_t)aux << 32;
        words[2] = (uint64_t)price;
        words[3] = (uint64_t)quantity;
    }
    /* The line of some later report, of a ring one that another core read last; past its end a wish for nothing. */
    static inline void report_fetch(const report_t *report) { __builtin_prefetch(report + 16, 1, 3); }
    /* Two 32-bit fields that lie side by side, the first one on a border of eight bytes. */
    static inline void pair_put(uint32_t *first, uint64_t low, uint64_t high) { *(word_t *)first = low | high << 32; }
    static inline uint64_t pair_get(const uint32_t *first) { return *(const word_t *)first; }
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
    void report_fetch(const report_t* report) noexcept nogil
    void pair_put(uint32_t* first, uint64_t low, uint64_t high) noexcept nogil
    uint64_t pair_get(const uint32_t* first) noexcept nogil

# Kinds of report_t beside EVENT_*.
cdef enum:
    REPORT_WIDE = 255           # says of the next report: `order` and `counter` are the upper halves of its ids

# Bits of report_t.flags.
cdef enum:
    REPORT_ORDER_DONE = 1       # `order` is closed by this
    REPORT_COUNTER_DONE = 2     # FILLED: the resting order is filled
    REPORT_OF_CANCEL = 4        # REJECTED: a CANCEL
    REPORT_OF_REPLACE = 8       # REJECTED: a REPLACE
    REPORT_RELEASED = 16        # TRIGGERED: a child begins to act
    REPORT_LIMIT = 32           # REPORT_CHANGED: the order is a LIMIT at `price` now
    REPORT_AUCTION = 64         # FILLED: in an uncrossing; `order` is the buy

# Kinds of report_t beside those of events, which a user of the market may want and no event tells.
cdef enum:
    REPORT_TAKEN = 0            # a recorded queue took its part of a trade; with nothing taken: the order is over
    REPORT_CHANGED = 254        # what `quantity` says is open now

# Bits of order_t.flags: 0 for a plain order.
cdef enum:
    ORDER_ICEBERG = 1           # `leaves` is the displayed part, extra.reserve the rest
    ORDER_ALL_OR_NONE = 2
    ORDER_REDUCE_ONLY = 4
    ORDER_GROUPED = 8           # member of a group: others change when it fills
    ORDER_PARENT = 16           # children wait for it
    ORDER_WAITING = 32          # for its trigger: `level` is one of a trigger ladder, or 0 where it has no trigger yet
    ORDER_DARK = 64             # not displayed
    ORDER_RECORD = 128          # has a side record, whatever else it is

# Bits of book_t.special: 0 where the book holds plain orders only and trades continuously.
cdef enum:
    BOOK_DARK = 1               # the dark ladders hold orders
    BOOK_TRIGGERS = 2           # orders wait for their trigger
    BOOK_PEGS = 4
    BOOK_TRAILING = 8
    BOOK_PRO_RATA = 16          # the book's allocation is pro-rata
    BOOK_PHASE = 32             # not in continuous trading
    BOOK_CHILDREN = 64          # children whose release changed
    BOOK_SETTLE = 128           # in the list of books to be settled
    BOOK_BAND = 256             # matches only near the last price
    BOOK_MATCHES = BOOK_DARK | BOOK_PRO_RATA | BOOK_PHASE | BOOK_BAND   # what a plain aggressor could notice

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

# Side record of an order that is not plain. Prices in ticks, quantities in lots.
ctypedef struct extra_t:
    int64_t reserve             # iceberg: open but not displayed; the pool keeps its link here
    int64_t display             # iceberg: most that is displayed at once
    int64_t price               # limit while in no queue of the book; 0: none
    int64_t trigger
    int64_t offset              # trailing: distance (in basis points with FLAG_TRAIL_BPS); pegged: to the reference
    int64_t distance            # trailing stop-limit: of the limit from the trigger; pegged: the cap, 0: none
    int64_t stood               # number it took when it joined its trigger price
    int64_t arming              # order of acceptance: smallest is oldest
    uint64_t parent_id          # child: what its user calls the parent; 0 once the parent is gone
    int64_t supply              # child: filled quantity of the parent
    int64_t released            # child: what of it this order has had
    int64_t unreleased          # child that has entered: what may still come
    int64_t filled              # parent: filled quantity
    uint32_t instrument
    uint32_t aside_next         # list of orders in no ladder that matches: waiting, parked, at auction
    uint32_t aside_prev
    uint32_t line_next          # oldest first: pegged orders, or trailing ones
    uint32_t line_prev
    uint32_t group              # 0: none
    uint32_t child_head         # parent: its children, oldest first
    uint32_t parent             # child: slot
    uint32_t child_next
    uint32_t child_prev
    uint32_t heap_child         # pending children of a book: a pairing heap by arming, of slots
    uint32_t heap_next
    uint32_t heap_prev          # the node to the left, or the parent of the first
    uint16_t flags              # FLAG_*
    uint8_t order_type          # TYPE_*, as it is now
    uint8_t time_in_force       # TIF_*, as it is now
    uint8_t standing            # STANDING_* while aside, else 0
    uint8_t has_trigger
    uint8_t family              # FAMILY_*
    uint8_t pending             # in the heap
    uint8_t unentered           # child that is parked
    uint8_t uncrossed           # iceberg: the uncrossing filled a part of it
    uint8_t spare[2]

# What a side record is to a parent.
cdef enum:
    FAMILY_NONE = 0
    FAMILY_CHILD = 1            # the parent is open
    FAMILY_ORPHAN = 2           # it has closed, and settling has not seen that yet

cdef enum:
    GROUP_MEMBERS = 8           # open orders of a group, and children of a parent

# Reports that icebergs can add to those of one command: each of 2^19 parts is matched and shown, and each match may change
# the other seven members of two groups.
cdef enum:
    MOST_OF_ICEBERGS = 1 << 23

# Orders that change each other. Made by the user of the market, who also says when it is over.
ctypedef struct group_t:
    uint32_t next               # the pool's link
    uint32_t count              # members, oldest first
    uint32_t held               # members that the user has not forgotten yet
    uint32_t cancels            # one cancels the others (OCO); else one reduces them (OUO)
    uint64_t key                # the user's
    uint64_t stamp              # of the last count that met it, and how much that took of it
    int64_t counted
    uint32_t members[8]         # slots

ctypedef struct band_t:
    int64_t first               # |price| from which the step holds
    int64_t step

# What a price of an instrument is.
ctypedef struct ticks_t:
    int64_t step                # below the first band
    int64_t lowest              # lowest price
    uint32_t bands
    band_t band[16]

ctypedef struct book_t:
    ladder_t ladders[2]         # [0] bids, [1] offers
    uint32_t special            # BOOK_*
    uint32_t instrument
    int64_t last                # price of the last trade
    int64_t traded              # quantity, since the market was opened
    uint8_t has_last
    uint8_t phase               # PHASE_*
    uint8_t self_match          # SELF_MATCH_* of orders that say nothing; 0: cancel the newest
    uint8_t has_mark
    uint32_t key                # books are settled by ascending key
    int64_t lot_step            # allocation is in multiples of it
    ladder_t dark[2]
    int64_t mark
    uint32_t settle_next        # list of books to be settled: number + 1, 0: the last
    uint32_t aside              # first of the list
    uint32_t waiting            # orders that wait for their trigger
    uint32_t pending            # root of the heap of children
    uint32_t pegs               # oldest
    uint32_t pegs_last
    uint32_t trailing
    uint32_t trailing_last
    uint32_t peg_at             # where the look at the pegs goes on
    uint32_t auction_first      # AT_OPEN and AT_CLOSE orders, oldest first
    uint32_t auction_last
    uint8_t peg_look            # pegs are to be looked at whatever the prices are
    uint8_t trail_look
    uint8_t triggers_open       # its trigger ladders are made
    uint8_t trail_has           # bit 0: last, 1: mark
    int64_t peg_bid             # best displayed ranks at the last look at the pegs
    int64_t peg_offer
    int64_t trail_last          # references at the last look at the trailing orders
    int64_t trail_mark
    int64_t trail_bid
    int64_t trail_offer

# Of a book at auction.
ctypedef struct auction_t:
    int64_t band_bps            # volatility band, 0 or less: none
    int64_t price               # told last
    int64_t volume
    int64_t surplus             # bought - sold
    int64_t told_ns
    uint8_t told
    uint8_t changed             # since it was worked out
    uint8_t noticed             # the user has been, or is to be, asked for a timer

# A price of a side at auction.
ctypedef struct curve_t:
    int64_t rank
    int64_t total               # quantity up to and with it

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
    uint8_t banded              # it may match from band_low to band_high
    uint8_t halted              # it would have gone beyond, at band_price
    int64_t band_low
    int64_t band_high
    int64_t band_price

# All that a NEW or REPLACE can say.
ctypedef struct intent_t:
    int64_t price
    int64_t quantity
    int64_t trigger
    int64_t display
    int64_t minimum
    int64_t offset
    int64_t bound               # types without a price, with `bounded`: the worst price
    int64_t arming              # order of acceptance
    uint64_t parent_id          # what the user calls the parent
    int64_t parent_filled       # what of the parent was filled so far
    uint32_t id
    uint32_t group              # 0: none
    uint32_t parent             # slot, 0: none
    uint16_t owner
    uint16_t flags              # FLAG_*
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t bounded
    uint8_t special             # after a restart: it has a side record whatever else is said

# An order as it stands, for a snapshot and from one.
ctypedef struct standing_t:
    int64_t price               # 0: none now
    int64_t leaves              # reserve included
    int64_t display
    int64_t shown               # iceberg at rest
    int64_t trigger
    int64_t stood
    int64_t offset
    int64_t distance
    int64_t released
    int64_t unreleased
    uint64_t parent_id
    uint8_t standing
    uint8_t has_trigger

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

# Scratch of pro-rata and TAPE: an order of a level, and what it is to get.
ctypedef struct share_t:
    uint32_t slot
    uint32_t id
    int64_t quantity

ctypedef struct market_t:
    order_t* orders
    report_t* reports           # where the next report goes: reports[written & mask]
    uint64_t written            # reports since the market was opened (or since market_rewind)
    uint64_t mask
    uint64_t limit              # `written` may go up to here before `market_full` is asked
    order_index_t names         # client id -> slot; unused where the user keeps his own (kernel)
    uint32_t* highs             # upper halves of client ids by slot
    uint64_t wide               # open orders that are found the long way: ids over 32 bits, and all that have flags
    uint32_t order_high         # upper half of the id that reports name as `order`; 0 between commands; see report_wide
    uint32_t counter_high       # and as `counter`
    uint32_t tag                # goes into report_t.aux
    uint32_t book_count
    book_t* books
    pages_t pages
    pool_t order_pool
    pool_t extra_pool
    extra_t* extras
    report_ring_t* ring         # NULL: reports go to a buffer that the user rewinds
    int64_t* arming             # last number given to an order, timer or joining of a trigger price
    int64_t own_arming
    ladder_t* triggers          # [book][source: last, mark, quote][stop buy, stop sell, touched buy, touched sell]
    ticks_t* ticks              # by book
    pool_t group_pool
    group_t* groups
    aggressor_t* active         # the one that is matched now, NULL: none
    uint32_t settle_first       # books to be settled: number + 1, 0: none
    uint32_t settle_last
    report_t* own               # the market's own region of reports
    uint64_t report_capacity
    bint outside                # reports go to an array of the caller; what it cannot take goes to `own`
    uint64_t spill_read
    uint64_t spilled            # Matcher: reports of the last message that found no room in the caller's array
    uint64_t waited             # times that the ring was full
    uint64_t lost               # reports that found no room in a buffer; stays 0: it holds more than one command makes
    bint keep                   # closed orders keep their slot until market_give
    void* context               # of the hooks; a hook that is NULL restricts nothing
    int (*self_match_of)(void* context, uint32_t id) noexcept nogil     # mode of the aggressor of that id
    int64_t (*reducible)(void* context, uint32_t id) noexcept nogil     # quantity that this order may still reduce by
    bint (*recorded)(void* context, uint32_t id) noexcept nogil         # the order is part of a recorded book
    # An order without a price enters: its worst price. 0, or the reason why it cannot.
    int (*bound_of)(void* context, uint32_t id, int64_t* bound, bint* bounded) noexcept nogil
    # A child gets `more` lots to act with, `raised` where it acts already. 0, or the reason why it must not.
    int (*entering)(void* context, uint32_t id, int64_t more, bint raised) noexcept nogil
    # How much of `quantity` an order can be counted with: `limited` ones by what their position leaves after all that was
    # counted since the call with id 0.
    int64_t (*probe)(void* context, uint32_t id, int64_t quantity, bint limited) noexcept nogil
    int64_t (*arming_of)(void* context, uint32_t id) noexcept nogil     # order of acceptance
    bint (*exempt)(void* context, uint32_t id) noexcept nogil           # no volatility band binds the order
    void (*interrupted)(void* context, uint32_t instrument) noexcept nogil
    void (*indicated)(void* context, uint32_t instrument) noexcept nogil
    auction_t* auctions         # by book
    curve_t* curves             # scratch: prices of both sides
    uint32_t* notices           # books that want a timer for their indicative price
    uint32_t notice_count
    int64_t now_ns              # set by the user
    uint64_t stamp
    share_t* shares             # scratch: orders of one level
    uint32_t replenished        # by the command under way

ctypedef struct market_options_t:
    uint32_t instruments        # books
    uint32_t orders             # most orders at a time
    uint32_t extras             # most of them special
    uint32_t groups             # at a time
    uint32_t pages              # of 512 price levels
    uint64_t reports            # power of two; 0: as many as one command can make
    bint keep                   # closed orders keep their slot, and the user his own map of ids
    bint ring                   # reports for another thread
    bint small                  # no huge pages: less memory becomes resident
    bint closed                 # books are opened one by one with market_book

cdef int market_open(market_t* m, const market_options_t* options) noexcept nogil       # 0, or -1: no memory
cdef void market_close(market_t* m) noexcept nogil
cdef void market_book(market_t* m, uint32_t instrument) noexcept nogil      # opens one more book
cdef void market_warm(market_t* m, uint32_t orders, uint32_t pages) noexcept nogil  # commits that much now

# Slots. In a market that keeps them the user gives back each that a report calls done.
cdef uint32_t market_take(market_t* m) noexcept nogil           # 0: full
cdef void market_give(market_t* m, uint32_t slot) noexcept nogil

# Commands on slots. `slot` 0 in market_new: the market takes one when the order rests.
cdef void market_new(market_t* m, uint32_t instrument, uint32_t slot, const intent_t* intent) noexcept nogil
cdef void market_cancel(market_t* m, uint32_t slot, int kind, int reason) noexcept nogil
# A new price, a new open quantity. In place where the price stays and the quantity does not grow.
cdef void market_replace(market_t* m, uint32_t slot, int64_t price, int64_t leaves) noexcept nogil

# The same as market_cancel without settling, for commands that take many out; then market_settle.
cdef void market_remove(market_t* m, uint32_t slot, int kind, int reason) noexcept nogil
# A new price (pegged: cap), open quantity and, where not 0, trigger of an order that is not plain.
cdef void market_amend(market_t* m, uint32_t slot, int64_t price, int64_t leaves, int64_t trigger) noexcept nogil
# A market that keeps slots settles only here: the books that commands touched, the first one first, then by key.
cdef void market_settle(market_t* m, uint32_t first) noexcept nogil
# What the market is told of an instrument.
cdef void market_ticks(market_t* m, uint32_t instrument, int64_t step, int64_t lowest) noexcept nogil
cdef void market_band(market_t* m, uint32_t instrument, int64_t first, int64_t step) noexcept nogil
cdef void market_mark(market_t* m, uint32_t instrument, int64_t price) noexcept nogil
cdef int market_slid(const market_t* m, uint32_t instrument, int side, int flags, int64_t* price) noexcept nogil
cdef void market_forget(market_t* m, uint32_t instrument) noexcept nogil     # mark and last price
cdef void market_phase(market_t* m, uint32_t instrument, int phase) noexcept nogil
# A new phase: docs/kernel-orders.md, all of "Leaving a call phase" but what is about time, and settling.
cdef void market_session(market_t* m, uint32_t instrument, int phase) noexcept nogil
cdef void market_indicate(market_t* m, uint32_t instrument) noexcept nogil      # works the indicative price out
# Something that settling may depend on changed: a self-match mode, a position, a band.
cdef void market_touched(market_t* m, uint32_t instrument) noexcept nogil
cdef void market_allocation(market_t* m, uint32_t instrument, int64_t lot_step, bint pro_rata) noexcept nogil
cdef void market_volatility(market_t* m, uint32_t instrument, int64_t bps) noexcept nogil
cdef void auction_touch(market_t* m, uint32_t instrument) noexcept nogil         # a reference changed
# Groups: a new one (0: no room), and one member less; whether that was the last and the group is no more.
cdef uint32_t market_group(market_t* m, uint64_t key, bint cancels) noexcept nogil
cdef bint market_ungroup(market_t* m, uint32_t group) noexcept nogil
cdef uint32_t market_children(const market_t* m, uint32_t slot) noexcept nogil
# A recorded trade (docs/kernel.md, TAPE): reports of kind 0 tell what a recorded queue took without being changed.
cdef void market_tape(market_t* m, uint32_t instrument, uint32_t slot, const intent_t* intent, bint booked) noexcept nogil
# After a restart. An order as it stood, without matching and without a report; 0, or -1: no room. Then, of those with
# a side record, `market_link` oldest first, and of those that wait with a trigger `market_await` by standing number.
cdef int market_stand(market_t* m, uint32_t instrument, uint32_t slot, const intent_t* intent, const standing_t* state) noexcept nogil
cdef void market_link(market_t* m, uint32_t slot, uint32_t parent, int64_t parent_filled) noexcept nogil
cdef int market_await(market_t* m, uint32_t slot) noexcept nogil

# Questions.
cdef int64_t market_price(const market_t* m, uint32_t slot) noexcept nogil              # of an order in a queue
cdef uint32_t market_instrument(const market_t* m, uint32_t slot) noexcept nogil
cdef bint market_crosses(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil
cdef int64_t market_touch(const market_t* m, uint32_t instrument, int side) noexcept nogil    # best rank, dark too
cdef int64_t market_open_quantity(const market_t* m, uint32_t slot) noexcept nogil
cdef void market_standing(const market_t* m, uint32_t slot, standing_t* state) noexcept nogil
# Orders that an aggressor at its price meets before an order that stands in a queue, and their quantity.
cdef void market_ahead(const market_t* m, uint32_t slot, int64_t* orders, int64_t* quantity) noexcept nogil
cdef bint market_room(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil    # can rest
cdef uint32_t market_best(const market_t* m, uint32_t instrument, int side) noexcept nogil               # level, 0
cdef uint32_t market_next(const market_t* m, uint32_t instrument, int side, uint32_t level) noexcept nogil
cdef int64_t market_depth(const market_t* m, uint32_t instrument, int side, int64_t price) noexcept nogil

# Walk order of the displayed and dark orders of a side: rank, displayed before dark, queue order. 0: no more.
cdef uint32_t market_first(const market_t* m, uint32_t instrument, int side) noexcept nogil
cdef uint32_t market_after(const market_t* m, uint32_t instrument, uint32_t slot) noexcept nogil

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


cdef inline void market_tell(
    market_t* m, uint32_t kind, uint32_t side, uint32_t reason, uint32_t flags, uint32_t order, int64_t price,
    int64_t quantity
) noexcept nogil:
    """As market_report, of an order whose id is known to be narrow."""
    cdef uint64_t at = m.written
    cdef report_t* report
    if market_unlikely(at >= m.limit):
        market_full(m)
        at = m.written
    report = &m.reports[at & m.mask]
    report_put(report, kind, side, reason, flags, order, 0, m.tag, price, quantity)
    report_fetch(report)
    m.written = at + 1


cdef inline uint32_t report_about(market_t* m, uint32_t slot) noexcept nogil:
    """The reports to come name the order of this slot: the upper half of its id. What was named before, for `order_high`."""
    cdef uint32_t before = m.order_high
    if market_unlikely((m.wide | before) != 0):
        m.order_high = m.highs[slot]
    return before


cdef inline int64_t rank_of(int side, int64_t price) noexcept nogil:
    """Higher is better on either side; the same function leads back from rank to price."""
    cdef uint64_t mask = <uint64_t>(1 - <int64_t>side)      # any price wraps, also one that is still to be refused
    return <int64_t>((<uint64_t>price ^ mask) - mask)


cdef class Matcher:
    cdef market_t _market
    cdef bint _prefetch
    cdef int _check(self, uint32_t instrument, int side) except -1
