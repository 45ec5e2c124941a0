"""Canonical state of accounts, limits, rates and positions."""

from libc.stdint cimport INT64_MAX, UINT16_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nautilus.core.accounts cimport cash_add, strategy_kill, strategy_killed
from nautilus.core.limits cimport (
    account_limits,
    fee_set,
    limit_malformed,
    limit_set,
    limit_windowed,
    limits_refresh,
    pair_add,
)
from nautilus.core.lots cimport lot_after, lots_push
from nautilus.core.reports cimport order_closed
from nautilus.core.money cimport int128_t, money_any, money_wide
from nautilus.core.order_ids cimport id_known
from nautilus.core.pool cimport pool_at
from nautilus.core.positions cimport last_new_t, lot_t, lot_take_in, position_lots_match, position_t
from nautilus.core.state cimport (
    MAX_OWNERS,
    owner_set,
    MAX_ACCOUNTS,
    MAX_CURRENCIES,
    MAX_FEES,
    MAX_LIMITS,
    MAX_LOTS,
    MAX_POSITIONS,
    account_add,
    account_of,
    account_t,
    cash_t,
    instrument_of,
    kernel_t,
    position_of,
)
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    ACCOUNT_FIFO,
    ACCOUNT_RECORDED,
    LIMIT_CREDIT_TOTAL,
    LIMIT_DUPLICATE,
    LIMIT_MESSAGE_RATE,
    LIMIT_ORDER_QUANTITY,
    LIMIT_PRICE_BAND,
    LIMIT_REPEATED,
    LIMIT_VOLATILITY_BAND,
    MAX_POSITION_BITS,
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    RATE_MAKER_FEE,
    RATE_TAKER_FEE,
    SELF_MATCH_NONE,
    TYPE_PEGGED,
)
from nautilus.core.words cimport account_named, instrument_named, put, put_money, reader_t, take, take_money, within, words_t

cdef int64_t MAX_ID = 0xFFFFFFFF
cdef int64_t MAX_TICKS = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MAX_QUANTITY = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MAX_HELD = <int64_t>1 << MAX_POSITION_BITS
cdef int64_t MAX_RATE = <int64_t>1 << 40
cdef int64_t MAX_FEE = 100000


cdef void put_account(words_t* w, kernel_t* k, uint32_t index) noexcept:
    cdef const account_t* a = &k.accounts[index]
    cdef uint32_t n, at
    cdef size_t counted
    put(w, a.id)
    put(w, a.flags)
    put(w, a.killed)
    if k.rules > 1:
        put(w, a.self_match_group)
        put(w, a.self_match_mode)
    put(w, a.rate_tat)
    if k.rules > 1:
        put(w, a.risk.day_set)
        put_money(w, a.risk.day_base)
        put(w, a.risk.killed_strategies)
        if a.risk.killed_strategies:
            for n in range(1, 65536):
                if strategy_killed(k, index, n):
                    put(w, n)
        counted = w.count
        put(w, 0)
        n = 0
        at = a.risk.first_cash
        while at:
            n += 1
            put(w, (<cash_t*>pool_at(&k.cash, at)).currency)
            put_money(w, (<cash_t*>pool_at(&k.cash, at)).amount)
            at = (<cash_t*>pool_at(&k.cash, at)).next
        if not w.failed:
            w.data[counted] = n
    put(w, a.closed_count)
    for n in range(a.closed_count):
        put(w, <int64_t>a.closed[(a.closed_head + n) & (k.closed_capacity - 1)])


cdef bint blank(const position_t* p) noexcept:
    return not (
        p.killed or p.quantity or money_any(p.cost) or money_any(p.realised) or money_any(p.fees) or p.executions
        or p.executions_ns or p.band_set or p.last_new[0].order_type or p.last_new[1].order_type
    )


cdef void put_lots(words_t* w, kernel_t* k, const position_t* p) noexcept:
    cdef const lot_t* lot = lot_after(k, p, NULL)
    put(w, p.lots + (p.newest.quantity != 0))
    while lot != NULL:
        put(w, -lot.quantity if p.quantity < 0 else lot.quantity)
        put(w, lot.price)
        put_money(w, lot.cost)
        lot = lot_after(k, p, lot)


