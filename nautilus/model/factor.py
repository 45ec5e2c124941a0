"""Questions to the factor engine: universe, returns, exposures, covariance, risk, attribution, and their answers.

A day is the number of days since the epoch (UTC) of the time that is given. A return is a part of one. What has no
value is None where a single value of an answer is missing, and `undefined` then says why.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from nautilus.model.basis import Basis
from nautilus.model.datasets import Moment, SourceName, Symbol
from nautilus.model.message import Message

MOST_CELLS = 50_000
"""Values of one `PutUniverse`."""
Symbols = Annotated[tuple[Symbol, ...], Meta(max_length=10_000)]
Names = tuple[str, ...]
Row = tuple[float | None, ...]


class UniverseField(StrEnum):
    """What is known of a stock on a day.

    A price is a close after splits and dividends: where no return is given it is that from the stock's price before.
    Value inputs are per price: book value, sales and cash flow of a share over its price.
    """

    PRICE = "price"
    RETURN = "return"
    MARKET_CAP = "market_cap"
    BOOK_PRICE = "book_price"
    SALES_PRICE = "sales_price"
    CASH_FLOW_PRICE = "cash_flow_price"
    DOLLAR_VOLUME = "dollar_volume"


FieldName = Annotated[str, Meta(pattern=f"^({'|'.join(UniverseField)})$")]
"""A value of `UniverseField`, as it is in a path."""


class FactorSettings(Message, frozen=True):
    """How a model is estimated (docs/factor.md).

    Parameters
    ----------
    styles
        Of ``momentum``, ``size``, ``value``, ``volatility``, ``liquidity``.
    winsor
        Share of a day's returns clipped at each end; 0: none.
    residualize
        Styles explain what market and sectors leave; else the returns.
    constraint
        ``sum``: the sectors' returns sum to zero; ``cap``: weighted by capitalisation they do.
    centre
        The plain mean of a day's scores is 0 (``equal``), or that weighted by capitalisation (``cap``).
    style_winsor, value_winsor
        Share of raw momentum, volatility and liquidity, and of the value inputs, clipped at each end; 0: none.
    value_partial
        A stock that misses a value input has the mean of the others; else no score.
    specific_days, specific_half_life, specific_lags, specific_fewest, specific_pull
        Of specific risk: `nautilus.maths.factor_risk.specific_risk`.
    kept_days
        Days of which exposures are kept.
    known_before
        Capitalisation and value inputs of a day are the last ones before it, so that nothing of the day is in what
        explains it; else those of the day itself, as toraniko takes what it is given.
    """

    styles: Names
    winsor: float
    residualize: bool
    constraint: str
    centre: str
    momentum_days: int
    momentum_half_life: float
    momentum_lag: int
    volatility_days: int
    volatility_half_life: float
    liquidity_days: int
    size_lower: float
    size_upper: float
    style_winsor: float
    value_winsor: float
    value_partial: bool
    specific_days: int
    specific_half_life: float
    specific_lags: int
    specific_fewest: int
    specific_pull: float
    kept_days: int
    known_before: bool = False


class PutUniverse(Message, frozen=True):
    """Give values of a field: a row for each time, a value for each symbol; None leaves what was there.

    Parameters
    ----------
    times_ns
        Increasing, each on a day of its own. Days may come in any order of messages.
    """

    field: FieldName
    symbols: Symbols
    times_ns: Annotated[tuple[Moment, ...], Meta(max_length=MOST_CELLS)]
    rows: Annotated[tuple[Row, ...], Meta(max_length=MOST_CELLS)]
    source: SourceName = "uploaded"
    synthetic: bool = False


class PutSectors(Message, frozen=True):
    """Say of which sector stocks are, from a time on (0: always)."""

    sectors: dict[Symbol, Annotated[str, Meta(min_length=1, max_length=64)]]
    from_ns: Moment = 0


class CollectUniverse(Message, frozen=True):
    """Take over prices, and values of another field, from the engine's histories.

    The history of a symbol is its price; the history ``SYMBOL.field`` is that field. Empty: of all symbols with a
    history of prices.
    """

    symbols: Symbols = ()


class GetUniverse(Message, frozen=True):
    """What the universe holds, and how far the model is."""


class DropUniverse(Message, frozen=True):
    """Forget stocks, days, sectors and the model."""


class FieldCoverage(Message, frozen=True):
    """How many of the universe's stock days have a field."""

    field: str
    values: int
    share: float


