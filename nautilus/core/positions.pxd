"""Positions: quantity, cost, realised P&L and fees of one account in one instrument, exact; average cost or FIFO lots.

`cost` is the cash flow that opened what is held (negative for a long position), so realised + cost is the cash flow
of all fills, always; fees are apart. Rules: docs/kernel.md and docs/kernel-controls.md, sections Positions. Values are
128-bit; pre-trade keeps |position| and open orders within 2^50 lots and |realised| within 2^120, so no sum can wrap.

Six cache lines a pair: 1 what every order reads, 2 what every fill moves, 3 and 4 limits and what they remember, 5 the
last orders of each side (DUPLICATE), 6 the newest lot (FIFO). The newest lot lies in the pair itself, so that a
position never lacks a record for it; older ones are in the kernel's pool.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from nautilus.core.money cimport int128_t

cdef extern from *:
    """
    #ifndef NAUTILUS_POSITIONS_H
    #define NAUTILUS_POSITIONS_H
    #include <stddef.h>
    typedef struct lot_t {
        uint32_t next, pad;                           /* the following, newer one; the pool's free link */
        int64_t  quantity, price;                     /* quantity > 0, the position has the sign */
        int128_t cost;
    } lot_t;
    typedef struct last_new_t {
        int64_t  price, quantity, now_ns;
        uint32_t order_type, pad;                     /* order_type 0: none */
    } last_new_t;
    typedef struct position_t {
        uint32_t account, instrument;                 /* indexes */
        int64_t  quantity, open_buy, open_sell;       /* lots */
        uint32_t controls;                            /* 1 << LimitKind of each limit that applies here */
        uint8_t  killed, wide, pad[2];                /* wide: |realised| > 2^120 */
        int64_t  max_position;
        int128_t open_value;                          /* sum of |price| * leaves of open orders, without multiplier */

        int128_t cost, realised, fees;                /* units of the instrument's currency */
        int32_t  maker_fee, taker_fee;                /* parts per million */
        uint32_t next_of_account, next_of_instrument; /* pairs of the same, 0: the last */

        int64_t  max_quantity, max_notional, collar_bps, concentration_bps, stale_ns;
        int64_t  band_bps, band_window_ns;
        uint8_t  forbidden, restricted, band_set, pad2[5];

        int64_t  band_price, band_ns, max_executions, executions_window_ns, executions, executions_ns;
        int64_t  duplicate_window_ns;
        uint32_t lot_head, lot_tail;                  /* older lots, oldest first */

        last_new_t last_new[2];

        lot_t    newest;                              /* quantity 0: no lot */
        uint32_t lots;                                /* in the list */
        uint32_t reduce_first, reduce_last;           /* open reduce-only orders, oldest first: slots */
        uint8_t  turned, pad3[3];                     /* became flat or changed its sign in this command */
    } position_t;
    _Static_assert(sizeof(position_t) == 384, "position_t");
    static inline void position_fill(position_t *p, int buy, int64_t price, int64_t quantity, int64_t multiplier) {
        int64_t held = p->quantity < 0 ? -p->quantity : p->quantity;
        int opposite = buy ? p->quantity < 0 : p->quantity > 0;
        int64_t closed = opposite ? (quantity < held ? quantity : held) : 0;
        if (closed) {
            int128_t gone = closed == held ? p->cost : money_share(p->cost, closed, held);
            int128_t cash = money_value(price, closed, multiplier);
            p->cost -= gone;
            p->realised += gone + (buy ? -cash : cash);
            p->wide = money_wide(p->realised);
        }
        if (quantity > closed) {
            int128_t cash = money_value(price, quantity - closed, multiplier);
            p->cost += buy ? -cash : cash;
        }
        p->quantity += buy ? quantity : -quantity;
    }
    /* Takes `part` of a lot out of the position at a price; the lot keeps the rest. */
    static inline void lot_close(position_t *p, lot_t *lot, int buy, int64_t price, int64_t part, int64_t multiplier) {
        int128_t gone = part == lot->quantity ? lot->cost : money_share(lot->cost, part, lot->quantity);
        int128_t cash = money_value(price, part, multiplier);
        lot->cost -= gone;
        lot->quantity -= part;
        p->cost -= gone;
        p->realised += gone + (buy ? -cash : cash);
        p->wide = money_wide(p->realised);
        p->quantity += buy ? part : -part;
    }
    static inline void lot_grow(position_t *p, lot_t *lot, int buy, int64_t price, int64_t part, int64_t multiplier) {
        int128_t cash = money_value(price, part, multiplier);
        lot->cost += buy ? -cash : cash;
        lot->quantity += part;
        p->cost += buy ? -cash : cash;
        p->quantity += buy ? part : -part;
    }
    static inline void lot_take_in(lot_t *lot, const lot_t *other) {
        lot->cost += other->cost;
        lot->quantity += other->quantity;
    }
    static inline void position_split(position_t *p, int64_t fresh, int64_t old) {
        int64_t held = p->quantity < 0 ? -p->quantity : p->quantity;
        int64_t after = (int64_t)((int128_t)held * fresh / old);
        p->quantity = p->quantity < 0 ? -after : after;
        if (after == 0) {
            p->realised += p->cost;
            p->cost = 0;
            p->wide = money_wide(p->realised);
        }
    }
    static inline int position_split_fits(const position_t *p, int64_t fresh, int64_t old) {
        int64_t held = p->quantity < 0 ? -p->quantity : p->quantity;
        return (int128_t)held * fresh / old <= (int128_t)1 << 50;
    }
    static inline void position_work(position_t *p, int buy, int counted, int64_t price, int64_t quantity) {
        p->open_value += (int128_t)(price < 0 ? -price : price) * quantity;
        /* The side is a coin toss: no branch. */
        size_t side = buy ? offsetof(position_t, open_buy) : offsetof(position_t, open_sell);
        if (counted) *(int64_t *)((char *)p + side) += quantity;
    }
    static inline int position_lots_match(const position_t *p, const lot_t *total) {
        return total->quantity == (p->quantity < 0 ? -p->quantity : p->quantity) && total->cost == p->cost;
    }
    static inline void position_charge(position_t *p, int64_t fee) { p->fees += fee; }
    #endif
    """
    ctypedef struct lot_t:
        uint32_t next
        int64_t quantity
        int64_t price
        int128_t cost
    ctypedef struct last_new_t:
        int64_t price
        int64_t quantity
        int64_t now_ns
        uint32_t order_type
    ctypedef struct position_t:
        uint32_t account
        uint32_t instrument
        int64_t quantity
        int64_t open_buy
        int64_t open_sell
        uint32_t controls
        uint8_t killed
        uint8_t wide
        int64_t max_position
        int128_t open_value
        int128_t cost
        int128_t realised
        int128_t fees
        int32_t maker_fee
        int32_t taker_fee
        uint32_t next_of_account
        uint32_t next_of_instrument
        int64_t max_quantity
        int64_t max_notional
        int64_t collar_bps
        int64_t concentration_bps
        int64_t stale_ns
        int64_t band_bps
        int64_t band_window_ns
        uint8_t forbidden
        uint8_t restricted
        uint8_t band_set
        int64_t band_price
        int64_t band_ns
        int64_t max_executions
        int64_t executions_window_ns
        int64_t executions
        int64_t executions_ns
        int64_t duplicate_window_ns
        uint32_t lot_head
        uint32_t lot_tail
        last_new_t[2] last_new
        lot_t newest
        uint32_t lots
        uint32_t reduce_first
        uint32_t reduce_last
        uint8_t turned
    void position_fill(position_t* p, bint buy, int64_t price, int64_t quantity, int64_t multiplier) noexcept nogil
    void lot_close(position_t* p, lot_t* lot, bint buy, int64_t price, int64_t part, int64_t multiplier) noexcept nogil
    void lot_grow(position_t* p, lot_t* lot, bint buy, int64_t price, int64_t part, int64_t multiplier) noexcept nogil
    void lot_take_in(lot_t* lot, const lot_t* other) noexcept nogil
    void position_split(position_t* p, int64_t fresh, int64_t old) noexcept nogil
    bint position_split_fits(const position_t* p, int64_t fresh, int64_t old) noexcept nogil
    void position_work(position_t* p, bint buy, bint counted, int64_t price, int64_t quantity) noexcept nogil
    bint position_lots_match(const position_t* p, const lot_t* total) noexcept nogil
    void position_charge(position_t* p, int64_t fee) noexcept nogil
