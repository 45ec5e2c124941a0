"""The kernel's whole state as C structs, and how its parts are looked up. One thread.

Everything lies in regions that are mapped once and committed as they are touched; nothing is allocated later.
Indexes are 32-bit and start at 1 where 0 means none (orders, positions, instruments, accounts).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nautilus.core.hashing cimport hash_t
from nautilus.core.hashmap cimport map_find, map_t
from nautilus.core.market cimport market_t
from nautilus.core.order_index cimport bucket_t, index_equal, index_first, index_home, index_table_t
from nautilus.core.order_ids cimport id_set_t, order_hash, order_map_put, order_map_t
from nautilus.core.money cimport int128_t
from nautilus.core.pool cimport pool_t
from nautilus.core.positions cimport position_t
from nautilus.core.risk cimport pair_value_t, risk_t, risk_total_t
from nautilus.core.types cimport command_t, event_t

cdef enum:
    MAX_INSTRUMENTS = 65536
    MAX_ACCOUNTS = 65536
    MAX_POSITIONS = 1 << 20
    MAX_LIMITS = 4096
    MAX_FEES = 4096
    MAX_CURRENCIES = 256        # ids 0 to 255 can have a rate
    MAX_LOTS = 1 << 20          # older lots of FIFO positions, of all
    MAX_CASH = 1 << 20          # currencies with cash, of all accounts
    MAX_STRATEGIES = 1 << 20    # killed ones, of all accounts
    MAX_BANDS = 16
    MAX_GROUPS = 1 << 16
    MAX_PAGES = 1 << 16
    TIMER_INSTRUMENT = 0x80000000   # bits of a timer's owner: docs in timers.pxd
    TIMER_INDICATIVE = 0x40000000
    MAX_OWNERS = 65535          # accounts and self-match groups together
    SMALL_IDS = 65536           # instrument and account ids below this are found in one read

# What the kernel knows of an order beside what the market does, by the same slot: one cache line.
ctypedef struct order_t:
    uint64_t order_id
    int64_t leaves              # all that is open, an iceberg's reserve included
    int64_t filled
    int64_t price               # what it is valued at: its price where it has one
    int64_t arming
    uint32_t instrument         # index
    uint32_t account            # index
    uint32_t position           # index, 0 for exempt accounts
    uint32_t timer              # place in the heap + 1, 0 for none
    uint16_t strategy_id
    uint16_t flags
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t life                # ORDER_ENTERING or ORDER_OPEN, ORDER_UNENTERED; 0: no order

cdef enum:
    ORDER_ENTERING = 1          # its NEW is under way: not in the order map yet
    ORDER_OPEN = 2
    ORDER_UNENTERED = 4         # a child that waits to enter: it does not count as open quantity
    ORDER_ROUTED = 8            # at an external venue: the market knows nothing of it, `routed` has the rest

cdef enum:
    MAX_VENUES = 256            # ids 0 to 255; 0 is the internal venue
    MAX_EXECUTIONS = 1 << 20    # execution ids that are remembered for each venue
    CONTROL_EXTERNAL = 0x80000000   # bit of position_t.controls beside those of LimitKind: the pair is at an external venue

# What is known of an order at an external venue beside `order_t`, by the same slot. Its `price` is what it is valued at
# in `order_t`, what the venue has of it here.
ctypedef struct routed_t:
    int64_t price
    int64_t pending_price       # of a REPLACE whose end is not known; pending_quantity 0: none
    int64_t pending_quantity
    int64_t trigger
    int64_t display
    uint64_t reference          # the venue's name for it, 0: never heard of
    uint32_t next               # routed orders of the instrument, oldest first
    uint32_t prev
    int32_t offset
    uint8_t state               # STATE_*
    uint8_t has_trigger

# An external venue: the execution ids that it has told last.
ctypedef struct venue_t:
    id_set_t known
    uint64_t* ids               # the same as a ring, NULL: no instrument is there
    uint32_t head               # oldest
    uint32_t count

ctypedef struct band_t:
    int64_t first               # |price| from which the step holds
    int64_t step

ctypedef struct instrument_t:
    uint32_t id
    uint32_t currency
    int64_t multiplier
    int64_t lot_step
    int64_t minimum
    int64_t price_step
    int64_t mark
    int64_t mark_ns             # when it came
    int64_t last
    int64_t last_ns
    int64_t close_ns
    int64_t version             # moves with what a control looks at
    int64_t volatility_bps      # VOLATILITY_BAND in force, -1: none
    int64_t volatility_ns       # its window
    uint32_t first_pair         # pairs of the instrument, 0: none
    int32_t date
    uint16_t product
    uint16_t flags
    uint8_t phase
    uint8_t has_mark
    uint8_t has_last
    uint8_t killed
    uint8_t venue               # 0: the internal one
    uint32_t routed_first       # open orders at its external venue, oldest first; slots
    uint32_t routed_last
    uint32_t timers[2]          # places in the heap + 1: end of a volatility interruption, next indicative price
    uint32_t bands
    band_t band[16]

ctypedef struct account_t:
    uint32_t id
    uint32_t open_orders
    int64_t rate_tat            # theoretical arrival time of the next message
    int64_t rate_interval       # 0: no limit
    int64_t rate_slack          # window - interval
    uint64_t most_id            # largest order id that it ever had, open or closed: larger ones are new
    id_set_t closed_ids         # those remembered
    uint64_t* closed            # the same, as a ring: the oldest is forgotten first
    uint32_t near[64]           # position entries of the first 64 instruments, by index; 0: none
    uint32_t closed_head        # oldest
    uint32_t closed_count
    uint16_t flags
    uint16_t self_match_group   # 0: the account alone
    uint16_t owner              # number for self-match prevention: shared by its group
    uint8_t self_match_mode     # 0: as 1
    uint8_t killed
    risk_t risk

ctypedef struct limit_t:
    uint32_t kind
    uint32_t account            # ids, 0: every
    uint32_t instrument
    int64_t value
    int64_t window

ctypedef struct cash_t:
    uint32_t next               # the account's next currency, ascending; the pool's free link
    uint32_t currency
    int128_t amount

ctypedef struct timer_t:
    int64_t due_ns
    int64_t arming
    uint32_t order

ctypedef struct link_t:
    uint32_t next
    uint32_t prev

# What counting for FILL_OR_KILL and the like has taken of a position's side.
ctypedef struct probe_t:
    uint64_t stamp
    int64_t counted

ctypedef struct kernel_t:
    int64_t sequence            # commands
    int64_t event_sequence
    int64_t now_ns
    int64_t match_id
    int64_t arming
    uint32_t capacity
    uint32_t closed_capacity
    bint huge                   # ask for huge pages: faster, but whole 2 MiB steps become resident
    bint killed
    # output of the call under way
    event_t* out
    Py_ssize_t out_count
    Py_ssize_t out_capacity
    event_t* spill              # what did not fit; drained before the next command
    Py_ssize_t spill_count
    Py_ssize_t spill_read
    Py_ssize_t out_hashed       # events of `out` and `spill` that are in the event hash
    Py_ssize_t spill_hashed
    # cause of the events being written
    int64_t cause_sequence
    int64_t cause_now_ns
    uint64_t cause_source_sequence
    uint16_t cause_source_id
    hash_t event_hash           # both of one kind, that of the journal
    hash_t command_hash
    instrument_t* instruments
    uint32_t instrument_count
    uint32_t* instrument_order  # indexes by ascending id
    uint32_t* instrument_small
    map_t instrument_ids
    account_t* accounts
    uint32_t account_count
    uint32_t* account_order
    uint32_t* account_small
    map_t account_ids
    position_t* positions
    uint32_t position_count
    map_t position_ids          # account index << 32 | instrument index
    limit_t* limits
    uint32_t limit_count
    uint32_t[32] limit_kinds    # entries of each kind
    limit_t* fees               # kind RateKind, value parts per million
    uint32_t fee_count
    pair_value_t* pair_values   # by position index, of tracked accounts
    risk_total_t total
    int64_t[256] rates          # by currency, 0: none
    pool_t lots
    uint64_t lots_merged        # openings that found no lot free
    pool_t cash
    map_t strategies            # killed: account index << 16 | strategy
    bint session_seen           # a SESSION for every instrument came
    int32_t session_date        # of the last one
    int64_t version             # of what holds for all accounts and instruments
    void* cache                 # risk_cache_t, NULL: none
    int64_t rules               # layout of the snapshot: KERNEL_RULES, and 2 once something needs it
    uint64_t* sources           # last source_sequence by source_id
    timer_t* timers
    uint32_t timer_count
    order_map_t order_map       # open orders by account and id
    market_t market
    order_t* orders             # by slot of the market
    uint32_t* walk              # slots that a command over many orders goes through
    link_t* reduce              # by slot: neighbours in its position's list of reduce-only orders
    routed_t* routed            # by slot
    venue_t* venues             # by id
    uint64_t* reconciled        # bits of venues, four words an account (index)
    bint external               # an instrument of an external venue came
    int64_t unknown_orders      # routed orders that are UNKNOWN now
    map_t groups                # account index << 16 | group id: group of the market
    const command_t* command    # under way
    uint32_t subject            # instrument (index) of the order that the command names, 0: none
    uint32_t* turned            # positions that became flat or changed their sign in this command, in order
    uint32_t turned_count
    probe_t* probes             # by position
    uint64_t probe_stamp
    uint32_t owner_groups       # self-match groups that have a number
    map_t owners                # self-match group -> owner number, from 65535 down


cdef inline order_t* order_at(const kernel_t* k, uint32_t index) noexcept nogil:
    return &k.orders[index]


cdef inline uint32_t order_in(
    const kernel_t* k, const index_table_t* table, uint32_t account, uint64_t order_id, uint32_t hash
) noexcept nogil:
    cdef uint64_t at = index_home(&k.order_map.index, table, hash)
    cdef const bucket_t* bucket
    cdef uint32_t found, slot
    while True:
        bucket = &table.buckets[at]
        found = index_equal(bucket.keys, hash)
        while found:
            slot = bucket.slots[index_first(found)]
            if slot and order_at(k, slot).order_id == order_id and order_at(k, slot).account == account:
                return slot
            found &= found - 1
        if bucket.passed == 0:
            return 0
        at = (at + 1) & table.mask


cdef inline uint32_t order_found(
    const kernel_t* k, uint32_t account, uint64_t order_id, uint32_t hash
) noexcept nogil:
    """Record of an open order of the account (an index), 0 where there is none. `hash`: `order_hash` of both."""
    cdef uint32_t slot = order_in(k, &k.order_map.index.now, account, order_id, hash)
    if slot == 0 and k.order_map.index.old.buckets != NULL:
        slot = order_in(k, &k.order_map.index.old, account, order_id, hash)
    return slot


cdef inline uint32_t order_of(const kernel_t* k, uint32_t account, uint64_t order_id) noexcept nogil:
    return order_found(k, account, order_id, order_hash(account, order_id))


cdef inline void id_used(kernel_t* k, uint32_t account, uint64_t order_id) noexcept nogil:
    """The account (an index) has had this order id; every one of them is told here."""
    if order_id > k.accounts[account].most_id:
        k.accounts[account].most_id = order_id


cdef inline void order_name(
    kernel_t* k, uint32_t account, uint64_t order_id, uint32_t hash, uint32_t slot
) noexcept nogil:
    """The open order can be found by its id from now on."""
    order_map_put(&k.order_map, hash, slot)
    id_used(k, account, order_id)


cdef inline uint32_t instrument_of(kernel_t* k, uint32_t instrument_id) noexcept nogil:
    """Index of an instrument, 0 where it is not known."""
    cdef uint32_t* found
    if instrument_id < SMALL_IDS:
        return k.instrument_small[instrument_id]
    found = map_find(&k.instrument_ids, instrument_id)
    return found[0] if found != NULL else 0


cdef inline int64_t step_at(const instrument_t* instrument, int64_t price) noexcept nogil:
    """Price step of the band that |price| lies in."""
    cdef int64_t size = -price if price < 0 else price
    cdef int64_t step = instrument.price_step
    cdef uint32_t i
    for i in range(instrument.bands):
        if size < instrument.band[i].first:
            break
        step = instrument.band[i].step
    return step


cdef inline uint32_t account_of(kernel_t* k, uint32_t account_id) noexcept nogil:
    """Index of an account, 0 where it is not known."""
    cdef uint32_t* found
    if account_id < SMALL_IDS:
        return k.account_small[account_id]
    found = map_find(&k.account_ids, account_id)
    return found[0] if found != NULL else 0


cdef inline uint32_t position_of(kernel_t* k, uint32_t account, uint32_t instrument) noexcept nogil:
    """Index of the position entry of two indexes, 0 where there is none yet."""
    cdef uint32_t* found
    if instrument < 64:
        return k.accounts[account].near[instrument]
    found = map_find(&k.position_ids, (<uint64_t>account << 32) | instrument)
    return found[0] if found != NULL else 0


cdef inline uint32_t group_of(kernel_t* k, uint32_t account, uint32_t group_id) noexcept nogil:
    """The group of an account by its id, 0 where it has no open orders."""
    cdef uint32_t* found = map_find(&k.groups, <uint64_t>account << 16 | group_id)
    return found[0] if found != NULL else 0


cdef inline bint is_reconciled(const kernel_t* k, uint32_t account, uint32_t venue) noexcept nogil:
    return k.reconciled[account * 4 + (venue >> 6)] >> (venue & 63) & 1


cdef int state_open(kernel_t* k, uint32_t capacity, uint32_t closed_capacity, bint huge) noexcept nogil
cdef void state_close(kernel_t* k) noexcept nogil
cdef int venue_add(kernel_t* k, uint32_t venue) noexcept nogil      # 0, or -1 where the memory cannot be had
cdef uint32_t instrument_add(kernel_t* k, uint32_t instrument_id) noexcept nogil
cdef void owner_set(kernel_t* k, uint32_t account, uint32_t group) noexcept nogil    # there is room
cdef uint32_t account_add(kernel_t* k, uint32_t account_id) noexcept nogil
cdef uint32_t position_add(kernel_t* k, uint32_t account, uint32_t instrument) noexcept nogil
