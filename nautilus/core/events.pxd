"""Where events are written: the caller's array first, the spill after it. One thread.

Events are hashed in bulk, after they were written: hashing each one at once would read fields that are still on their
way to the cache.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.hashing cimport hash_take
from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport event_t

cdef extern from *:
    """
    #ifndef NAUTILUS_EVENTS_H
    #define NAUTILUS_EVENTS_H
    #include <stddef.h>
    #include <stdint.h>
    /* Zeroes a record of whole words; `bytes` is a constant. memset becomes a string instruction here, which takes longer
       to start than all of this. The empty statement keeps gcc from making that of the loop as well. */
    static inline void record_clear(void *record, size_t bytes)
    {
        typedef uint64_t pair_t __attribute__((vector_size(16), aligned(8)));
        char *at = (char *)record;
        #pragma GCC unroll 8
        for (size_t i = 0; i < bytes / 16; i++, at += 16) {
            *(pair_t *)at = (pair_t){0, 0};
            __asm__ volatile("");
        }
        if (bytes % 16)
            *(uint64_t *)at = 0;
    }
    static inline void event_clear(event_t *e) { record_clear(e, sizeof(*e)); }
    /* The whole record in words, each written once. */
    static inline void event_put(
        event_t *e, int64_t sequence, int64_t command_sequence, int64_t now_ns, uint64_t order_id, int64_t price,
        int64_t quantity, int64_t leaves, uint32_t what, uint32_t flags, uint64_t counter_order_id, int64_t match_id,
        int64_t counter_leaves, uint64_t source_sequence, uint32_t instrument, uint32_t account, uint32_t counter_account,
        uint32_t strategy, uint32_t source)
    {
        uint64_t *word = (uint64_t *)e;
        word[0] = (uint64_t)sequence; word[1] = (uint64_t)command_sequence; word[2] = (uint64_t)now_ns;
        word[3] = order_id; word[4] = (uint64_t)price; word[5] = (uint64_t)quantity; word[6] = (uint64_t)leaves;
        word[7] = (uint64_t)what | (uint64_t)flags << 32;
        word[8] = counter_order_id; word[9] = (uint64_t)match_id; word[10] = (uint64_t)counter_leaves; word[11] = 0;
        word[12] = source_sequence; word[13] = 0; word[14] = (uint64_t)instrument | (uint64_t)account << 32;
        word[15] = (uint64_t)counter_account | (uint64_t)strategy << 32 | (uint64_t)source << 48;
    }
    #endif
    """
    void record_clear(void* record, size_t bytes) noexcept nogil
    void event_clear(event_t* e) noexcept nogil
    void event_put(
        event_t* e, int64_t sequence, int64_t command_sequence, int64_t now_ns, uint64_t order_id, int64_t price,
        int64_t quantity, int64_t leaves, uint32_t what, uint32_t flags, uint64_t counter_order_id, int64_t match_id,
        int64_t counter_leaves, uint64_t source_sequence, uint32_t instrument, uint32_t account,
        uint32_t counter_account, uint32_t strategy, uint32_t source
    ) noexcept nogil


cdef inline event_t* event_room(kernel_t* k) noexcept nogil:
    """Where the next event goes."""
    cdef event_t* e
    if k.out_count < k.out_capacity and k.spill_count == 0:
        e = &k.out[k.out_count]
        k.out_count += 1
    else:
        e = &k.spill[k.spill_count]
        k.spill_count += 1
    k.event_sequence += 1
    return e


cdef inline event_t* event_write(
    kernel_t* k, int kind, int side, int reason, uint32_t flags, uint64_t order_id, int64_t price, int64_t quantity,
    int64_t leaves, uint64_t counter_order_id, int64_t match_id, int64_t counter_leaves, uint32_t instrument_id,
    uint32_t account_id, uint32_t counter_account_id, uint32_t strategy_id
) noexcept nogil:
    """One event, all of it: what is not said is zero. The frequent kinds; `event_begin` is for the others."""
    cdef event_t* e = event_room(k)
    event_put(
        e, k.event_sequence, k.cause_sequence, k.cause_now_ns, order_id, price, quantity, leaves,
        <uint32_t>kind | <uint32_t>side << 8 | <uint32_t>reason << 16, flags, counter_order_id, match_id, counter_leaves,
        k.cause_source_sequence, instrument_id, account_id, counter_account_id, strategy_id, k.cause_source_id
    )
    return e


cdef inline event_t* event_begin(kernel_t* k, int kind) noexcept nogil:
    """Room for one event, zeroed, with sequence, cause and source filled in."""
    cdef event_t* e = event_room(k)
    event_clear(e)
    e.sequence = k.event_sequence
    e.command_sequence = k.cause_sequence
    e.now_ns = k.cause_now_ns
    e.kind = kind
    e.source_id = k.cause_source_id
    e.source_sequence = k.cause_source_sequence
    return e


cdef inline void events_hash(kernel_t* k) noexcept nogil:
    """Takes all events that were written since the last time into the running hash, in order."""
    if k.out_count != k.out_hashed:
        hash_take(&k.event_hash, &k.out[k.out_hashed], (k.out_count - k.out_hashed) * sizeof(event_t))
        k.out_hashed = k.out_count
    if k.spill_count != k.spill_hashed:
        hash_take(&k.event_hash, &k.spill[k.spill_hashed], (k.spill_count - k.spill_hashed) * sizeof(event_t))
        k.spill_hashed = k.spill_count
