"""Optimal liquidation with linear impact (Almgren and Chriss 2000): how to spread an order over time.

With X to sell in N steps of length tau, volatility sigma (money a share and square root of time), temporary impact
epsilon sgn(n) + eta n / tau, permanent impact gamma n / tau, and lambda the price of variance:

    eta~ = eta - gamma tau / 2
    kappa~^2 = lambda sigma^2 / eta~
    kappa = arccosh(kappa~^2 tau^2 / 2 + 1) / tau
    x_j = X sinh(kappa (T - t_j)) / sinh(kappa T)
    cost E = gamma X^2 / 2 + epsilon sum(n_j) + eta~ / tau sum(n_j^2)
    variance V = sigma^2 tau sum(x_j^2), over the holdings after each step
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nautilus.maths.bounds import above_nought, bounded
from nautilus.maths.errors import Undefined

Floats = NDArray[np.float64]
STEPS = 100_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """An optimal schedule.

    Attributes
    ----------
    times : shape (steps + 1,), in units of the horizon.
    holdings : shape (steps + 1,), left at each time; the first is all, the last is none.
    trades : shape (steps,), done in each step.
    kappa : how soon the trading is done, per unit of time; 0: evenly.
    expected_cost : money, beside the price at the beginning.
    variance : of that cost.
    """

    times: Floats
    holdings: Floats
    trades: Floats
    kappa: float
    expected_cost: float
    variance: float

    @property
    def half_life(self) -> float | None:
        """1 / kappa (the paper's "half-life" of the trade); None where it trades evenly."""
        return None if self.kappa == 0.0 else 1.0 / self.kappa


def almgren_chriss(
    quantity: float,
    horizon: float,
    steps: int,
    *,
    volatility: float,
    temporary_impact: float,
    permanent_impact: float = 0.0,
    spread_cost: float = 0.0,
    risk_aversion: float = 0.0,
) -> Schedule:
    """The schedule with the least expected cost plus `risk_aversion` times its variance.

    Parameters
    ----------
    quantity : X, above 0 (a sale; a purchase has the same schedule).
    horizon : T, in any unit of time, which the others share.
    steps : N, 1 to 100,000.
    volatility : sigma, money a share and square root of time.
    temporary_impact : eta, money a share for each share per time.
    permanent_impact : gamma, money a share for each share.
    spread_cost : epsilon, money a share.
    risk_aversion : lambda, per money; 0: cost alone, which is to trade evenly.

    Raises
    ------
    Undefined
        ``not_finite``, ``out_of_range`` (also where eta is not above gamma tau / 2: then there is no optimum).
    """
    inputs = (quantity, horizon, volatility, temporary_impact, permanent_impact, spread_cost, risk_aversion)
    if not all(map(math.isfinite, inputs)):
        raise Undefined("not_finite", "an input that is not a finite number", "finite numbers")
    if quantity <= 0.0 or horizon <= 0.0 or not 1 <= steps <= STEPS:
        raise Undefined("out_of_range", f"{quantity} in {steps} steps over {horizon}", "above 0, 1 to 100000 steps")
    if min(inputs[2:]) < 0.0:
        raise Undefined("out_of_range", "a negative volatility, impact, cost or aversion", "0 or more")
    bounded(np.array(inputs), "an input", 1e30)
    for name, value in (("quantity", quantity), ("horizon", horizon)):
        above_nought(value, name)
    tau = horizon / steps
    impact = temporary_impact - permanent_impact * tau / 2.0
    if impact <= 0.0:
        raise Undefined("out_of_range", f"temporary impact {temporary_impact}", f"above {permanent_impact * tau / 2.0}")
    urgency = risk_aversion * volatility**2 / above_nought(impact, "temporary impact")
    # arccosh(1 + z) written so that a small z keeps its digits.
    z = urgency * tau**2 / 2.0
    kappa = math.log1p(z + math.sqrt(z * (z + 2.0))) / tau
    times: Floats = np.arange(steps + 1, dtype=np.float64) * tau
    left = horizon - times
    left[-1] = 0.0
    if kappa == 0.0:
        holdings: Floats = quantity * left / horizon
    else:
        # sinh(a) / sinh(b) as exponentials that do not overflow.
        holdings = quantity * np.exp(kappa * (left - horizon)) * np.expm1(-2.0 * kappa * left)
        holdings /= math.expm1(-2.0 * kappa * horizon)
    trades = -np.diff(holdings)
    return Schedule(
        times=times,
        holdings=holdings,
        trades=trades,
        kappa=kappa,
        expected_cost=float(
            permanent_impact * quantity**2 / 2.0 + spread_cost * trades.sum() + impact / tau * (trades @ trades)
        ),
        variance=float(volatility**2 * tau * (holdings[1:] @ holdings[1:])),
    )
