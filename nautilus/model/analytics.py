"""Questions to the analytics engine: performance, forecasts, tear sheets, and their answers.

Returns are parts of one, a period each, compounded. A measure that has no value is None, and `undefined` says why by
its code (`nautilus.maths.errors`). A section that a depth does not have is None too, and is not in `undefined`.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, field

from nautilus.model import attribution
from nautilus.model.attribution import MOST_RETURNS, FactorAttribution, Returns
from nautilus.model.basis import Basis
from nautilus.model.datasets import Moment
from nautilus.model.message import Message

MOST_PORTFOLIOS = 1_000


class GetAnalytics(Message, frozen=True):
    """How a portfolio does, now.

    Parameters
    ----------
    portfolio_id
        The account's.
    depth
        ``simple``, ``standard``, ``comprehensive`` or ``institutional``; each has all of the one before.
    benchmark
        Series to compare with; "": the configured one.
    """

    portfolio_id: int
    depth: str = "simple"
    benchmark: Annotated[str, Meta(max_length=96)] = ""


class GetAnalyticsBatch(Message, frozen=True):
    """The same of many portfolios at once; those that nobody knows are named in the answer."""

    portfolio_ids: Annotated[tuple[int, ...], Meta(min_length=1, max_length=MOST_PORTFOLIOS)]
    depth: str = "simple"


class AnalysePerformance(Message, frozen=True):
    """Performance of the returns that come with it.

    Parameters
    ----------
    returns
        One a period; at least as many as the measures need.
    times_ns
        Ends of the periods, ascending; without them nothing has a date.
    benchmark
        Of the same periods.
    depth
        As in `GetAnalytics`.
    risk_free, threshold
        A period each; the threshold divides gains from losses in Sortino and Omega.
    periods_per_year
        252 for trading days.
    trials, trial_variance
        Strategies that were tried, and the variance of their Sharpe ratios a period, for the deflated Sharpe ratio.
    source
        Where the returns are from, for the provenance.
    traded, nav
        What was bought and sold in each period, and the net asset value at its begin: for the turnover.
    synthetic
        Some of the returns are made up, for the provenance.
    """

    returns: Returns
    times_ns: Annotated[tuple[Moment, ...], Meta(max_length=MOST_RETURNS)] = ()
    benchmark: Returns = ()
    depth: str = "comprehensive"
    risk_free: float = 0.0
    threshold: float = 0.0
    periods_per_year: float = 252.0
    trials: int = 1
    trial_variance: float | None = None
    source: Annotated[str, Meta(max_length=32)] = "request"
    traded: Returns = ()
    nav: Returns = ()
    synthetic: bool = False


MOST_FITTED = 10_000
"""Returns that models are fitted to: forty years of days."""


class ForecastReturns(Message, frozen=True):
    """Volatility forecasts and regimes of the returns that come with it; realised variances are for the HAR model.

    `synthetic`: some of them are made up, for the provenance.
    """

    returns: Annotated[tuple[float, ...], Meta(max_length=MOST_FITTED)]
    times_ns: Annotated[tuple[Moment, ...], Meta(max_length=MOST_FITTED)] = ()
    realised_variances: Annotated[tuple[float, ...], Meta(max_length=MOST_FITTED)] = ()
    horizon: Annotated[int, Meta(ge=1, le=250)] = 5
    regimes: int = 2
    periods_per_year: float = 252.0
    source: Annotated[str, Meta(max_length=32)] = "request"
    synthetic: bool = False


class AskAnalytics(Message, frozen=True):
    """A question of one kind: ``performance``, ``risk``, ``attribution`` or ``ml_inference``."""

    kind: Annotated[str, Meta(max_length=32)]
    portfolio_id: int
    depth: str = "standard"
    benchmark: Annotated[str, Meta(max_length=96)] = ""


class GetTearSheet(Message, frozen=True):
    """A portfolio's tear sheet.

    Parameters
    ----------
    form
        ``json``: figures and series; ``html``: a page with plots, in the field `html`, too.
    """

    portfolio_id: int
    form: str = "json"
    benchmark: Annotated[str, Meta(max_length=96)] = ""


class GetTearSheetPage(Message, frozen=True):
    """A portfolio's tear sheet as a page with plots: `Document`."""

    portfolio_id: int
    benchmark: Annotated[str, Meta(max_length=96)] = ""


class PortfolioValue(Message, frozen=True):
    """What a portfolio is worth, as the portfolio engine said it last.

    `period_return` is that of the period that has not ended; it is in no other measure but `total_return`.
    """

    now_ns: int
    currency: str
    nav: float
    cash: float
    gross_exposure: float
    net_exposure: float
    realised: float
    unrealised: float
    fees: float
    period_return: float | None = None
    total_return: float | None = None
    complete: bool = True


