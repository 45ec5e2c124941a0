"""Pre-trade controls."""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t
from libc.string cimport memset

from nautilus.core.accounts cimport account_settle, rate_of, strategy_killed
from nautilus.core.combine cimport (
    combine_prices,
    combine_unchangeable,
    combine_unsupported,
    combine_valuation,
    priced,
    waits,
)
from nautilus.core.events cimport record_clear
from nautilus.core.market cimport extra_t
from nautilus.core.money cimport MONEY_UNIT, money_above, money_value
from nautilus.core.positions cimport last_new_t, position_t
from nautilus.core.risk cimport (
    intent_t, pair_value_t, risk_check, risk_costs, risk_slack_begin, risk_slack_passes, risk_t)
from nautilus.core.state cimport (
    CONTROL_EXTERNAL,
    account_t,
    instrument_t,
    is_reconciled,
    kernel_t,
    order_t,
    position_of,
)
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    FLAG_REDUCE_ONLY,
    LIMIT_CONCENTRATION,
    LIMIT_CREDIT,
    LIMIT_CREDIT_TOTAL,
    LIMIT_DAILY_LOSS,
    LIMIT_DUPLICATE,
    LIMIT_GROSS_EXPOSURE,
    LIMIT_LEVERAGE,
    LIMIT_NET_EXPOSURE,
    LIMIT_OPEN_ORDERS,
    LIMIT_OPEN_VALUE,
    LIMIT_ORDER_NOTIONAL,
    LIMIT_ORDER_QUANTITY,
    LIMIT_PERMISSION,
    LIMIT_POSITION,
    LIMIT_PRICE_BAND,
    LIMIT_PRICE_COLLAR,
    LIMIT_REPEATED,
    LIMIT_STALE_PRICE,
    MAX_POSITION_BITS,
    MAX_QUANTITY_BITS,
    PHASE_CLOSED,
    PHASE_CONTINUOUS,
    PHASE_HALTED,
    PHASE_PRE_OPEN,
    PHASE_CLOSING_AUCTION,
    REASON_COLLAR,
    REASON_CONCENTRATION,
    REASON_CREDIT,
    REASON_DAILY_LOSS,
    REASON_EXPIRY,
    REASON_EXPOSURE,
    REASON_KILLED,
    REASON_LEVERAGE,
    REASON_LOT,
    REASON_MIN_QUANTITY,
    REASON_OPEN_ORDERS,
    REASON_OPEN_VALUE,
    REASON_ORDER_NOTIONAL,
    REASON_ORDER_QUANTITY,
    REASON_OVERFLOW,
    REASON_PERMISSION,
    REASON_POSITION,
    REASON_PRICE,
    REASON_PRICE_BAND,
    REASON_QUANTITY,
    REASON_RATE,
    REASON_RECONCILE,
    REASON_REDUCE_ONLY,
    REASON_REFERENCE,
    REASON_REPEATED,
    REASON_REPEATED_ORDER,
    REASON_RESTRICTED,
    REASON_SESSION,
    REASON_STALE_PRICE,
    REASON_UNSUPPORTED,
    SIDE_BUY,
    TIF_DAY,
    TIF_IOC,
    TIF_FOK,
    TIF_AT_OPEN,
    TIF_GTD,
    TYPE_LIMIT,
    TYPE_MARKET_TO_LIMIT,
    TYPE_PEGGED,
    command_t,
)

cdef enum:
    IN_BASE_MONEY = (
        1 << LIMIT_DAILY_LOSS | 1 << LIMIT_LEVERAGE | 1 << LIMIT_CONCENTRATION | 1 << LIMIT_CREDIT
        | 1 << LIMIT_OPEN_VALUE | 1 << LIMIT_GROSS_EXPOSURE | 1 << LIMIT_NET_EXPOSURE | 1 << LIMIT_CREDIT_TOTAL
    )
    BY_PRICE = 1 << LIMIT_CREDIT | 1 << LIMIT_OPEN_VALUE | 1 << LIMIT_CREDIT_TOTAL
    BY_THE_PAST = (
        1 << LIMIT_PRICE_BAND | 1 << LIMIT_REPEATED | 1 << LIMIT_DUPLICATE | 1 << LIMIT_STALE_PRICE
        | 1 << LIMIT_PERMISSION
    )

cdef int64_t MAX_QUANTITY = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MAX_HELD = <int64_t>1 << MAX_POSITION_BITS


cdef inline int64_t size_of(int64_t x) noexcept nogil:
    return -x if x < 0 else x


