"""Money: 128-bit integers, their base value, products that are compared without overflow, fees.

Rules: docs/kernel-controls.md, section Base money. A value whose amount in base money is beyond 2^110 has no value: the
sums over all pairs of an account then stay within 128 bits, and what needs the value refuses.
"""

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_MONEY_H
    #define NAUTILUS_MONEY_H
    #include <stdint.h>
    typedef __int128 int128_t;
    #define MONEY_UNIT 1000000000LL                     /* rate of base money itself */
    #define MONEY_BOUND ((int128_t)1 << 110)
    #define MONEY_FEE_BOUND ((int128_t)1 << 62)
    #define MONEY_PART 1000000LL                        /* fees are parts per million */
    static inline int128_t money_value(int64_t price, int64_t quantity, int64_t multiplier) {
        return (int128_t)price * quantity * multiplier;
    }
    static inline int128_t money_abs(int128_t value) { return value < 0 ? -value : value; }
    static inline int money_above(int128_t value, int64_t limit) { return value > (int128_t)limit; }
    static inline int money_wide(int128_t value) { return money_abs(value) > ((int128_t)1 << 120); }
    static inline uint64_t money_low(int128_t value) { return (uint64_t)value; }
    static inline int64_t money_high(int128_t value) { return (int64_t)(value >> 64); }
    static inline int128_t money_join(uint64_t low, int64_t high) { return ((int128_t)high << 64) | low; }
    static inline int money_any(int128_t value) { return value != 0; }
    static inline void money_add(int128_t *sum, int128_t amount) { *sum += amount; }
    /* cost * closed / held rounded half to even; 0 < closed <= held <= 2^50 */
    static inline int128_t money_share(int128_t cost, int64_t closed, int64_t held) {
        if (cost == (int64_t)cost && held <= INT32_MAX) {           /* no 128-bit division: the same in 64 bits */
            int64_t small = (int64_t)cost, rounded = small / held * closed, rest64 = small % held * closed;
            int64_t left64 = rest64 % held, twice64 = (left64 < 0 ? -left64 : left64) * 2;
            rounded += rest64 / held;
            if (twice64 > held || (twice64 == held && (rounded & 1))) rounded += rest64 < 0 ? -1 : 1;
            return rounded;
        }
        int128_t whole = cost / held, rest = cost % held;
        int128_t part = rest * closed, share = part / held, left = part % held;
        int128_t twice = (left < 0 ? -left : left) * 2;
        int128_t total = whole * closed + share;
        if (twice > held || (twice == held && (total & 1))) total += part < 0 ? -1 : 1;
        return total;
    }
    /* v * rate / 10^9, rounded up (towards +inf) or down; 0 and *beyond set where that is beyond 2^110. */
    static inline int128_t money_base(int128_t v, int64_t rate, int up, int *beyond) {
        int128_t q = v;
        if (__builtin_expect(rate == MONEY_UNIT && v == (int64_t)v, 1)) return q;
        if (__builtin_expect(rate != MONEY_UNIT, 0)) {
            unsigned __int128 a = v < 0 ? -(unsigned __int128)v : (unsigned __int128)v, n;
            uint64_t rest;
            if (a < (unsigned __int128)1 << 86) {
                n = a * (uint64_t)rate;
                if ((uint64_t)(n >> 64) == 0) {
                    q = (uint64_t)n / MONEY_UNIT;
                    rest = (uint64_t)n % MONEY_UNIT;
                } else {
                    q = (int128_t)(n / MONEY_UNIT);
                    rest = (uint64_t)(n - (unsigned __int128)q * MONEY_UNIT);
                }
            } else {
                n = a / MONEY_UNIT;
                if (n > (unsigned __int128)(MONEY_BOUND / rate)) {
                    *beyond = 1;
                    return 0;
                }
                rest = (uint64_t)(a - n * MONEY_UNIT);
                unsigned __int128 part = (unsigned __int128)rest * (uint64_t)rate;
                q = (int128_t)(n * (uint64_t)rate + part / MONEY_UNIT);
                rest = (uint64_t)(part % MONEY_UNIT);
            }
            if (rest && (v >= 0) == (up != 0)) q += 1;
            if (v < 0) q = -q;
        }
        if (q > MONEY_BOUND || q < -MONEY_BOUND) {
            *beyond = 1;
            return 0;
        }
        return q;
    }
    /* What is only compared with a 64-bit limit: 2^64 stands for everything above. v >= 0, rounded up. */
    static inline int128_t money_base_capped(int128_t v, int64_t rate) {
        int beyond = 0;
        int128_t q = money_base(v, rate, 1, &beyond), most = (int128_t)1 << 64;
        return beyond || q > most ? most : q;
    }
    /* a * m > b * n, for a, b, m, n >= 0 */
    static inline int money_more(int128_t a, int64_t m, int128_t b, int64_t n) {
        unsigned __int128 al = (unsigned __int128)(uint64_t)a * (uint64_t)m;
        unsigned __int128 ah = (unsigned __int128)(uint64_t)(a >> 64) * (uint64_t)m + (uint64_t)(al >> 64);
        unsigned __int128 bl = (unsigned __int128)(uint64_t)b * (uint64_t)n;
        unsigned __int128 bh = (unsigned __int128)(uint64_t)(b >> 64) * (uint64_t)n + (uint64_t)(bl >> 64);
        return ah != bh ? ah > bh : (uint64_t)al > (uint64_t)bl;
    }
    /* Of a value of at most 2^100 and at most 2^17 parts per million, rounded towards +inf, within +-2^62. */
    static inline int64_t money_fee(int128_t value, int64_t parts) {
        int128_t product = value * parts, fee;
        if (product <= INT64_MAX - MONEY_PART && product >= -INT64_MAX) {
            int64_t small = (int64_t)product;
            return small > 0 ? (small + MONEY_PART - 1) / MONEY_PART : -(-small / MONEY_PART);
        }
        fee = product > 0 ? (product + MONEY_PART - 1) / MONEY_PART : -(-product / MONEY_PART);
        if (fee > MONEY_FEE_BOUND) fee = MONEY_FEE_BOUND;
        if (fee < -MONEY_FEE_BOUND) fee = -MONEY_FEE_BOUND;
        return (int64_t)fee;
    }
    #endif
    """
    ctypedef long long int128_t  # 128 bits in C: only ever handed to the functions here, never used in Cython arithmetic
    int64_t MONEY_UNIT
    int128_t money_value(int64_t price, int64_t quantity, int64_t multiplier) noexcept nogil
    int128_t money_abs(int128_t value) noexcept nogil
    int money_above(int128_t value, int64_t limit) noexcept nogil
    int money_wide(int128_t value) noexcept nogil
    int money_any(int128_t value) noexcept nogil
    void money_add(int128_t* sum, int128_t amount) noexcept nogil
    uint64_t money_low(int128_t value) noexcept nogil
    int64_t money_high(int128_t value) noexcept nogil
    int128_t money_join(uint64_t low, int64_t high) noexcept nogil
    int128_t money_base(int128_t v, int64_t rate, bint up, int* beyond) noexcept nogil
    bint money_more(int128_t a, int64_t m, int128_t b, int64_t n) noexcept nogil
    int64_t money_fee(int128_t value, int64_t parts) noexcept nogil


cdef object money_int(int128_t value)
