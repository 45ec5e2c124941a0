"""Questions to the risk engine: what a portfolio may lose, and its limits, and their answers.

Risks are losses: above zero where money is lost. Money is in the reporting currency of the engine, as floats: nothing
is booked from it.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, field

from nautilus.model.basis import Basis
from nautilus.model.datasets import MomentText
from nautilus.model.enums import Side
from nautilus.model.history import SeriesName
from nautilus.model.message import Message

MOST_POSITIONS = 10_000
"""Of one question."""
Level = Annotated[float, Meta(gt=0.0, lt=1.0)]


class RiskPosition(Message, frozen=True):
    """A position as a question gives it.

    Parameters
    ----------
    series
        Its history.
    exposure
        What its profit changes by for a return of one: its worth, or its delta in money.
    gamma
        Second derivative of its profit by its return.
    beta
        Return for a return of one of the factor ``equity``, in stress tests; None: estimated.
    """

    series: SeriesName
    exposure: float
    gamma: float = 0.0
    beta: float | None = None


class EstimateRisk(Message, frozen=True):
    """What a portfolio may lose in one step of its histories.

    Parameters
    ----------
    level
        Confidence: 0.95.
    method
        ``historical``, ``normal``, ``cornish_fisher``, ``filtered_ewma``, ``filtered_garch``, ``filtered_gjr`` or
        ``monte_carlo``.
    definition
        Of quantiles of observations: ``empyrical``, ``riskfolio`` or ``skfolio``.
    positions
        In place of what the portfolio holds; then `portfolio_id` is only a name.
    begin, end
        Of the histories, end not included; "": open.
    components
        Component, marginal and incremental risk of every position too.
    paths, seed, degrees
        Of ``monte_carlo``: degrees of freedom of Student's t; 0: normal.
    decay
        Of ``filtered_ewma``.
    """

    portfolio_id: int
    level: Level = 0.95
    method: str = "historical"
    definition: str = "empyrical"
    positions: Annotated[tuple[RiskPosition, ...], Meta(max_length=MOST_POSITIONS)] = ()
    begin: MomentText = ""
    end: MomentText = ""
    components: bool = False
    paths: int = 100_000
    seed: int = 0
    degrees: float = 0.0
    decay: float = 0.94


class RiskComponent(Message, frozen=True):
    """What one position adds.

    Parameters
    ----------
    var, cvar
        Components: over all positions they sum to the portfolio's.
    marginal_var
        For one unit of money more of it; None: it is worth nothing.
    incremental_var
        What the value at risk would fall by without it; None: not told by this method.
    """

    series: str
    exposure: float
    var: float
    cvar: float
    marginal_var: float | None = None
    incremental_var: float | None = None


class RiskEstimate(Message, frozen=True):
    """Value at risk, mean loss beyond it, and entropic value at risk.

    Parameters
    ----------
    evar
        None: not told by this method, or not defined.
    var_error, cvar_error
        Standard errors of simulation; None: nothing was simulated.
    gross_exposure, net_exposure
        Of the positions.
    undefined
        Figure to code, of those that are not defined.
    """

    portfolio_id: int
    currency: str
    method: str
    definition: str
    level: float
    var: float | None
    cvar: float | None
    evar: float | None
    gross_exposure: float
    net_exposure: float
    basis: Basis
    var_error: float | None = None
    cvar_error: float | None = None
    paths: int = 0
    seed: int = 0
    dimensions: int = 0
    components: tuple[RiskComponent, ...] = ()
    undefined: dict[str, str] = field(default_factory=dict)


class MeasureDrawdowns(Message, frozen=True):
    """Drawdowns that a portfolio as it is would have had.

    Parameters
    ----------
    series
        One history in place of the portfolio: its returns, compounded.
    positions
        In place of what the portfolio holds.
    """

    portfolio_id: int
    level: Level = 0.95
    series: Annotated[str, Meta(max_length=96)] = ""
    positions: Annotated[tuple[RiskPosition, ...], Meta(max_length=MOST_POSITIONS)] = ()
    begin: MomentText = ""
    end: MomentText = ""


class RiskDrawdowns(Message, frozen=True):
    """Drawdowns: in money (`compounded` false), or as parts of the highest value."""

    portfolio_id: int
    currency: str
    level: float
    compounded: bool
    maximum: float
    average: float
    at_risk: float
    conditional: float
    entropic: float
    ulcer: float
    basis: Basis


class StressPortfolio(Message, frozen=True):
    """What a portfolio would lose in markets that were, or that are imagined.

    Parameters
    ----------
    scenarios
        Of ``1987``, ``2008``, ``2010``, ``2020``; empty, and no shocks: all four.
    shocks
        Factor to return: a scenario of its own. A factor is ``equity``, or a series.
    returns
        Series to return, of single positions; they go before all sensitivities.
    betas
        Series to its sensitivity to ``equity``.
    default_beta
        Of positions without one; None: such a position has no number, nor has the portfolio.
    positions
        In place of what the portfolio holds.
    """

    portfolio_id: int
    scenarios: Annotated[tuple[str, ...], Meta(max_length=16)] = ()
    shocks: dict[str, float] = field(default_factory=dict)
    returns: dict[str, float] = field(default_factory=dict)
    betas: dict[str, float] = field(default_factory=dict)
    default_beta: float | None = None
    positions: Annotated[tuple[RiskPosition, ...], Meta(max_length=MOST_POSITIONS)] = ()


class StressedPosition(Message, frozen=True):
    """One position in a scenario; `how`: ``own prices``, ``beta``, ``given``, or why it has no number."""

    series: str
    exposure: float
    shock: float | None
    profit: float | None
    how: str


class StressScenario(Message, frozen=True):
    """A scenario's profit (below zero: a loss); None: a position has no number."""

    name: str
    title: str
    begin: str
    end: str
    shocks: dict[str, float]
    profit: float | None
    lines: tuple[StressedPosition, ...]
    source: str
    undefined: dict[str, str] = field(default_factory=dict)