cdef inline bint reference_of(const instrument_t* instrument, int64_t* reference) noexcept nogil:
    """The last MARK, else the last trade price; False where there is neither."""
    if instrument.has_mark:
        reference[0] = instrument.mark
    else:
        reference[0] = instrument.last
    return instrument.has_mark or instrument.has_last


cdef inline int64_t collar(const position_t* position, int64_t reference, int side) noexcept nogil:
    cdef int64_t distance = size_of(reference) * position.collar_bps // 10000
    return reference + distance if side == SIDE_BUY else reference - distance


cdef bint pretrade_bound(
    const kernel_t* k, uint32_t instrument, uint32_t position, int side, int64_t* bound, bint* missing
) noexcept nogil:
    cdef int64_t reference
    missing[0] = False
    if position == 0 or not has(k.positions[position].controls, LIMIT_PRICE_COLLAR):
        return False
    if not reference_of(&k.instruments[instrument], &reference):
        missing[0] = True
        return False
    bound[0] = collar(&k.positions[position], reference, side)
    return True


cdef inline bint has(uint32_t bits, int kind) noexcept nogil:
    return bits >> kind & 1


cdef bint phase_refuses(int phase, const command_t* c, const intent_t* intent) noexcept nogil:
    """SESSION: docs/kernel-orders.md, Phases and auctions."""
    cdef int tif = c.time_in_force
    if phase == PHASE_CONTINUOUS:
        return not intent.replaced and tif == TIF_AT_OPEN
    if phase < PHASE_PRE_OPEN:
        return True
    if intent.replaced:
        return False
    if tif == TIF_AT_OPEN and phase == PHASE_CLOSING_AUCTION:
        return True
    return (
        tif == TIF_IOC or tif == TIF_FOK or c.min_quantity != 0 or c.order_type == TYPE_MARKET_TO_LIMIT
        or c.order_type == TYPE_PEGGED
    )


cdef inline uint32_t held(
    const position_t* position, const intent_t* intent, int64_t added, int64_t less
) noexcept nogil:
    """POSITION and OVERFLOW, with `added` lots at work in place of `less`."""
    cdef int64_t after
    cdef uint32_t bits = 0
    if intent.parked:
        return 0
    if intent.side == SIDE_BUY:
        after = position.quantity + position.open_buy - less + added
    else:
        after = position.open_sell - position.quantity - less + added
    if has(position.controls, LIMIT_POSITION) and after > position.max_position:
        bits = 1 << REASON_POSITION
    if after > MAX_HELD or position.wide:
        bits |= 1 << REASON_OVERFLOW
    return bits


cdef inline uint32_t in_base_money(
    kernel_t* k, uint32_t index, const intent_t* intent, uint32_t on, int64_t added, int64_t less
) noexcept nogil:
    """The controls `on` that compare base money, as bits of reasons."""
    cdef position_t* position = &k.positions[index]
    cdef const instrument_t* instrument = &k.instruments[position.instrument]
    cdef risk_t* risk = &k.accounts[position.account].risk
    cdef pair_value_t* value = &k.pair_values[index]
    cdef int64_t rate = rate_of(k, instrument.currency), exposure = 0, open = 0
    cdef int64_t version = risk.version - risk.opened + k.version
    cdef bint plain = (
        rate == MONEY_UNIT and instrument.has_mark and instrument.mark >= 0 and intent.valued and not intent.parked
    )
    cdef uint32_t found
    if plain and not risk_costs(
        instrument.mark * instrument.multiplier, intent.valuation, instrument.multiplier, added - less, added, &exposure,
        &open
    ) and risk_slack_passes(risk, &k.total, value, on, position.concentration_bps, exposure, open, version):
        return 0
    account_settle(k, risk)
    found = risk_check(
        risk, &k.total, position, value, on, intent.side == SIDE_BUY,
        not intent.parked, intent.valued, intent.valuation, added, intent.value, less,
        instrument.has_mark, instrument.mark * instrument.multiplier, instrument.multiplier,
        rate
    )
    if found == 0:
        if plain:
            risk_slack_begin(risk, position, value, on, version)
        return 0
    return (
        (found & 1) << REASON_REFERENCE
        | (found >> LIMIT_DAILY_LOSS & 1) << REASON_DAILY_LOSS
        | (found >> LIMIT_LEVERAGE & 1) << REASON_LEVERAGE
        | (found >> LIMIT_CONCENTRATION & 1) << REASON_CONCENTRATION
        | ((found >> LIMIT_CREDIT | found >> LIMIT_CREDIT_TOTAL) & 1) << REASON_CREDIT
        | (found >> LIMIT_OPEN_VALUE & 1) << REASON_OPEN_VALUE
        | ((found >> LIMIT_GROSS_EXPOSURE | found >> LIMIT_NET_EXPOSURE) & 1) << REASON_EXPOSURE
    )


