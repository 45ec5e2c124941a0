"""Pre-trade controls."""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t

from nautilus.core.positions cimport money_above, money_value, money_wide, position_t
from nautilus.core.state cimport account_t, instrument_t, kernel_t, order_t, step_at
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    FLAG_POST_ONLY,
    FLAG_TAPE,
    FLAG_TAPE_BOOKED,
    INSTRUMENT_NEGATIVE,
    MAX_POSITION_BITS,
    MAX_PRICE_BITS,
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
    REASON_REFERENCE,
    REASON_SESSION,
    REASON_TICK,
    REASON_UNSUPPORTED,
    SIDE_BUY,
    TIF_DAY,
    TIF_FOK,
    TIF_GTC,
    TIF_GTD,
    TIF_IOC,
    TYPE_LIMIT,
    TYPE_MARKET,
    command_t,
)

cdef int64_t MAX_PRICE = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MAX_QUANTITY = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MAX_HELD = <int64_t>1 << MAX_POSITION_BITS


cdef inline int64_t size_of(int64_t x) noexcept nogil:
    return -x if x < 0 else x


cdef inline bint off_tick(const instrument_t* instrument, int64_t price) noexcept nogil:
    cdef int64_t step = step_at(instrument, price)
    return step != 1 and price % step != 0


cdef inline bint extra_fields(const command_t* c) noexcept nogil:
    return (
        c.trigger_ticks | c.display_quantity | c.min_quantity | <int64_t>c.parent_order_id | c.offset | c.group_id
    ) != 0


cdef bint unsupported(const command_t* c, bint exempt) noexcept nogil:
    cdef uint32_t flags = c.flags
    cdef bint rests = c.time_in_force == TIF_GTC or c.time_in_force == TIF_DAY or c.time_in_force == TIF_GTD
    if c.order_type != TYPE_LIMIT and c.order_type != TYPE_MARKET:
        return True
    if not rests and c.time_in_force != TIF_IOC and c.time_in_force != TIF_FOK:
        return True
    if extra_fields(c) or (flags & ~<uint32_t>(FLAG_POST_ONLY | FLAG_TAPE | FLAG_TAPE_BOOKED)):
        return True
    if flags & FLAG_POST_ONLY and (c.order_type == TYPE_MARKET or not rests):
        return True
    if c.order_type == TYPE_MARKET and rests:
        return True
    if flags & FLAG_TAPE and (c.order_type != TYPE_LIMIT or c.time_in_force != TIF_IOC or not exempt):
        return True
    return flags & FLAG_TAPE_BOOKED and not flags & FLAG_TAPE


cdef uint32_t pretrade_check(
    kernel_t* k, const command_t* c, int side, bint market, uint32_t instrument_index, uint32_t account_index,
    uint32_t position_index, const order_t* replaced, int64_t* bound, bint* bounded
) noexcept nogil:
    cdef instrument_t* instrument = &k.instruments[instrument_index]
    cdef account_t* account = &k.accounts[account_index]
    cdef position_t* position = &k.positions[position_index]
    cdef bint exempt = account.flags & ACCOUNT_EXEMPT
    cdef uint32_t bits = 0
    cdef int64_t quantity = c.quantity, price = c.price_ticks
    cdef int64_t leaves = quantity, held, at_work, reference = 0, arrival, distance
    cdef bint limit = replaced != NULL or c.order_type == TYPE_LIMIT
    cdef bint good_price = limit or market, good_quantity = True, has_reference = True

    bounded[0] = False
    # Killed
    if account.killed or (not exempt and (k.killed or instrument.killed)) or (position_index and position.killed):
        bits |= 1 << REASON_KILLED
    if not exempt and instrument.phase != PHASE_CONTINUOUS:
        bits |= 1 << REASON_SESSION

    # Price and quantity in themselves
    if limit:
        good_price = -MAX_PRICE <= price <= MAX_PRICE and (price > 0 or instrument.flags & INSTRUMENT_NEGATIVE)
        if not good_price:
            bits |= 1 << REASON_PRICE
        elif off_tick(instrument, price):
            bits |= 1 << REASON_TICK
    elif market and price != 0:
        good_price = False
        bits |= 1 << REASON_PRICE
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
        if extra_fields(c) or c.flags:
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
        if unsupported(c, exempt):
            bits |= 1 << REASON_UNSUPPORTED
    if exempt:
        return bits

    # Limits
    if instrument.has_mark:
        reference = instrument.mark
    elif instrument.has_last:
        reference = instrument.last
    else:
        has_reference = False
    if position.collar_bps >= 0:
        if has_reference:
            distance = size_of(reference) * position.collar_bps // 10000
            bound[0] = reference + distance if side == SIDE_BUY else reference - distance
            bounded[0] = True
            if limit and good_price and (price > bound[0] if side == SIDE_BUY else price < bound[0]):
                bits |= 1 << REASON_COLLAR
        else:
            bits |= 1 << REASON_REFERENCE
    if position.max_quantity >= 0 and good_quantity and quantity > position.max_quantity:
        bits |= 1 << REASON_ORDER_QUANTITY
    if position.max_notional >= 0:
        if market and not has_reference:
            bits |= 1 << REASON_REFERENCE
        elif good_price and good_quantity:
            if market:
                price = bound[0] if bounded[0] else reference
            if money_above(money_value(size_of(price), quantity, instrument.multiplier), position.max_notional):
                bits |= 1 << REASON_ORDER_NOTIONAL
    if side == SIDE_BUY:
        held = position.quantity
        at_work = position.open_buy
    else:
        held = -position.quantity
        at_work = position.open_sell
    if replaced != NULL:
        at_work -= replaced.leaves
    if good_quantity:
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
