"""Attribution and cost of trading: questions to the analytics engine, and their answers.

Returns are parts of one, a period each. What has no value is None, and `undefined` says why by its code.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, field

from nautilus.model.basis import Basis
from nautilus.model.message import Message

MOST_RETURNS = 100_000
MOST_GROUPS = 2_000
Returns = Annotated[tuple[float, ...], Meta(max_length=MOST_RETURNS)]
Rows = Annotated[tuple[tuple[float, ...], ...], Meta(max_length=MOST_RETURNS)]
Name = Annotated[str, Meta(max_length=96)]
Names = Annotated[tuple[Name, ...], Meta(max_length=MOST_GROUPS)]


class AttributeBrinson(Message, frozen=True):
    """Brinson attribution of a portfolio against a benchmark, by group.

    Parameters
    ----------
    groups
        Names of the groups, such as sectors.
    portfolio_weights, portfolio_returns, benchmark_weights, benchmark_returns
        A row a period, a column a group. Weights of a row add up to 1.
    method
        ``brinson-fachler``, ``brinson-hood-beebower``, or ``geometric``.
    linking
        Of several periods, unless geometric: ``carino``, ``menchero`` and others (docs/analytics.md).
    """

    groups: Names
    portfolio_weights: Rows
    portfolio_returns: Rows
    benchmark_weights: Rows
    benchmark_returns: Rows
    method: Annotated[str, Meta(max_length=32)] = "brinson-fachler"
    linking: Annotated[str, Meta(max_length=32)] = "carino"


class AttributeFactors(Message, frozen=True):
    """Attribution of returns to factors by regression, or by exposures that are known.

    Parameters
    ----------
    names
        Of the factors.
    returns
        Of the portfolio, one a period.
    factor_returns
        A row a period, a column a factor.
    exposures
        The same shape; empty: they are estimated, the same for all periods.
    periods_per_year
        252 for trading days.
    """

    names: Names
    returns: Returns
    factor_returns: Rows
    exposures: Rows = ()
    periods_per_year: float = 252.0


class BrinsonLine(Message, frozen=True):
    """One group's effects, linked over all periods."""

    group: str
    allocation: float
    selection: float
    interaction: float
    total: float


class BrinsonReport(Message, frozen=True):
    """Brinson attribution; the effects add up to the active return. Where geometric, they multiply up to it, selection
    contains the interaction, and of groups there are sums of single periods only."""

    groups: tuple[BrinsonLine, ...]
    portfolio_return: float
    benchmark_return: float
    active_return: float
    allocation: float
    selection: float
    interaction: float
    basis: Basis


class FactorLine(Message, frozen=True):
    """One factor: exposure (mean of all periods; None: not known), its part of the return, and of the variance."""

    name: str
    exposure: float | None
    contribution: float
    risk_share: float | None = None


class FactorAttribution(Message, frozen=True):
    """Return by factor, linked over all periods: contributions and `specific` add up to `total`, compounded."""

    factors: tuple[FactorLine, ...]
    specific: float
    total: float
    r_squared: float | None = None
    undefined: dict[str, str] = field(default_factory=dict)
    basis: Basis | None = None


class GetTransactionCosts(Message, frozen=True):
    """What trading cost a portfolio; `order_id` 0: each of the last orders."""

    portfolio_id: int
    order_id: int = 0


class OrderCost(Message, frozen=True):
    """What one order cost against the market: a cost is positive, a gain negative.

    Parameters
    ----------
    arrival_price
        Middle of the quote when the order was taken.
    average_price
        Of its fills.
    vwap
        Volume-weighted price of the market's trades while it was open.
    arrival_bps, vwap_bps
        Average price against the arrival, and against the market's.
    shortfall, shortfall_bps
        Implementation shortfall (Perold 1988): trading, what was not filled at the price of the end, and fees; in
        money of the quote currency, and in basis points of the whole order at the arrival price.
    """

    order_id: int
    instrument_id: int
    symbol: str
    side: str
    state: str
    quantity: float
    filled: float
    begin_ns: int
    end_ns: int
    arrival_price: float | None = None
    average_price: float | None = None
    vwap: float | None = None
    arrival_bps: float | None = None
    vwap_bps: float | None = None
    opportunity_cost: float | None = None
    fees: float = 0.0
    shortfall: float | None = None
    shortfall_bps: float | None = None
    undefined: dict[str, str] = field(default_factory=dict)


class TransactionCosts(Message, frozen=True):
    """Cost of a portfolio's orders, the newest first, and their mean weighted by filled value."""

    portfolio_id: int
    orders: tuple[OrderCost, ...]
    arrival_bps: float | None
    vwap_bps: float | None
    shortfall_bps: float | None
    basis: Basis
    undefined: dict[str, str] = field(default_factory=dict)


MESSAGES: Final[tuple[type[Message], ...]] = (
    AttributeBrinson,
    AttributeFactors,
    BrinsonLine,
    BrinsonReport,
    FactorAttribution,
    FactorLine,
    GetTransactionCosts,
    OrderCost,
    TransactionCosts,
)