cdef inline bint as_before(const position_t* position, const command_t* c, int64_t now_ns) noexcept nogil:
    """Whether the last accepted NEW of this side was the same, too short ago."""
    cdef const last_new_t* last = &position.last_new[0 if c.side == SIDE_BUY else 1]
    return (
        last.order_type == c.order_type and last.price == c.price_ticks and last.quantity == c.quantity
        and now_ns - last.now_ns < position.duplicate_window_ns
    )


cdef inline bint within_band(const kernel_t* k, const position_t* position, int64_t price) noexcept nogil:
    """Whether a price is within the band around the band price, which is not to be taken anew. Prices are within 2^40 and
    bands within 2^20: without the division the same."""
    return position.band_set and k.now_ns - position.band_ns < position.band_window_ns and (
        size_of(price - position.band_price) * 10000 <= size_of(position.band_price) * position.band_bps
    )


cdef uint32_t remembered(
    kernel_t* k, const command_t* c, const intent_t* intent, position_t* position, const instrument_t* instrument,
    bint has_reference, int64_t reference, bint good_price, bint good_quantity
) noexcept nogil:
    """The controls that go by what came before: permission, band price, executions, the last order, the price's age."""
    cdef uint32_t on = position.controls, bits = 0
    cdef int64_t price
    if has(on, LIMIT_PRICE_BAND):
        if has_reference and (not position.band_set or k.now_ns - position.band_ns >= position.band_window_ns):
            position.band_set = 1
            position.band_price = reference
            position.band_ns = k.now_ns
        if good_price and good_quantity:
            price = c.price_ticks if priced(intent.kind) else reference
            if not has_reference:
                bits |= 1 << REASON_REFERENCE
            if position.band_set and has_reference and (
                size_of(price - position.band_price) > size_of(position.band_price) * position.band_bps // 10000
            ):
                bits |= 1 << REASON_PRICE_BAND
    if has(on, LIMIT_REPEATED):
        if (
            position.executions_window_ns and position.executions < position.max_executions
            and k.now_ns - position.executions_ns >= position.executions_window_ns
        ):
            position.executions = 0
            position.executions_ns = k.now_ns
        if good_quantity and position.executions >= position.max_executions:
            bits |= 1 << REASON_REPEATED
    if not good_quantity:
        return bits
    if has(on, LIMIT_DUPLICATE) and not intent.replaced and as_before(position, c, k.now_ns):
        bits |= 1 << REASON_REPEATED_ORDER
    if has(on, LIMIT_PERMISSION):
        bits |= 1 << REASON_RESTRICTED if position.restricted else <uint32_t>1 << REASON_PERMISSION
    if has(on, LIMIT_STALE_PRICE):
        if not has_reference:
            bits |= 1 << REASON_REFERENCE
        elif k.now_ns - (instrument.mark_ns if instrument.has_mark else instrument.last_ns) > position.stale_ns:
            bits |= 1 << REASON_STALE_PRICE
    return bits


cdef inline bint killed(
    kernel_t* k, const instrument_t* instrument, uint32_t account, uint32_t position, uint32_t strategy, bint exempt
) noexcept nogil:
    return (
        k.accounts[account].killed or (not exempt and (k.killed or instrument.killed))
        or (position and k.positions[position].killed)
        or (k.accounts[account].risk.killed_strategies and strategy_killed(k, account, strategy))
    )


cdef inline uint32_t others(
    kernel_t* k, const command_t* c, const intent_t* intent, uint32_t position_index, bint has_reference,
    int64_t reference, bint good_price, bint good_quantity, int64_t leaves
) noexcept nogil:
    """The controls that go by what came before, by the open orders or by base money, with `leaves` lots at work."""
    cdef position_t* position = &k.positions[position_index]
    cdef const account_t* account = &k.accounts[position.account]
    cdef uint32_t on = position.controls, bits = 0, money = on & IN_BASE_MONEY
    if on & BY_THE_PAST:
        bits = remembered(
            k, c, intent, position, &k.instruments[position.instrument], has_reference, reference, good_price,
            good_quantity
        )
    if not good_quantity:
        return bits
    if has(on, LIMIT_OPEN_ORDERS) and not intent.replaced and account.open_orders + 1 > account.risk.open_orders:
        bits |= 1 << REASON_OPEN_ORDERS
    if intent.parked:
        money &= 1 << LIMIT_DAILY_LOSS
    if not good_price:
        money &= ~<uint32_t>BY_PRICE
    if money:
        bits |= in_base_money(k, position_index, intent, money, leaves, intent.leaves if intent.replaced else 0)
    return bits