class UniverseState(Message, frozen=True):
    """The universe and the model on it.

    Parameters
    ----------
    state
        ``empty``, ``uploaded``: no model yet; ``estimating``; ``estimated``; ``stale``: days that the model knows were
        changed, so that it has to be estimated anew; ``failed``: `reason` says why.
    estimated
        Days of the model, up to `end_day`.
    """

    stocks: int
    days: int
    begin_day: int
    end_day: int
    sectors: Names
    fields: tuple[FieldCoverage, ...]
    state: str
    estimated: int = 0
    estimated_day: int = 0
    factors: Names = ()
    deficient: int = 0
    portfolios: tuple[int, ...] = ()
    reason: str = ""
    synthetic: bool = False


class EstimateFactors(Message, frozen=True):
    """Estimate the model on all days.

    Parameters
    ----------
    styles, constraint
        Instead of those of the configuration; empty: those.
    """

    styles: Names = ()
    constraint: str = ""


class UpdateFactors(Message, frozen=True):
    """Estimate the days after the last one of the model, and publish the returns of each."""


class FactorsEstimated(Message, frozen=True):
    """How the model came out.

    Parameters
    ----------
    days, left_out
        With a result, and without: no stock had all inputs.
    stocks
        That took part in the last day.
    deficient
        Days that did not tell all factors apart; their returns are those of least norm.
    names, returns
        Factors, and their returns on the last day.
    undefined
        What could not be estimated, and why, by name.
    """

    days: int
    left_out: int
    stocks: int
    deficient: int
    day: int
    names: Names
    returns: tuple[float, ...]
    basis: Basis
    undefined: dict[str, str]


class GetFactorReturns(Message, frozen=True):
    """Returns of factors, the last `limit` days within the range (0: no bound)."""

    begin_ns: Moment = 0
    end_ns: Moment = 0
    limit: Annotated[int, Meta(ge=1, le=5_000)] = 252


class FactorReturnsTable(Message, frozen=True):
    """A row for each day, a column for each name; `stocks` took part, and the day's `ranks` are below the number of
    factors less one where it did not tell them all apart."""

    names: Names
    days: tuple[int, ...]
    returns: tuple[tuple[float, ...], ...]
    stocks: tuple[int, ...]
    ranks: tuple[int, ...]
    basis: Basis


class GetResidualReturns(Message, frozen=True):
    """What the factors leave of a stock's returns, the last `limit` days within the range."""

    symbol: Symbol
    begin_ns: Moment = 0
    end_ns: Moment = 0
    limit: Annotated[int, Meta(ge=1, le=5_000)] = 252


class ResidualReturns(Message, frozen=True):
    """Days on which the stock took part, and what was left of its winsorised return."""

    symbol: str
    days: tuple[int, ...]
    residuals: tuple[float, ...]
    basis: Basis


class GetFactorExposures(Message, frozen=True):
    """Exposures of a stock.

    Parameters
    ----------
    at
        ``now``: for the day to come, at the last price; ``close``: those that the last day was estimated with.
    """

    symbol: Symbol
    at: str = "now"


class FactorExposures(Message, frozen=True):
    """Of a stock: to the market, its sector and the styles.

    Parameters
    ----------
    price
        The last one of the market; None: nothing came since the last close.
    specific_volatility
        Annualised.
    """

    symbol: str
    sector: str
    names: Names
    exposures: tuple[float | None, ...]
    market_cap: float | None
    price: float | None
    specific_volatility: float | None
    basis: Basis
    undefined: dict[str, str]


class PutFactorPortfolio(Message, frozen=True):
    """Say what a portfolio is made of from a time on: parts of its value, by symbol. An account need not be told."""

    portfolio_id: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    weights: dict[Symbol, float]
    from_ns: Moment = 0


class FactorPortfolioState(Message, frozen=True):
    """Days from which on a portfolio's weights are known (0: always), and the last of them."""

    portfolio_id: int
    days: tuple[int, ...]
    weights: dict[str, float]


class GetPortfolioExposures(Message, frozen=True):
    """Exposures of a portfolio for the day to come, at the last prices."""

    portfolio_id: int


class PortfolioExposures(Message, frozen=True):
    """Weighted sums of its stocks' exposures.

    Parameters
    ----------
    weights
        Of the stocks, as parts of the portfolio's value.
    uncovered
        Stocks without exposures, and why; they are in no sum. `coverage` is the share of gross weight that is.
    """

    portfolio_id: int
    names: Names
    exposures: tuple[float, ...]
    weights: dict[str, float]
    coverage: float
    uncovered: dict[str, str]
    basis: Basis


class GetFactorCovariance(Message, frozen=True):
    """Covariance of factor returns.

    Parameters
    ----------
    method
        ``sample``, ``ledoit_wolf``, ``constant_correlation``, ``ewma`` or ``newey_west``; "": the configured one.
    window
        Last days that are used; 0: the configured number.
    half_life, lags
        Of the last two methods; 0 and -1: the configured ones.
    """

    method: str = ""
    window: Annotated[int, Meta(ge=0, le=100_000)] = 0
    half_life: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    lags: Annotated[int, Meta(ge=-1, le=10_000)] = -1


