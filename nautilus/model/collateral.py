"""Questions to the collateral engine: margin, contracts, calls, and their answers.

Money is in the portfolio's reporting currency, as floats; rates and haircuts are parts of one; volatilities per
square root of a year. A day is a number YYYYMMDD.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from nautilus.model.basis import Basis
from nautilus.model.ids import MAX_ID_32
from nautilus.model.message import Message

Id = Annotated[int, Meta(ge=1, le=MAX_ID_32)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Positive = Annotated[float, Meta(gt=0)]
Part = Annotated[float, Meta(ge=0, le=1)]
NotNegative = Annotated[float, Meta(ge=0, le=1e18)]
Volatility = Annotated[float, Meta(ge=0, le=100)]
Rate = Annotated[float, Meta(ge=-10, le=10)]
Beta = Annotated[float, Meta(ge=-1_000, le=1_000)]
MOST_ROWS: Final = 10_000
"""Rows of one upload or of one question of prices."""


class ContractTerms(Message, frozen=True):
    """What margin needs to know of an instrument, beyond what the platform knows of it.

    Parameters
    ----------
    kind
        ``equity``, ``option``, ``future`` or ``perpetual``.
    underlying_id
        Instrument of the underlying of an option; 0: what is no option is its own.
    right, strike, expiry_ns, american
        Of an option: ``call`` or ``put``. `expiry_ns` of a future too: its months are told apart by it.
    product
        Which futures rates or crypto brackets; "": the instrument's symbol.
    group
        Margin group: classes of one are offset against one another; "": the underlying alone.
    broad
        On a broad index.
    beta
        Of the underlying to the one factor of forecasts.
    volatility
        Of the underlying, until the option's own quotes tell one, and in forecasts; 0: the engine's default.
    yield_rate
        Dividends, continuous.
    house_rate
        Maintenance of a long stock where it is more than the rule's.
    price_range, vol_range
        Full moves of a SPAN-like scan: of the price, in its units, and of the volatility. 0: as the engine's settings
        say.
    spread_charge, short_least
        In the contract's currency: of a spread between months, and the least of a short option on a future.
    spread_bps
        What closing costs, as half the spread.
    """

    instrument_id: Id
    kind: str
    underlying_id: Annotated[int, Meta(ge=0, le=MAX_ID_32)] = 0
    right: str = ""
    strike: NotNegative = 0.0
    expiry_ns: Annotated[int, Meta(ge=0)] = 0
    american: bool = True
    product: Annotated[str, Meta(max_length=64)] = ""
    group: Annotated[str, Meta(max_length=64)] = ""
    broad: bool = False
    beta: Beta = 1.0
    volatility: Volatility = 0.0
    yield_rate: Rate = 0.0
    house_rate: Part = 0.0
    price_range: NotNegative = 0.0
    vol_range: Volatility = 0.0
    spread_charge: NotNegative = 0.0
    short_least: NotNegative = 0.0
    spread_bps: NotNegative = 0.0


class PutContracts(Message, frozen=True):
    """Terms of instruments; those that are known already are replaced."""

    contracts: Annotated[tuple[ContractTerms, ...], Meta(min_length=1, max_length=MOST_ROWS)]


class GetContracts(Message, frozen=True):
    """Terms that were uploaded; of one instrument or, with 0, of all."""

    instrument_id: Annotated[int, Meta(ge=0, le=MAX_ID_32)] = 0


class Contracts(Message, frozen=True):
    """Terms by instrument."""

    contracts: tuple[ContractTerms, ...]


class PutFuturesRates(Message, frozen=True):
    """The exchange's margin of one future by the day from which it holds; replaces what was there."""

    product: Name
    days: Annotated[tuple[int, ...], Meta(min_length=1, max_length=MOST_ROWS)]
    initial: Annotated[tuple[float, ...], Meta(min_length=1, max_length=MOST_ROWS)]
    maintenance: Annotated[tuple[float, ...], Meta(min_length=1, max_length=MOST_ROWS)]
    source: Annotated[str, Meta(max_length=128)] = "uploaded"