class StressResult(Message, frozen=True):
    """The portfolio in every scenario that was asked for."""

    portfolio_id: int
    currency: str
    scenarios: tuple[StressScenario, ...]
    basis: Basis


class BacktestVar(Message, frozen=True):
    """Whether a method's value at risk would have held, day after day, for a portfolio as it is.

    Parameters
    ----------
    method
        ``historical``, ``normal``, ``cornish_fisher`` or ``filtered_ewma``.
    window
        Steps that each day's value at risk is estimated from.
    series
        One history in place of the portfolio.
    """

    portfolio_id: int
    level: Level = 0.99
    method: str = "historical"
    definition: str = "empyrical"
    window: Annotated[int, Meta(ge=2, le=10_000)] = 250
    series: Annotated[str, Meta(max_length=96)] = ""
    positions: Annotated[tuple[RiskPosition, ...], Meta(max_length=MOST_POSITIONS)] = ()
    begin: MomentText = ""
    end: MomentText = ""
    decay: float = 0.94


class VarBacktest(Message, frozen=True):
    """Exceedances and their tests: statistics are likelihood ratios, p-values those of chi-square.

    Parameters
    ----------
    exceedances_ns
        Ends of the steps whose loss was larger than had been said, the latest 1,000.
    transitions
        Pairs of days: quiet-quiet, quiet-exceeded, exceeded-quiet, exceeded-exceeded.
    zone
        ``green``, ``yellow`` or ``red``; `zone_probability` of so many exceedances or fewer.
    """

    portfolio_id: int
    method: str
    level: float
    days: int
    exceedances: int
    expected: float
    kupiec: float
    kupiec_p: float
    independence: float
    independence_p: float
    conditional_coverage: float
    conditional_coverage_p: float
    zone: str
    zone_probability: float
    transitions: tuple[int, int, int, int]
    exceedances_ns: tuple[int, ...]
    basis: Basis


class ProposedOrder(Message, frozen=True):
    """An order that is not sent yet.

    Parameters
    ----------
    instrument
        Symbol, or the id as text.
    quantity, price
        Decimals as text; without a price it counts at the last one.
    """

    instrument: str
    side: Side
    quantity: str
    price: str = ""
    strategy_id: int = 0


class CheckOrders(Message, frozen=True):
    """May a portfolio send these orders? All of them, or any part, may be filled."""

    portfolio_id: int
    orders: Annotated[tuple[ProposedOrder, ...], Meta(max_length=1_000)] = ()


class LimitViolation(Message, frozen=True):
    """A limit that the orders would break, or that is broken already.

    Parameters
    ----------
    value
        After the orders; None: it cannot be known, and `reason` says why.
    """

    scope: str
    control: str
    hard: bool
    value: float | None
    limit: float
    reason: str = ""


