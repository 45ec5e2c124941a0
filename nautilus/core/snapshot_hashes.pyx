"""The running hashes behind the canonical state of a snapshot, which is why they are not part of the state hash.

Ten words, as earlier versions wrote them, are two XXH64; otherwise the kind comes first.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from nautilus.core.hashing cimport HASH_XXH3, HASH_XXH64, hash_t, xxh3_tail
from nautilus.core.words cimport put, take, within

cdef enum:
    OLD_WORDS = 10
    RECORD = 128                # bytes of a command, and of an event


cdef void put_hash(words_t* w, const hash_t* h) noexcept:
    cdef size_t i
    if h.kind == HASH_XXH64:
        for i in range(4):
            put(w, <int64_t>h.xxh64.lane[i])
        put(w, <int64_t>h.xxh64.length)
        return
    for i in range(8):
        put(w, <int64_t>h.xxh3.lane[i])
    put(w, <int64_t>h.xxh3.length)
    for i in range(xxh3_tail(&h.xxh3)):
        put(w, <int64_t>h.xxh3.tail[i])


cdef void put_hashes(words_t* w, kernel_t* k) noexcept:
    if k.event_hash.kind != HASH_XXH64:
        put(w, <int64_t>k.event_hash.kind)
    put_hash(w, &k.event_hash)
    put_hash(w, &k.command_hash)


cdef int take_hash(reader_t* r, hash_t* h, uint64_t kind, int64_t records) except -1:
    cdef size_t i
    cdef int64_t length
    memset(h, 0, sizeof(hash_t))
    h.kind = kind
    if kind == HASH_XXH64:
        for i in range(4):
            h.xxh64.lane[i] = <uint64_t>take(r)
        h.xxh64.length = <uint64_t>take(r)
        return 0
    for i in range(8):
        h.xxh3.lane[i] = <uint64_t>take(r)
    length = <int64_t>(<uint64_t>records * RECORD)
    h.xxh3.length = <uint64_t>within(r, length, length, "bytes hashed")
    for i in range(xxh3_tail(&h.xxh3)):
        h.xxh3.tail[i] = <uint64_t>take(r)
    return 0


cdef int take_hashes(reader_t* r, kernel_t* k) except -1:
    cdef uint64_t kind = HASH_XXH64
    if r.count - r.at != OLD_WORDS:
        kind = <uint64_t>within(r, HASH_XXH3, HASH_XXH3, "kind of hashes")
    take_hash(r, &k.event_hash, kind, k.event_sequence)
    take_hash(r, &k.command_hash, kind, k.sequence)
    return 0
