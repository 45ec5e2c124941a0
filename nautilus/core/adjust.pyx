"""RATE and ADJUST."""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.accounts cimport cash_add, currency_revalue, instrument_revalue, pair_touch, rate_of
from nautilus.core.limits cimport fee_set, pair_add
from nautilus.core.lots cimport lots_fill, lots_merge
from nautilus.core.market cimport auction_touch, market_forget, market_touched
from nautilus.core.reports cimport position_turned, walk_remove
from nautilus.core.positions cimport position_fill, position_split, position_split_fits, position_t
from nautilus.core.risk cimport risk_day_cash
from nautilus.core.state cimport MAX_CURRENCIES, account_of, instrument_of, instrument_t, kernel_t
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    ACCOUNT_FIFO,
    ADJUST_CASH,
    ADJUST_POSITION,
    ADJUST_SPLIT,
    EVENT_CANCELLED,
    INSTRUMENT_NEGATIVE,
    MAX_POSITION_BITS,
    MAX_PRICE_BITS,
    RATE_CURRENCY,
    RATE_MAKER_FEE,
    RATE_TAKER_FEE,
    REASON_CORPORATE_ACTION,
    REASON_MALFORMED,
    REASON_OVERFLOW,
    REASON_POOL_FULL,
    REASON_PRICE,
    REASON_UNKNOWN_ACCOUNT,
    REASON_UNKNOWN_INSTRUMENT,
    command_t,
)

cdef int64_t MAX_RATE = <int64_t>1 << 40
cdef int64_t MAX_AMOUNT = <int64_t>1 << 60
cdef int64_t MAX_PRICE = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MAX_HELD = <int64_t>1 << MAX_POSITION_BITS
cdef int64_t MAX_RATIO = <int64_t>1 << 20
cdef int64_t MAX_FEE = 100000                   # parts per million, a rebate as far below zero


cdef int rate(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t account = 0, instrument = 0
    if c.group_id == RATE_CURRENCY:
        if c.offset <= 0 or c.offset >= MAX_CURRENCIES or c.price_ticks < 1 or c.price_ticks > MAX_RATE:
            return REASON_MALFORMED
        k.rates[c.offset] = c.price_ticks
        currency_revalue(k, c.offset)
        return 0
    if c.group_id != RATE_MAKER_FEE and c.group_id != RATE_TAKER_FEE:
        return REASON_MALFORMED
    if c.price_ticks < -MAX_FEE or c.price_ticks > MAX_FEE:
        return REASON_MALFORMED
    if c.account_id:
        account = account_of(k, c.account_id)
        if account == 0:
            return REASON_UNKNOWN_ACCOUNT
    if c.instrument_id:
        instrument = instrument_of(k, c.instrument_id)
        if instrument == 0:
            return REASON_UNKNOWN_INSTRUMENT
    if fee_set(k, c.group_id, c.account_id, c.instrument_id, c.price_ticks, account, instrument):
        return REASON_POOL_FULL
    return 0


cdef int adjust_cash(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t account
    if (
        c.offset < 0 or c.offset >= MAX_CURRENCIES or c.quantity == 0 or c.quantity > MAX_AMOUNT
        or c.quantity < -MAX_AMOUNT
    ):
        return REASON_MALFORMED
    account = account_of(k, c.account_id)
    if account == 0:
        return REASON_UNKNOWN_ACCOUNT
    if k.accounts[account].flags & ACCOUNT_EXEMPT:
        return REASON_MALFORMED
    if cash_add(k, account, c.offset, c.quantity):
        return REASON_POOL_FULL
    risk_day_cash(&k.accounts[account].risk, c.quantity, rate_of(k, c.offset))
    return 0


cdef int adjust_position(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t account, instrument, index
    cdef int64_t lots = c.quantity, after, before
    cdef bint buy = c.quantity > 0
    cdef position_t* p
    if lots == 0:
        return REASON_MALFORMED
    account = account_of(k, c.account_id)
    if account == 0:
        return REASON_UNKNOWN_ACCOUNT
    instrument = instrument_of(k, c.instrument_id)
    if instrument == 0:
        return REASON_UNKNOWN_INSTRUMENT
    if k.accounts[account].flags & ACCOUNT_EXEMPT:
        return REASON_MALFORMED
    if c.price_ticks < -MAX_PRICE or c.price_ticks > MAX_PRICE or (
        c.price_ticks <= 0 and not k.instruments[instrument].flags & INSTRUMENT_NEGATIVE
    ):
        return REASON_PRICE
    if lots > 2 * MAX_HELD or lots < -2 * MAX_HELD:
        return REASON_OVERFLOW
    index = pair_add(k, account, instrument)
    if index == 0:
        return REASON_POOL_FULL
    p = &k.positions[index]
    after = p.quantity + lots
    if (
        p.wide or after > MAX_HELD or after < -MAX_HELD or (buy and after + p.open_buy > MAX_HELD)
        or (not buy and p.open_sell - after > MAX_HELD)
    ):
        return REASON_OVERFLOW
    before = p.quantity
    if not buy:
        lots = -lots
    if k.accounts[account].flags & ACCOUNT_FIFO:
        lots_fill(k, p, buy, c.price_ticks, lots, k.instruments[instrument].multiplier)
    else:
        position_fill(p, buy, c.price_ticks, lots, k.instruments[instrument].multiplier)
    pair_touch(k, index)
    position_turned(k, index, before)
    market_touched(&k.market, instrument)
    return 0


cdef int split(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t index, at
    cdef int64_t held
    cdef instrument_t* instrument
    if c.quantity < 1 or c.quantity > MAX_RATIO or c.min_quantity < 1 or c.min_quantity > MAX_RATIO:
        return REASON_MALFORMED
    index = instrument_of(k, c.instrument_id)
    if index == 0:
        return REASON_UNKNOWN_INSTRUMENT
    instrument = &k.instruments[index]
    at = instrument.first_pair
    while at:
        if not position_split_fits(&k.positions[at], c.quantity, c.min_quantity):
            return REASON_OVERFLOW
        at = k.positions[at].next_of_instrument
    walk_remove(k, 0, index, 0, -1, False, False, EVENT_CANCELLED, REASON_CORPORATE_ACTION)
    at = instrument.first_pair
    while at:
        held = k.positions[at].quantity
        position_split(&k.positions[at], c.quantity, c.min_quantity)
        position_turned(k, at, held)
        k.positions[at].band_set = 0
        k.positions[at].band_price = k.positions[at].band_ns = 0
        if k.accounts[k.positions[at].account].flags & ACCOUNT_FIFO:
            lots_merge(k, &k.positions[at])
        at = k.positions[at].next_of_instrument
    instrument.has_mark = instrument.has_last = 0
    instrument.mark = instrument.last = 0
    instrument.mark_ns = instrument.last_ns = 0
    market_forget(&k.market, index)
    auction_touch(&k.market, index)
    instrument_revalue(k, index)
    return 0


cdef int adjust(kernel_t* k, const command_t* c) noexcept nogil:
    cdef int reason = REASON_MALFORMED
    if c.order_type or c.side:
        return reason
    if c.group_id == ADJUST_CASH:
        reason = adjust_cash(k, c)
    elif c.group_id == ADJUST_POSITION:
        reason = adjust_position(k, c)
    elif c.group_id == ADJUST_SPLIT:
        reason = split(k, c)
    return reason