class CheckResult(Message, frozen=True):
    """The answer to `CheckOrders`. Whoever gets none must not trade: the core's own limits hold in any case.

    Parameters
    ----------
    allowed
        No hard limit is violated.
    violations, warnings
        Of hard limits, every one; of soft ones.
    checked
        Limits that were looked at.
    open_orders
        Of the portfolio, that were counted too; limits of its desk and of the firm count those of others besides.
    basis
        How it was looked at; `window`: instruments with a price, of the orders, or without orders of what is held;
        `begin_ns`, `end_ns`: the oldest and the newest of these prices; `missing`: instruments without one.
    """

    portfolio_id: int
    allowed: bool
    violations: tuple[LimitViolation, ...]
    warnings: tuple[LimitViolation, ...]
    checked: int
    now_ns: int
    open_orders: int = 0
    basis: Basis | None = None


class SetLimit(Message, frozen=True):
    """Set a limit of the tree, in place of one of the same scope and control.

    Parameters
    ----------
    scope
        ``firm``, ``desk/NAME``, ``portfolio/ID``, ``strategy/ID/STRATEGY``, ``instrument/ID/STRATEGY/SYMBOL``; ``*``
        for any: each of them has the limit for itself.
    control
        See docs/risk.md: ``position``, ``notional``, ``gross``, ``net``, ``loss``, ``drawdown``, ``var`` ...
    soft, hard
        Above which it is breached; None: not limited.
    window_ns
        Of ``order_rate``.
    """

    scope: Annotated[str, Meta(min_length=1, max_length=160)]
    control: str
    soft: float | None = None
    hard: float | None = None
    window_ns: int = 1_000_000_000


class DropLimit(Message, frozen=True):
    """Take a limit away, be it of the settings or set at run time."""

    scope: Annotated[str, Meta(min_length=1, max_length=160)]
    control: str


class GetLimits(Message, frozen=True):
    """Limits and how far they are used; `portfolio_id` 0: all."""

    portfolio_id: int = 0


class LimitState(Message, frozen=True):
    """One limit of one scope.

    Parameters
    ----------
    value
        None: it cannot be known, and `reason` says why.
    utilisation
        Of the hard limit, else of the soft one: 1 is all of it.
    state
        ``ok``, ``soft``, ``hard`` (breached, until `release` of the limit is reached again) or ``unknown``.
    """

    scope: str
    control: str
    soft: float | None
    hard: float | None
    value: float | None
    utilisation: float | None
    state: str
    reason: str = ""


class LimitStates(Message, frozen=True):
    """Limits as they are now.

    Parameters
    ----------
    more
        Some were left out: ask for one portfolio.
    unvalued
        Instruments held in a currency without a rate.
    basis
        How values are come by; as in `CheckResult`, of what is held.
    """

    now_ns: int
    currency: str
    limits: tuple[LimitState, ...]
    more: bool = False
    unvalued: tuple[str, ...] = ()
    basis: Basis | None = None


class SetRiskRates(Message, frozen=True):
    """Rates of currencies into the reporting currency: what one unit is worth."""

    rates: dict[str, float]


class LimitBreached(Message, frozen=True):
    """A limit is breached, or no longer: once for each.

    Parameters
    ----------
    hard
        Which of the two limits; a hard one has besides an alert that stops strategies (`RiskAlert`).
    active
        False: the breach is over.
    account_id, strategy_id, instrument_id
        Whom it is about; 0: not one of them.
    sequence
        Of the event that showed it; 0 where a price did.
    """

    now_ns: int
    scope: str
    control: str
    hard: bool
    active: bool
    value: float
    limit: float
    account_id: int = 0
    strategy_id: int = 0
    instrument_id: int = 0
    sequence: int = 0


MESSAGES: Final[tuple[type[Message], ...]] = (
    BacktestVar,
    CheckOrders,
    CheckResult,
    DropLimit,
    EstimateRisk,
    GetLimits,
    LimitBreached,
    LimitState,
    LimitStates,
    LimitViolation,
    MeasureDrawdowns,
    ProposedOrder,
    RiskComponent,
    RiskDrawdowns,
    RiskEstimate,
    RiskPosition,
    SetLimit,
    SetRiskRates,
    StressPortfolio,
    StressResult,
    StressScenario,
    StressedPosition,
    VarBacktest,
)

__all__ = [
    "MESSAGES",
    "MOST_POSITIONS",
    "BacktestVar",
    "CheckOrders",
    "CheckResult",
    "DropLimit",
    "EstimateRisk",
    "GetLimits",
    "Level",
    "LimitBreached",
    "LimitState",
    "LimitStates",
    "LimitViolation",
    "MeasureDrawdowns",
    "ProposedOrder",
    "RiskComponent",
    "RiskDrawdowns",
    "RiskEstimate",
    "RiskPosition",
    "SetLimit",
    "SetRiskRates",
    "StressPortfolio",
    "StressResult",
    "StressScenario",
    "StressedPosition",
    "VarBacktest",
]