class PutBrackets(Message, frozen=True):
    """A venue's brackets of notional for perpetuals; `product` ``default`` holds for those without their own."""

    product: Name
    floors: Annotated[tuple[float, ...], Meta(min_length=1, max_length=100)]
    rates: Annotated[tuple[float, ...], Meta(min_length=1, max_length=100)]
    initial_rates: Annotated[tuple[float, ...], Meta(min_length=1, max_length=100)]
    amounts: Annotated[tuple[float, ...], Meta(max_length=100)] = ()
    cap: NotNegative = 0.0


class PutHaircuts(Message, frozen=True):
    """Haircuts of classes of assets and of currencies other than the reporting one; replace what was there."""

    classes: dict[str, Part]
    currencies: dict[str, Part] = msgspec.field(default_factory=dict)


class CollateralItem(Message, frozen=True):
    """Something pledged beside the account: its worth before haircut, in the reporting currency, class and currency."""

    asset: Name
    asset_class: Name
    currency: Annotated[str, Meta(min_length=1, max_length=5)]
    amount: Annotated[float, Meta(ge=-1e18, le=1e18)]


class PutCollateral(Message, frozen=True):
    """What is pledged for a portfolio; replaces what was there."""

    portfolio_id: Id
    items: Annotated[tuple[CollateralItem, ...], Meta(max_length=1_000)]


class OffsetTerms(Message, frozen=True):
    """A spread between two margin groups: so many deltas of the one against so many of the other free `rate`."""

    group: Name
    other: Name
    ratio: Positive
    other_ratio: Positive
    rate: Part


class PutOffsets(Message, frozen=True):
    """Cross-margin offsets in the order in which they are taken; replace what was there."""

    offsets: Annotated[tuple[OffsetTerms, ...], Meta(max_length=1_000)]


class Uploaded(Message, frozen=True):
    """An upload was taken: what it was of, and how many rows.

    `known`: false where it is of a portfolio of which nobody has heard yet; it counts from its first fill or value on.
    """

    what: str
    rows: int
    known: bool = True


class GetMargin(Message, frozen=True):
    """Margin of a portfolio now; `regime` ``reg_t``, ``portfolio``, ``span``, or "": the engine's own."""

    portfolio_id: Id
    regime: str = ""


class GroupMargin(Message, frozen=True):
    """Requirement of one margin group; `exposure` is its net delta value."""

    group: str
    initial: float
    maintenance: float
    exposure: float


class StrategyLine(Message, frozen=True):
    """One strategy in which options are margined.

    Contracts, and the requirement of one with the premium of short ones.
    """

    kind: str
    legs: tuple[str, ...]
    contracts: float
    requirement: float


class MarginReport(Message, frozen=True):
    """Margin of a portfolio.

    Parameters
    ----------
    equity
        Net value with what collateral counts for; None until the portfolio engine told a value.
    initial, maintenance
        Required, with the add-on and less the credit of offsets.
    excess, usage, cushion
        Equity less maintenance; maintenance by equity; excess by equity.
    call
        Equity is below the maintenance.
    warning
        Usage is above the engine's warning level (with hysteresis).
    parts
        Maintenance by component; ``concentration`` and ``offset`` (negative) too.
    excluded
        Positions that are in none of these numbers, and why: symbol to code. While there are any, `complete` is false.
    undefined
        Field to code.
    """

    portfolio_id: int
    regime: str
    currency: str
    equity: float | None
    initial: float
    maintenance: float
    excess: float | None
    usage: float | None
    cushion: float | None
    call: bool
    warning: bool
    collateral: float
    parts: dict[str, float]
    groups: tuple[GroupMargin, ...]
    strategies: tuple[StrategyLine, ...]
    complete: bool
    excluded: dict[str, str]
    undefined: dict[str, str]
    basis: Basis


class SupposedTrade(Message, frozen=True):
    """Lots to buy (positive) or to sell at the market's mark."""

    instrument_id: Id
    lots: int


class WhatIf(Message, frozen=True):
    """Margin of a portfolio after trades, and after a move of every underlying by its beta times `shock`."""

    portfolio_id: Id
    trades: Annotated[tuple[SupposedTrade, ...], Meta(max_length=1_000)] = ()
    regime: str = ""
    shock: Annotated[float, Meta(gt=-1, le=10)] = 0.0


