"""What of an order goes with what."""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.state cimport group_of, instrument_t, kernel_t, step_at
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    FLAG_ALL_OR_NONE,
    FLAG_GROUP_OCO,
    FLAG_GROUP_OUO,
    FLAG_HIDDEN,
    FLAG_PEG_MID,
    FLAG_PEG_OPPOSITE,
    FLAG_POST_ONLY,
    FLAG_REDUCE_ONLY,
    FLAG_SLIDE,
    FLAG_TAPE,
    FLAG_TAPE_BOOKED,
    FLAG_TRAIL_BPS,
    FLAG_TRIGGER_MARK,
    FLAG_TRIGGER_QUOTE,
    INSTRUMENT_NEGATIVE,
    MAX_PRICE_BITS,
    REASON_PRICE,
    REASON_TICK,
    TIF_AT_OPEN,
    TIF_FOK,
    TIF_GTD,
    TIF_IOC,
    TYPE_LIMIT,
    TYPE_LIMIT_IF_TOUCHED,
    TYPE_MARKET,
    TYPE_MARKET_IF_TOUCHED,
    TYPE_MARKET_TO_LIMIT,
    TYPE_PEGGED,
    TYPE_STOP,
    TYPE_STOP_LIMIT,
    TYPE_TRAILING_STOP,
    TYPE_TRAILING_STOP_LIMIT,
    command_t,
)

cdef enum:
    GROUPS = FLAG_GROUP_OCO | FLAG_GROUP_OUO
    PEGS = FLAG_PEG_MID | FLAG_PEG_OPPOSITE
    SOURCES = FLAG_TRIGGER_MARK | FLAG_TRIGGER_QUOTE
    TAPES = FLAG_TAPE | FLAG_TAPE_BOOKED
    EVERY_FLAG = 2 * FLAG_GROUP_OUO - 1

cdef int64_t MAX_PRICE = <int64_t>1 << MAX_PRICE_BITS


cdef bint priced(int order_type) noexcept nogil:
    return order_type == TYPE_LIMIT or order_type == TYPE_STOP_LIMIT or order_type == TYPE_LIMIT_IF_TOUCHED


cdef bint waits(int order_type) noexcept nogil:
    return TYPE_STOP <= order_type <= TYPE_LIMIT_IF_TOUCHED


cdef bint trails(int order_type) noexcept nogil:
    return order_type == TYPE_TRAILING_STOP or order_type == TYPE_TRAILING_STOP_LIMIT


cdef inline bint priceless(int order_type) noexcept nogil:
    """`price_ticks` means nothing to it (to MARKET neither: that violates PRICE)."""
    return (
        order_type == TYPE_STOP or order_type == TYPE_MARKET_IF_TOUCHED or order_type == TYPE_TRAILING_STOP
        or order_type == TYPE_MARKET_TO_LIMIT
    )


cdef bint linked_wrongly(kernel_t* k, const command_t* c, uint32_t account) noexcept nogil:
    """Parent and group."""
    cdef uint32_t flags = c.flags, group
    if c.parent_order_id and (c.order_type == TYPE_PEGGED or c.time_in_force >= TIF_AT_OPEN or c.min_quantity):
        return True
    if not (flags & GROUPS or c.group_id):
        return False
    if flags & GROUPS == GROUPS or not flags & GROUPS or not c.group_id:
        return True
    group = group_of(k, account, c.group_id)
    return group != 0 and k.market.groups[group].cancels != (flags & FLAG_GROUP_OCO != 0)


