"""Client ids to slots, in memory that grows with the open orders and not with the ids that were ever used.

Threading contract: one thread. Ids are any 64-bit numbers. A table over all ids would be simpler, and it costs a miss to
main memory for each id that has not been seen for a while: 4 MiB for a million of them. Open orders are few, so the lines
here stay in the caches.

Open addressing, linear probing, deletion that shifts back (Knuth, TAOCP vol. 3, 6.4, algorithm R); at most half of the
entries are in use. An entry is eight bytes: a 32-bit key, which of an id below 2^32 is the id itself, and the slot. At
half the table doubles within an address range that was reserved for it; a few entries are moved at each insertion, so
there is no stall. Until all are moved a search looks into the old table too, where what has left leaves a mark.
"""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_ORDER_INDEX_H
    #define NAUTILUS_ORDER_INDEX_H
    #include <stdint.h>
    #define INDEX_MARK ((uint64_t)0xFFFFFFFF << 32)     /* was moved or removed from the old table: no slot has it */
    #endif
    """
    const uint64_t INDEX_MARK

cdef enum:
    INDEX_FIRST_BITS = 10       # 8 KiB
    INDEX_MOVED_AT_ONCE = 8     # entries of the old table that an insertion looks at: done before the next doubling

ctypedef struct index_table_t:
    uint64_t* entries           # slot << 32 | key, 0: empty
    uint64_t mask
    uint32_t shift              # 64 - bits: the upper bits of the product say where a key is at home
    uint32_t bits

ctypedef struct order_index_t:
    index_table_t now
    index_table_t old           # entries NULL: all are moved
    uint64_t used
    uint64_t limit              # `used` at which it doubles
    uint64_t moved              # entries of `old` that were looked at
    uint64_t seed               # odd; keeps ids that would meet in one place from being chosen
    uint64_t* region            # the table of 2^k entries lies at 2^k, so a doubling overwrites nothing
    uint64_t region_entries


cdef inline uint32_t index_key(uint64_t order_id) noexcept nogil:
    """Of ids over 32 bits a mixture: equal lower halves must not meet."""
    return <uint32_t>order_id ^ (<uint32_t>(order_id >> 32) * <uint32_t>0x9E3779B1)


cdef inline uint64_t index_home(const order_index_t* x, const index_table_t* table, uint32_t key) noexcept nogil:
    return (key * x.seed) >> table.shift


cdef inline void index_add(const order_index_t* x, uint32_t key, uint32_t slot) noexcept nogil:
    """Adds an entry that is not there; there is room."""
    cdef uint64_t at = index_home(x, &x.now, key)
    while x.now.entries[at]:
        at = (at + 1) & x.now.mask
    x.now.entries[at] = <uint64_t>slot << 32 | key


cdef inline bint index_remove(const order_index_t* x, uint32_t key, uint32_t slot) noexcept nogil:
    """Takes an entry out of the present table; False where it is not there."""
    cdef uint64_t* entries = x.now.entries
    cdef uint64_t mask = x.now.mask
    cdef uint64_t wanted = <uint64_t>slot << 32 | key
    cdef uint64_t hole = index_home(x, &x.now, key)
    cdef uint64_t at, home, entry
    while entries[hole] != wanted:
        if entries[hole] == 0:
            return False
        hole = (hole + 1) & mask
    at = hole
    while True:
        at = (at + 1) & mask
        entry = entries[at]
        if entry == 0:
            break
        home = index_home(x, &x.now, <uint32_t>entry)
        # It may move back unless its home lies behind the hole, on the way to where it is now.
        if ((at - home) & mask) >= ((at - hole) & mask):
            entries[hole] = entry
            hole = at
    entries[hole] = 0
    return True


cdef inline void index_remove_old(const order_index_t* x, uint32_t key, uint32_t slot) noexcept nogil:
    cdef uint64_t wanted = <uint64_t>slot << 32 | key
    cdef uint64_t at = index_home(x, &x.old, key)
    while x.old.entries[at] != wanted:
        at = (at + 1) & x.old.mask
    x.old.entries[at] = INDEX_MARK


cdef inline void index_use(order_index_t* x, uint32_t bits) noexcept nogil:
    x.now.bits = bits
    x.now.shift = 64 - bits
    x.now.mask = ((<uint64_t>1) << bits) - 1
    x.now.entries = &x.region[(<uint64_t>1) << bits]
    x.limit = ((<uint64_t>1) << bits) // 2


cdef inline void index_double(order_index_t* x) noexcept nogil:
    """The next larger table takes over; its predecessor is emptied by later insertions."""
    if 4 * ((<uint64_t>1) << x.now.bits) > x.region_entries:
        return                  # the last table holds the most orders that there can be
    x.old = x.now
    x.moved = 0
    index_use(x, x.now.bits + 1)


cdef inline void index_move(order_index_t* x) noexcept nogil:
    """A few entries of the old table go over."""
    cdef uint64_t entry
    cdef int n
    for n in range(INDEX_MOVED_AT_ONCE):
        if x.moved >> x.old.bits:
            x.old.entries = NULL
            return
        entry = x.old.entries[x.moved]
        if entry and entry != INDEX_MARK:
            x.old.entries[x.moved] = INDEX_MARK
            index_add(x, <uint32_t>entry, <uint32_t>(entry >> 32))
        x.moved += 1