class PerformanceSummary(Message, frozen=True):
    """The measures that everybody asks for, over all ended periods."""

    periods: int
    cumulative_return: float | None = None
    annual_return: float | None = None
    annual_volatility: float | None = None
    sharpe_ratio: float | None = None
    sortino_ratio: float | None = None
    calmar_ratio: float | None = None
    max_drawdown: float | None = None
    hit_rate: float | None = None


class DrawdownLine(Message, frozen=True):
    """One drawdown. `depth` is 0 or less. Periods count from 0; -1: before the first; times 0: not known.

    `recovery` None: not made good yet.
    """

    depth: float
    peak: int
    trough: int
    recovery: int | None = None
    peak_ns: int = 0
    trough_ns: int = 0
    recovery_ns: int = 0


class DrawdownMeasures(Message, frozen=True):
    """The deepest drawdown with its dates (None: wealth never fell), and where the portfolio is now."""

    deepest: DrawdownLine | None
    current: float
    since: int
    since_ns: int
    ulcer_index: float | None = None
    average: float | None = None


class DistributionMeasures(Message, frozen=True):
    """Of the returns' distribution. `turnover` is one-way, a year; None where no trades are known."""

    omega_ratio: float | None = None
    tail_ratio: float | None = None
    stability: float | None = None
    skewness: float | None = None
    excess_kurtosis: float | None = None
    payoff_ratio: float | None = None
    kelly: float | None = None
    downside_risk: float | None = None
    best: float | None = None
    worst: float | None = None
    turnover: float | None = None


class TailRisk(Message, frozen=True):
    """Value at risk and expected shortfall of one period at a level, as parts of one: a loss is positive."""

    level: float
    var: float | None = None
    cvar: float | None = None


class RelativeMeasures(Message, frozen=True):
    """Against a benchmark, of the periods that both have. `information_ratio` is a period's, the other a year's."""

    benchmark: str
    periods: int
    alpha: float | None = None
    beta: float | None = None
    correlation: float | None = None
    tracking_error: float | None = None
    information_ratio: float | None = None
    annual_information_ratio: float | None = None
    batting_average: float | None = None


class SharpeConfidence(Message, frozen=True):
    """How much the Sharpe ratio is to be believed. Sharpe ratios are a period's; track record in periods."""

    probabilistic_sharpe: float | None = None
    deflated_sharpe: float | None = None
    trials: int = 1
    expected_best_sharpe: float | None = None
    least_track_record: float | None = None


class CalendarLine(Message, frozen=True):
    """Return of a month, or with month 0 of a year."""

    year: int
    month: int
    value: float


class RollingLine(Message, frozen=True):
    """Of the last `window` periods."""

    window: int
    cumulative_return: float | None = None
    annual_volatility: float | None = None
    sharpe_ratio: float | None = None
    beta: float | None = None


class VolatilityForecast(Message, frozen=True):
    """A model's annualised volatility for each of the next periods, with its fit.

    Parameters
    ----------
    state
        ``ready``; ``fitting``: not yet; ``undefined``: `reason` is the code.
    parameters
        By name, as fitted.
    """

    model: str
    state: str
    volatility: tuple[float, ...] = ()
    parameters: dict[str, float] = field(default_factory=dict)
    log_likelihood: float | None = None
    reason: str = ""
    basis: Basis | None = None


class RegimeForecast(Message, frozen=True):
    """Hidden Markov states of the returns, lowest volatility first, and where the portfolio is.

    `probabilities` are of the states now, `next_probabilities` of the next period; `state` as in `VolatilityForecast`.
    `converged`: the fit ended by itself; else after its last round, where the likelihood was still growing a little.
    """

    state: str
    regime: str = ""
    probabilities: tuple[float, ...] = ()
    next_probabilities: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    volatilities: tuple[float, ...] = ()
    transitions: tuple[tuple[float, ...], ...] = ()
    log_likelihood: float | None = None
    reason: str = ""
    basis: Basis | None = None
    converged: bool = True


class Forecasts(Message, frozen=True):
    """Of returns that came with the request."""

    volatility: tuple[VolatilityForecast, ...]
    regime: RegimeForecast


class PositionLine(Message, frozen=True):
    """One position: its weight, what it does alone, and its part of the portfolio's volatility (they add up to 1)."""

    instrument_id: int
    symbol: str
    weight: float
    volatility: float | None = None
    beta: float | None = None
    max_drawdown: float | None = None
    marginal_volatility: float | None = None
    risk_share: float | None = None