cdef bint combine_unsupported(
    kernel_t* k, const command_t* c, uint32_t account, const instrument_t* instrument
) noexcept nogil:
    cdef uint32_t flags = c.flags
    cdef int kind = c.order_type, tif = c.time_in_force
    cdef bint limit = kind == TYPE_LIMIT, rests = tif <= TIF_GTD, exempt = k.accounts[account].flags & ACCOUNT_EXEMPT
    if limit and flags == 0 and tif <= TIF_FOK and not (
        c.trigger_ticks | c.display_quantity | c.min_quantity | <int64_t>c.parent_order_id | c.offset | c.group_id
    ):
        return False
    if (kind == TYPE_MARKET and rests) or (kind > TYPE_MARKET and not rests):
        return True
    if priceless(kind) and c.price_ticks:
        return True
    if c.trigger_ticks and not waits(kind):
        return True
    if trails(kind):
        if c.offset <= 0:
            return True
    elif c.offset != 0 and kind != TYPE_PEGGED:
        return True
    if flags & ~<uint32_t>EVERY_FLAG:
        return True
    if flags & (FLAG_POST_ONLY | FLAG_HIDDEN) and not (limit and rests):
        return True
    if flags & FLAG_SLIDE and not flags & FLAG_POST_ONLY:
        return True
    if flags & FLAG_ALL_OR_NONE and (
        not limit or not (rests or tif == TIF_IOC) or flags & (FLAG_HIDDEN | FLAG_POST_ONLY)
    ):
        return True
    if flags & FLAG_REDUCE_ONLY and exempt:
        return True
    if flags & SOURCES and (not waits(kind) or flags & SOURCES == SOURCES):
        return True
    if flags & FLAG_TRAIL_BPS and not trails(kind):
        return True
    if flags & PEGS and (kind != TYPE_PEGGED or flags & PEGS == PEGS):
        return True
    if flags & TAPES and (
        not flags & FLAG_TAPE or not limit or tif != TIF_IOC or not exempt or flags & ~<uint32_t>TAPES
        or c.min_quantity or c.parent_order_id
    ):
        return True
    if c.display_quantity and (
        not limit or tif == TIF_IOC or tif == TIF_FOK or c.display_quantity < instrument.minimum
        or c.display_quantity <= 0 or c.display_quantity >= c.quantity
        or c.display_quantity % instrument.lot_step or flags & (FLAG_HIDDEN | FLAG_ALL_OR_NONE)
    ):
        return True
    if c.min_quantity and (
        c.min_quantity < 0 or c.min_quantity > c.quantity or not (limit or kind == TYPE_MARKET) or tif >= TIF_FOK
        or flags & (FLAG_POST_ONLY | FLAG_ALL_OR_NONE)
    ):
        return True
    if instrument.venue and (c.parent_order_id or c.group_id or flags & (GROUPS | TAPES)):
        return True
    return linked_wrongly(k, c, account)


cdef bint combine_unchangeable(const command_t* c, int kind) noexcept nogil:
    if c.flags or c.display_quantity | c.min_quantity | <int64_t>c.parent_order_id | c.offset | c.group_id:
        return True
    if c.trigger_ticks and (not waits(kind) or trails(kind)):
        return True
    return c.price_ticks != 0 and (priceless(kind) or kind == TYPE_TRAILING_STOP_LIMIT)


cdef inline uint32_t price_bits(const instrument_t* instrument, int64_t price) noexcept nogil:
    cdef int64_t step
    if price < -MAX_PRICE or price > MAX_PRICE or (price <= 0 and not instrument.flags & INSTRUMENT_NEGATIVE):
        return 1 << REASON_PRICE
    step = step_at(instrument, price)
    return 1 << REASON_TICK if step != 1 and price % step else 0


cdef uint32_t combine_prices(
    const instrument_t* instrument, const command_t* c, int order_type, bint replaced
) noexcept nogil:
    cdef uint32_t bits = 0
    if priced(order_type) or (order_type == TYPE_PEGGED and c.price_ticks):
        bits = price_bits(instrument, c.price_ticks)
    elif order_type == TYPE_TRAILING_STOP_LIMIT:
        if not replaced and (c.price_ticks < 0 or c.price_ticks > MAX_PRICE):
            bits = 1 << REASON_PRICE
    elif order_type == TYPE_MARKET and c.price_ticks:
        bits = 1 << REASON_PRICE
    if waits(order_type) and (c.trigger_ticks or not (replaced or trails(order_type))):
        bits |= price_bits(instrument, c.trigger_ticks)
    return bits


cdef bint combine_valuation(
    const instrument_t* instrument, int order_type, int64_t price, int64_t trigger, bint has_trigger, int64_t bound,
    bint bounded, int64_t* valuation
) noexcept nogil:
    if priced(order_type) or (order_type == TYPE_PEGGED and price):
        valuation[0] = price
        return True
    if waits(order_type) and has_trigger:
        valuation[0] = trigger
        return True
    if bounded and not waits(order_type):
        valuation[0] = bound
        return True
    valuation[0] = instrument.mark if instrument.has_mark else instrument.last
    return instrument.has_mark or instrument.has_last
