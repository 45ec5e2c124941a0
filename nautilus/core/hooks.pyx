"""Hooks of the market: only ever called where an order is not plain, or meets its own owner."""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.pretrade cimport pretrade_bound, pretrade_child
from nautilus.core.reports cimport take_reports
from nautilus.core.state cimport TIMER_INDICATIVE, TIMER_INSTRUMENT, account_t, kernel_t, order_t, probe_t
from nautilus.core.timers cimport instrument_arm, timer_disarm
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    ACCOUNT_RECORDED,
    REASON_REFERENCE,
    SELF_MATCH_CANCEL_NEWEST,
    SELF_MATCH_CANCEL_OLDEST,
    SIDE_BUY,
)


cdef int self_match_of(void* context, uint32_t slot) noexcept nogil:
    """Hook of the market: the self-match mode of the account whose order would meet one of its own owner."""
    cdef kernel_t* k = <kernel_t*>context
    cdef const account_t* account = &k.accounts[k.orders[slot].account]
    if account.flags & ACCOUNT_RECORDED:
        return SELF_MATCH_CANCEL_OLDEST
    return account.self_match_mode if account.self_match_mode else SELF_MATCH_CANCEL_NEWEST


cdef int64_t reducible(void* context, uint32_t slot) noexcept nogil:
    """Hook of the market: lots by which this order may reduce its account's position now."""
    cdef kernel_t* k = <kernel_t*>context
    cdef const order_t* order = &k.orders[slot]
    cdef int64_t held
    take_reports(k)
    if order.position == 0:
        return 0
    held = k.positions[order.position].quantity
    if order.side == SIDE_BUY:
        held = -held
    return held if held > 0 else 0


cdef bint recorded(void* context, uint32_t slot) noexcept nogil:
    """Hook of the market: whether the order is part of a recorded book."""
    cdef kernel_t* k = <kernel_t*>context
    return (k.accounts[k.orders[slot].account].flags & ACCOUNT_RECORDED) != 0


cdef int bound_of(void* context, uint32_t slot, int64_t* bound, bint* bounded) noexcept nogil:
    """Hook of the market: the worst price of an order without one, by the price collar of its pair."""
    cdef kernel_t* k = <kernel_t*>context
    cdef const order_t* order = &k.orders[slot]
    cdef bint missing = False
    take_reports(k)
    bounded[0] = pretrade_bound(k, order.instrument, order.position, order.side, bound, &missing)
    return REASON_REFERENCE if missing else 0


cdef int entering(void* context, uint32_t slot, int64_t more, bint raised) noexcept nogil:
    """Hook of the market: the smallest control that keeps a child from acting with `more` lots; 0: none."""
    cdef kernel_t* k = <kernel_t*>context
    cdef uint32_t bits
    cdef int reason = 0
    take_reports(k)
    bits = pretrade_child(k, slot, more, raised)
    if bits == 0:
        return 0
    while not bits >> reason & 1:
        reason += 1
    return reason


cdef int64_t probe(void* context, uint32_t slot, int64_t quantity, bint limited) noexcept nogil:
    """Hook of the market: how much of an order can be counted as filling at once, after what was counted before it."""
    cdef kernel_t* k = <kernel_t*>context
    cdef const order_t* order
    cdef probe_t* seen
    cdef int64_t held
    if slot == 0:
        take_reports(k)
        k.probe_stamp += 1
        return 0
    order = &k.orders[slot]
    if order.position == 0:
        return quantity
    seen = &k.probes[order.position]
    if seen.stamp != k.probe_stamp:
        seen.stamp = k.probe_stamp
        seen.counted = 0
    if limited:
        held = k.positions[order.position].quantity
        held = (-held if order.side == SIDE_BUY else held) - seen.counted
        if quantity > held:
            quantity = held if held > 0 else 0
    seen.counted += quantity
    return quantity


cdef int64_t arming_of(void* context, uint32_t slot) noexcept nogil:
    """Hook of the market: order of acceptance."""
    return (<kernel_t*>context).orders[slot].arming


cdef bint exempt(void* context, uint32_t slot) noexcept nogil:
    """Hook of the market: no volatility band binds the order."""
    cdef kernel_t* k = <kernel_t*>context
    return (k.accounts[k.orders[slot].account].flags & ACCOUNT_EXEMPT) != 0


cdef void interrupted(void* context, uint32_t instrument) noexcept nogil:
    """Hook of the market: trading in the instrument was interrupted; a timer may end that."""
    cdef kernel_t* k = <kernel_t*>context
    take_reports(k)
    k.instruments[instrument].phase = k.market.books[instrument].phase
    k.instruments[instrument].version += 1
    if k.instruments[instrument].volatility_ns > 0:
        instrument_arm(k, TIMER_INSTRUMENT | instrument, k.market.now_ns, k.instruments[instrument].volatility_ns)


cdef void indicated(void* context, uint32_t instrument) noexcept nogil:
    """Hook of the market: the indicative price was worked out, so no timer need do it."""
    take_reports(<kernel_t*>context)        # while the surplus that the report speaks of is known
    timer_disarm(<kernel_t*>context, TIMER_INSTRUMENT | TIMER_INDICATIVE | instrument)


cdef void hooks_set(kernel_t* k) noexcept nogil:
    k.market.arming = &k.arming
    k.market.bound_of = bound_of
    k.market.entering = entering
    k.market.context = k
    k.market.self_match_of = self_match_of
    k.market.recorded = recorded
    k.market.reducible = reducible
    k.market.probe = probe
    k.market.arming_of = arming_of
    k.market.exempt = exempt
    k.market.interrupted = interrupted
    k.market.indicated = indicated