class PositionMeasures(Message, frozen=True):
    """Risk of what is held now, from the history of its instruments.

    Parameters
    ----------
    volatility
        Annualised, of the weights now and the covariance of the history.
    concentration
        Sum of squared shares of the gross exposure; 1: one position.
    effective_positions
        Its inverse.
    diversification_ratio
        Weighted mean of the volatilities over the portfolio's.
    average_correlation
        Of each pair of instruments.
    without_history
        Positions that no history is known of; they are left out of all but the concentration.
    jumps
        Instruments with a step that halves or doubles the price, or nearly: as through a split that the history does
        not tell of. Nothing is left out for it.
    """

    positions: tuple[PositionLine, ...]
    volatility: float | None = None
    concentration: float | None = None
    effective_positions: float | None = None
    diversification_ratio: float | None = None
    average_correlation: float | None = None
    without_history: tuple[str, ...] = ()
    basis: Basis | None = None
    jumps: tuple[str, ...] = ()


class StressLine(Message, frozen=True):
    """What the portfolio would lose: its beta times what the market did then, as a part of its value."""

    name: str
    market: float
    loss: float


class PortfolioAnalytics(Message, frozen=True):
    """How a portfolio does. A section is None where the depth does not have it.

    Parameters
    ----------
    portfolio_id
        0: returns that came with the request.
    now_ns
        Of the newest valuation.
    depth
        As asked.
    undefined
        Code of each measure that has no value, by ``section.measure``.
    basis
        Of every section that has none of its own.
    """

    portfolio_id: int
    now_ns: int
    depth: str
    summary: PerformanceSummary
    basis: Basis
    undefined: dict[str, str] = field(default_factory=dict)
    value: PortfolioValue | None = None
    drawdown: DrawdownMeasures | None = None
    distribution: DistributionMeasures | None = None
    tails: tuple[TailRisk, ...] | None = None
    relative: RelativeMeasures | None = None
    confidence: SharpeConfidence | None = None
    drawdowns: tuple[DrawdownLine, ...] | None = None
    calendar: tuple[CalendarLine, ...] | None = None
    rolling: tuple[RollingLine, ...] | None = None
    volatility: tuple[VolatilityForecast, ...] | None = None
    regime: RegimeForecast | None = None
    positions: PositionMeasures | None = None
    stress: tuple[StressLine, ...] | None = None
    factors: FactorAttribution | None = None


class AnalyticsBatch(Message, frozen=True):
    """Answers in the order of the ids that are known; `undefined` has the code of each id that has no answer."""

    answers: tuple[PortfolioAnalytics, ...]
    unknown: tuple[int, ...] = ()
    undefined: dict[str, str] = field(default_factory=dict)


class InferredPrediction(Message, frozen=True):
    """The last prediction of the ml engine for an instrument that the portfolio holds."""

    instrument_id: int
    model: str
    target: str
    value: float
    confidence: float
    horizon_ns: int
    now_ns: int


class AnalyticsResult(Message, frozen=True):
    """Answer to `AskAnalytics`: the sections of that kind; the others are None."""

    kind: str
    portfolio_id: int
    analytics: PortfolioAnalytics | None = None
    predictions: tuple[InferredPrediction, ...] | None = None


class TearSheet(Message, frozen=True):
    """A portfolio's tear sheet: figures, and the series that the plots show.

    Parameters
    ----------
    times_ns, wealth, drawdowns
        After each period.
    rolling_sharpe, rolling_volatility
        Of the last `rolling_window` periods, from the period of that number on.
    html
        The page; "" where it was not asked for.
    """

    portfolio_id: int
    analytics: PortfolioAnalytics
    times_ns: tuple[int, ...] = ()
    wealth: tuple[float, ...] = ()
    drawdowns: tuple[float, ...] = ()
    rolling_window: int = 0
    rolling_sharpe: tuple[float, ...] = ()
    rolling_volatility: tuple[float, ...] = ()
    html: str = ""


MESSAGES: Final[tuple[type[Message], ...]] = (
    AnalysePerformance,
    AnalyticsBatch,
    AnalyticsResult,
    AskAnalytics,
    CalendarLine,
    DistributionMeasures,
    DrawdownLine,
    DrawdownMeasures,
    ForecastReturns,
    Forecasts,
    GetAnalytics,
    GetAnalyticsBatch,
    GetTearSheet,
    GetTearSheetPage,
    InferredPrediction,
    PerformanceSummary,
    PortfolioAnalytics,
    PortfolioValue,
    PositionLine,
    PositionMeasures,
    RegimeForecast,
    RelativeMeasures,
    RollingLine,
    SharpeConfidence,
    StressLine,
    TailRisk,
    TearSheet,
    VolatilityForecast,
    *attribution.MESSAGES,
)
