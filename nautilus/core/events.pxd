"""Where events are written: the caller's array first, the spill after it. One thread.

Events are hashed in bulk, after they were written: hashing each one at once would read fields that are still on their
way to the cache.
"""

from nautilus.core.hashing cimport xxh64_stripes
from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport event_t

cdef extern from *:
    """
    #ifndef NAUTILUS_EVENTS_H
    #define NAUTILUS_EVENTS_H
    static inline void event_clear(event_t *e) { *e = (event_t){0}; }
    #endif
    """
    void event_clear(event_t* e) noexcept nogil


cdef inline event_t* event_begin(kernel_t* k, int kind) noexcept nogil:
    """Room for one event, zeroed, with sequence, cause and source filled in."""
    cdef event_t* e
    if k.out_count < k.out_capacity and k.spill_count == 0:
        e = &k.out[k.out_count]
        k.out_count += 1
    else:
        e = &k.spill[k.spill_count]
        k.spill_count += 1
    event_clear(e)
    k.event_sequence += 1
    e.sequence = k.event_sequence
    e.command_sequence = k.cause_sequence
    e.now_ns = k.cause_now_ns
    e.kind = kind
    e.source_id = k.cause_source_id
    e.source_sequence = k.cause_source_sequence
    return e


cdef inline void events_hash(kernel_t* k) noexcept nogil:
    """Takes all events that were written since the last time into the running hash, in order."""
    xxh64_stripes(&k.event_hash, &k.out[k.out_hashed], (k.out_count - k.out_hashed) * (sizeof(event_t) // 8))
    k.out_hashed = k.out_count
    xxh64_stripes(&k.event_hash, &k.spill[k.spill_hashed], (k.spill_count - k.spill_hashed) * (sizeof(event_t) // 8))
    k.spill_hashed = k.spill_count
