"""Positions and accounts for Python."""

from collections import namedtuple

from libc.stdint cimport uint32_t

import numpy as np

from nautilus.core.accounts cimport rate_of
from nautilus.core.lots cimport lot_after
from nautilus.core.money cimport money_int
from nautilus.core.pool cimport pool_at
from nautilus.core.positions cimport lot_t, position_t
from nautilus.core.state cimport account_t, cash_t, instrument_t, kernel_t, position_of

POSITION = np.dtype([
    ("instrument_id", "<u4"), ("quantity", "<i8"), ("open_buy", "<i8"), ("open_sell", "<i8"),
    ("cost", "O"), ("realised", "O"), ("unrealised", "O"), ("fees", "O"), ("exposure", "O"),
])
LOT = np.dtype([("quantity", "<i8"), ("price_ticks", "<i8"), ("cost", "O")])
MONEY_BOUND = 1 << 110

AccountState = namedtuple("AccountState", (
    "account_id", "now_ns", "valued", "missing", "equity", "cash", "realised", "unrealised", "fees", "gross", "bought",
    "sold", "cost_value", "open_value", "credit_used", "day_base", "open_orders", "flags", "self_match", "self_match_group",
))
AccountState.__doc__ = """What an account holds, owes and risks in base money, as the controls count it (docs/kernel-controls.md).

valued: every part has a mark and a rate; `missing` names those that do not, and `equity` is None then. cash: units by
currency. What has no value counts nothing in the sums. credit_used: cost value and open value, None where a currency in
them has no rate. day_base: equity at the last change of the date, None before. flags: AccountFlag bits;
self_match: SelfMatch, 0 as 1.
"""


cdef object base_up(object value, object rate):
    return -(-value * rate // 1_000_000_000)


cdef object base_down(object value, object rate):
    return value * rate // 1_000_000_000


cdef object pair_state(kernel_t* k, const position_t* p):
    """(realised, unrealised, fees, gross, bought, sold, cost value, open value, lacks, unrated) of one pair."""
    cdef instrument_t* instrument = &k.instruments[p.instrument]
    rate = rate_of(k, instrument.currency)
    quantity, buys, sells = <object>p.quantity, <object>p.open_buy, <object>p.open_sell
    cost, realised, fees = money_int(p.cost), money_int(p.realised), money_int(p.fees)
    multiplier = <object>instrument.multiplier
    open_value = money_int(p.open_value) * multiplier
    live = quantity or buys or sells
    if not rate:
        lacks = f"instrument {instrument.id}: no rate of currency {instrument.currency}"
        return (0, 0, 0, 0, 0, 0, 0, 0, lacks if live or realised or fees else None, lacks if cost or open_value else None)
    lacks = None
    gross = bought = sold = unrealised = 0
    if live and not instrument.has_mark:
        lacks = f"instrument {instrument.id}: no mark"
    elif live:
        unit = <object>instrument.mark * multiplier
        gross = base_up(max(abs(quantity), quantity + buys, sells - quantity) * abs(unit), rate)
        bought = base_up((quantity + buys) * unit, rate)
        sold = base_up((sells - quantity) * unit, rate)
        unrealised = base_down(quantity * unit + cost, rate)
    realised, fees = base_down(realised, rate), base_up(fees, rate)
    if max(map(abs, (gross, bought, sold, realised, unrealised, fees, realised + unrealised - fees))) > MONEY_BOUND:
        lacks = f"instrument {instrument.id}: beyond 2^110 in base money"
        realised = unrealised = fees = gross = bought = sold = 0
    return (realised, unrealised, fees, gross, bought, sold, base_up(abs(cost), rate), base_up(open_value, rate), lacks, None)


cdef object position_rows(kernel_t* k, uint32_t account):
    cdef uint32_t i, index
    cdef position_t* p
    cdef instrument_t* instrument
    rows = []
    for i in range(k.instrument_count):
        index = position_of(k, account, k.instrument_order[i])
        p = &k.positions[index]
        cost, realised, fees = money_int(p.cost), money_int(p.realised), money_int(p.fees)
        if index == 0 or not (p.quantity or cost or realised or fees or p.open_buy or p.open_sell):
            continue
        instrument = &k.instruments[p.instrument]
        unrealised = 0
        if instrument.has_mark or instrument.has_last:
            mark = instrument.mark if instrument.has_mark else instrument.last
            unrealised = (<object>p.quantity) * mark * (<object>instrument.multiplier) + cost
        state = pair_state(k, p)
        rows.append((
            instrument.id, p.quantity, p.open_buy, p.open_sell, cost, realised, unrealised, fees,
            None if state[8] is not None else state[3],
        ))
    return np.array(rows, POSITION).view(np.recarray)


cdef object lot_rows(kernel_t* k, uint32_t account, uint32_t instrument):
    cdef uint32_t index = position_of(k, account, instrument)
    cdef position_t* p = &k.positions[index]
    cdef const lot_t* lot
    rows = []
    if index:
        lot = lot_after(k, p, NULL)
        while lot != NULL:
            rows.append((-lot.quantity if p.quantity < 0 else lot.quantity, lot.price, money_int(lot.cost)))
            lot = lot_after(k, p, lot)
    return np.array(rows, LOT).view(np.recarray)


cdef object account_state(kernel_t* k, uint32_t account):
    cdef account_t* a = &k.accounts[account]
    cdef uint32_t at = a.risk.first_pair
    cdef cash_t* entry
    sums = [0] * 8
    missing = []
    unrated = False
    while at:
        state = pair_state(k, &k.positions[at])
        for n in range(8):
            sums[n] += state[n]
        if state[8] is not None:
            missing.append(state[8])
        unrated = unrated or state[9] is not None
        at = k.positions[at].next_of_account
    cash = {}
    owned = 0
    at = a.risk.first_cash
    while at:
        entry = <cash_t*>pool_at(&k.cash, at)
        cash[entry.currency] = money_int(entry.amount)
        value = base_down(cash[entry.currency], rate_of(k, entry.currency))
        if rate_of(k, entry.currency) == 0:
            missing.append(f"cash: no rate of currency {entry.currency}")
        elif abs(value) > MONEY_BOUND:
            missing.append(f"cash: currency {entry.currency} is beyond 2^110 in base money")
        else:
            owned += value
        at = entry.next
    realised, unrealised, fees, gross, bought, sold, cost_value, open_value = sums
    return AccountState(
        a.id, k.now_ns, not missing, tuple(sorted(missing)),
        None if missing else owned + realised + unrealised - fees, cash, realised, unrealised, fees, gross, bought, sold,
        cost_value, open_value, None if unrated else cost_value + open_value,
        money_int(a.risk.day_base) if a.risk.day_set else None, a.open_orders, a.flags, a.self_match_mode,
        a.self_match_group,
    )
