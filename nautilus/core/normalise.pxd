"""One thread at a time. Ticks of a source, checked and made records of the platform; bodies in normalise.pyx.

`Normaliser.run` is the kernel: no interpreter, no memory asked for. What it refuses is written out with the reason and
with what it was held against. Only ticks that pass change what the next ones are held against, but for what counts
agreeing refusals (`jump`, `restart`): so a wrong tick blinds it for no longer than `agreeing` ticks. A refused change of a
book, unless it was said before, leaves a book that is wrong: the next change that passes is marked as one behind a gap.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nautilus.core.id_index cimport id_index_t
from nautilus.core.ticks cimport quarantined_t, tick_t
from nautilus.core.types cimport book_delta_t, quote_t, trade_t

cdef extern from *:
    """
    #ifndef NAUTILUS_NORMALISE_H
    #define NAUTILUS_NORMALISE_H
    #include <stdint.h>
    static const int64_t powers_of_ten[19] = {
        1LL, 10LL, 100LL, 1000LL, 10000LL, 100000LL, 1000000LL, 10000000LL, 100000000LL, 1000000000LL, 10000000000LL,
        100000000000LL, 1000000000000LL, 10000000000000LL, 100000000000000LL, 1000000000000000LL,
        10000000000000000LL, 100000000000000000LL, 1000000000000000000LL };
    /* value * 10^shift / unit into *units, past 64 bits the farthest; 0, or -1 where that is no whole number. */
    static inline int exact_units(int64_t value, int shift, int64_t unit, int64_t *units)
    {
        if (shift < 0) {
            int64_t power = powers_of_ten[-shift];
            if (value % power)
                return -1;
            value /= power;
        } else if (shift > 0) {
            __int128 wide = (__int128)value * powers_of_ten[shift];
            if (wide != (int64_t)wide) {
                if (wide % unit)
                    return -1;
                wide /= unit;
                *units = wide == (int64_t)wide ? (int64_t)wide : wide < 0 ? INT64_MIN : INT64_MAX;
                return 0;
            }
            value = (int64_t)wide;
        }
        if (unit != 1) {
            if (value % unit)
                return -1;
            value /= unit;
        }
        *units = value;
        return 0;
    }
    #endif
    """
    int exact_units(int64_t value, int shift, int64_t unit, int64_t* units) noexcept nogil

cdef enum:
    NORMALISE_STREAMS = 3       # numbers of quotes, of trades, of the book
    MOST_DECIMALS = 18

cdef enum:
    LOST_CHANGE = 1             # the book is no more what the venue says
    LOST_LAST = 2               # a refused one would have closed its update
    LOST_SNAPSHOT = 4           # a refused one is of a snapshot that is still open: its end is marked, it is no whole one

ctypedef struct numbered_t:     # one stream of an instrument
    uint64_t sequence           # of the last that passed; 0: none
    int64_t venue_ns
    uint64_t back               # the last refused one of a numbering that seems to have begun anew
    uint32_t restarted          # how many such ones in a row
    uint16_t open               # an update of the book of which more may come under the same number
    uint16_t lost               # LOST bits of changes of the book that were refused and not told yet

ctypedef struct known_t:        # an instrument
    int64_t price_unit          # mantissas of increment and lot, and their decimals
    int64_t lot_unit
    int64_t reference           # the last price that passed
    int64_t candidate           # the last price that was refused for its distance
    int64_t quote[4]            # the last quote that passed, in ticks and lots
    int64_t quote_ns
    numbered_t streams[NORMALISE_STREAMS]
    uint64_t refused
    uint32_t instrument_id
    uint32_t agreeing           # refusals in a row that are near each other
    uint8_t price_decimals
    uint8_t lot_decimals
    uint8_t negative
    uint8_t anchored            # there is a reference

ctypedef struct normalised_t:   # where it writes, and how far it is
    quote_t* quotes
    trade_t* trades
    book_delta_t* levels
    quarantined_t* refused
    Py_ssize_t quote_count, trade_count, level_count, refused_count
    Py_ssize_t quote_room, trade_room, level_room, refused_room


cdef class Normaliser:
    cdef known_t* _known
    cdef uint32_t _room
    cdef id_index_t _index
    cdef normalised_t _own
    cdef uint64_t _reasons[14]
    cdef uint64_t _passed[5]
    cdef int64_t _future_ns, _past_ns, _late_ns, _jump_bps, _jump_ticks
    cdef uint32_t _agreeing
    cdef uint32_t _consecutive
    cdef bint _locked
    cdef int _source_id

    cdef known_t* find(self, uint32_t instrument_id) noexcept nogil
    cdef Py_ssize_t run(self, const tick_t* ticks, Py_ssize_t count, normalised_t* out) noexcept nogil
    cdef int _check(self, const tick_t* tick, known_t* known, int64_t* values, int* gap, int64_t* reference) noexcept nogil
    cdef int _order(self, const tick_t* tick, numbered_t* stream, int* gap, int64_t* reference) noexcept nogil
    cdef int _jump(self, known_t* known, int64_t price, int64_t* reference) noexcept nogil
    cdef int _reserve(self, Py_ssize_t count) except -1
