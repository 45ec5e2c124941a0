"""Hot decoder of NASDAQ TotalView-ITCH 5.0; layouts of the rare messages, encoder and Python face in itch.pyx."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_ITCH_H
    #define NAUTILUS_ITCH_H
    #include <stdint.h>
    #include <string.h>
    /* A message that names an order or a trade: A F E C X D U P Q B. One cache line; what a kind lacks is zero. */
    typedef struct itch_order_t {
        int64_t  time_ns;
        uint64_t order_id, new_order_id, match_id, quantity;
        char     stock[8];
        uint32_t price;
        char     mpid[4];
        uint16_t locate, tracking;
        uint8_t  kind, side, printable, cross_type;
    } itch_order_t;
    _Static_assert(sizeof(itch_order_t) == 64, "itch_order_t");

    static inline uint16_t itch_u16(const uint8_t *at)
    { uint16_t v; memcpy(&v, at, 2); return __builtin_bswap16(v); }
    static inline uint32_t itch_u32(const uint8_t *at)
    { uint32_t v; memcpy(&v, at, 4); return __builtin_bswap32(v); }
    static inline uint64_t itch_u64(const uint8_t *at)
    { uint64_t v; memcpy(&v, at, 8); return __builtin_bswap64(v); }
    static inline void itch_copy(char *to, const uint8_t *from, size_t bytes)
    { memcpy(to, from, bytes); }

    /* Bytes of each kind of message (Nasdaq TotalView-ITCH 5.0, section 1); 0: a kind that is not known. */
    static const uint8_t ITCH_LENGTH[256] = {
        ['S'] = 12, ['R'] = 39, ['H'] = 25, ['Y'] = 20, ['L'] = 26, ['V'] = 35, ['W'] = 12, ['K'] = 28, ['J'] = 35,
        ['h'] = 21, ['A'] = 36, ['F'] = 40, ['E'] = 31, ['C'] = 36, ['X'] = 23, ['D'] = 19, ['U'] = 35, ['P'] = 44,
        ['Q'] = 40, ['B'] = 19, ['I'] = 50, ['N'] = 20, ['O'] = 48,
    };

    /* What a message says to a book, with the place of its order's index entry and its book. Fields that a kind lacks hold other bytes of
       the message: to read them costs less than to ask. */
    typedef struct itch_action_t {
        uint64_t order_id, new_order_id;
        uint32_t quantity, price, home, index;
        uint16_t locate;
        uint8_t  kind, side;
    } itch_action_t;
    typedef struct itch_places_t { uint8_t length, quantity, price, side; } itch_places_t;
    /* Offset 11 is within every message of 19 bytes and more. A length of 0: of no concern to a book. */
    __attribute__((unused)) static const itch_places_t ITCH_PLACES[256] = {
        ['A'] = {36, 20, 32, 19}, ['F'] = {40, 20, 32, 19}, ['E'] = {31, 19, 11, 11}, ['C'] = {36, 19, 11, 11},
        ['X'] = {23, 19, 11, 11}, ['D'] = {19, 11, 11, 11}, ['U'] = {35, 27, 31, 11},
    };
    #endif
    """
    ctypedef struct itch_action_t:
        uint64_t order_id
        uint64_t new_order_id
        uint32_t quantity
        uint32_t price
        uint32_t home
        uint32_t index
        uint16_t locate
        uint8_t kind
        uint8_t side
    ctypedef struct itch_places_t:
        uint8_t length
        uint8_t quantity
        uint8_t price
        uint8_t side
    const itch_places_t* ITCH_PLACES
    ctypedef struct itch_order_t:
        int64_t time_ns
        uint64_t order_id
        uint64_t new_order_id
        uint64_t match_id
        uint64_t quantity
        char stock[8]
        uint32_t price
        char mpid[4]
        uint16_t locate
        uint16_t tracking
        uint8_t kind
        uint8_t side
        uint8_t printable
        uint8_t cross_type
    const uint8_t* ITCH_LENGTH
    uint16_t itch_u16(const uint8_t* at) noexcept nogil
    uint32_t itch_u32(const uint8_t* at) noexcept nogil
    uint64_t itch_u64(const uint8_t* at) noexcept nogil
    void itch_copy(char* to, const uint8_t* source, size_t bytes) noexcept nogil

