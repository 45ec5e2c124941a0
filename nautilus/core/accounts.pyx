"""Accounts: values in base money, cash, killed strategies."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from nautilus.core.hashmap cimport map_delete, map_find, map_put
from nautilus.core.money cimport MONEY_UNIT, int128_t, money_add, money_any
from nautilus.core.pool cimport pool_at, pool_give, pool_take
from nautilus.core.positions cimport position_t
from nautilus.core.risk cimport (
    pair_value_of,
    pair_value_t,
    risk_cash,
    risk_clear,
    risk_cost_move,
    risk_costs,
    risk_day,
    risk_move,
    risk_no_cash,
    risk_no_day,
    risk_open_move,
    risk_slack_end,
    risk_slack_match,
    risk_slack_spend,
    risk_t,
    risk_valued,
)
from nautilus.core.state cimport cash_t, instrument_t, kernel_t
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    LIMIT_CONCENTRATION,
    LIMIT_CREDIT,
    LIMIT_DAILY_LOSS,
    LIMIT_GROSS_EXPOSURE,
    LIMIT_LEVERAGE,
    LIMIT_NET_EXPOSURE,
    LIMIT_OPEN_VALUE,
)

cdef enum:
    NEED_VALUES = (
        1 << LIMIT_DAILY_LOSS | 1 << LIMIT_LEVERAGE | 1 << LIMIT_CREDIT | 1 << LIMIT_OPEN_VALUE
        | 1 << LIMIT_GROSS_EXPOSURE | 1 << LIMIT_NET_EXPOSURE
    )


cdef void pair_refresh(kernel_t* k, uint32_t position) noexcept nogil:
    cdef position_t* p = &k.positions[position]
    cdef instrument_t* instrument = &k.instruments[p.instrument]
    cdef pair_value_t after
    pair_value_of(
        &after, p, instrument.has_mark, instrument.mark * instrument.multiplier, instrument.multiplier,
        rate_of(k, instrument.currency)
    )
    risk_move(&k.accounts[p.account].risk, &k.total, &k.pair_values[position], &after)


cdef inline void pair_stale(kernel_t* k, risk_t* risk, uint32_t position) noexcept nogil:
    """The pair is out of date from now on, alone: one that was so before is worked out."""
    if risk.stale != position:
        if risk.stale:
            pair_refresh(k, risk.stale)
        risk.stale = position


cdef void pair_opened(kernel_t* k, uint32_t position, int64_t price, int64_t quantity) noexcept nogil:
    cdef const position_t* p = &k.positions[position]
    cdef const instrument_t* instrument = &k.instruments[p.instrument]
    cdef risk_t* risk = &k.accounts[p.account].risk
    cdef pair_value_t* value = &k.pair_values[position]
    cdef int64_t rate = rate_of(k, instrument.currency), exposure = 0, open = 0
    if k.total.credit >= 0:
        if rate:
            risk_open_move(risk, &k.total, value, p, instrument.multiplier, rate)
        else:
            pair_refresh(k, position)
    pair_stale(k, risk, position)
    if risk.slack_version >= 0 and (quantity > 0 or instrument.mark < 0):
        if rate != MONEY_UNIT or not instrument.has_mark or instrument.mark < 0 or risk_costs(
            instrument.mark * instrument.multiplier, price, instrument.multiplier, quantity, quantity, &exposure, &open
        ):
            risk_slack_end(risk)
        else:
            risk_slack_spend(risk, value, exposure, open)


cdef void pair_matched(kernel_t* k, uint32_t position, int64_t price, int64_t quantity, int64_t fee) noexcept nogil:
    cdef const position_t* p = &k.positions[position]
    cdef const instrument_t* instrument = &k.instruments[p.instrument]
    cdef risk_t* risk = &k.accounts[p.account].risk
    cdef int64_t rate = rate_of(k, instrument.currency)
    if k.total.credit >= 0:
        if rate:
            risk_cost_move(risk, &k.total, &k.pair_values[position], p, rate)
        else:
            pair_refresh(k, position)
    pair_stale(k, risk, position)
    if risk.slack_version >= 0:
        if rate != MONEY_UNIT or not instrument.has_mark or instrument.mark < 0:
            risk_slack_end(risk)
        else:
            risk_slack_match(
                risk, instrument.mark * instrument.multiplier, price, instrument.multiplier, quantity, fee
            )


cdef void cash_value(kernel_t* k, risk_t* risk) noexcept nogil:
    cdef uint32_t at = risk.first_cash
    cdef cash_t* cash
    risk_no_cash(risk)
    while at:
        cash = <cash_t*>pool_at(&k.cash, at)
        risk_cash(risk, cash.amount, rate_of(k, cash.currency))
        at = cash.next


cdef void account_value(kernel_t* k, uint32_t account) noexcept nogil:
    cdef risk_t* risk = &k.accounts[account].risk
    cdef uint32_t at = risk.first_pair
    risk_clear(risk, &k.total)
    cash_value(k, risk)
    risk.version += 1
    while at:
        memset(&k.pair_values[at], 0, sizeof(pair_value_t))
        pair_refresh(k, at)
        at = k.positions[at].next_of_account


cdef void account_track(kernel_t* k, uint32_t account) noexcept nogil:
    cdef risk_t* risk = &k.accounts[account].risk
    cdef bint track = not k.accounts[account].flags & ACCOUNT_EXEMPT and (
        risk.controls & NEED_VALUES or k.limit_kinds[LIMIT_CONCENTRATION] or k.total.credit >= 0
    )
    if track and not risk.tracked:
        account_value(k, account)
    elif track:
        account_settle(k, risk)
    else:
        risk_clear(risk, &k.total)
    risk.tracked = track


cdef void instrument_revalue(kernel_t* k, uint32_t instrument) noexcept nogil:
    cdef uint32_t at = k.instruments[instrument].first_pair
    cdef risk_t* risk
    k.instruments[instrument].version += 1
    while at:
        risk = &k.accounts[k.positions[at].account].risk
        risk.version += 1
        if risk.tracked:
            pair_refresh(k, at)
        at = k.positions[at].next_of_instrument


cdef void currency_revalue(kernel_t* k, uint32_t currency) noexcept nogil:
    cdef uint32_t i
    k.version += 1
    for i in range(1, k.instrument_count + 1):
        if k.instruments[i].currency == currency:
            instrument_revalue(k, i)
    for i in range(1, k.account_count + 1):
        if k.accounts[i].risk.first_cash:
            cash_value(k, &k.accounts[i].risk)


cdef int cash_add(kernel_t* k, uint32_t account, uint32_t currency, int128_t amount) noexcept nogil:
    cdef risk_t* risk = &k.accounts[account].risk
    cdef uint32_t* link = &risk.first_cash
    cdef uint32_t index
    cdef cash_t* cash
    while link[0] and (<cash_t*>pool_at(&k.cash, link[0])).currency < currency:
        link = &(<cash_t*>pool_at(&k.cash, link[0])).next
    index = link[0]
    cash = <cash_t*>pool_at(&k.cash, index)
    if index == 0 or cash.currency != currency:
        index = pool_take(&k.cash)
        if index == 0:
            return -1
        cash = <cash_t*>pool_at(&k.cash, index)
        cash.next = link[0]
        cash.currency = currency
        cash.amount = <int128_t>0
        link[0] = index
    money_add(&cash.amount, amount)
    if not money_any(cash.amount):
        link[0] = cash.next
        pool_give(&k.cash, index)
    cash_value(k, risk)
    risk.version += 1
    return 0


cdef void accounts_restored(kernel_t* k) noexcept nogil:
    cdef uint32_t i
    for i in range(1, k.account_count + 1):
        if k.accounts[i].risk.tracked:
            account_value(k, i)
        else:
            cash_value(k, &k.accounts[i].risk)


cdef void day_begin(kernel_t* k) noexcept nogil:
    cdef uint32_t i
    cdef risk_t* risk
    for i in range(1, k.account_count + 1):
        risk = &k.accounts[i].risk
        if k.accounts[i].flags & ACCOUNT_EXEMPT:
            continue
        if risk.tracked:
            account_settle(k, risk)
        else:
            account_value(k, i)
        if risk_valued(risk):
            risk_day(risk)
        else:
            risk_no_day(risk)
        risk.version += 1
        if not risk.tracked:
            risk_clear(risk, &k.total)


cdef inline uint64_t strategy_key(uint32_t account, uint32_t strategy) noexcept nogil:
    return (<uint64_t>account << 16) | strategy


cdef bint strategy_killed(kernel_t* k, uint32_t account, uint32_t strategy) noexcept nogil:
    return map_find(&k.strategies, strategy_key(account, strategy)) != NULL


cdef int strategy_kill(kernel_t* k, uint32_t account, uint32_t strategy, bint on) noexcept nogil:
    cdef risk_t* risk = &k.accounts[account].risk
    if on != strategy_killed(k, account, strategy):
        if on:
            if map_put(&k.strategies, strategy_key(account, strategy), 1):
                return -1
            risk.killed_strategies += 1
        else:
            map_delete(&k.strategies, strategy_key(account, strategy))
            risk.killed_strategies -= 1
    risk.version += 1
    return 0
