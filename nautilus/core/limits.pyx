"""Limits and fees: tables, and what is in force."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memmove, memset

from nautilus.core.market cimport market_volatility
from nautilus.core.accounts cimport account_track
from nautilus.core.positions cimport position_t
from nautilus.core.state cimport (
    MAX_FEES,
    MAX_LIMITS,
    account_t,
    instrument_t,
    kernel_t,
    limit_t,
    position_add,
    position_of,
)
from nautilus.core.types cimport (
    LIMIT_CONCENTRATION,
    LIMIT_CREDIT,
    LIMIT_CREDIT_TOTAL,
    LIMIT_DAILY_LOSS,
    LIMIT_DUPLICATE,
    LIMIT_GROSS_EXPOSURE,
    LIMIT_LEVERAGE,
    LIMIT_MESSAGE_RATE,
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
    LIMIT_VOLATILITY_BAND,
    RATE_MAKER_FEE,
    RATE_TAKER_FEE,
)

cdef enum:
    MAX_BPS = 1000000
    OF_ACCOUNT = (
        1 << LIMIT_MESSAGE_RATE | 1 << LIMIT_DAILY_LOSS | 1 << LIMIT_LEVERAGE | 1 << LIMIT_CREDIT
        | 1 << LIMIT_OPEN_ORDERS | 1 << LIMIT_OPEN_VALUE | 1 << LIMIT_GROSS_EXPOSURE | 1 << LIMIT_NET_EXPOSURE
    )
    OF_ALL = 1 << LIMIT_CREDIT_TOTAL
    WITH_WINDOW = (
        1 << LIMIT_MESSAGE_RATE | 1 << LIMIT_PRICE_BAND | 1 << LIMIT_REPEATED | 1 << LIMIT_DUPLICATE
        | 1 << LIMIT_VOLATILITY_BAND
    )


cdef bint limit_find(
    const limit_t* table, uint32_t count, uint32_t kind, uint32_t account, uint32_t instrument, uint32_t* at
) noexcept nogil:
    cdef uint32_t low = 0, high = count, middle
    cdef const limit_t* limit
    while low < high:
        middle = (low + high) >> 1
        limit = &table[middle]
        if limit.kind < kind or (limit.kind == kind and (
            limit.account < account or (limit.account == account and limit.instrument < instrument)
        )):
            low = middle + 1
        else:
            high = middle
    at[0] = low
    if low == count:
        return False
    limit = &table[low]
    return limit.kind == kind and limit.account == account and limit.instrument == instrument


cdef bint limit_windowed(int kind) noexcept nogil:
    return (WITH_WINDOW >> kind & 1) != 0


cdef bint limit_malformed(
    int kind, uint32_t account, uint32_t instrument, int64_t value, int64_t window
) noexcept nogil:
    if (
        value < -1 or (OF_ACCOUNT >> kind & 1 and instrument) or (kind == LIMIT_CREDIT_TOTAL and (account or instrument))
        or (kind == LIMIT_VOLATILITY_BAND and account) or (not limit_windowed(kind) and window)
    ):
        return True
    if value == -1:
        return False
    if kind == LIMIT_MESSAGE_RATE:
        return value < 1 or window < value
    if kind == LIMIT_PRICE_COLLAR:
        return value > MAX_BPS
    if kind == LIMIT_PRICE_BAND:
        return value > MAX_BPS or window <= 0
    if kind == LIMIT_VOLATILITY_BAND:
        return value < 1 or value > MAX_BPS or window < 0
    if kind == LIMIT_REPEATED:
        return value < 1 or window < 0
    if kind == LIMIT_DUPLICATE:
        return value != 1 or window <= 0
    if kind == LIMIT_STALE_PRICE:
        return value < 1
    return kind == LIMIT_PERMISSION and value > 1


cdef int limit_set(
    kernel_t* k, uint32_t kind, uint32_t account, uint32_t instrument, int64_t value, int64_t window
) noexcept nogil:
    cdef uint32_t at = 0
    cdef limit_t* limit
    cdef bint found = limit_find(k.limits, k.limit_count, kind, account, instrument, &at)
    if value < 0:
        if found:
            k.limit_count -= 1
            k.limit_kinds[kind] -= 1
            memmove(&k.limits[at], &k.limits[at + 1], (k.limit_count - at) * sizeof(limit_t))
        return 0
    if not found:
        if k.limit_count == MAX_LIMITS:
            return -1
        memmove(&k.limits[at + 1], &k.limits[at], (k.limit_count - at) * sizeof(limit_t))
        k.limit_count += 1
        k.limit_kinds[kind] += 1
    limit = &k.limits[at]
    limit.kind = kind
    limit.account = account
    limit.instrument = instrument
    limit.value = value
    limit.window = window
    return 0


cdef const limit_t* tightest(const kernel_t* k, uint32_t kind, uint32_t account, uint32_t instrument) noexcept nogil:
    """The entry of the smallest value among the four scopes that hold both ids; NULL: none is set."""
    cdef const limit_t* least = NULL
    cdef uint32_t at = 0
    cdef int scope
    for scope in range(4):
        if limit_find(
            k.limits, k.limit_count, kind, account if scope & 1 else 0, instrument if scope & 2 else 0, &at
        ) and (least == NULL or k.limits[at].value < least.value):
            least = &k.limits[at]
    return least


cdef const limit_t* nearest(
    const limit_t* table, uint32_t count, uint32_t kind, uint32_t account, uint32_t instrument
) noexcept nogil:
    """The entry of the most specific scope: the pair, the account, the instrument, every; NULL: none is set."""
    cdef uint32_t at = 0
    cdef int scope
    for scope in range(4):
        if limit_find(table, count, kind, 0 if scope & 2 else account, 0 if scope & 1 else instrument, &at):
            return &table[at]
    return NULL


cdef void forget(position_t* p, uint32_t kind) noexcept nogil:
    """What a limit remembers of a pair is kept while the limit applies."""
    if kind == LIMIT_PRICE_BAND:
        p.band_set = 0
        p.band_price = p.band_ns = 0
    elif kind == LIMIT_REPEATED:
        p.executions = p.executions_ns = 0
    elif kind == LIMIT_DUPLICATE:
        memset(p.last_new, 0, sizeof(p.last_new))


cdef void pair_limit(kernel_t* k, position_t* p, uint32_t kind) noexcept nogil:
    """Works the limit in force of one kind out anew."""
    cdef const limit_t* limit
    cdef uint32_t account = k.accounts[p.account].id, instrument = k.instruments[p.instrument].id
    if kind == LIMIT_PRICE_BAND or kind == LIMIT_REPEATED or kind == LIMIT_DUPLICATE or kind == LIMIT_PERMISSION:
        limit = nearest(k.limits, k.limit_count, kind, account, instrument)
    else:
        limit = tightest(k, kind, account, instrument)
    if limit == NULL:
        p.controls &= ~(<uint32_t>1 << kind)
        forget(p, kind)
        return
    p.controls |= <uint32_t>1 << kind
    if kind == LIMIT_ORDER_QUANTITY:
        p.max_quantity = limit.value
    elif kind == LIMIT_ORDER_NOTIONAL:
        p.max_notional = limit.value
    elif kind == LIMIT_PRICE_COLLAR:
        p.collar_bps = limit.value
    elif kind == LIMIT_POSITION:
        p.max_position = limit.value
    elif kind == LIMIT_CONCENTRATION:
        p.concentration_bps = limit.value
    elif kind == LIMIT_STALE_PRICE:
        p.stale_ns = limit.value
    elif kind == LIMIT_PRICE_BAND:
        p.band_bps = limit.value
        p.band_window_ns = limit.window
    elif kind == LIMIT_REPEATED:
        p.max_executions = limit.value
        p.executions_window_ns = limit.window
    elif kind == LIMIT_DUPLICATE:
        p.duplicate_window_ns = limit.window
    else:
        p.forbidden = limit.value == 0
        p.restricted = limit.account == 0
        if not p.forbidden:
            p.controls &= ~(<uint32_t>1 << kind)


cdef void pair_bits(kernel_t* k, position_t* p) noexcept nogil:
    p.controls = (
        p.controls & ~<uint32_t>(OF_ACCOUNT | OF_ALL) | k.accounts[p.account].risk.controls
        | (OF_ALL if k.total.credit >= 0 else 0)
    )


cdef void account_bits(kernel_t* k, account_t* account) noexcept nogil:
    cdef uint32_t at = account.risk.first_pair
    while at:
        pair_bits(k, &k.positions[at])
        at = k.positions[at].next_of_account


cdef void account_limit(kernel_t* k, account_t* account, uint32_t kind) noexcept nogil:
    """The smaller of the account's own and every account's; of a message rate the account's own, else every's."""
    cdef uint32_t at = 0
    cdef const limit_t* limit = NULL
    if limit_find(k.limits, k.limit_count, kind, account.id, 0, &at):
        limit = &k.limits[at]
    if (limit == NULL or kind != LIMIT_MESSAGE_RATE) and limit_find(k.limits, k.limit_count, kind, 0, 0, &at):
        if limit == NULL or k.limits[at].value < limit.value:
            limit = &k.limits[at]
    account.risk.version += 1
    if limit == NULL:
        account.risk.controls &= ~(<uint32_t>1 << kind)
        if kind == LIMIT_MESSAGE_RATE:
            account.rate_interval = account.rate_slack = 0
        return
    account.risk.controls |= <uint32_t>1 << kind
    if kind == LIMIT_MESSAGE_RATE:
        account.rate_interval = limit.window // limit.value
        account.rate_slack = limit.window - account.rate_interval
    elif kind == LIMIT_DAILY_LOSS:
        account.risk.daily_loss = limit.value
    elif kind == LIMIT_LEVERAGE:
        account.risk.leverage_bps = limit.value
    elif kind == LIMIT_CREDIT:
        account.risk.credit = limit.value
    elif kind == LIMIT_OPEN_ORDERS:
        account.risk.open_orders = limit.value
    elif kind == LIMIT_OPEN_VALUE:
        account.risk.open_value = limit.value
    elif kind == LIMIT_GROSS_EXPOSURE:
        account.risk.gross_exposure = limit.value
    else:
        account.risk.net_exposure = limit.value


cdef void account_limits(kernel_t* k, uint32_t index) noexcept nogil:
    cdef account_t* account = &k.accounts[index]
    cdef uint32_t kind
    for kind in range(LIMIT_MESSAGE_RATE, LIMIT_NET_EXPOSURE + 1):
        if OF_ACCOUNT >> kind & 1:
            account_limit(k, account, kind)
    account_bits(k, account)
    account_track(k, index)


cdef void volatility_limit(kernel_t* k, instrument_t* instrument) noexcept nogil:
    cdef const limit_t* limit = nearest(k.limits, k.limit_count, LIMIT_VOLATILITY_BAND, 0, instrument.id)
    instrument.volatility_bps = -1 if limit == NULL else limit.value
    instrument.volatility_ns = 0 if limit == NULL else limit.window
    market_volatility(&k.market, <uint32_t>(instrument - k.instruments), instrument.volatility_bps)


cdef void limits_refresh(kernel_t* k, uint32_t kind, uint32_t account, uint32_t instrument) noexcept nogil:
    cdef uint32_t i, at = 0
    k.version += 1
    if kind == LIMIT_CREDIT_TOTAL:
        k.total.credit = k.limits[at].value if limit_find(k.limits, k.limit_count, kind, 0, 0, &at) else -1
        for i in range(1, k.position_count + 1):
            pair_bits(k, &k.positions[i])
        for i in range(1, k.account_count + 1):
            account_track(k, i)
    elif kind == LIMIT_VOLATILITY_BAND:
        for i in range(1, k.instrument_count + 1):
            if instrument == 0 or i == instrument:
                volatility_limit(k, &k.instruments[i])
    elif OF_ACCOUNT >> kind & 1:
        for i in range(account if account else 1, (account if account else k.account_count) + 1):
            account_limit(k, &k.accounts[i], kind)
            account_bits(k, &k.accounts[i])
            account_track(k, i)
    else:
        if account and instrument:
            i = position_of(k, account, instrument)
            if i:
                pair_limit(k, &k.positions[i], kind)
        elif account or instrument:
            i = k.accounts[account].risk.first_pair if account else k.instruments[instrument].first_pair
            while i:
                pair_limit(k, &k.positions[i], kind)
                i = k.positions[i].next_of_account if account else k.positions[i].next_of_instrument
        else:
            for i in range(1, k.position_count + 1):
                pair_limit(k, &k.positions[i], kind)
        if kind == LIMIT_CONCENTRATION:
            for i in range(1, k.account_count + 1):
                account_track(k, i)


cdef int32_t fee_of(const kernel_t* k, uint32_t kind, const position_t* p) noexcept nogil:
    cdef const limit_t* fee = nearest(
        k.fees, k.fee_count, kind, k.accounts[p.account].id, k.instruments[p.instrument].id
    )
    return 0 if fee == NULL else <int32_t>fee.value


cdef void pair_fees(kernel_t* k, position_t* p) noexcept nogil:
    p.maker_fee = fee_of(k, RATE_MAKER_FEE, p)
    p.taker_fee = fee_of(k, RATE_TAKER_FEE, p)


cdef int fee_set(
    kernel_t* k, uint32_t kind, uint32_t account_id, uint32_t instrument_id, int64_t parts, uint32_t account,
    uint32_t instrument
) noexcept nogil:
    cdef uint32_t at = 0, i
    if not limit_find(k.fees, k.fee_count, kind, account_id, instrument_id, &at):
        if k.fee_count == MAX_FEES:
            return -1
        memmove(&k.fees[at + 1], &k.fees[at], (k.fee_count - at) * sizeof(limit_t))
        k.fee_count += 1
        k.fees[at].kind = kind
        k.fees[at].account = account_id
        k.fees[at].instrument = instrument_id
        k.fees[at].window = 0
    k.fees[at].value = parts
    for i in range(1, k.position_count + 1):
        if (account == 0 or k.positions[i].account == account) and (
            instrument == 0 or k.positions[i].instrument == instrument
        ):
            pair_fees(k, &k.positions[i])
    return 0


cdef uint32_t pair_add(kernel_t* k, uint32_t account, uint32_t instrument) noexcept nogil:
    cdef uint32_t index = position_of(k, account, instrument)
    cdef uint32_t kind
    cdef position_t* p
    if index:
        return index
    index = position_add(k, account, instrument)
    if index == 0:
        return 0
    p = &k.positions[index]
    for kind in range(LIMIT_ORDER_QUANTITY, LIMIT_PERMISSION + 1):
        if k.limit_kinds[kind] and not (OF_ACCOUNT | OF_ALL) >> kind & 1:
            pair_limit(k, p, kind)
    pair_bits(k, p)
    if k.fee_count:
        pair_fees(k, p)
    return index
