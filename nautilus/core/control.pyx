"""Administrative commands."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from nautilus.core.accounts cimport day_begin, instrument_revalue, strategy_kill
from nautilus.core.adjust cimport adjust, rate
from nautilus.core.events cimport event_begin
from nautilus.core.market cimport auction_touch, market_allocation, market_band, market_mark, market_session, market_ticks, market_touched
from nautilus.core.reports cimport take_notices, take_reports, walk_gather, walk_remove
from nautilus.core.hashmap cimport map_find
from nautilus.core.limits cimport account_limits, limit_malformed, limit_set, limits_refresh, pair_add
from nautilus.core.positions cimport position_t
from nautilus.core.state cimport (
    MAX_OWNERS,
    TIMER_INDICATIVE,
    TIMER_INSTRUMENT,
    MAX_BANDS,
    MAX_VENUES,
    account_add,
    account_of,
    owner_set,
    account_t,
    instrument_add,
    instrument_of,
    instrument_t,
    kernel_t,
    order_at,
    position_of,
    venue_add,
)
from nautilus.core.timers cimport timer_arm, timer_disarm
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    ACCOUNT_FIFO,
    ACCOUNT_RECORDED,
    COMMAND_ACCOUNT,
    COMMAND_ADJUST,
    COMMAND_INSTRUMENT,
    COMMAND_KILL,
    COMMAND_LIMIT,
    COMMAND_MARK,
    COMMAND_MASS_CANCEL,
    COMMAND_RATE,
    COMMAND_RESUME,
    COMMAND_SESSION,
    EVENT_APPLIED,
    EVENT_CANCELLED,
    EVENT_EXPIRED,
    EVENT_PHASE,
    EVENT_REJECTED,
    INSTRUMENT_BAND,
    INSTRUMENT_EXPLICIT,
    INSTRUMENT_NEGATIVE,
    INSTRUMENT_PRO_RATA,
    LIMIT_ORDER_QUANTITY,
    LIMIT_REPEATED,
    LIMIT_VOLATILITY_BAND,
    MAX_MULTIPLIER_BITS,
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    PHASE_CLOSED,
    PHASE_CONTINUOUS,
    PHASE_PRE_OPEN,
    PHASE_VOLATILITY_AUCTION,
    REASON_DUPLICATE_ORDER,
    REASON_EXPIRY,
    REASON_KILL_SWITCH,
    REASON_MALFORMED,
    REASON_MASS_CANCEL,
    REASON_POOL_FULL,
    REASON_PRICE,
    REASON_SESSION_CLOSED,
    REASON_UNKNOWN_ACCOUNT,
    REASON_UNKNOWN_INSTRUMENT,
    REASON_UNSUPPORTED,
    SELF_MATCH_NONE,
    SIDE_BUY,
    SIDE_SELL,
    TIF_DAY,
    command_t,
    event_t,
)

cdef int64_t MAX_STEP = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MAX_PRICE = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MAX_MULTIPLE = <int64_t>1 << MAX_MULTIPLIER_BITS


cdef event_t* echo(kernel_t* k, const command_t* c, int kind) noexcept nogil:
    cdef event_t* e = event_begin(k, kind)
    e.order_id = c.order_id
    e.price_ticks = c.price_ticks
    e.quantity = c.quantity
    e.side = c.side
    e.instrument_id = c.instrument_id
    e.account_id = c.account_id
    e.strategy_id = c.strategy_id
    return e


cdef void reject(kernel_t* k, const command_t* c, int reason) noexcept nogil:
    cdef event_t* e = echo(k, c, EVENT_REJECTED)
    e.reason = reason
    if reason < 32:
        e.flags = <uint32_t>1 << reason


cdef void refuse(kernel_t* k, const command_t* c, uint32_t bits) noexcept nogil:
    cdef event_t* e = echo(k, c, EVENT_REJECTED)
    cdef int reason = 0
    while not bits >> reason & 1:
        reason += 1
    e.reason = reason
    e.flags = bits


cdef void counted(kernel_t* k, const command_t* c, int64_t number) noexcept nogil:
    echo(k, c, EVENT_APPLIED).quantity = number


cdef int band(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t index = instrument_of(k, c.instrument_id)
    cdef instrument_t* instrument
    if index == 0:
        return REASON_UNKNOWN_INSTRUMENT
    instrument = &k.instruments[index]
    if instrument.bands == MAX_BANDS or c.price_ticks <= 0 or c.quantity < 1 or c.quantity > MAX_STEP:
        return REASON_MALFORMED
    if instrument.bands and instrument.band[instrument.bands - 1].first >= c.price_ticks:
        return REASON_MALFORMED
    instrument.band[instrument.bands].first = c.price_ticks
    instrument.band[instrument.bands].step = c.quantity
    instrument.bands += 1
    market_band(&k.market, index, c.price_ticks, c.quantity)
    instrument.version += 1
    return 0


cdef int new_instrument(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t index
    cdef instrument_t* instrument
    if c.instrument_id == 0:
        return REASON_UNKNOWN_INSTRUMENT
    if c.flags & INSTRUMENT_BAND:
        return band(k, c)
    if instrument_of(k, c.instrument_id):
        return REASON_DUPLICATE_ORDER
    if (
        c.quantity < 1 or c.quantity > MAX_MULTIPLE
        or c.flags & ~<uint32_t>(INSTRUMENT_NEGATIVE | INSTRUMENT_PRO_RATA | INSTRUMENT_EXPLICIT)
        or c.display_quantity < 0 or c.display_quantity > MAX_STEP or c.min_quantity < 0 or c.min_quantity > MAX_STEP
        or c.price_ticks < 0 or c.price_ticks > MAX_STEP or c.offset < 0 or c.venue_reference >= MAX_VENUES
    ):
        return REASON_MALFORMED
    index = 0
    if c.venue_reference == 0 or venue_add(k, <uint32_t>c.venue_reference) == 0:
        index = instrument_add(k, c.instrument_id)
    if index == 0:
        return REASON_POOL_FULL
    instrument = &k.instruments[index]
    instrument.multiplier = c.quantity
    instrument.venue = <uint8_t>c.venue_reference
    market_allocation(&k.market, index, c.display_quantity if c.display_quantity else 1, c.flags & INSTRUMENT_PRO_RATA != 0)
    instrument.lot_step = c.display_quantity if c.display_quantity else 1
    instrument.minimum = c.min_quantity if c.min_quantity else instrument.lot_step
    instrument.price_step = c.price_ticks if c.price_ticks else 1
    instrument.currency = c.offset
    instrument.product = c.group_id
    instrument.flags = c.flags
    market_ticks(&k.market, index, instrument.price_step, -MAX_PRICE if c.flags & INSTRUMENT_NEGATIVE else 1)
    return 0


cdef bint account_in_use(const kernel_t* k, const account_t* account) noexcept nogil:
    cdef uint32_t at = account.risk.first_pair
    if account.open_orders:
        return True
    while at:
        if k.positions[at].quantity:
            return True
        at = k.positions[at].next_of_account
    return False


cdef inline bint owner_room(kernel_t* k, uint32_t group) noexcept nogil:
    """Whether a self-match group has a number, or can have one."""
    return group == 0 or map_find(&k.owners, group) != NULL or k.account_count + k.owner_groups + 1 < MAX_OWNERS


cdef int account_command(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t index, i
    cdef account_t* account
    if c.account_id == 0:
        return REASON_UNKNOWN_ACCOUNT
    if c.flags & ~<uint32_t>(ACCOUNT_EXEMPT | ACCOUNT_RECORDED | ACCOUNT_FIFO) or c.order_type > SELF_MATCH_NONE:
        return REASON_MALFORMED
    index = account_of(k, c.account_id)
    account = &k.accounts[index]
    if index:
        if (account.flags != c.flags or account.self_match_group != c.group_id) and account_in_use(k, account):
            return REASON_MALFORMED
        if not owner_room(k, c.group_id):
            return REASON_POOL_FULL
    else:
        if k.account_count + k.owner_groups >= MAX_OWNERS or not owner_room(k, c.group_id):
            return REASON_POOL_FULL
        index = account_add(k, c.account_id)
        if index == 0:
            return REASON_POOL_FULL
        account = &k.accounts[index]
    account.flags = c.flags
    owner_set(k, index, c.group_id)
    if account.self_match_mode != c.order_type:
        account.self_match_mode = c.order_type
        for i in range(1, k.instrument_count + 1):
            market_touched(&k.market, i)
    account_limits(k, index)
    return 0


cdef int scope(kernel_t* k, const command_t* c, uint32_t* account, uint32_t* instrument) noexcept nogil:
    account[0] = 0
    instrument[0] = 0
    if c.account_id:
        account[0] = account_of(k, c.account_id)
        if account[0] == 0:
            return REASON_UNKNOWN_ACCOUNT
    if c.instrument_id:
        instrument[0] = instrument_of(k, c.instrument_id)
        if instrument[0] == 0:
            return REASON_UNKNOWN_INSTRUMENT
    return 0


cdef int limit_command(kernel_t* k, const command_t* c) noexcept nogil:
    cdef int kind = c.order_type
    cdef uint32_t account = 0, instrument = 0
    cdef int reason
    if kind < LIMIT_ORDER_QUANTITY or kind > LIMIT_VOLATILITY_BAND:
        return REASON_MALFORMED
    if limit_malformed(kind, c.account_id, c.instrument_id, c.quantity, c.expire_ns):
        return REASON_MALFORMED
    reason = scope(k, c, &account, &instrument)
    if reason:
        return reason
    if limit_set(k, kind, c.account_id, c.instrument_id, c.quantity, c.expire_ns):
        return REASON_POOL_FULL
    limits_refresh(k, kind, account, instrument)
    return 0


cdef void rearm_day_orders(kernel_t* k, uint32_t instrument) noexcept nogil:
    cdef int64_t close_ns = k.instruments[instrument].close_ns, n
    cdef int64_t count = walk_gather(k, instrument, 0)
    for n in range(count):
        if order_at(k, k.walk[n]).time_in_force == TIF_DAY:
            timer_disarm(k, k.walk[n])
            if close_ns:
                k.arming += 1
                timer_arm(k, k.walk[n], close_ns, k.arming)


cdef void phase_change(kernel_t* k, uint32_t index, int phase) noexcept nogil:
    """Everything that a new phase does but time, APPLIED or PHASE, and settling."""
    timer_disarm(k, TIMER_INSTRUMENT | index)
    if k.instruments[index].phase != phase:
        market_session(&k.market, index, phase)
        take_reports(k)
        take_notices(k)
        if not PHASE_PRE_OPEN < phase:
            timer_disarm(k, TIMER_INSTRUMENT | TIMER_INDICATIVE | index)
    k.instruments[index].phase = <uint8_t>phase
    k.instruments[index].version += 1


cdef void phase_told(kernel_t* k, uint32_t instrument) noexcept nogil:
    cdef event_t* e = event_begin(k, EVENT_PHASE)
    e.instrument_id = k.instruments[instrument].id
    e.quantity = k.instruments[instrument].phase


cdef void interruption_end(kernel_t* k, uint32_t instrument) noexcept nogil:
    phase_change(k, instrument, PHASE_CONTINUOUS)
    phase_told(k, instrument)


cdef int session(kernel_t* k, const command_t* c) noexcept nogil:
    cdef int phase = c.group_id
    cdef bint other
    cdef uint32_t named = 0, i, index
    cdef instrument_t* instrument
    if phase < PHASE_CONTINUOUS or phase > PHASE_VOLATILITY_AUCTION:
        return REASON_MALFORMED
    if c.instrument_id:
        named = instrument_of(k, c.instrument_id)
        if named == 0:
            return REASON_UNKNOWN_INSTRUMENT
    if c.expire_ns != 0 and c.expire_ns <= k.now_ns:
        return REASON_EXPIRY
    for i in range(k.instrument_count):
        index = k.instrument_order[i]
        if named and index != named:
            continue
        instrument = &k.instruments[index]
        other = instrument.phase != phase
        if instrument.venue:
            instrument.phase = <uint8_t>phase           # its orders are the venue's business
        else:
            phase_change(k, index, phase)
        if other and instrument.flags & INSTRUMENT_EXPLICIT:
            phase_told(k, index)
        instrument.close_ns = c.expire_ns
        instrument.date = c.offset
        instrument.version += 1
        if instrument.venue:
            continue                    # its orders are the venue's business
        rearm_day_orders(k, index)
        if phase == PHASE_CLOSED:
            walk_remove(k, 0, index, 0, -1, True, False, EVENT_EXPIRED, REASON_SESSION_CLOSED)
    if c.instrument_id == 0:
        if not k.session_seen or k.session_date != c.offset:
            day_begin(k)
        k.session_seen = True
        k.session_date = c.offset
    return 0


cdef int mark(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t index = instrument_of(k, c.instrument_id)
    cdef instrument_t* instrument = &k.instruments[index]
    if index == 0:
        return REASON_UNKNOWN_INSTRUMENT
    if c.price_ticks < -MAX_PRICE or c.price_ticks > MAX_PRICE:
        return REASON_PRICE
    if c.price_ticks <= 0 and not instrument.flags & INSTRUMENT_NEGATIVE:
        return REASON_PRICE
    instrument.mark = c.price_ticks
    instrument.has_mark = 1
    market_mark(&k.market, index, c.price_ticks)
    instrument.mark_ns = k.now_ns
    auction_touch(&k.market, index)
    instrument_revalue(k, index)
    return 0


cdef inline void executions_resume(position_t* position, int64_t now_ns) noexcept nogil:
    """A person lets the pair go on after too many executions."""
    if position.controls >> LIMIT_REPEATED & 1:
        position.executions = 0
        position.executions_ns = now_ns


cdef int kill_switch(kernel_t* k, const command_t* c, uint32_t account, uint32_t instrument, bint on) noexcept nogil:
    cdef uint32_t position
    if c.strategy_id:
        if strategy_kill(k, account, c.strategy_id, on):
            return REASON_POOL_FULL
    elif account and instrument:
        position = pair_add(k, account, instrument)
        if position:
            k.positions[position].killed = on
            if not on and not k.accounts[account].flags & ACCOUNT_EXEMPT:
                executions_resume(&k.positions[position], k.now_ns)
        elif on:
            return REASON_POOL_FULL
        k.accounts[account].risk.version += 1
    elif account:
        k.accounts[account].killed = on
        k.accounts[account].risk.version += 1
    elif instrument:
        k.instruments[instrument].killed = on
        k.instruments[instrument].version += 1
    else:
        k.killed = on
        k.version += 1
    return 0


cdef void control(kernel_t* k, const command_t* c) noexcept nogil:
    """Carries an administrative command out, or refuses it."""
    cdef int kind = c.kind, reason
    cdef uint32_t account, instrument
    if kind == COMMAND_MARK:
        reason = mark(k, c)
        if reason:
            reject(k, c, reason)
        return
    if kind == COMMAND_KILL or kind == COMMAND_RESUME or kind == COMMAND_MASS_CANCEL:
        if kind != COMMAND_MASS_CANCEL and c.strategy_id and (c.account_id == 0 or c.instrument_id):
            reject(k, c, REASON_MALFORMED)
            return
        reason = scope(k, c, &account, &instrument)
        if reason == 0 and kind == COMMAND_MASS_CANCEL and c.side > SIDE_SELL:
            reason = REASON_MALFORMED
        if reason == 0 and kind != COMMAND_MASS_CANCEL:
            reason = kill_switch(k, c, account, instrument, kind == COMMAND_KILL)
        if reason:
            reject(k, c, reason)
        elif kind == COMMAND_RESUME:
            echo(k, c, EVENT_APPLIED)
        elif kind == COMMAND_KILL:
            counted(k, c, walk_remove(
                k, account, instrument, 0, c.strategy_id if c.strategy_id else -1, False, True, EVENT_CANCELLED,
                REASON_KILL_SWITCH
            ))
        else:
            counted(k, c, walk_remove(
                k, account, instrument, c.side, c.strategy_id if c.strategy_id else -1, False, True,
                EVENT_CANCELLED, REASON_MASS_CANCEL
            ))
        return
    if kind == COMMAND_INSTRUMENT:
        reason = new_instrument(k, c)
    elif kind == COMMAND_ACCOUNT:
        reason = account_command(k, c)
    elif kind == COMMAND_LIMIT:
        reason = limit_command(k, c)
    elif kind == COMMAND_SESSION:
        reason = session(k, c)
    elif kind == COMMAND_RATE:
        reason = rate(k, c)
    elif kind == COMMAND_ADJUST:
        reason = adjust(k, c)
    else:
        reason = REASON_UNSUPPORTED
    if reason:
        reject(k, c, reason)
    else:
        echo(k, c, EVENT_APPLIED)