class WhatIfReport(Message, frozen=True):
    """Margin before and after.

    `acceptable`: the equity then covers the initial margin, or less is needed than before.
    """

    portfolio_id: int
    regime: str
    equity_before: float | None
    equity_after: float | None
    initial_before: float
    initial_after: float
    maintenance_before: float
    maintenance_after: float
    excess_after: float | None
    acceptable: bool
    excluded: dict[str, str]
    undefined: dict[str, str]
    basis: Basis


class GetForecast(Message, frozen=True):
    """How far a margin call is; `drift` and `volatility` of the one factor, a year; volatility 0: the engine's own."""

    portfolio_id: Id
    regime: str = ""
    horizon_days: Annotated[float, Meta(gt=0, le=3_650)] = 10.0
    drift: Beta = 0.0
    volatility: Volatility = 0.0


class Cut(Message, frozen=True):
    """Lots of a position to close, signed as the order that does it, and what that costs and frees."""

    instrument_id: int
    symbol: str
    lots: int
    notional: float
    cost: float


class ForecastReport(Message, frozen=True):
    """How far a margin call is.

    Parameters
    ----------
    move_down, move_up
        Nearest moves of the factor, as parts of its price, at which equity is the maintenance; None: none in the range.
    probability, probability_ever
        That a call comes within the horizon, or ever.
    expected_days, median_days
        Time to the call; the mean is given that it comes.
    sensitivity, excess_volatility, excess_drift
        Change of the excess per unit move of the factor; its volatility and drift a year.
    shortfall
        What is missing now; with a call to come it is what the move of the horizon (one in twenty) takes.
    cuts, cuts_cost, cuts_restore
        What to close so that the shortfall is covered; whether it then is, worked out anew.
    """

    portfolio_id: int
    regime: str
    currency: str
    excess: float
    move_down: float | None
    move_up: float | None
    probability: float | None
    probability_ever: float | None
    expected_days: float | None
    median_days: float | None
    sensitivity: float
    excess_volatility: float
    excess_drift: float
    shortfall: float
    cuts: tuple[Cut, ...]
    cuts_cost: float
    cuts_restore: bool
    excluded: dict[str, str]
    undefined: dict[str, str]
    basis: Basis


Row = Annotated[tuple[float, ...], Meta(min_length=1, max_length=MOST_ROWS)]


class PriceOptions(Message, frozen=True):
    """Prices and greeks of options: rows of one length; `style` ``european`` or ``american`` for all."""

    rights: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MOST_ROWS)]
    spot: Row
    strike: Row
    years: Row
    volatility: Row
    rate: Rate = 0.0
    yield_rate: Rate = 0.0
    style: str = "european"


class OptionPrices(Message, frozen=True):
    """Prices and greeks: theta a year, vega and rho per unit; of American options by differences of their prices."""

    price: tuple[float, ...]
    delta: tuple[float, ...]
    gamma: tuple[float, ...]
    theta: tuple[float, ...]
    vega: tuple[float, ...]
    rho: tuple[float, ...]
    vanna: tuple[float, ...]
    volga: tuple[float, ...]
    basis: Basis


class SolveVolatility(Message, frozen=True):
    """Implied volatilities of European options from prices: rows of one length."""

    rights: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MOST_ROWS)]
    price: Row
    spot: Row
    strike: Row
    years: Row
    rate: Rate = 0.0
    yield_rate: Rate = 0.0


class ImpliedVolatilities(Message, frozen=True):
    """Volatilities; None where there is none, and in `codes` why ("" where there is)."""

    volatility: tuple[float | None, ...]
    codes: tuple[str, ...]
    basis: Basis


MESSAGES: Final[tuple[type[Message], ...]] = (
    CollateralItem,
    ContractTerms,
    Contracts,
    Cut,
    ForecastReport,
    GetContracts,
    GetForecast,
    GetMargin,
    GroupMargin,
    ImpliedVolatilities,
    MarginReport,
    OffsetTerms,
    OptionPrices,
    PriceOptions,
    PutBrackets,
    PutCollateral,
    PutContracts,
    PutFuturesRates,
    PutHaircuts,
    PutOffsets,
    SolveVolatility,
    StrategyLine,
    SupposedTrade,
    Uploaded,
    WhatIf,
    WhatIfReport,
)
