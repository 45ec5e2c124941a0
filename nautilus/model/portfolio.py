"""Portfolios: their value, cash, attribution, corporate actions, reconciliation, optimisation and rebalancing.

A portfolio is an account of the core; its id is the account's. What is booked is in whole money units (as text: it can
exceed 64 bits); what is valued in a reporting currency is a float, rounded against the trader.
"""

from __future__ import annotations

from typing import Final

from nautilus.model.message import Message


class PortfolioValued(Message, frozen=True):
    """A portfolio's value in its reporting currency, at most once a second and only when something changed.

    Parameters
    ----------
    nav
        Cash and open positions at their marks, after fees.
    cash
        Of every currency, converted.
    gross_exposure, net_exposure
        Sum of the sizes of the positions at their marks, and their signed sum.
    realised, unrealised, fees
        Since the account began.
    nav_units, cash_units, realised_units, unrealised_units, fees_units
        The same in whole units of ``10^-8`` of the reporting currency, as they were added up.
    complete
        Everything had a mark and a rate; else what had none is missing from the sums, and `missing` names it.
    missing
        Currencies without a rate and instruments (by symbol) without a mark.
    sequence
        Of the last event of the core that is contained.
    """

    now_ns: int
    portfolio_id: int
    currency: str
    nav: float
    cash: float
    gross_exposure: float
    net_exposure: float
    realised: float
    unrealised: float
    fees: float
    nav_units: str = "0"
    cash_units: str = "0"
    realised_units: str = "0"
    unrealised_units: str = "0"
    fees_units: str = "0"
    complete: bool = True
    missing: tuple[str, ...] = ()
    sequence: int = 0


MESSAGES: Final[tuple[type[Message], ...]] = (PortfolioValued,)
