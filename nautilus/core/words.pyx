"""Canonical state as words."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport realloc

from nautilus.core.money cimport int128_t, money_high, money_join, money_low
from nautilus.core.state cimport account_of, instrument_of, kernel_t

cdef int64_t MAX_ID = 0xFFFFFFFF
cdef int64_t MAX_MONEY = <int64_t>1 << 60       # high word: 2^124, which leaves room for every sum


cdef void put(words_t* w, int64_t word) noexcept:
    cdef int64_t* grown
    if w.count == w.capacity:
        grown = <int64_t*>realloc(w.data, (w.capacity * 2 + 1024) * 8)
        if grown == NULL:
            w.failed = True
            return
        w.data = grown
        w.capacity = w.capacity * 2 + 1024
    w.data[w.count] = word
    w.count += 1


cdef void put_money(words_t* w, int128_t value) noexcept:
    put(w, <int64_t>money_low(value))
    put(w, money_high(value))


cdef int64_t take(reader_t* r) except? -1:
    if r.at >= r.count:
        raise ValueError(f"snapshot: expected more than {r.count} words of 8 bytes, found its end")
    r.at += 1
    return r.data[r.at - 1]


cdef int64_t within(reader_t* r, int64_t low, int64_t high, str what) except? -1:
    """The next word, refused where it is not from `low` to `high`: nothing out of the command's range comes in."""
    cdef int64_t word = take(r)
    if not low <= word <= high:
        raise ValueError(f"snapshot: word {r.at - 1}: {what}: expected {low} to {high}, found {word}")
    return word


cdef uint32_t account_named(reader_t* r, kernel_t* k) except 0:
    cdef uint32_t account = account_of(k, <uint32_t>within(r, 1, MAX_ID, "account"))
    if account == 0:
        raise ValueError(f"snapshot: word {r.at - 1}: expected a known account, found {r.data[r.at - 1]}")
    return account


cdef uint32_t instrument_named(reader_t* r, kernel_t* k) except 0:
    cdef uint32_t instrument = instrument_of(k, <uint32_t>within(r, 1, MAX_ID, "instrument"))
    if instrument == 0:
        raise ValueError(f"snapshot: word {r.at - 1}: expected a known instrument, found {r.data[r.at - 1]}")
    return instrument


cdef int take_money(reader_t* r, int128_t* value, str what) except -1:
    cdef uint64_t low = <uint64_t>take(r)
    value[0] = money_join(low, within(r, -MAX_MONEY, MAX_MONEY, what))
    return 0
