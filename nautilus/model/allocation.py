"""What a portfolio is to hold: weights that are best in some sense, and the whole lots that bring it there."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, field

from nautilus.model.basis import Basis
from nautilus.model.enums import Priority
from nautilus.model.message import Message
from nautilus.model.portfolio import Name, PortfolioId


class Rebalance(Message, frozen=True):
    """Whole lots that bring a portfolio nearest to target weights.

    Parameters
    ----------
    weights
        Symbol (or id as text) to part of the value; what is held and not named goes to 0 unless `keep`.
    prices
        Symbol to price, where the last quote is not to be used.
    min_notional
        In the reporting currency: no smaller order.
    reserve
        Part of the value that stays in cash.
    cost_bps
        What trading costs, of the notional.
    value
        To be divided; 0: the portfolio's own.
    keep
        Leave alone what is not named.
    publish
        As `RebalanceRequested`; else it is only computed.
    """

    portfolio_id: PortfolioId
    weights: dict[str, float]
    prices: dict[str, str] = field(default_factory=dict)
    min_notional: float = 0.0
    reserve: float = 0.0
    cost_bps: float = 0.0
    value: float = 0.0
    keep: bool = False
    publish: bool = True
    priority: Priority = Priority.HIGH
    action: Name = "rebalance"


class RebalanceOrder(Message, frozen=True):
    """One order of a rebalancing: sells come first. `price` is what it was worked out with."""

    instrument_id: int
    symbol: str
    side: str
    lots: int
    quantity: str
    price: str
    notional: float


class Rebalanced(Message, frozen=True):
    """Orders of a rebalancing.

    Parameters
    ----------
    weights
        As they are after the orders, by symbol.
    tracking_error
        Root of the sum of squares of what the weights miss, before and after.
    cash_after
        In the reporting currency, after costs.
    """

    portfolio_id: int
    currency: str
    orders: tuple[RebalanceOrder, ...]
    weights: dict[str, float]
    tracking_error_before: float
    tracking_error_after: float
    cash_after: float
    value: float
    basis: Basis
    published: bool = False


class OptimiseMethod(StrEnum):
    """What is made best."""

    MINIMUM_VARIANCE = "minimum_variance"
    MAXIMUM_SHARPE = "maximum_sharpe"
    MEAN_VARIANCE = "mean_variance"
    MINIMUM_CVAR = "minimum_cvar"
    RISK_PARITY = "risk_parity"
    HRP = "hrp"


class Optimise(Message, frozen=True):
    """Weights of series that are best in some sense.

    Parameters
    ----------
    series
        Names of histories (`PUT /portfolio/history/{series}`), or of the columns of `returns`.
    returns
        Rows of returns, one number for each series; empty: those of the histories.
    begin_ns, end_ns
        Of the histories; 0: open.
    covariance
        ``sample``, ``ledoit_wolf``, ``constant_correlation``, ``ewma`` or ``newey_west``.
    half_life
        In rows, of ``ewma``; 0: 90.
    means
        Expected returns per row; empty: the mean of the rows.
    rate
        Free of risk, per row; of the ratio.
    aversion
        Of ``mean_variance``: utility is mean less aversion times variance.
    confidence
        Of CVaR.
    lower, upper
        Of every weight; `bounds` has (lower, upper) of single ones.
    groups
        Name to (lower, upper); `members`: series to group.
    previous, turnover
        Weights held, by series, and the most that the sizes of all changes may sum to; negative: any.
    gross
        The most that the sizes of all weights may sum to; 0: any.
    budgets
        Of the risk, by series; empty: the same.
    linkage, order
        Of hierarchical risk parity.
    allow_jumps
        Take prices as they are, even where one moves as only a split moves them.
    """

    method: OptimiseMethod
    series: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=1_000)]
    returns: Annotated[tuple[tuple[float, ...], ...], Meta(max_length=20_000)] = ()
    begin_ns: int = 0
    end_ns: int = 0
    covariance: str = "sample"
    half_life: float = 0.0
    means: tuple[float, ...] = ()
    rate: float = 0.0
    aversion: float = 1.0
    confidence: float = 0.95
    lower: float = 0.0
    upper: float = 1.0
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    groups: dict[str, tuple[float, float]] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)
    previous: dict[str, float] = field(default_factory=dict)
    turnover: float = -1.0
    gross: float = 0.0
    budgets: dict[str, float] = field(default_factory=dict)
    linkage: str = "single"
    order: str = "branch"
    allow_jumps: bool = False


class Optimised(Message, frozen=True):
    """The best weights.

    Parameters
    ----------
    objective
        What was made best, per row: variance, Sharpe ratio, utility or CVaR; of the parities the variance.
    mean, deviation
        Of a row's return with these weights, in the sample.
    risk
        Part of the variance, by series; sums to 1. None: the covariance says nothing of it.
    iterations, gap
        Of the solver; `gap`: what it may be off at most, in its own terms.
    """

    method: OptimiseMethod
    weights: dict[str, float]
    objective: float
    mean: float
    deviation: float
    basis: Basis
    risk: dict[str, float] | None = None
    iterations: int = 0
    gap: float = 0.0
    undefined: dict[str, str] = field(default_factory=dict)


MESSAGES: Final[tuple[type[Message], ...]] = (
    Optimise,
    Optimised,
    Rebalance,
    RebalanceOrder,
    Rebalanced,
)