cdef void put_memory(words_t* w, const position_t* p) noexcept:
    """What the limits of the pair remember."""
    cdef int side
    put(w, p.executions)
    put(w, p.executions_ns)
    put(w, p.band_set)
    put(w, p.band_price)
    put(w, p.band_ns)
    for side in range(2):
        put(w, p.last_new[side].order_type)
        put(w, p.last_new[side].price)
        put(w, p.last_new[side].quantity)
        put(w, p.last_new[side].now_ns)


cdef void put_positions(words_t* w, kernel_t* k) noexcept:
    cdef uint32_t a, i, index
    cdef size_t at = w.count
    cdef int64_t number = 0
    cdef position_t* p
    put(w, 0)
    for a in range(k.account_count):
        if k.accounts[k.account_order[a]].risk.first_pair == 0:
            continue
        for i in range(k.instrument_count):
            index = position_of(k, k.account_order[a], k.instrument_order[i])
            p = &k.positions[index]
            if index == 0 or blank(p):
                continue
            number += 1
            put(w, k.accounts[p.account].id)
            put(w, k.instruments[p.instrument].id)
            put(w, p.killed)
            put(w, p.quantity)
            put_money(w, p.cost)
            put_money(w, p.realised)
            if k.rules > 1:
                put_money(w, p.fees)
                put_memory(w, p)
                put_lots(w, k, p)
    if not w.failed:
        w.data[at] = number


cdef void put_rates(words_t* w, kernel_t* k) noexcept:
    cdef size_t at = w.count
    cdef uint32_t i
    put(w, 0)
    for i in range(1, MAX_CURRENCIES):
        if k.rates[i]:
            put(w, i)
            put(w, k.rates[i])
    if not w.failed:
        w.data[at] = (w.count - at - 1) // 2
    put(w, k.fee_count)
    for i in range(k.fee_count):
        put(w, k.fees[i].kind)
        put(w, k.fees[i].account)
        put(w, k.fees[i].instrument)
        put(w, k.fees[i].value)


cdef void put_accounts(words_t* w, kernel_t* k) noexcept:
    cdef uint32_t i
    cdef size_t at
    put(w, k.account_count)
    for i in range(k.account_count):
        put_account(w, k, k.account_order[i])
    put(w, k.limit_count)
    for i in range(k.limit_count):
        put(w, k.limits[i].kind)
        put(w, k.limits[i].account)
        put(w, k.limits[i].instrument)
        put(w, k.limits[i].value)
        put(w, k.limits[i].window)
    at = w.count
    put(w, 0)
    for i in range(65536):
        if k.sources[i]:
            put(w, i)
            put(w, <int64_t>k.sources[i])
    if not w.failed:
        w.data[at] = (w.count - at - 1) // 2
    if k.rules > 1:
        put_rates(w, k)
    put_positions(w, k)


cdef int take_cash(reader_t* r, kernel_t* k, uint32_t account) except -1:
    cdef int64_t n, currency, above = 0
    cdef int128_t amount
    for n in range(within(r, 0, MAX_CURRENCIES, "currencies with cash")):
        currency = within(r, above, MAX_CURRENCIES - 1, "currency")
        above = currency + 1
        take_money(r, &amount, "cash")
        if not money_any(amount):
            raise ValueError(f"snapshot: word {r.at - 1}: cash: expected an amount, found 0")
        if cash_add(k, account, <uint32_t>currency, amount):
            raise ValueError("snapshot: more currencies with cash than there is room for")
    return 0