cdef bint pretrade_others(
    kernel_t* k, const command_t* c, uint32_t position_index, int side, int64_t leaves, const order_t* replaced
) noexcept nogil:
    cdef position_t* position = &k.positions[position_index]
    cdef const instrument_t* instrument = &k.instruments[position.instrument]
    cdef const account_t* account = &k.accounts[position.account]
    cdef uint32_t on = position.controls
    cdef int64_t reference = 0, less = 0, exposure = 0, open = 0
    cdef bint has_reference = reference_of(instrument, &reference)
    cdef intent_t intent
    # What lets every order pass, in short; anything else is looked at in full.
    if (
        not on & (1 << LIMIT_PERMISSION | CONTROL_EXTERNAL)
        and (not has(on, LIMIT_STALE_PRICE) or (has_reference and (
            k.now_ns - (instrument.mark_ns if instrument.has_mark else instrument.last_ns) <= position.stale_ns)))
        and (not has(on, LIMIT_PRICE_BAND) or (has_reference and within_band(k, position, c.price_ticks)))
        and (not has(on, LIMIT_REPEATED) or (
            position.executions < position.max_executions and (
                position.executions_window_ns == 0
                or k.now_ns - position.executions_ns < position.executions_window_ns)))
        and (replaced != NULL or (
            (not has(on, LIMIT_DUPLICATE) or not as_before(position, c, k.now_ns))
            and (not has(on, LIMIT_OPEN_ORDERS) or account.open_orders < account.risk.open_orders)))
    ):
        on &= IN_BASE_MONEY
        if on == 0:
            return True
        less = replaced.leaves if replaced != NULL else 0
        if rate_of(k, instrument.currency) == MONEY_UNIT and instrument.has_mark and instrument.mark >= 0 and not (
            risk_costs(
                instrument.mark * instrument.multiplier, c.price_ticks, instrument.multiplier, leaves - less, leaves,
                &exposure, &open
            )
        ) and risk_slack_passes(
            &account.risk, &k.total, &k.pair_values[position_index], on, position.concentration_bps, exposure, open,
            account.risk.version - account.risk.opened + k.version
        ):
            return True
    record_clear(&intent, sizeof(intent_t))
    intent.side = side
    intent.kind = TYPE_LIMIT
    intent.valuation = c.price_ticks
    intent.valued = 1
    if replaced != NULL:
        intent.replaced = 1
        intent.leaves = replaced.leaves
        intent.value = replaced.price
    return others(k, c, &intent, position_index, has_reference, reference, True, True, leaves) == 0


cdef uint32_t pretrade_child(kernel_t* k, uint32_t slot, int64_t more, bint raised) noexcept nogil:
    cdef order_t* order = &k.orders[slot]
    cdef const extra_t* extra = &k.market.extras[k.market.orders[slot].extra]
    cdef const instrument_t* instrument = &k.instruments[order.instrument]
    cdef uint32_t index = order.position if order.position else position_of(k, order.account, order.instrument)
    cdef const position_t* position = &k.positions[index]
    cdef uint32_t bits = 0, on
    cdef int64_t bound = 0, holds = position.quantity if order.side == SIDE_BUY else -position.quantity
    cdef bint missing, bounded = pretrade_bound(k, order.instrument, order.position, order.side, &bound, &missing)
    cdef bint exempt = k.accounts[order.account].flags & ACCOUNT_EXEMPT
    cdef intent_t intent
    memset(&intent, 0, sizeof(intent_t))
    intent.side = order.side
    intent.reducing = (order.flags & FLAG_REDUCE_ONLY) != 0
    intent.value = order.price
    intent.leaves = order.leaves if raised else 0
    intent.valued = combine_valuation(
        instrument, order.order_type,
        extra.distance if order.order_type == TYPE_PEGGED else order.price if raised else extra.price,
        extra.trigger, extra.has_trigger, bound, bounded, &intent.valuation
    )
    if not raised:
        order.price = intent.valuation if intent.valued else 0
    if killed(k, instrument, order.account, index, order.strategy_id, exempt):
        bits |= 1 << REASON_KILLED
    if exempt:
        return bits
    if intent.reducing and not raised and not waits(order.order_type) and holds >= 0:
        bits |= 1 << REASON_REDUCE_ONLY
    bits |= held(position, &intent, intent.leaves + more, intent.leaves)
    on = position.controls & IN_BASE_MONEY & ~<uint32_t>(1 << LIMIT_DAILY_LOSS)
    if on:
        bits |= in_base_money(k, index, &intent, on, intent.leaves + more, intent.leaves)
    return bits


