"""Answers about margin: the report of a portfolio, and what trades or a move of the market would make of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from nautilus.engines.collateral.accounts import Account, Rows, offset_credit
from nautilus.engines.collateral.marks import Marks
from nautilus.engines.collateral.registry import Registry
from nautilus.maths import margin, options
from nautilus.maths.concentration import add_on
from nautilus.maths.margin_book import CALL, PUT
from nautilus.maths.offsets import Offset
from nautilus.maths.strategies import KINDS
from nautilus.model.basis import Basis
from nautilus.model.collateral import GroupMargin, MarginReport, StrategyLine, WhatIf, WhatIfReport

METHODS: Final = {
    "reg_t": "Regulation T and FINRA 4210, options by strategy; futures by exchange rates; perpetuals by brackets",
    "portfolio": "portfolio margin, scan in the manner of OCC's TIMS (not OCC's); futures by exchange rates",
    "span": "SPAN-like scan of 16 scenarios (not CME's); stocks by Regulation T and FINRA 4210",
}

MOST_NAMED: Final = 16
"""Uploaded tables that a basis names."""


class Totals(NamedTuple):
    """Margin of a book with the add-on and the credit of offsets."""

    initial: float
    maintenance: float
    concentration: float
    credit: float


def totals(
    found: margin.Requirement, exposures: np.ndarray, share: float, rate: float, table: Iterable[Offset]
) -> Totals:
    """Sum up a requirement; `exposures` of its groups, `table` of offsets between them."""
    credit = offset_credit(found.groups.keys.tolist(), found.maintenance, exposures, table)
    extra = float(add_on(exposures, share, rate).sum()) if rate and len(exposures) else 0.0
    return Totals(
        float(found.initial.sum()) + extra - credit, float(found.maintenance.sum()) + extra - credit, extra, credit
    )


def exposures(rows: Rows, found: margin.Requirement) -> np.ndarray:
    """Net delta value of each group of a requirement."""
    if not len(rows):
        return np.zeros(0)
    each = rows["quantity"] * rows["multiplier"] * rows["spot"] * rows["delta"]
    sums = np.add.reduceat(each[found.groups.order], found.groups.starts)
    return np.bincount(found.groups.of_underlying, sums, len(found.groups.keys))


def basis(
    account: Account,
    registry: Registry,
    regime: str,
    good: list[int],
    now_ns: int,
    day: int,
    *,
    synthetic: bool = False,
) -> Basis:
    """What margin of an account's positions at `good` rests on; `synthetic`: it is known to be already."""
    return Basis(
        METHODS[regime],
        window=len(good),
        begin_ns=now_ns,
        end_ns=now_ns,
        source="star, portfolio engine and uploads",
        missing=len(account.codes),
        synthetic=synthetic or account.rests_on_synthetic(good),
        version=_rule_sets(account, registry, regime, good, day),
    )


