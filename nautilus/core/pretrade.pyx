"""Pre-trade controls."""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t

from nautilus.core.combine cimport (
    combine_prices,
    combine_unchangeable,
    combine_unsupported,
    combine_valuation,
    waits,
)
from nautilus.core.market cimport extra_t
from nautilus.core.positions cimport money_above, money_value, money_wide, position_t
from nautilus.core.state cimport ORDER_UNENTERED, account_t, instrument_t, kernel_t, order_t, position_of
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    FLAG_REDUCE_ONLY,
    MAX_POSITION_BITS,
    MAX_QUANTITY_BITS,
    PHASE_CONTINUOUS,
    REASON_COLLAR,
    REASON_EXPIRY,
    REASON_KILLED,
    REASON_LOT,
    REASON_MIN_QUANTITY,
    REASON_ORDER_NOTIONAL,
    REASON_ORDER_QUANTITY,
    REASON_OVERFLOW,
    REASON_POSITION,
    REASON_PRICE,
    REASON_QUANTITY,
    REASON_RATE,
    REASON_REDUCE_ONLY,
    REASON_REFERENCE,
    REASON_SESSION,
    REASON_UNSUPPORTED,
    SIDE_BUY,
    TIF_DAY,
    TIF_GTD,
    TYPE_LIMIT,
    command_t,
)

cdef int64_t MAX_QUANTITY = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MAX_HELD = <int64_t>1 << MAX_POSITION_BITS


cdef inline int64_t size_of(int64_t x) noexcept nogil:
    return -x if x < 0 else x


cdef bint pretrade_bound(
    const kernel_t* k, uint32_t instrument_index, uint32_t position, int side, int64_t* bound, bint* missing
) noexcept nogil:
    cdef const instrument_t* instrument = &k.instruments[instrument_index]
    cdef int64_t reference = instrument.mark if instrument.has_mark else instrument.last, distance
    missing[0] = False
    if position == 0 or k.positions[position].collar_bps < 0:
        return False
    if not instrument.has_mark and not instrument.has_last:
        missing[0] = True
        return False
    distance = size_of(reference) * k.positions[position].collar_bps // 10000
    bound[0] = reference + distance if side == SIDE_BUY else reference - distance
    return True


cdef uint32_t pretrade_child(kernel_t* k, uint32_t slot, int64_t more, bint raised) noexcept nogil:
    cdef order_t* order = &k.orders[slot]
    cdef const extra_t* extra = &k.market.extras[k.market.orders[slot].extra]
    cdef const account_t* account = &k.accounts[order.account]
    cdef const instrument_t* instrument = &k.instruments[order.instrument]
    cdef const position_t* position = &k.positions[
        order.position if order.position else position_of(k, order.account, order.instrument)
    ]
    cdef uint32_t bits = 0
    cdef int64_t after, held = position.quantity, bound = 0
    cdef bint missing, bounded = pretrade_bound(k, order.instrument, order.position, order.side, &bound, &missing)
    if not raised:
        combine_valuation(
            instrument, order.order_type, extra.price, extra.trigger, extra.has_trigger, bound, bounded, &order.price
        )
    if account.killed or position.killed:
        bits |= 1 << REASON_KILLED
    if order.position == 0:
        return bits
    if k.killed or instrument.killed:
        bits |= 1 << REASON_KILLED
    if order.flags & FLAG_REDUCE_ONLY:
        if not raised and not waits(order.order_type) and (held >= 0 if order.side == SIDE_BUY else held <= 0):
            bits |= 1 << REASON_REDUCE_ONLY
        return bits
    after = (held + position.open_buy if order.side == SIDE_BUY else position.open_sell - held) + more
    if position.max_position >= 0 and after > position.max_position:
        bits |= 1 << REASON_POSITION
    if after > MAX_HELD or money_wide(position.realised):
        bits |= 1 << REASON_OVERFLOW
    return bits