cdef uint32_t pretrade_check(
    kernel_t* k, const command_t* c, intent_t* intent, uint32_t instrument_index, uint32_t account_index,
    uint32_t position_index
) noexcept nogil:
    cdef instrument_t* instrument = &k.instruments[instrument_index]
    cdef account_t* account = &k.accounts[account_index]
    cdef position_t* position = &k.positions[position_index]
    cdef bint exempt = account.flags & ACCOUNT_EXEMPT
    cdef uint32_t bits = 0, on
    cdef int64_t quantity = c.quantity, price = c.price_ticks
    cdef int64_t leaves = quantity, reference = 0, arrival
    cdef bint good_price, good_quantity = True, has_reference

    intent.bounded = intent.valued = 0
    if killed(k, instrument, account_index, position_index, intent.strategy, exempt):
        bits |= 1 << REASON_KILLED
    if not exempt and phase_refuses(instrument.phase, c, intent) and (
        not instrument.venue or instrument.phase == PHASE_HALTED or instrument.phase == PHASE_CLOSED
    ):
        bits |= 1 << REASON_SESSION

    # Prices and quantity in themselves
    on = combine_prices(instrument, c, intent.kind, intent.replaced)
    good_price = not on >> REASON_PRICE & 1
    bits |= on
    if quantity <= 0 or quantity > MAX_QUANTITY or (intent.replaced and quantity <= intent.filled):
        good_quantity = False
        bits |= 1 << REASON_QUANTITY
    else:
        if instrument.lot_step != 1 and quantity % instrument.lot_step:
            bits |= 1 << REASON_LOT
        if quantity < instrument.minimum:
            bits |= 1 << REASON_MIN_QUANTITY

    # Life and kind
    if intent.replaced:
        if c.expire_ns != 0:
            bits |= 1 << REASON_EXPIRY
        if combine_unchangeable(c, intent.kind):
            bits |= 1 << REASON_UNSUPPORTED
        leaves = quantity - intent.filled
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
    has_reference = reference_of(instrument, &reference)
    if exempt:
        intent.valued = combine_valuation(
            instrument, intent.kind, price, intent.trigger, intent.has_trigger, 0, False, &intent.valuation
        )
        if not intent.valued:
            intent.valuation = 0
        return bits

    # Limits
    on = position.controls
    if good_quantity:
        bits |= held(position, intent, leaves, intent.leaves if intent.replaced else 0)
        if intent.reducing and not intent.parked and (instrument.venue or not waits(intent.kind)) and (
            position.quantity >= 0 if intent.side == SIDE_BUY else position.quantity <= 0
        ):
            bits |= 1 << REASON_REDUCE_ONLY
    if has(on, LIMIT_PRICE_COLLAR):
        if has_reference:
            intent.bound = collar(position, reference, intent.side)
            intent.bounded = 1
            if intent.kind == TYPE_LIMIT and good_price and (
                price > intent.bound if intent.side == SIDE_BUY else price < intent.bound
            ):
                bits |= 1 << REASON_COLLAR
        else:
            bits |= 1 << REASON_REFERENCE
    intent.valued = combine_valuation(
        instrument, intent.kind, price, intent.trigger, intent.has_trigger, intent.bound, intent.bounded,
        &intent.valuation
    )
    if not intent.valued:
        intent.valuation = 0
    if on == 0:
        return bits
    if has(on, LIMIT_ORDER_QUANTITY) and good_quantity and quantity > position.max_quantity:
        bits |= 1 << REASON_ORDER_QUANTITY
    if has(on, LIMIT_ORDER_NOTIONAL):
        if not intent.valued:
            bits |= 1 << REASON_REFERENCE
        elif good_price and good_quantity and money_above(
            money_value(size_of(intent.valuation), quantity, instrument.multiplier), position.max_notional
        ):
            bits |= 1 << REASON_ORDER_NOTIONAL
    bits |= others(k, c, intent, position_index, has_reference, reference, good_price, good_quantity, leaves)
    if on & CONTROL_EXTERNAL and not is_reconciled(k, account_index, instrument.venue):
        bits |= 1 << REASON_RECONCILE

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
