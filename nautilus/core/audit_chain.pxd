"""One writer, a mapped file. Records of who did what, each with the hash of itself and of the one before.

    file    "NAUDIT01", then records, then zeros
    record  size u32 | kind u16 | status u16 | sequence u64 | now_ns i64 | trace 16 bytes | digest 32 bytes
            | length of principal u16, of method u16, of target u32 | principal method target | 0 to 7 zeros | hash 32 bytes

Little-endian; size is that of the whole record, a multiple of 8. hash = BLAKE2b-256 of the hash before (32 bytes) and of
the record up to its own hash. The size is stored last: a process that is killed in the middle leaves zeros there.

    anchor  "NANCHOR1", then two places, each: sequence u64 | hash 32 bytes

Record n is told at place n mod 2 once it is whole, its sequence last; the higher one counts.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_AUDIT_H
    #define NAUTILUS_AUDIT_H
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    typedef struct audit_head_t {
        uint32_t size;
        uint16_t kind, status;
        uint64_t sequence;
        int64_t  now_ns;
        uint8_t  trace[16], digest[32];
        uint16_t principal, method;
        uint32_t target;
    } audit_head_t;
    _Static_assert(sizeof(audit_head_t) == 80, "audit_head_t");

    typedef struct audit_anchor_t { uint64_t sequence; uint8_t hash[32]; } audit_anchor_t;
    _Static_assert(sizeof(audit_anchor_t) == 40, "audit_anchor_t");

    #define AUDIT_HASH 32
    static inline size_t audit_size(size_t names) { return (sizeof(audit_head_t) + names + 7) / 8 * 8 + AUDIT_HASH; }
    #endif
    """
    ctypedef struct audit_head_t:
        uint32_t size
        uint16_t kind
        uint16_t status
        uint64_t sequence
        int64_t now_ns
        uint8_t trace[16]
        uint8_t digest[32]
        uint16_t principal
        uint16_t method
        uint32_t target
    ctypedef struct audit_anchor_t:
        uint64_t sequence
        uint8_t hash[32]
    size_t audit_size(size_t names) noexcept nogil

cdef enum:
    AUDIT_HASH = 32
    AUDIT_HEAD = 80


cdef class Chain:
    cdef readonly uint64_t sequence
    cdef uint8_t hash[32]
    cdef uint8_t* at                # where the next record goes
    cdef uint8_t* end
    cdef audit_anchor_t* anchors
    cdef object held                # the mapped files, as long as they are written to
    cdef uint8_t* start