cdef int take_account(reader_t* r, kernel_t* k) except -1:
    cdef uint32_t id = <uint32_t>within(r, 1, MAX_ID, "account")
    cdef uint32_t index
    cdef uint64_t closed
    cdef int64_t n, strategy, above = 1
    cdef account_t* a
    if account_of(k, id):
        raise ValueError(f"snapshot: word {r.at - 1}: account {id} comes twice")
    index = account_add(k, id)
    if index == 0:
        raise MemoryError("snapshot: no room for its accounts")
    a = &k.accounts[index]
    a.flags = <uint16_t>within(
        r, 0, ACCOUNT_EXEMPT | ACCOUNT_RECORDED | (ACCOUNT_FIFO if k.rules > 1 else 0), "flags"
    )
    a.killed = <uint8_t>within(r, 0, 1, "killed")
    if k.rules > 1:
        owner_set(k, index, <uint32_t>within(r, 0, UINT16_MAX, "self-match group"))
        if k.account_count + k.owner_groups > MAX_OWNERS:
            raise ValueError("snapshot: more accounts and self-match groups than there is room for")
        a.self_match_mode = <uint8_t>within(r, 0, SELF_MATCH_NONE, "self-match mode")
    a.rate_tat = within(r, 0, INT64_MAX, "arrival time")
    if k.rules > 1:
        a.risk.day_set = <uint8_t>within(r, 0, 1, "day base set")
        take_money(r, &a.risk.day_base, "day base")
        for n in range(within(r, 0, UINT16_MAX, "killed strategies")):
            strategy = within(r, above, UINT16_MAX, "strategy")
            above = strategy + 1
            if strategy_kill(k, index, <uint32_t>strategy, True):
                raise ValueError("snapshot: more killed strategies than there is room for")
        take_cash(r, k, index)
    for n in range(within(r, 0, k.closed_capacity, "closed ids")):
        closed = <uint64_t>take(r)
        if closed == 0 or id_known(&a.closed_ids, closed):
            raise ValueError(f"snapshot: word {r.at - 1}: closed id {closed} is zero or comes twice")
        order_closed(k, index, closed)
    return 0


cdef int take_scope(reader_t* r, kernel_t* k, uint32_t* account, uint32_t* instrument) except -1:
    """Ids of a limit or fee, 0: every; a named one is known."""
    account[0] = <uint32_t>within(r, 0, MAX_ID, "account")
    if account[0] and account_of(k, account[0]) == 0:
        raise ValueError(f"snapshot: word {r.at - 1}: expected a known account, found {account[0]}")
    instrument[0] = <uint32_t>within(r, 0, MAX_ID, "instrument")
    if instrument[0] and instrument_of(k, instrument[0]) == 0:
        raise ValueError(f"snapshot: word {r.at - 1}: expected a known instrument, found {instrument[0]}")
    return 0


cdef int take_limit(reader_t* r, kernel_t* k) except -1:
    cdef int64_t last = LIMIT_VOLATILITY_BAND if k.rules > 1 else LIMIT_MESSAGE_RATE
    cdef int kind = <int>within(r, LIMIT_ORDER_QUANTITY, last, "kind of a limit")
    cdef uint32_t account = 0, instrument = 0
    cdef int64_t value, window
    take_scope(r, k, &account, &instrument)
    value = within(r, 1 if kind == LIMIT_MESSAGE_RATE else 0, INT64_MAX, "limit")
    window = within(r, 0, INT64_MAX if limit_windowed(kind) else 0, "window")
    if limit_malformed(kind, account, instrument, value, window):
        raise ValueError(f"snapshot: word {r.at - 5}: limit of kind {kind}: expected what LIMIT takes, found account "
                         f"{account}, instrument {instrument}, value {value}, window {window}")
    if limit_set(k, kind, account, instrument, value, window):
        raise ValueError("snapshot: more limits than there is room for")
    return 0


cdef int take_rates(reader_t* r, kernel_t* k) except -1:
    cdef int64_t n, currency, above = 1
    cdef uint32_t kind, account = 0, instrument = 0
    for n in range(within(r, 0, MAX_CURRENCIES - 1, "currencies with a rate")):
        currency = within(r, above, MAX_CURRENCIES - 1, "currency")
        above = currency + 1
        k.rates[currency] = within(r, 1, MAX_RATE, "rate")
    for n in range(within(r, 0, MAX_FEES, "fee entries")):
        kind = <uint32_t>within(r, RATE_MAKER_FEE, RATE_TAKER_FEE, "kind of a fee")
        take_scope(r, k, &account, &instrument)
        fee_set(k, kind, account, instrument, within(r, -MAX_FEE, MAX_FEE, "fee"), 0, 0)
    return 0


