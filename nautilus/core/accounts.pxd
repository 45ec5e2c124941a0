"""What happens to an account's pairs, as the order functions tell it: open quantity, fills, fees. One thread.

For orders (all but `pair_add` of limits.pxd, before the checks):

- accepted, and every change of what is open: `account_open` (positive: more, negative: less). Exempt: position 0.
- each match: `instrument_traded` once, then `account_match` for each side (a venue's execution: `account_fill`); both
  answer the fee. The resting order's open quantity goes with `account_open(..., -quantity)`.
- NEW accepted: `account_entered`, after every refusal that could still come.

Rules: docs/kernel-controls.md. Values in base money are kept for tracked accounts alone (`account_track`), and of those
one pair at a time may be out of date: a sweep through many levels is worked out once, at the next check.
"""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.lots cimport lots_fill
from nautilus.core.money cimport int128_t, money_fee, money_value
from nautilus.core.positions cimport last_new_t, position_charge, position_fill, position_t, position_work
from nautilus.core.risk cimport risk_t
from nautilus.core.state cimport instrument_t, kernel_t
from nautilus.core.types cimport (
    ACCOUNT_FIFO,
    LIMIT_DUPLICATE,
    LIMIT_REPEATED,
    SIDE_BUY,
    command_t,
)

# After open quantity of a pair of a tracked account moved by `quantity` lots.
cdef void pair_opened(kernel_t* k, uint32_t position, int64_t price, int64_t quantity) noexcept nogil
# After a match of an order that had its quantity open, in a pair of a tracked account.
cdef void pair_matched(kernel_t* k, uint32_t position, int64_t price, int64_t quantity, int64_t fee) noexcept nogil
# Works a pair's values out anew and moves the sums of its account by the difference.
cdef void pair_refresh(kernel_t* k, uint32_t position) noexcept nogil
# Whether sums are kept follows from the account's limits and flags; they are worked out where that begins.
cdef void account_track(kernel_t* k, uint32_t account) noexcept nogil
# Sums of the account from nothing, also where they are not kept.
cdef void account_value(kernel_t* k, uint32_t account) noexcept nogil
# After a MARK or a SPLIT; after a rate of a currency changed.
cdef void instrument_revalue(kernel_t* k, uint32_t instrument) noexcept nogil
cdef void currency_revalue(kernel_t* k, uint32_t currency) noexcept nogil
# Cash of a currency; 0, or -1 where no record is free.
cdef int cash_add(kernel_t* k, uint32_t account, uint32_t currency, int128_t amount) noexcept nogil
# After a restore: what is kept in base money.
cdef void accounts_restored(kernel_t* k) noexcept nogil
# Day base of each valued account: what it owns now.
cdef void day_begin(kernel_t* k) noexcept nogil
cdef bint strategy_killed(kernel_t* k, uint32_t account, uint32_t strategy) noexcept nogil
# 0, or -1 where no more can be killed.
cdef int strategy_kill(kernel_t* k, uint32_t account, uint32_t strategy, bint on) noexcept nogil


cdef inline int64_t rate_of(const kernel_t* k, uint32_t currency) noexcept nogil:
    """Value of one unit in base money * 10^9, 0: none."""
    return k.rates[currency] if currency < 256 else 0


cdef inline void pair_touch(kernel_t* k, uint32_t position) noexcept nogil:
    """After a change of a pair's position or money."""
    cdef risk_t* risk = &k.accounts[k.positions[position].account].risk
    risk.version += 1
    if risk.tracked:
        if k.total.credit >= 0:
            pair_refresh(k, position)
        elif risk.stale != position:
            if risk.stale:
                pair_refresh(k, risk.stale)
            risk.stale = position


cdef inline void account_settle(kernel_t* k, risk_t* risk) noexcept nogil:
    """Brings the sums up to date."""
    if risk.stale:
        pair_refresh(k, risk.stale)
        risk.stale = 0


cdef inline void account_open(
    kernel_t* k, uint32_t position, int side, bint counted, int64_t price, int64_t quantity
) noexcept nogil:
    """Open quantity and open value of a pair move by `quantity` lots (negative: less).

    counted: as open quantity (not REDUCE_ONLY). price: the order's, or its valuation price where it has none; the same
    for all changes of one order (REPLACE takes the old off and puts the new on).
    """
    cdef risk_t* risk
    if position:
        position_work(&k.positions[position], side == SIDE_BUY, counted, price, quantity)
        risk = &k.accounts[k.positions[position].account].risk
        risk.version += 1
        risk.opened += 1
        if risk.tracked:
            pair_opened(k, position, price, quantity)


cdef inline int64_t fill_book(
    kernel_t* k, position_t* p, int side, int64_t price, int64_t quantity, bint aggressor, bint first
) noexcept nogil:
    """Position and fee of one side of a match; the fee."""
    cdef int64_t multiplier = k.instruments[p.instrument].multiplier, fee = 0, parts
    if k.accounts[p.account].flags & ACCOUNT_FIFO:
        lots_fill(k, p, side == SIDE_BUY, price, quantity, multiplier)
    else:
        position_fill(p, side == SIDE_BUY, price, quantity, multiplier)
    parts = p.taker_fee if aggressor else p.maker_fee
    if parts:
        fee = money_fee(money_value(-price if price < 0 else price, quantity, multiplier), parts)
        position_charge(p, fee)
    if first and p.controls >> LIMIT_REPEATED & 1:
        p.executions += 1
    return fee


cdef inline int64_t account_match(
    kernel_t* k, uint32_t position, int side, int64_t price, int64_t quantity, bint aggressor, bint first
) noexcept nogil:
    """Books a match for one of its two orders, whose quantity was open; the fee (0 for exempt accounts).

    aggressor: pays the taker rate, else the maker rate (in an auction both pay that). first: of this order's matches.
    """
    cdef risk_t* risk
    cdef int64_t fee
    if position == 0:
        return 0
    fee = fill_book(k, &k.positions[position], side, price, quantity, aggressor, first)
    risk = &k.accounts[k.positions[position].account].risk
    risk.version += 1
    risk.opened += 1
    if risk.tracked:
        pair_matched(k, position, price, quantity, fee)
    return fee


cdef inline int64_t account_fill(
    kernel_t* k, uint32_t position, int side, int64_t price, int64_t quantity, bint aggressor, bint first
) noexcept nogil:
    """The same for an execution at a venue, whatever was open."""
    cdef int64_t fee
    if position == 0:
        return 0
    fee = fill_book(k, &k.positions[position], side, price, quantity, aggressor, first)
    pair_touch(k, position)
    return fee


cdef inline void account_entered(kernel_t* k, uint32_t position, const command_t* c) noexcept nogil:
    """A NEW was accepted: what DUPLICATE compares the next with."""
    cdef last_new_t* last
    if position and k.positions[position].controls >> LIMIT_DUPLICATE & 1:
        last = &k.positions[position].last_new[0 if c.side == SIDE_BUY else 1]
        last.order_type = c.order_type
        last.price = c.price_ticks
        last.quantity = c.quantity
        last.now_ns = k.now_ns


cdef inline void instrument_traded(kernel_t* k, instrument_t* instrument, int64_t price) noexcept nogil:
    instrument.last = price
    instrument.has_last = 1
    instrument.last_ns = k.cause_now_ns
    instrument.version += 1
