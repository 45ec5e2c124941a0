"""What the controls of an account look at: its limits, the sums over its pairs, and the test of them. Plain C inside.

Rules: docs/kernel-controls.md. Sums are kept only for accounts with a limit that needs them (`tracked`); a pair whose
values may be out of date is named by `stale` and brought up to date before the sums are read. One cache line of
limits, two of sums.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from nautilus.core.money cimport int128_t
from nautilus.core.positions cimport position_t

cdef extern from *:
    """
    #ifndef NAUTILUS_RISK_H
    #define NAUTILUS_RISK_H
    /* An order as the controls see it. Input, then output. */
    typedef struct intent_t {
        int64_t  valuation;     /* out: what the order is valued at, 0: nothing */
        int64_t  trigger;       /* of a waiting type, where has_trigger */
        int64_t  filled, leaves, value;   /* in, where replaced: of the order; `value` is what its open value counts */
        uint8_t  side;
        uint8_t  kind;          /* OrderType, as it is now */
        uint8_t  has_trigger;
        uint8_t  replaced;      /* REPLACE of an open order, else NEW */
        uint8_t  reducing;      /* REDUCE_ONLY */
        uint8_t  parked;        /* child of an order that is not filled: counts when it enters */
        uint8_t  bounded;       /* out: a price collar applies; `bound` holds its worst price */
        uint8_t  valued;        /* out: `valuation` holds what the order is valued at */
        uint16_t strategy;
        int64_t  bound;
    } intent_t;

    /* A pair in base money: what its account's sums contain of it. */
    typedef struct pair_value_t {
        int128_t gross, bought, sold, cost, open, pnl;
        uint32_t unvalued, unrated, unrated_open, pad;
        int64_t  slack;         /* for CONCENTRATION */
        int64_t  slack_version; /* the account's when it began, -1: none */
    } pair_value_t;
    _Static_assert(sizeof(pair_value_t) == 128, "pair_value_t");

    typedef struct risk_t {
        uint32_t controls;      /* 1 << LimitKind of the account's own and every account's limits */
        uint32_t stale;         /* pair whose values must be worked out before the sums are read, 0: none */
        int64_t  daily_loss, leverage_bps, credit, open_orders, open_value, gross_exposure, net_exposure;
        int128_t gross, bought, sold, cost, open, pnl, cash, day_base;
        uint32_t unvalued, unrated, unrated_open, unrated_cash;     /* pairs and currencies without a value */
        uint32_t first_pair, first_cash, killed_strategies;
        uint8_t  tracked, day_set, pad[2];
        int64_t  version;       /* moves with everything of the account that a control looks at */
        int64_t  opened;        /* how often it was because open quantity or value changed */
        int64_t  slack_version; /* `version` - `opened` + that of all accounts when the slack began, -1: none */
        int64_t  slack_exposure, slack_open, slack_day;
        int64_t  slack_lost;    /* spent of equity since then */
        uint32_t slack_on;      /* controls that had passed then */
    } risk_t;

    /* Over all accounts, for CREDIT_TOTAL. */
    typedef struct risk_total_t {
        int64_t  credit;        /* the limit, -1: none */
        int64_t  unrated;
        int128_t used;
    } risk_total_t;

    static inline int64_t risk_worst(int64_t quantity, int64_t buys, int64_t sells) {
        int64_t worst = quantity < 0 ? -quantity : quantity;
        if (quantity + buys > worst) worst = quantity + buys;
        if (sells - quantity > worst) worst = sells - quantity;
        return worst;
    }

    /* Open orders at their prices; above 2^106 it is beyond 2^64 in base money at every rate. */
    static inline int128_t risk_open(int128_t raw, int64_t multiplier, int64_t rate) {
        int64_t small;
        if (rate == MONEY_UNIT && raw == (int64_t)raw && !__builtin_mul_overflow((int64_t)raw, multiplier, &small))
            return small;
        return raw > (int128_t)1 << 106 ? (int128_t)1 << 64 : money_base_capped(raw * multiplier, rate);
    }

    /* unit: mark * multiplier; rate 0: none. */
    static inline void pair_value_of(
        pair_value_t *v, const position_t *p, int has_mark, int64_t unit, int64_t multiplier, int64_t rate
    ) {
        int live = (p->quantity | p->open_buy | p->open_sell) != 0, beyond = 0;
        int128_t unrealised = 0;
        v->gross = v->bought = v->sold = v->cost = v->open = v->pnl = 0;
        v->unvalued = v->unrated = v->unrated_open = 0;
        if (rate == 0) {
            v->unvalued = live || p->realised != 0 || p->fees != 0;
            v->unrated_open = p->open_value != 0;
            v->unrated = v->unrated_open || p->cost != 0;
            return;
        }
        v->cost = money_base_capped(money_abs(p->cost), rate);
        v->open = risk_open(p->open_value, multiplier, rate);
        if (live && !has_mark)
            v->unvalued = 1;
        else if (live) {
            int128_t size = unit < 0 ? -unit : unit;
            v->gross = money_base(risk_worst(p->quantity, p->open_buy, p->open_sell) * size, rate, 1, &beyond);
            v->bought = money_base((int128_t)(p->quantity + p->open_buy) * unit, rate, 1, &beyond);
            v->sold = money_base((int128_t)(p->open_sell - p->quantity) * unit, rate, 1, &beyond);
            unrealised = money_base((int128_t)p->quantity * unit + p->cost, rate, 0, &beyond);
        }
        v->pnl = money_base(p->realised, rate, 0, &beyond) + unrealised - money_base(p->fees, rate, 1, &beyond);
        if (v->pnl > MONEY_BOUND || v->pnl < -MONEY_BOUND) beyond = 1;
        if (beyond) {
            v->gross = v->bought = v->sold = v->pnl = 0;
            v->unvalued = 1;
        }
    }

    /* Slack: what an account may still add, in base money, before a control in base money could refuse. It is known after
       a check that passed, is spent by all that opens or matches afterwards as if nothing ever offset anything, and ends
       where anything else changes. So an order within it passes for certain, and its check is a comparison. */
    #define RISK_PAIR (1u << 8)             /* CONCENTRATION: of a pair, not of the account */
    #define RISK_TOTAL (1u << 14)           /* CREDIT_TOTAL: of all accounts; compared each time */
    #define RISK_OWN (1u << 6 | 1u << 7 | 1u << 9 | 1u << 11 | 1u << 12 | 1u << 13)
    static inline int risk_costs(
        int64_t unit, int64_t price, int64_t multiplier, int64_t added, int64_t open, int64_t *exposure, int64_t *value
    ) {
        return __builtin_mul_overflow(unit, added > 0 ? added : 0, exposure)
            | __builtin_mul_overflow(price < 0 ? -price : price, multiplier, value)
            | __builtin_mul_overflow(*value, open, value);
    }
    /* Basis points of a value, rounded up; 2^62 stands for what is beyond that. */
    static inline int64_t risk_part(int64_t value, int64_t bps) {
        int64_t part;
        return __builtin_mul_overflow(value, bps, &part) ? (int64_t)1 << 62 : part / 10000 + 1;
    }
    static inline int risk_slack_passes(
        const risk_t *r, const risk_total_t *total, const pair_value_t *v, uint32_t on, int64_t bps, int64_t exposure,
        int64_t open, int64_t version
    ) {
        return r->slack_version == version && exposure <= r->slack_exposure && open <= r->slack_open
            && (on & ~(r->slack_on | RISK_PAIR | RISK_TOTAL)) == 0
            && (!(on & RISK_PAIR) || (v->slack_version == version && exposure <= v->slack - risk_part(r->slack_lost, bps)))
            && (!(on & RISK_TOTAL) || (total->unrated == 0 && total->used + open <= total->credit));
    }
    static inline void risk_slack_end(risk_t *r) {
        r->slack_version = -1;
        r->version += 1;        /* ends that of its pairs too */
    }
    static inline void risk_slack_spend(risk_t *r, pair_value_t *v, int64_t exposure, int64_t open) {
        r->slack_exposure -= exposure;
        r->slack_open -= open;
        if (v->slack_version == r->slack_version && (v->slack -= exposure) < 0) v->slack_version = -1;
        if ((r->slack_exposure | r->slack_open) < 0) risk_slack_end(r);
    }
    /* A match of an order that was open: exposure and open value do not grow by it, the cost of the position and, by the
       distance of its price from the mark and the fee, the loss of the day may. */
    static inline void risk_slack_match(
        risk_t *r, int64_t unit, int64_t price, int64_t multiplier, int64_t quantity, int64_t fee
    ) {
        int64_t value, loss;
        if (__builtin_mul_overflow(price, multiplier, &value) || __builtin_sub_overflow(unit, value, &loss)
            || __builtin_mul_overflow(value < 0 ? -value : value, quantity, &value)
            || __builtin_mul_overflow(loss < 0 ? -loss : loss, quantity, &loss)
            || __builtin_add_overflow(loss, fee > 0 ? fee : 0, &loss)
            || __builtin_add_overflow(r->slack_lost, loss, &r->slack_lost)) {
            risk_slack_end(r);
            return;
        }
        r->slack_open -= value;
        r->slack_day -= loss;
        if (r->slack_on & 1u << 7) r->slack_exposure -= risk_part(loss, r->leverage_bps);
        if ((r->slack_exposure | r->slack_open | r->slack_day) < 0) risk_slack_end(r);
    }
    static inline int64_t risk_slack_of(int128_t slack) {
        const int128_t most = (int128_t)1 << 62;
        return (int64_t)(slack > most ? most : slack < 0 ? -1 : slack);
    }
    /* After a check of the controls `on` that passed, of a pair with a mark in base money. */
    static inline void risk_slack_begin(
        risk_t *r, const position_t *p, pair_value_t *v, uint32_t on, int64_t version
    ) {
        const int128_t wide = (int128_t)1 << 62, equity = r->cash + r->pnl;
        int128_t exposure = wide, open = wide, day = wide, net = r->bought > r->sold ? r->bought : r->sold;
        if ((on & RISK_OWN) != (r->controls & RISK_OWN) || r->gross > wide || equity > wide) return;
        if (on & 1u << 6) day = r->daily_loss - r->day_base + equity;
        if (on & 1u << 7) exposure = equity * r->leverage_bps / 10000 - r->gross - 1;       /* equity stays above 0 */
        if (on & 1u << 12 && r->gross_exposure - r->gross < exposure) exposure = r->gross_exposure - r->gross;
        if (on & 1u << 13 && r->net_exposure - net < exposure) exposure = r->net_exposure - net;
        if (on & 1u << 9) open = r->credit - r->cost - r->open;
        if (on & 1u << 11 && r->open_value - r->open < open) open = r->open_value - r->open;
        if (exposure < 0 || open < 0 || day < 0) return;
        r->slack_exposure = risk_slack_of(exposure);
        r->slack_open = risk_slack_of(open);
        r->slack_day = risk_slack_of(day);
        if (r->slack_version != version) r->slack_lost = 0;
        r->slack_on = on & RISK_OWN;
        r->slack_version = version;
        v->slack = on & RISK_PAIR ? risk_slack_of(
            equity * p->concentration_bps / 10000 - v->gross - 2 + risk_part(r->slack_lost, p->concentration_bps)
        ) : 0;
        v->slack_version = on & RISK_PAIR && v->slack >= 0 ? version : -1;
    }
    /* What CREDIT_TOTAL looks at, for a rate that is not 0: the open value of a pair; and its cost. */
    static inline void risk_open_move(
        risk_t *r, risk_total_t *total, pair_value_t *v, const position_t *p, int64_t multiplier, int64_t rate
    ) {
        int128_t after = risk_open(p->open_value, multiplier, rate), change = after - v->open;
        v->open = after;
        r->open += change;
        total->used += change;
    }
    static inline void risk_cost_move(risk_t *r, risk_total_t *total, pair_value_t *v, const position_t *p, int64_t rate) {
        int128_t after = money_base_capped(money_abs(p->cost), rate), change = after - v->cost;
        v->cost = after;
        r->cost += change;
        total->used += change;
    }

    static inline void risk_move(risk_t *r, risk_total_t *total, pair_value_t *v, pair_value_t *after) {
        r->gross += after->gross - v->gross;
        r->bought += after->bought - v->bought;
        r->sold += after->sold - v->sold;
        r->cost += after->cost - v->cost;
        r->open += after->open - v->open;
        r->pnl += after->pnl - v->pnl;
        r->unvalued += after->unvalued - v->unvalued;
        r->unrated += after->unrated - v->unrated;
        r->unrated_open += after->unrated_open - v->unrated_open;
        total->used += after->cost + after->open - v->cost - v->open;
        total->unrated += (int64_t)after->unrated - (int64_t)v->unrated;
        after->slack = v->slack;
        after->slack_version = v->slack_version;
        *v = *after;
    }

    static inline int risk_valued(const risk_t *r) { return r->unvalued == 0 && r->unrated_cash == 0; }
    static inline int128_t risk_equity(const risk_t *r) { return r->cash + r->pnl; }
    static inline void risk_clear(risk_t *r, risk_total_t *total) {
        total->used -= r->cost + r->open;
        total->unrated -= r->unrated;
        r->gross = r->bought = r->sold = r->cost = r->open = r->pnl = 0;
        r->unvalued = r->unrated = r->unrated_open = 0;
        r->stale = 0;
    }
    static inline void risk_day(risk_t *r) {
        r->day_base = risk_equity(r);
        r->day_set = 1;
    }
    static inline void risk_no_day(risk_t *r) {
        r->day_base = 0;
        r->day_set = 0;
    }
    static inline void risk_cash(risk_t *r, int128_t amount, int64_t rate) {
        int beyond = 0;
        int128_t value = amount == 0 ? 0 : rate ? money_base(amount, rate, 0, &beyond) : 0;
        if (amount != 0 && (rate == 0 || beyond)) r->unrated_cash += 1;
        r->cash += value;
    }
    static inline void risk_day_cash(risk_t *r, int64_t amount, int64_t rate) {
        int beyond = 0;
        if (rate && r->day_set) r->day_base += money_base(amount, rate, 0, &beyond);
    }
    static inline void risk_no_cash(risk_t *r) {
        r->cash = 0;
        r->unrated_cash = 0;
    }

    /* The controls in base money. `added` and `less`: quantity that comes to the side's open quantity and what goes
       (REPLACE); `value` and `less_value`: |price| of the new and of the old; `on`: bits of LimitKind; the answer is
       bits of the same kind, and bit 0 where something has no value. */
    static inline uint32_t risk_check(
        const risk_t *r, const risk_total_t *total, const position_t *p, const pair_value_t *v, uint32_t on, int buy,
        int counted, int valued, int64_t value, int64_t added, int64_t less_value, int64_t less, int has_mark,
        int64_t unit, int64_t multiplier, int64_t rate
    ) {
        uint32_t bits = 0;
        int beyond = 0;
        int known = risk_valued(r);
        int128_t equity = r->cash + r->pnl;
        if (on & 1u << 6 && (!known || !r->day_set || r->day_base - equity > r->daily_loss)) bits |= 1u << 6;
        if (counted && on & (1u << 7 | 1u << 8 | 1u << 12 | 1u << 13)) {
            int64_t buys = p->open_buy, sells = p->open_sell;
            int128_t gross = 0, size = unit < 0 ? -unit : unit;
            if (buy) buys += added - less;
            else sells += added - less;
            if (!known || rate == 0 || !has_mark)
                bits |= 1;
            else {
                gross = money_base(risk_worst(p->quantity, buys, sells) * size, rate, 1, &beyond);
                if (beyond) bits |= 1;
                if (on & 1u << 7 && (
                    equity <= 0 || money_more(r->gross - v->gross + gross, 10000, equity, r->leverage_bps)
                )) bits |= 1u << 7;
                if (on & 1u << 8 && (equity <= 0 || money_more(gross, 10000, equity, p->concentration_bps)))
                    bits |= 1u << 8;
                if (on & 1u << 12 && r->gross - v->gross + gross > r->gross_exposure) bits |= 1u << 12;
                if (on & 1u << 13) {
                    int128_t net = buy
                        ? r->bought - v->bought + money_base((int128_t)(p->quantity + buys) * unit, rate, 1, &beyond)
                        : r->sold - v->sold + money_base((int128_t)(sells - p->quantity) * unit, rate, 1, &beyond);
                    if (beyond) bits |= 1;
                    if (net > r->net_exposure) bits |= 1u << 13;
                }
            }
        }
        if (on & (1u << 9 | 1u << 11 | 1u << 14)) {
            int128_t more = 0, open;
            if (!valued || rate == 0)
                bits |= 1;
            else {
                int128_t raw = p->open_value
                    + (int128_t)(value < 0 ? -value : value) * added
                    - (int128_t)(less_value < 0 ? -less_value : less_value) * less;
                open = risk_open(raw, multiplier, rate);
                more = open - v->open;
                if (on & 1u << 9 && !r->unrated && r->cost + r->open + more > r->credit) bits |= 1u << 9;
                if (on & 1u << 11 && !r->unrated_open && r->open + more > r->open_value) bits |= 1u << 11;
                if (on & 1u << 14 && !total->unrated && total->used + more > total->credit) bits |= 1u << 14;
            }
            if ((on & 1u << 9 && r->unrated) || (on & 1u << 11 && r->unrated_open) || (on & 1u << 14 && total->unrated))
                bits |= 1;
        }
        return bits;
    }
    #endif
    """
    ctypedef struct intent_t:
        int64_t valuation
        int64_t trigger
        int64_t filled
        int64_t leaves
        int64_t value
        uint8_t side
        uint8_t kind
        uint8_t has_trigger
        uint8_t replaced
        uint8_t reducing
        uint8_t parked
        uint8_t bounded
        uint8_t valued
        uint16_t strategy
        int64_t bound
    ctypedef struct pair_value_t:
        int128_t gross
        int128_t bought
        int128_t sold
        int128_t cost
        int128_t open
        int128_t pnl
        uint32_t unvalued
        uint32_t unrated
        uint32_t unrated_open
    ctypedef struct risk_t:
        uint32_t controls
        uint32_t stale
        int64_t daily_loss
        int64_t leverage_bps
        int64_t credit
        int64_t open_orders
        int64_t open_value
        int64_t gross_exposure
        int64_t net_exposure
        int128_t gross
        int128_t bought
        int128_t sold
        int128_t cost
        int128_t open
        int128_t pnl
        int128_t cash
        int128_t day_base
        uint32_t unvalued
        uint32_t unrated
        uint32_t unrated_open
        uint32_t unrated_cash
        uint32_t first_pair
        uint32_t first_cash
        uint32_t killed_strategies
        uint8_t tracked
        uint8_t day_set
        int64_t version
        int64_t opened
        int64_t slack_version
    ctypedef struct risk_total_t:
        int64_t credit
        int64_t unrated
        int128_t used
    void pair_value_of(
        pair_value_t* v, const position_t* p, bint has_mark, int64_t unit, int64_t multiplier, int64_t rate
    ) noexcept nogil
    void risk_move(risk_t* r, risk_total_t* total, pair_value_t* v, pair_value_t* after) noexcept nogil
    bint risk_costs(
        int64_t unit, int64_t price, int64_t multiplier, int64_t added, int64_t open, int64_t* exposure, int64_t* value
    ) noexcept nogil
    bint risk_slack_passes(
        const risk_t* r, const risk_total_t* total, const pair_value_t* v, uint32_t on, int64_t bps, int64_t exposure,
        int64_t open, int64_t version
    ) noexcept nogil
    void risk_slack_match(
        risk_t* r, int64_t unit, int64_t price, int64_t multiplier, int64_t quantity, int64_t fee
    ) noexcept nogil
    void risk_cost_move(
        risk_t* r, risk_total_t* total, pair_value_t* v, const position_t* p, int64_t rate
    ) noexcept nogil
    void risk_slack_end(risk_t* r) noexcept nogil
    void risk_slack_spend(risk_t* r, pair_value_t* v, int64_t exposure, int64_t open) noexcept nogil
    void risk_slack_begin(
        risk_t* r, const position_t* p, pair_value_t* v, uint32_t on, int64_t version
    ) noexcept nogil
    void risk_open_move(
        risk_t* r, risk_total_t* total, pair_value_t* v, const position_t* p, int64_t multiplier, int64_t rate
    ) noexcept nogil
    bint risk_valued(const risk_t* r) noexcept nogil
    int128_t risk_equity(const risk_t* r) noexcept nogil
    void risk_clear(risk_t* r, risk_total_t* total) noexcept nogil
    void risk_day(risk_t* r) noexcept nogil
    void risk_no_day(risk_t* r) noexcept nogil
    void risk_cash(risk_t* r, int128_t amount, int64_t rate) noexcept nogil
    void risk_day_cash(risk_t* r, int64_t amount, int64_t rate) noexcept nogil
    void risk_no_cash(risk_t* r) noexcept nogil
    uint32_t risk_check(
        const risk_t* r, const risk_total_t* total, const position_t* p, const pair_value_t* v, uint32_t on, bint buy,
        bint counted, bint valued, int64_t value, int64_t added, int64_t less_value, int64_t less, bint has_mark,
        int64_t unit, int64_t multiplier, int64_t rate
    ) noexcept nogil
