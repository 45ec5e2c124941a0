"""Attribution of returns in several currencies to markets and currencies (Karnosky and Singer 1994)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nautilus.maths.errors import Undefined
from nautilus.maths.linking import Floats, check_losses, matrix, weights_of


@dataclass(frozen=True, slots=True)
class CurrencyAttribution:
    """Continuously compounded effects of markets and currencies (Karnosky and Singer 1994).

    Attributes
    ----------
    market_allocation, security_selection : shape (periods, markets).
    currency_allocation, hedge_selection : shape (periods, currencies).
    portfolio_log_returns, benchmark_log_returns : shape (periods,).
    """

    market_allocation: Floats
    security_selection: Floats
    currency_allocation: Floats
    hedge_selection: Floats
    portfolio_log_returns: Floats
    benchmark_log_returns: Floats

    @property
    def active_log_returns(self) -> Floats:
        """Shape (periods,): the four effects of a period add up to it."""
        return self.portfolio_log_returns - self.benchmark_log_returns


def currency_attribution(
    portfolio_markets: tuple[ArrayLike, ArrayLike, ArrayLike],
    benchmark_markets: tuple[ArrayLike, ArrayLike, ArrayLike],
    portfolio_currencies: tuple[ArrayLike, ArrayLike],
    benchmark_currencies: tuple[ArrayLike, ArrayLike],
) -> CurrencyAttribution:
    """Attribution of returns in several currencies, in logarithms, after Karnosky and Singer.

    A market gives its local return less that of local cash (its premium); a currency gives the return of its cash in
    the base currency. Both are decided on apart, as hedges are.

    Parameters
    ----------
    portfolio_markets, benchmark_markets : weights, local returns, and local returns of cash: (periods, markets) each.
    portfolio_currencies, benchmark_currencies : net weights after hedges, and returns of each currency's cash in the
        base currency: (periods, currencies) each.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``mismatch``, ``out_of_range``.
    """
    market_weights, premiums = _premiums(*portfolio_markets)
    reference_weights, reference_premiums = _premiums(*benchmark_markets)
    currency_weights, cash = _cash(*portfolio_currencies)
    reference_currencies, reference_cash = _cash(*benchmark_currencies)
    shapes = {market_weights.shape, reference_weights.shape}, {currency_weights.shape, reference_currencies.shape}
    if any(len(each) > 1 for each in shapes) or len(market_weights) != len(currency_weights):
        raise Undefined("mismatch", "markets or currencies of portfolio and benchmark", "the same ones in both")
    market_level = (reference_weights * reference_premiums).sum(axis=1, keepdims=True)
    cash_level = (reference_currencies * reference_cash).sum(axis=1, keepdims=True)
    return CurrencyAttribution(
        market_allocation=(market_weights - reference_weights) * (reference_premiums - market_level),
        security_selection=market_weights * (premiums - reference_premiums),
        currency_allocation=(currency_weights - reference_currencies) * (reference_cash - cash_level),
        hedge_selection=currency_weights * (cash - reference_cash),
        portfolio_log_returns=(market_weights * premiums).sum(axis=1) + (currency_weights * cash).sum(axis=1),
        benchmark_log_returns=market_level[:, 0] + cash_level[:, 0],
    )


def _premiums(weights: ArrayLike, local: ArrayLike, cash: ArrayLike) -> tuple[Floats, Floats]:
    held = weights_of(weights, "market weights")
    returns, local_cash = matrix(local, "local returns"), matrix(cash, "local returns of cash")
    if held.shape != returns.shape or held.shape != local_cash.shape:
        raise Undefined("mismatch", f"markets {held.shape}, {returns.shape}, {local_cash.shape}", "as many of each")
    check_losses(returns)
    check_losses(local_cash)
    return held, np.asarray(np.log1p(returns) - np.log1p(local_cash))


def _cash(weights: ArrayLike, returns: ArrayLike) -> tuple[Floats, Floats]:
    held, cash = weights_of(weights, "currency weights"), matrix(returns, "returns of cash")
    if held.shape != cash.shape:
        raise Undefined("mismatch", f"currencies {held.shape}, {cash.shape}", "as many of each")
    check_losses(cash)
    return held, np.asarray(np.log1p(cash))
