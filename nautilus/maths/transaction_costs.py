"""What an order cost to execute: beside the price at arrival, the market's average price, and a paper portfolio.

Implementation shortfall (Perold 1988, with the parts of Wagner and Edwards 1993) is what an order lost beside a paper
portfolio that traded all of it at once at the price of the decision. With s = +1 for a purchase and -1 for a sale, Q
the quantity ordered, q_i and p_i the fills, P_d the price of the decision, P_a that at arrival, P_e that at the end:

    delay          s (P_a - P_d) sum(q_i)
    trading        s sum(q_i (p_i - P_a))
    opportunity    s (P_e - P_d) (Q - sum(q_i))
    shortfall      delay + trading + opportunity + fees

A cost is positive, a gain negative. Basis points are of the notional at the benchmark that each is measured against.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from nautilus.maths.bounds import SMALLEST, above_nought, bounded
from nautilus.maths.errors import Undefined

BPS = 1e4


@dataclass(frozen=True, slots=True)
class OrderCosts:
    """Costs of one order. Money is in the currency of the prices; None is a part that has no value.

    Attributes
    ----------
    quantity, filled, unfilled : ordered, done and left.
    average_price : of the fills; None where there is none.
    arrival_cost, arrival_bps : of the fills beside the price at arrival.
    vwap_cost, vwap_bps : of the fills beside the market's volume-weighted average price.
    delay_cost, trading_cost, opportunity_cost, fees : the parts of the shortfall.
    shortfall, shortfall_bps : implementation shortfall; basis points of the whole order at the price of the decision.
    undefined : of each part that is None, why: a code.
    """

    quantity: float
    filled: float
    unfilled: float
    average_price: float | None
    arrival_cost: float | None
    arrival_bps: float | None
    vwap_cost: float | None
    vwap_bps: float | None
    delay_cost: float
    trading_cost: float
    opportunity_cost: float | None
    fees: float
    shortfall: float | None
    shortfall_bps: float | None
    undefined: dict[str, str] = field(default_factory=dict)


def order_costs(
    side: int,
    quantity: float,
    fill_prices: ArrayLike,
    fill_quantities: ArrayLike,
    *,
    arrival_price: float,
    decision_price: float | None = None,
    market_vwap: float | None = None,
    end_price: float | None = None,
    fees: float = 0.0,
) -> OrderCosts:
    """Costs of one order from its fills and the benchmarks.

    Parameters
    ----------
    side : +1 for a purchase, -1 for a sale.
    quantity : ordered.
    fill_prices, fill_quantities : shape (fills,); none is a valid number of fills.
    arrival_price : middle of the market when the order arrived.
    decision_price : when it was decided on; the arrival price where it is not known (there is no delay cost then).
    market_vwap : of all trades of the market while the order worked; None: not known.
    end_price : when the order ended, which prices what was left; None: not known.
    fees : money.

    Raises
    ------
    Undefined
        ``not_finite``, ``negative_price`` (a price of nought or below), ``mismatch`` (more filled than ordered, prices
        without quantities), ``out_of_range`` (a side, a quantity).
    """
    if side not in (1, -1):
        raise Undefined("out_of_range", f"side {side}", "1 to buy or -1 to sell")
    prices, quantities = _fills(fill_prices, fill_quantities)
    decision = arrival_price if decision_price is None else decision_price
    for name, price in (("arrival", arrival_price), ("decision", decision), ("vwap", market_vwap), ("end", end_price)):
        if price is not None:
            _check_price(price, name)
    if not (math.isfinite(quantity) and math.isfinite(fees)):
        raise Undefined("not_finite", "a quantity or fee that is not a finite number", "finite numbers")
    if quantity <= 0.0:
        raise Undefined("out_of_range", f"quantity {quantity}", "above nought")
    above_nought(quantity, "quantity")
    bounded(np.array([fees]), "fees")
    filled = math.fsum(quantities)
    if filled > quantity * (1.0 + 1e-12):
        raise Undefined("mismatch", f"{filled} filled of {quantity}", "no more than was ordered")
    unfilled = max(0.0, quantity - filled)
    undefined: dict[str, str] = {}

    def beside(price: float | None, name: str) -> tuple[float | None, float | None]:
        if price is None or filled == 0.0:
            undefined[f"{name}_cost"] = undefined[f"{name}_bps"] = "empty"
            return None, None
        cost = side * math.fsum(quantities * (prices - price))
        return cost, cost / (filled * price) * BPS

    arrival_cost, arrival_bps = beside(arrival_price, "arrival")
    vwap_cost, vwap_bps = beside(market_vwap, "vwap")
    average = math.fsum(prices * quantities) / filled if filled else None
    if average is None:
        undefined["average_price"] = "empty"
    opportunity: float | None = 0.0
    if unfilled:
        opportunity = None if end_price is None else side * (end_price - decision) * unfilled
    delay, trading = side * (arrival_price - decision) * filled, arrival_cost or 0.0
    shortfall = None if opportunity is None else delay + trading + opportunity + fees
    if shortfall is None:
        undefined.update(dict.fromkeys(("opportunity_cost", "shortfall", "shortfall_bps"), "empty"))
    return OrderCosts(
        quantity=quantity,
        filled=filled,
        unfilled=unfilled,
        average_price=average,
        arrival_cost=arrival_cost,
        arrival_bps=arrival_bps,
        vwap_cost=vwap_cost,
        vwap_bps=vwap_bps,
        delay_cost=delay,
        trading_cost=trading,
        opportunity_cost=opportunity,
        fees=fees,
        shortfall=shortfall,
        shortfall_bps=None if shortfall is None else shortfall / (quantity * decision) * BPS,
        undefined=undefined,
    )


def volume_weighted_price(prices: ArrayLike, volumes: ArrayLike) -> float:
    """Volume-weighted average price of the market's trades.

    Raises
    ------
    Undefined
        ``empty``, ``zero_volume``, ``not_finite``, ``negative_price``, ``mismatch``, ``out_of_range`` (volume below 0).
    """
    traded, volume = _fills(prices, volumes)
    if not len(traded):
        raise Undefined("empty", "no trade", "at least one")
    total = math.fsum(volume)
    if total == 0.0:
        raise Undefined("zero_volume", "trades without volume", "a volume above nought")
    return math.fsum(traded * volume) / total


def _fills(prices: ArrayLike, quantities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    price, quantity = np.asarray(prices, np.float64), np.asarray(quantities, np.float64)
    if price.ndim != 1 or price.shape != quantity.shape:
        raise Undefined("mismatch", f"prices {price.shape}, quantities {quantity.shape}", "one quantity for each price")
    if not (np.isfinite(price).all() and np.isfinite(quantity).all()):
        raise Undefined("not_finite", "a price or quantity that is not a finite number", "finite numbers")
    if (price <= 0.0).any():
        raise Undefined("negative_price", f"a price of {price.min():.6g}", "prices above nought")
    if (quantity < 0.0).any():
        raise Undefined("out_of_range", f"a quantity of {quantity.min():.6g}", "nought or more")
    bounded(price, "prices")
    quantity = np.where(bounded(quantity, "quantities") < SMALLEST, 0.0, quantity)
    return price, quantity


def _check_price(price: float, name: str) -> None:
    if not math.isfinite(price):
        raise Undefined("not_finite", f"{name} price", "a finite number")
    if price <= 0.0:
        raise Undefined("negative_price", f"{name} price {price:.6g}", "above nought")
    above_nought(price, f"{name} price")
