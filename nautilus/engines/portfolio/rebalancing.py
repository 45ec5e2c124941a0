"""Target weights to orders in whole lots: what is asked becomes arrays, the nearest lots become orders, sells first."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil, isfinite
from typing import Any, NamedTuple

import numpy as np

from nautilus.engines.portfolio.actions import lot_value
from nautilus.engines.portfolio.ledger import Ledger
from nautilus.engines.portfolio.money import UNIT, decimal_of, plain
from nautilus.engines.portfolio.optimising import basis_of
from nautilus.engines.portfolio.rates import SYNTHETIC
from nautilus.engines.portfolio.valuation import MARGINED
from nautilus.maths.errors import Undefined
from nautilus.maths.whole_lots import LotPlan, nearest_lots
from nautilus.model.allocation import Rebalance, Rebalanced, RebalanceOrder
from nautilus.model.errors import ModelError
from nautilus.model.instrument import EXACT, Instrument
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.signals import RebalanceRequested

MOST_INSTRUMENTS = 2_000


class Line(NamedTuple):
    """One instrument of a rebalancing."""

    instrument: Instrument
    target: float
    held: int
    worth: float
    cash: float
    smallest: int
    price: str
    synthetic: bool


class Plan(NamedTuple):
    """What the job needs, and what its answer is made of."""

    lines: tuple[Line, ...]
    value: float
    cash: float
    reserve: float
    cost: float
    synthetic: bool


def plan_of(message: Rebalance, ledger: Ledger, valued: PortfolioValued) -> Plan:
    """What a request asks, in numbers.

    Raises
    ------
    ModelError, UnknownInstrumentError
        A weight, price or instrument is none.
    Undefined
        `out_of_range`: a number that cannot be, or no value to divide; `mismatch`: something has no price or no rate;
        `empty`: nothing is held or wanted.
    """
    _check(message)
    if not valued.complete:
        raise Undefined("mismatch", f"no mark or rate of {', '.join(valued.missing)}", "a value that is complete")
    targets: dict[int, float] = {}
    for text, weight in message.weights.items():
        if not isfinite(weight):
            raise Undefined("not_finite", f"weight of {text}", "a finite number")
        key = ledger.names.find(text).instrument_id
        if key in targets:
            raise Undefined("mismatch", f"two weights of {ledger.names.symbol(key)}", "one")
        targets[key] = float(weight)
    if not message.keep:
        for position in ledger.held(message.portfolio_id):
            if position.quantity:
                targets.setdefault(position.instrument_id, 0.0)
    if not targets:
        raise Undefined("empty", "nothing that is held or wanted", "weights of at least one instrument")
    if len(targets) > MOST_INSTRUMENTS:
        raise Undefined("out_of_range", f"{len(targets)} instruments", f"at most {MOST_INSTRUMENTS}")
    prices = {ledger.names.find(text).instrument_id: price for text, price in message.prices.items()}
    value = message.value or valued.nav
    lines = tuple(
        _line(message, ledger, ledger.instruments[key], targets[key], prices.get(key, "")) for key in sorted(targets)
    )
    synthetic = valued.synthetic or any(line.synthetic for line in lines)
    return Plan(lines, value, valued.cash, message.reserve * value, message.cost_bps / 10_000, synthetic)


def arguments_of(plan: Plan) -> tuple[Any, ...]:
    """What `lots_job` takes."""
    lines = plan.lines
    return (
        np.array([line.target for line in lines]),
        np.array([line.held for line in lines], dtype=np.int64),
        np.array([line.worth for line in lines]),
        np.array([line.cash for line in lines]),
        np.array([line.smallest for line in lines], dtype=np.int64),
        plan.value,
        plan.cash,
        plan.reserve,
        plan.cost,
    )


def lots_job(*arguments: Any) -> tuple[Any, ...]:
    """The nearest lots, as plain values; for a worker process."""
    return tuple(nearest_lots(*arguments))


def orders_of(plan: Plan, found: LotPlan, ledger: Ledger) -> tuple[RebalanceOrder, ...]:
    """Orders of a plan: sells before buys, the largest first."""
    orders = []
    for line, lots in zip(plan.lines, found.lots.tolist(), strict=True):
        moved = lots - line.held
        if moved:
            orders.append(
                RebalanceOrder(
                    instrument_id=line.instrument.instrument_id,
                    symbol=ledger.names.symbol(line.instrument.instrument_id),
                    side="BUY" if moved > 0 else "SELL",
                    lots=abs(moved),
                    quantity=plain(line.instrument.quantity(abs(moved))),
                    price=line.price,
                    notional=abs(moved) * line.worth,
                )
            )
    return tuple(sorted(orders, key=lambda each: (each.side == "BUY", -each.notional, each.instrument_id)))


def answer_of(message: Rebalance, plan: Plan, found: LotPlan, ledger: Ledger) -> Rebalanced:
    """The answer to a request."""
    weights = {
        ledger.names.symbol(line.instrument.instrument_id): lots * line.worth / plan.value
        for line, lots in zip(plan.lines, found.lots.tolist(), strict=True)
    }
    return Rebalanced(
        portfolio_id=message.portfolio_id,
        currency=ledger.currency,
        orders=orders_of(plan, found, ledger),
        weights=weights,
        tracking_error_before=found.miss_before,
        tracking_error_after=found.miss_after,
        cash_after=found.cash,
        value=plan.value,
        basis=basis_of(
            "whole lots of the least sum of squares of weight less target that cash allows; no better by one lot or by "
            "an exchange of one lot",
            synthetic=plan.synthetic,
        ),
        published=message.publish,
    )


def request_of(message: Rebalance, plan: Plan, found: LotPlan, now_ns: int) -> RebalanceRequested:
    """What is published of it."""
    return RebalanceRequested(
        now_ns=now_ns,
        portfolio_id=message.portfolio_id,
        action=message.action,
        instruments=tuple(line.instrument.instrument_id for line in plan.lines),
        target_allocation=tuple(line.target for line in plan.lines),
        lots=tuple((found.lots - np.array([line.held for line in plan.lines])).tolist()),
        priority=message.priority,
    )


def _check(message: Rebalance) -> None:
    for name, value, most in (
        ("min_notional", message.min_notional, float("inf")),
        ("reserve", message.reserve, 1.0),
        ("cost_bps", message.cost_bps, 10_000.0),
        ("value", message.value, float("inf")),
    ):
        if not (isfinite(value) and 0.0 <= value <= most):
            raise Undefined("out_of_range", f"{name} {value}", f"0 to {most:g}")


def _line(message: Rebalance, ledger: Ledger, instrument: Instrument, target: float, text: str) -> Line:
    key, symbol = instrument.instrument_id, ledger.names.symbol(instrument.instrument_id)
    held = ledger.book.position(message.portfolio_id, key).quantity
    made_up = False
    if text:
        price = decimal_of(text, f"price of {symbol}")
        if price <= 0:
            raise ModelError(f"price {text} of {symbol}", where="rebalance", expected="greater than zero")
        middle = buying = Fraction(price)
    else:
        quote = ledger.quote(key)
        if quote is None or not (quote.bid_quantity and quote.ask_quantity):
            raise Undefined("mismatch", f"no quote of {symbol}", "quotes of both sides, or a price")
        middle = Fraction(instrument.price(quote.bid_ticks + quote.ask_ticks)) / 2
        buying = Fraction(instrument.price(quote.ask_ticks))
        made_up = bool(quote.flags & SYNTHETIC)
    rate = ledger.rates.rate(instrument.quote_currency)
    if rate is None:
        raise Undefined("mismatch", f"no rate of {instrument.quote_currency}", "a rate into the reporting currency")
    if middle <= 0:
        raise Undefined("negative_price", f"price {float(middle)} of {symbol}", "above 0")
    worth = float(lot_value(instrument, middle) * (rate.bid + rate.ask) / 2 / UNIT)
    # What buys take at the ask: sells at it too, as what is sold at the middle is not counted as more than it is.
    cash = 0.0 if instrument.product in MARGINED else float(lot_value(instrument, buying) * rate.ask / UNIT)
    least = instrument.lots(instrument.min_quantity) if instrument.min_quantity else 1
    smallest = max(least, ceil(message.min_notional / worth) if message.min_notional else 1)
    shown = plain(EXACT.divide(Decimal(middle.numerator), Decimal(middle.denominator)))
    return Line(instrument, target, held, worth, cash, smallest, shown, made_up or rate.synthetic)
