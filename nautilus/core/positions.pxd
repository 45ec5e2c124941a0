"""Positions: quantity, cost, realised P&L of one account in one instrument, exact.

`cost` is the cash flow that opened what is held (negative for a long position), so realised + cost is the cash flow
of all fills, always. Rules: docs/kernel.md, section Positions. Values are 128-bit; pre-trade keeps |position| and open
orders within 2^50 lots and |realised| within 2^120, so no sum here can wrap.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_POSITIONS_H
    #define NAUTILUS_POSITIONS_H
    #include <stdint.h>
    typedef __int128 int128_t;
    typedef struct position_t {
        uint32_t account, instrument;                 /* indexes */
        int64_t  quantity, open_buy, open_sell;       /* lots */
        int128_t cost, realised;                      /* units of the instrument's currency */
        int64_t  max_quantity, max_notional, max_position, collar_bps;   /* effective limits, -1: none */
        uint8_t  killed, turned, pad[22];
        uint32_t reduce_first, reduce_last;           /* open reduce-only orders, oldest first: slots */
    } position_t;
    static inline int128_t money_value(int64_t price, int64_t quantity, int64_t multiplier) {
        return (int128_t)price * quantity * multiplier;
    }
    static inline int128_t money_abs(int128_t value) { return value < 0 ? -value : value; }
    static inline int money_above(int128_t value, int64_t limit) { return value > (int128_t)limit; }
    static inline int money_wide(int128_t value) { return money_abs(value) > ((int128_t)1 << 120); }
    static inline uint64_t money_low(int128_t value) { return (uint64_t)value; }
    static inline int64_t money_high(int128_t value) { return (int64_t)(value >> 64); }
    static inline int128_t money_join(uint64_t low, int64_t high) { return ((int128_t)high << 64) | low; }
    /* cost * closed / held rounded half to even; 0 < closed <= held <= 2^50 */
    static inline int128_t money_share(int128_t cost, int64_t closed, int64_t held) {
        int128_t whole = cost / held, rest = cost % held;
        int128_t part = rest * closed, share = part / held, left = part % held;
        int128_t twice = (left < 0 ? -left : left) * 2;
        int128_t total = whole * closed + share;
        if (twice > held || (twice == held && (total & 1))) total += part < 0 ? -1 : 1;
        return total;
    }
    static inline void position_fill(position_t *p, int buy, int64_t price, int64_t quantity, int64_t multiplier) {
        int64_t held = p->quantity < 0 ? -p->quantity : p->quantity;
        int opposite = buy ? p->quantity < 0 : p->quantity > 0;
        int64_t closed = opposite ? (quantity < held ? quantity : held) : 0;
        if (closed) {
            int128_t gone = closed == held ? p->cost : money_share(p->cost, closed, held);
            int128_t cash = money_value(price, closed, multiplier);
            p->cost -= gone;
            p->realised += gone + (buy ? -cash : cash);
        }
        if (quantity > closed) {
            int128_t cash = money_value(price, quantity - closed, multiplier);
            p->cost += buy ? -cash : cash;
        }
        p->quantity += buy ? quantity : -quantity;
    }
    #endif
    """
    ctypedef long long int128_t  # 128 bits in C: only ever handed to the functions here, never used in Cython arithmetic
    ctypedef struct position_t:
        uint32_t account
        uint32_t instrument
        int64_t quantity
        int64_t open_buy
        int64_t open_sell
        int128_t cost
        int128_t realised
        int64_t max_quantity
        int64_t max_notional
        int64_t max_position
        int64_t collar_bps
        uint8_t killed
        uint8_t turned              # became flat or changed its sign in this command
        uint32_t reduce_first       # open reduce-only orders, oldest first: slots
        uint32_t reduce_last
    int128_t money_value(int64_t price, int64_t quantity, int64_t multiplier) noexcept nogil
    int money_above(int128_t value, int64_t limit) noexcept nogil
    int money_wide(int128_t value) noexcept nogil
    uint64_t money_low(int128_t value) noexcept nogil
    int64_t money_high(int128_t value) noexcept nogil
    int128_t money_join(uint64_t low, int64_t high) noexcept nogil
    void position_fill(position_t* p, bint buy, int64_t price, int64_t quantity, int64_t multiplier) noexcept nogil


cdef object money_int(const position_t* p, bint realised)
