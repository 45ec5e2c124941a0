"""Canonical state as 64-bit words: a writer that grows, a reader that checks ranges. Off the hot path."""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.money cimport int128_t
from nautilus.core.state cimport kernel_t

ctypedef struct words_t:
    int64_t* data
    size_t count
    size_t capacity
    bint failed

ctypedef struct reader_t:
    const int64_t* data
    size_t count
    size_t at

cdef void put(words_t* w, int64_t word) noexcept
cdef void put_money(words_t* w, int128_t value) noexcept          # two words, low first
cdef int64_t take(reader_t* r) except? -1
# The next word, refused where it is not from `low` to `high`: nothing out of the commands' range comes in.
cdef int64_t within(reader_t* r, int64_t low, int64_t high, str what) except? -1
cdef int take_money(reader_t* r, int128_t* value, str what) except -1
# Index of a known account or instrument.
cdef uint32_t account_named(reader_t* r, kernel_t* k) except 0
cdef uint32_t instrument_named(reader_t* r, kernel_t* k) except 0