def _rule_sets(account: Account, registry: Registry, regime: str, good: list[int], day: int) -> str:
    """What is in force: tables of rules with their days, and of uploaded ones those that are used."""
    named = sorted({account.facts[slot].rates for slot in good} - {""})
    more = [f"and {len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
    return ", ".join([*registry.sets(regime, day), *named[:MOST_NAMED], *more])


def excluded(account: Account) -> dict[str, str]:
    """Symbols that are in no number, and why."""
    return {account.facts[slot].symbol: code for slot, code in sorted(account.codes.items())}


def margin_report(
    account: Account, registry: Registry, regime: str, now_ns: int, day: int, priced: Marks
) -> MarginReport:
    """Answer a `GetMargin`: the whole portfolio worked out anew."""
    config = registry.config
    good, rows, found = account.margined(regime, registry.rules(day), now_ns, priced)
    net = exposures(rows, found)
    total = totals(found, net, config.concentration_share, config.concentration_rate, registry.offset_table())
    equity = account.equity()
    undefined: dict[str, str] = {}
    excess = usage = cushion = None
    if equity is None:
        undefined = dict.fromkeys(("equity", "excess", "usage", "cushion"), "empty")
    else:
        excess = equity - total.maintenance
        if equity > 0:
            usage, cushion = total.maintenance / equity, excess / equity
        else:
            undefined = dict.fromkeys(("usage", "cushion"), "out_of_range")
    parts = {name: float(values.sum()) for name, values in found.parts.items()}
    if total.concentration:
        parts["concentration"] = total.concentration
    if total.credit:
        parts["offset"] = -total.credit
    groups = tuple(
        GroupMargin(registry.group_names[key], initial, maintenance, exposure)
        for key, initial, maintenance, exposure in zip(
            found.groups.keys.tolist(), found.initial.tolist(), found.maintenance.tolist(), net.tolist(), strict=True
        )
    )
    return MarginReport(
        portfolio_id=account.portfolio_id,
        regime=regime,
        currency=registry.currency,
        equity=equity,
        initial=total.initial,
        maintenance=total.maintenance,
        excess=excess,
        usage=usage,
        cushion=cushion,
        call=excess is not None and excess < 0,
        warning=account.warning,
        collateral=account.collateral,
        parts=parts,
        groups=groups,
        strategies=_strategies(found, good, account),
        complete=not account.codes,
        excluded=excluded(account),
        undefined=undefined,
        basis=basis(account, registry, regime, good, now_ns, day),
    )


def _strategies(found: margin.Requirement, good: list[int], account: Account) -> tuple[StrategyLine, ...]:
    lines = []
    for _, kind, *legs, contracts, each in found.strategies.tolist():
        names = ["stock" if leg == -2 else account.facts[good[int(leg)]].symbol for leg in legs if leg != -1]
        lines.append(StrategyLine(KINDS[int(kind)], tuple(names), contracts, each))
    return tuple(lines)


def shocked(rows: Rows, betas: np.ndarray, move: float) -> tuple[Rows, float]:
    """A copy of rows after every underlying moved by its beta times `move`, and what that changes in value.

    Options move by their Black-Scholes-Merton value at their volatility, never below 0; the rest in proportion.
    """
    after: Rows = rows.copy()
    spot = np.maximum(rows["spot"] * (1.0 + betas * move), 0.0)
    option = (rows["kind"] == CALL) | (rows["kind"] == PUT)
    after["spot"] = spot
    after["price"][~option] = np.where(rows["price"] < 0, rows["price"], spot)[~option]
    if option.any():
        held = rows[option]
        call = held["kind"] == CALL
        terms = (held["strike"], np.maximum(held["years"], 0.0), held["rate"], held["sigma"], held["yield_rate"])
        least = 1e-9 * np.maximum(held["strike"], 1.0)
        base = options.price(call, np.maximum(held["spot"], least), *terms)
        moved = options.price(call, np.maximum(spot[option], least), *terms)
        after["price"][option] = np.maximum(held["price"] + moved - base, 0.0)
    change = ((after["price"] - rows["price"]) * rows["quantity"] * rows["multiplier"]).sum()
    return after, float(change)


def what_if(
    account: Account, registry: Registry, message: WhatIf, regime: str, now_ns: int, day: int, priced: Marks
) -> WhatIfReport:
    """Answer a `WhatIf`."""
    config, rules = registry.config, registry.rules(day)
    share, rate, table = config.concentration_share, config.concentration_rate, registry.offset_table()
    good, rows, before = account.margined(regime, rules, now_ns, priced)
    first = totals(before, exposures(rows, before), share, rate, table)
    left_out = excluded(account)
    supposed = account.copy()
    for trade in message.trades:
        slot = supposed.slot(trade.instrument_id, registry, day)
        if trade.instrument_id not in account.slot_of:
            supposed.mark(slot, priced)
        supposed.set_lots(slot, supposed.lots[slot] + trade.lots)
        supposed.note_marks(slot, priced)
    kept, after, found = supposed.margined(regime, rules, now_ns, priced)
    change = 0.0
    if message.shock:
        after, change = shocked(after, np.array([supposed.facts[slot].beta for slot in kept]), message.shock)
        after["delta"] = supposed.book(kept, now_ns)["delta"]
        found = margin.requirement(after, regime, rules)
    second = totals(found, exposures(after, found), share, rate, table)
    equity = account.equity()
    later = None if equity is None else equity + change
    enough = later is not None and later >= second.initial
    return WhatIfReport(
        portfolio_id=account.portfolio_id,
        regime=regime,
        equity_before=equity,
        equity_after=later,
        initial_before=first.initial,
        initial_after=second.initial,
        maintenance_before=first.maintenance,
        maintenance_after=second.maintenance,
        excess_after=None if later is None else later - second.maintenance,
        acceptable=enough or (not message.shock and second.maintenance <= first.maintenance and bool(message.trades)),
        excluded=left_out | excluded(supposed),
        undefined={}
        if equity is not None
        else dict.fromkeys(("equity_before", "equity_after", "excess_after"), "empty"),
        basis=basis(supposed, registry, regime, kept, now_ns, day, synthetic=account.rests_on_synthetic(good)),
    )


__all__ = ["METHODS", "basis", "excluded", "exposures", "margin_report", "shocked", "totals", "what_if"]