cdef enum:
    ITCH_OK = 0
    ITCH_CUT = 1                # the last message is not whole
    ITCH_END = 2                # a length of zero: end of the session
    ITCH_FULL = 3               # so many messages as were asked for
    ITCH_SIZE = -1              # the length is not that of its kind
    ITCH_SIDE = -2
    ITCH_KIND = -3              # not known, and without a prefix there is no way past it

cdef enum:
    ITCH_SHORTEST = 12          # bytes of the shortest message
    ITCH_SHORTEST_ORDER = 19    # and of the shortest that names an order or a trade

# Where a run of `itch_decode` stands.
ctypedef struct itch_run_t:
    const uint8_t* at           # first byte that is not decoded
    const uint8_t* end
    itch_order_t* orders
    uint8_t* kinds              # of every known message
    int64_t* notices            # offsets of the messages that are no order
    const uint8_t* start
    Py_ssize_t order_count
    Py_ssize_t kind_count
    Py_ssize_t notice_count
    Py_ssize_t unknown
    Py_ssize_t limit            # messages at most


cdef inline bint itch_order(const uint8_t* at, itch_order_t* out) noexcept nogil:
    """A whole message of a kind that names an order or a trade; False where it is of another."""
    cdef uint64_t head = itch_u64(at + 3)
    cdef uint8_t kind = at[0]
    out.locate = itch_u16(at + 1)
    out.tracking = <uint16_t>(head >> 48)
    out.time_ns = <int64_t>(head & <uint64_t>0xFFFFFFFFFFFF)
    out.kind = kind
    out.order_id = itch_u64(at + 11)
    out.new_order_id = 0
    out.match_id = 0
    out.quantity = 0
    out.price = 0
    out.side = out.printable = out.cross_type = 0
    (<uint64_t*>out.stock)[0] = 0
    (<uint32_t*>out.mpid)[0] = 0
    if kind == c"A" or kind == c"F" or kind == c"P":
        out.side = at[19]
        out.quantity = itch_u32(at + 20)
        itch_copy(out.stock, at + 24, 8)
        out.price = itch_u32(at + 32)
        if kind == c"F":
            itch_copy(out.mpid, at + 36, 4)
        elif kind == c"P":
            out.match_id = itch_u64(at + 36)
    elif kind == c"D":
        pass
    elif kind == c"E" or kind == c"C":
        out.quantity = itch_u32(at + 19)
        out.match_id = itch_u64(at + 23)
        if kind == c"C":
            out.printable = at[31]
            out.price = itch_u32(at + 32)
    elif kind == c"X":
        out.quantity = itch_u32(at + 19)
    elif kind == c"U":
        out.new_order_id = itch_u64(at + 19)
        out.quantity = itch_u32(at + 27)
        out.price = itch_u32(at + 31)
    elif kind == c"Q":
        out.quantity = out.order_id
        out.order_id = 0
        itch_copy(out.stock, at + 19, 8)
        out.price = itch_u32(at + 27)
        out.match_id = itch_u64(at + 31)
        out.cross_type = at[39]
    elif kind == c"B":
        out.match_id = out.order_id
        out.order_id = 0
    else:
        return False
    return True


cdef int itch_decode(itch_run_t* run, bint prefixed) noexcept nogil


cdef class ItchBatch:
    cdef readonly object orders, kinds, notices, fault
    cdef readonly Py_ssize_t consumed
    cdef readonly bint ended


cdef class ItchDecoder:
    cdef readonly bint prefixed
    cdef readonly int64_t messages, unknown, faults, offset

    cdef object _note(self, const itch_run_t* run, int status, block)
