"""One writer thread, any number of readers in other processes. The last record of each stream, in a shared table.

A stream has a slot with room for two values and a version; the value in force is that of the version's lowest bit. The
writer fills the other one, then raises the version: a reader copies, and takes the copy if the version is still the
same. So readers never wait, not even for a writer that was killed in the middle: the value before stays in force.
Slots are found by open addressing, at most half of them in use, and are never given back.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.region cimport region_t

cdef extern from *:
    """
    #ifndef NAUTILUS_LAST_VALUES_H
    #define NAUTILUS_LAST_VALUES_H
    #include <stdint.h>
    #include <string.h>

    #define LAST_MOST 128               /* bytes of a value */
    #define LAST_HEAD 256               /* bytes before the slots */
    #define LAST_TURNS 1000000          /* of a reader whom the writer overtakes each time */

    typedef struct last_value_t {
        uint64_t sequence, epoch;
        int64_t  at_ns;
        uint64_t bytes;
        char     record[LAST_MOST];
    } last_value_t;

    typedef struct last_slot_t {
        uint64_t version;               /* 0: free; of the value in force */
        uint64_t stream;
        char     pad[64 - 16];
        last_value_t values[2];
    } last_slot_t;
    _Static_assert(sizeof(last_slot_t) == 384, "last_slot_t");

    typedef struct last_table_t {
        region_t region;                /* its size says how many slots there are */
        uint64_t used, refused;
        char     pad[LAST_HEAD - 128 - 16];
        last_slot_t slots[];
    } last_table_t;
    _Static_assert(sizeof(last_table_t) == LAST_HEAD, "last_table_t");

    /* Slots in a region of this many bytes; 0: it is no such table. */
    static inline uint64_t last_slots(uint64_t bytes)
    {
        uint64_t slots = bytes > LAST_HEAD ? (bytes - LAST_HEAD) / sizeof(last_slot_t) : 0;
        return slots >= 2 && !(slots & (slots - 1)) && bytes == LAST_HEAD + slots * sizeof(last_slot_t) ? slots : 0;
    }

    /* The slot of a stream; else a free one to begin it in; NULL: there is none. */
    static inline last_slot_t *last_find(last_table_t *t, uint64_t slots, uint64_t stream)
    {
        uint64_t at = (stream * 0x9E3779B97F4A7C15ULL) >> 32 & (slots - 1);
        for (uint64_t i = 0; i < slots; i++, at = (at + 1) & (slots - 1)) {
            last_slot_t *slot = &t->slots[at];
            if (__atomic_load_n(&slot->version, __ATOMIC_ACQUIRE) == 0 || slot->stream == stream)
                return slot;
        }
        return NULL;
    }

    /* 0 written, 1 not newer than what is there, 2 no room (counted). */
    static inline int last_put(last_table_t *t, uint64_t slots, uint64_t stream, const void *record, uint64_t bytes,
                               uint64_t sequence, uint64_t epoch, int64_t at_ns)
    {
        last_slot_t *slot = last_find(t, slots, stream);
        uint64_t version = slot ? slot->version : 0;
        if (version == 0) {
            if (slot == NULL || t->used >= slots / 2) {
                __atomic_store_n(&t->refused, t->refused + 1, __ATOMIC_RELAXED);
                return 2;
            }
            slot->stream = stream;
            __atomic_store_n(&t->used, t->used + 1, __ATOMIC_RELAXED);
        } else {
            const last_value_t *now = &slot->values[version & 1];
            if (epoch < now->epoch || (epoch == now->epoch && sequence <= now->sequence))
                return 1;
        }
        last_value_t *next = &slot->values[(version + 1) & 1];
        __atomic_thread_fence(__ATOMIC_RELEASE);    /* the version that put the other one in force is seen first */
        next->sequence = sequence;
        next->epoch = epoch;
        next->at_ns = at_ns;
        next->bytes = bytes;
        if (bytes == 64)
            memcpy(next->record, record, 64);
        else
            memcpy(next->record, record, bytes);
        __atomic_store_n(&slot->version, version + 1, __ATOMIC_RELEASE);
        return 0;
    }

    /* Copy a slot's value; 0: it has none. */
    static inline int last_get(const last_slot_t *slot, last_value_t *out)
    {
        for (int turn = 0; turn < LAST_TURNS; turn++) {
            uint64_t version = __atomic_load_n(&slot->version, __ATOMIC_ACQUIRE);
            if (version == 0)
                return 0;
            memcpy(out, &slot->values[version & 1], sizeof *out);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (__atomic_load_n(&slot->version, __ATOMIC_RELAXED) == version) {
                if (out->bytes > LAST_MOST)
                    out->bytes = LAST_MOST;
                return 1;
            }
        }
        return 0;
    }
    #endif
    """
    ctypedef struct last_value_t:
        uint64_t sequence
        uint64_t epoch
        int64_t at_ns
        uint64_t bytes
        char* record
    ctypedef struct last_slot_t:
        uint64_t version
        uint64_t stream
    ctypedef struct last_table_t:
        region_t region
        uint64_t used
        uint64_t refused
        last_slot_t* slots
    enum:
        LAST_MOST
        LAST_HEAD
    uint64_t last_slots(uint64_t size) noexcept nogil
    last_slot_t* last_find(last_table_t* table, uint64_t slots, uint64_t stream) noexcept nogil
    int last_put(last_table_t* table, uint64_t slots, uint64_t stream, const void* record, uint64_t size,
                 uint64_t sequence, uint64_t epoch, int64_t at_ns) noexcept nogil
    bint last_get(const last_slot_t* slot, last_value_t* out) noexcept nogil

cdef enum:
    LAST_KIND = 0x5453414C          # region kind "LAST"
    LAST_LAYOUT = 1


cdef class LastValueWriter:
    cdef last_table_t* table
    cdef uint64_t slots
    cdef readonly uint64_t stale
    cdef void inherit(self, last_table_t* before, uint64_t slots) noexcept
    cdef int check(self) except -1


cdef class LastValues:
    cdef last_table_t* table
    cdef uint64_t slots
    cdef bytes path
    cdef readonly uint64_t attached
    cdef int64_t due_ns
    cdef int renew(self) except -1
    cdef int seek(self) except -1
    cdef int look(self, uint64_t stream, last_value_t* out) except -1


cdef class LastView:
    cdef LastValues values
    cdef object out
    cdef char* to
    cdef uint64_t room
    cdef readonly uint64_t stream
    cdef last_slot_t* slot
    cdef uint64_t attached
    cdef last_value_t value