cdef uint32_t pretrade_check(
    kernel_t* k, const command_t* c, int side, uint32_t instrument_index, uint32_t account_index,
    uint32_t position_index, const order_t* replaced, int64_t trigger, bint has_trigger, int64_t* bound, bint* bounded,
    int64_t* valuation
) noexcept nogil:
    cdef instrument_t* instrument = &k.instruments[instrument_index]
    cdef account_t* account = &k.accounts[account_index]
    cdef position_t* position = &k.positions[position_index]
    cdef bint exempt = account.flags & ACCOUNT_EXEMPT
    cdef uint32_t bits = 0, prices
    cdef int64_t quantity = c.quantity
    cdef int64_t leaves = quantity, held, at_work, arrival
    cdef int kind = replaced.order_type if replaced != NULL else c.order_type
    cdef int flags = replaced.flags if replaced != NULL else c.flags
    cdef bint good_price, good_quantity = True, valued, missing
    cdef bint child = replaced.life & ORDER_UNENTERED if replaced != NULL else c.parent_order_id != 0

    bounded[0] = False
    # Killed
    if account.killed or (not exempt and (k.killed or instrument.killed)) or (position_index and position.killed):
        bits |= 1 << REASON_KILLED
    if not exempt and instrument.phase != PHASE_CONTINUOUS:
        bits |= 1 << REASON_SESSION

    # Prices and quantity in themselves
    prices = combine_prices(instrument, c, kind, replaced != NULL)
    good_price = not prices >> REASON_PRICE & 1
    bits |= prices
    if quantity <= 0 or quantity > MAX_QUANTITY or (replaced != NULL and quantity <= replaced.filled):
        good_quantity = False
        bits |= 1 << REASON_QUANTITY
    else:
        if instrument.lot_step != 1 and quantity % instrument.lot_step:
            bits |= 1 << REASON_LOT
        if quantity < instrument.minimum:
            bits |= 1 << REASON_MIN_QUANTITY

    # Life and kind
    if replaced != NULL:
        if c.expire_ns != 0:
            bits |= 1 << REASON_EXPIRY
        if combine_unchangeable(c, replaced):
            bits |= 1 << REASON_UNSUPPORTED
        leaves = quantity - replaced.filled
    else:
        if c.time_in_force == TIF_GTD:
            if c.expire_ns <= k.now_ns:
                bits |= 1 << REASON_EXPIRY
        elif c.expire_ns != 0 or (
            c.time_in_force == TIF_DAY and instrument.close_ns != 0 and instrument.close_ns <= k.now_ns
        ):
            bits |= 1 << REASON_EXPIRY
        if combine_unsupported(k, c, account_index, instrument):
            bits |= 1 << REASON_UNSUPPORTED
    bounded[0] = pretrade_bound(k, instrument_index, 0 if exempt else position_index, side, bound, &missing)
    valued = combine_valuation(instrument, kind, c.price_ticks, trigger, has_trigger, bound[0], bounded[0], valuation)
    if not valued:
        valuation[0] = 0
    if exempt:
        return bits

    # Limits
    if missing:
        bits |= 1 << REASON_REFERENCE
    elif bounded[0] and kind == TYPE_LIMIT and good_price and (
        c.price_ticks > bound[0] if side == SIDE_BUY else c.price_ticks < bound[0]
    ):
        bits |= 1 << REASON_COLLAR
    if position.max_quantity >= 0 and good_quantity and quantity > position.max_quantity:
        bits |= 1 << REASON_ORDER_QUANTITY
    if position.max_notional >= 0:
        if not valued:
            bits |= 1 << REASON_REFERENCE
        elif good_price and good_quantity and money_above(
            money_value(size_of(valuation[0]), quantity, instrument.multiplier), position.max_notional
        ):
            bits |= 1 << REASON_ORDER_NOTIONAL
    if side == SIDE_BUY:
        held = position.quantity
        at_work = position.open_buy
    else:
        held = -position.quantity
        at_work = position.open_sell
    if good_quantity and not child and flags & FLAG_REDUCE_ONLY:
        if not waits(kind) and held >= 0:
            bits |= 1 << REASON_REDUCE_ONLY
    elif good_quantity and not child:
        if replaced != NULL:
            at_work -= replaced.leaves
        if position.max_position >= 0 and held + at_work + leaves > position.max_position:
            bits |= 1 << REASON_POSITION
        if held + at_work + leaves > MAX_HELD or money_wide(position.realised):
            bits |= 1 << REASON_OVERFLOW

    # Rate: GCRA, docs/kernel.md
    if account.rate_interval:
        arrival = account.rate_tat if account.rate_tat > k.now_ns else k.now_ns
        if arrival - k.now_ns > account.rate_slack:
            bits |= 1 << REASON_RATE
        else:
            account.rate_tat = (
                INT64_MAX if arrival > INT64_MAX - account.rate_interval else arrival + account.rate_interval
            )
    return bits