class FactorCovariance(Message, frozen=True):
    """Per day; volatilities are annualised.

    Parameters
    ----------
    positive_definite
        Not by a sample, as the sectors' returns sum to zero; a shrunk one may be.
    smallest, largest
        Eigenvalues.
    """

    names: Names
    matrix: tuple[tuple[float, ...], ...]
    volatilities: tuple[float, ...]
    shrinkage: float
    positive_definite: bool
    smallest: float
    largest: float
    basis: Basis


class GetFactorRisk(Message, frozen=True):
    """Risk of a portfolio by the model; parameters as of `GetFactorCovariance`."""

    portfolio_id: int
    method: str = ""
    window: Annotated[int, Meta(ge=0, le=100_000)] = 0
    half_life: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    lags: Annotated[int, Meta(ge=-1, le=10_000)] = -1


class FactorRisk(Message, frozen=True):
    """Annualised volatility of a portfolio, split.

    Parameters
    ----------
    total, factor, specific
        total^2 = factor^2 + specific^2.
    contributions, specific_contribution
        Sum to `total`.
    exposures
        By the order of `names`.
    uncovered
        Stocks without exposures or specific risk, and why; they are in no number.
    """

    portfolio_id: int
    total: float
    factor: float
    specific: float
    names: Names
    exposures: tuple[float, ...]
    contributions: tuple[float, ...]
    specific_contribution: float
    coverage: float
    uncovered: dict[str, str]
    basis: Basis


class GetFactorAttribution(Message, frozen=True):
    """Where a portfolio's return came from, on the days within the range (0: no bound) of which its weights are known.

    Parameters
    ----------
    daily
        With a row for each day.
    """

    portfolio_id: int
    begin_ns: Moment = 0
    end_ns: Moment = 0
    daily: bool = False


class FactorContributions(Message, frozen=True):
    """Return of a portfolio, by factors and what they leave.

    Parameters
    ----------
    total
        Compounded over the days; `contributions` and `specific` sum to it (linked by Carino's coefficients).
    days, daily_totals, daily_contributions, daily_specific
        Where asked for; each day's contributions and specific sum to its total.
    uncovered
        Stocks that had no part in some days, and on how many.
    """

    portfolio_id: int
    total: float
    names: Names
    contributions: tuple[float, ...]
    specific: float
    days: tuple[int, ...]
    daily_totals: tuple[float, ...]
    daily_contributions: tuple[tuple[float, ...], ...]
    daily_specific: tuple[float, ...]
    uncovered: dict[str, int]
    basis: Basis


class PortfolioAttributed(Message, frozen=True):
    """A portfolio's return on one day by factors: contributions in the order of `names`, and `specific`, sum to
    `total`."""

    now_ns: int
    portfolio_id: int
    day: int
    names: Names
    contributions: tuple[float, ...]
    specific: float
    total: float


MESSAGES: Final[tuple[type[Message], ...]] = (
    CollectUniverse,
    DropUniverse,
    EstimateFactors,
    FactorContributions,
    FactorCovariance,
    FactorExposures,
    FactorPortfolioState,
    FactorReturnsTable,
    FactorRisk,
    FactorSettings,
    FactorsEstimated,
    FieldCoverage,
    GetFactorAttribution,
    GetFactorCovariance,
    GetFactorExposures,
    GetFactorReturns,
    GetFactorRisk,
    GetPortfolioExposures,
    GetResidualReturns,
    GetUniverse,
    PortfolioAttributed,
    PortfolioExposures,
    PutFactorPortfolio,
    PutSectors,
    PutUniverse,
    ResidualReturns,
    UniverseState,
    UpdateFactors,
)

__all__ = [
    "MESSAGES",
    "MOST_CELLS",
    "CollectUniverse",
    "DropUniverse",
    "EstimateFactors",
    "FactorContributions",
    "FactorCovariance",
    "FactorExposures",
    "FactorPortfolioState",
    "FactorReturnsTable",
    "FactorRisk",
    "FactorSettings",
    "FactorsEstimated",
    "FieldCoverage",
    "GetFactorAttribution",
    "GetFactorCovariance",
    "GetFactorExposures",
    "GetFactorReturns",
    "GetFactorRisk",
    "GetPortfolioExposures",
    "GetResidualReturns",
    "GetUniverse",
    "PortfolioAttributed",
    "PortfolioExposures",
    "PutFactorPortfolio",
    "PutSectors",
    "PutUniverse",
    "ResidualReturns",
    "UniverseField",
    "UniverseState",
    "UpdateFactors",
]