cdef int take_memory(reader_t* r, kernel_t* k, position_t* p) except -1:
    cdef bint counts = p.controls >> LIMIT_REPEATED & 1, bands = p.controls >> LIMIT_PRICE_BAND & 1
    cdef bint compares = p.controls >> LIMIT_DUPLICATE & 1
    cdef last_new_t* last
    cdef int side
    p.executions = within(r, 0, INT64_MAX if counts else 0, "executions")
    p.executions_ns = within(r, 0, k.now_ns if counts else 0, "start of their window")
    p.band_set = <uint8_t>within(r, 0, bands, "band price set")
    p.band_price = within(r, -MAX_TICKS if p.band_set else 0, MAX_TICKS if p.band_set else 0, "band price")
    p.band_ns = within(r, 0, k.now_ns if p.band_set else 0, "time of the band price")
    for side in range(2):
        last = &p.last_new[side]
        last.order_type = <uint32_t>within(r, 0, TYPE_PEGGED if compares else 0, "type of the last order")
        last.price = within(r, -MAX_TICKS if last.order_type else 0, MAX_TICKS if last.order_type else 0, "its price")
        last.quantity = within(
            r, 1 if last.order_type else 0, MAX_QUANTITY if last.order_type else 0, "its quantity"
        )
        last.now_ns = within(r, 0, k.now_ns if last.order_type else 0, "its time")
    return 0


cdef int take_lots(reader_t* r, kernel_t* k, position_t* p) except -1:
    cdef bint fifo = (k.accounts[p.account].flags & ACCOUNT_FIFO) != 0
    cdef int64_t n, sign = -1 if p.quantity < 0 else 1
    for n in range(within(r, 1 if fifo and p.quantity else 0, MAX_LOTS if fifo and p.quantity else 0, "lots")):
        if not lots_push(k, p):
            raise ValueError("snapshot: more lots than there is room for")
        if sign > 0:
            p.newest.quantity = within(r, 1, MAX_HELD, "quantity of a lot")
        else:
            p.newest.quantity = -within(r, -MAX_HELD, -1, "quantity of a lot")
        p.newest.price = within(r, -MAX_TICKS, MAX_TICKS, "price of a lot")
        take_money(r, &p.newest.cost, "cost of a lot")
    if fifo and not lots_add_up(k, p):
        raise ValueError(f"snapshot: word {r.at - 1}: lots: expected them to add up to quantity and cost of their position")
    return 0


cdef bint lots_add_up(kernel_t* k, const position_t* p) noexcept:
    cdef const lot_t* lot = lot_after(k, p, NULL)
    cdef lot_t total
    total.quantity = 0
    total.cost = <int128_t>0
    while lot != NULL:
        if lot.quantity > MAX_HELD - total.quantity:
            return False
        lot_take_in(&total, lot)
        lot = lot_after(k, p, lot)
    return position_lots_match(p, &total)


cdef int take_position(reader_t* r, kernel_t* k) except -1:
    cdef uint32_t account = account_named(r, k)
    cdef uint32_t instrument = instrument_named(r, k)
    cdef uint32_t index
    cdef position_t* p
    if position_of(k, account, instrument):
        raise ValueError(f"snapshot: word {r.at - 1}: a position comes twice")
    index = pair_add(k, account, instrument)
    p = &k.positions[index]
    if index == 0:
        raise MemoryError("snapshot: no room for its positions")
    p.killed = <uint8_t>within(r, 0, 1, "killed")
    p.quantity = within(r, -MAX_HELD, MAX_HELD, "quantity held")
    take_money(r, &p.cost, "cost")
    take_money(r, &p.realised, "realised")
    p.wide = money_wide(p.realised)
    if k.rules > 1:
        take_money(r, &p.fees, "fees")
        take_memory(r, k, p)
        take_lots(r, k, p)
    return 0


cdef int take_accounts(reader_t* r, kernel_t* k) except -1:
    cdef int64_t n, source
    cdef uint32_t i
    for n in range(within(r, 0, MAX_ACCOUNTS, "accounts")):
        take_account(r, k)
    for n in range(within(r, 0, MAX_LIMITS, "limits")):
        take_limit(r, k)
    limits_refresh(k, LIMIT_CREDIT_TOTAL, 0, 0)
    limits_refresh(k, LIMIT_VOLATILITY_BAND, 0, 0)
    for i in range(1, k.account_count + 1):
        account_limits(k, i)                    # those of pairs are worked out as they are added
    for n in range(within(r, 0, UINT16_MAX, "sources")):
        source = within(r, 1, UINT16_MAX, "source")
        k.sources[source] = <uint64_t>take(r)
    if k.rules > 1:
        take_rates(r, k)
    for n in range(within(r, 0, MAX_POSITIONS, "positions")):
        take_position(r, k)
    return 0
