"""Analytics: how portfolios do, and why.

It follows the valuations of the portfolio engine, so an answer costs what has changed since the last one. Models that
take long are fitted as jobs; answers have their last fit, with what it rests on.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

from msgspec.structs import replace

from nautilus.engines.analytics import attribution, fits
from nautilus.engines.analytics.answers import Answers, Portfolio
from nautilus.engines.analytics.batch import analyse
from nautilus.engines.analytics.benchmarks import Benchmarks, step_returns
from nautilus.engines.analytics.config import NANOSECONDS, AnalyticsConfig
from nautilus.engines.analytics.depths import (
    COMPREHENSIVE,
    INSTITUTIONAL,
    KINDS,
    Depth,
    UnknownDepthError,
    depth_for,
    depth_of,
    kind_of,
)
from nautilus.engines.analytics.executions import Executions
from nautilus.engines.analytics.factors import Factors
from nautilus.engines.analytics.operations import OPERATIONS
from nautilus.engines.analytics.positions import Holdings, Key, Prepared, prepare
from nautilus.engines.analytics.sheet import check_form, draw, sheet_of
from nautilus.engines.analytics.warming import warm
from nautilus.engines.base import Context, Engine, FeatureStore, NoFeatureStore, Stream, Work
from nautilus.engines.panel import Histories, Panel, Series
from nautilus.maths.errors import Undefined
from nautilus.model.analytics import (
    AnalysePerformance,
    AnalyticsBatch,
    AnalyticsResult,
    AskAnalytics,
    ForecastReturns,
    Forecasts,
    GetAnalytics,
    GetAnalyticsBatch,
    GetTearSheet,
    GetTearSheetPage,
    InferredPrediction,
    PortfolioAnalytics,
    TearSheet,
)
from nautilus.model.attribution import AttributeBrinson, AttributeFactors, GetTransactionCosts
from nautilus.model.basis import Basis
from nautilus.model.document import Document
from nautilus.model.errors import ModelError, UnknownPortfolioError
from nautilus.model.events import ExecutionReport, OrderFilled
from nautilus.model.factor import PortfolioAttributed
from nautilus.model.history import DropHistory, SeriesKind
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.position import PositionChanged
from nautilus.model.records import Records
from nautilus.model.signals import FactorsUpdated, PerformanceUpdated, Prediction
from nautilus.model.topics import (
    BALANCES,
    EXECUTION_REPORTS,
    FACTORS,
    PERFORMANCE,
    POSITIONS,
    PREDICTIONS,
    QUOTES,
    TRADES,
)

SERIES = "portfolio-"
"""Begins the name of a history that is a portfolio's: its returns, or net asset values, before it was followed."""
MOST_ID = (1 << 63) - 1
_SECTIONS = tuple({name for names in KINDS.values() for name in names} - {"summary"})


class AnalyticsEngine(Engine):
    """How portfolios do, and why."""

    name = "analytics"
    subscribes = (BALANCES, POSITIONS, EXECUTION_REPORTS, FACTORS, PREDICTIONS, QUOTES, TRADES)
    publishes = (PERFORMANCE,)
    takes_arrays = True
    patience_ns = 20_000_000
    operations = OPERATIONS
    warms: ClassVar[tuple[Callable[[], object], ...]] = (warm,)
    streams = (Stream("/streams/performance", PERFORMANCE, "Performance of portfolios as it changes"),)

    def __init__(
        self, config: AnalyticsConfig, instruments: Iterable[Instrument], feature_store: FeatureStore | None = None
    ) -> None:
        self._config = config
        self._store = feature_store or NoFeatureStore()
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
        self._histories = Histories(Panel(self._accept))
        self._portfolios: dict[int, Portfolio] = {}
        self._executions = Executions(self._instruments, config.orders)
        self._holdings = Holdings(self._instruments, self._histories.panel, self._executions)
        self._factors = Factors(config.max_periods)
        benchmarks = Benchmarks(self._histories.panel, config.period_ns)
        self._answers = Answers(config, benchmarks, self._holdings, self._factors)
        self._predictions: dict[tuple[int, str, str], Prediction] = {}
        self._places: dict[int, int] = {}
        self._fitting: dict[int, tuple[int, int]] = {}  # job -> portfolio, and `Track.closed` of what it works on
        self._handlers: dict[type[Message], Callable[[Any, Context], Message | Work]] = {
            GetAnalytics: self._on_analytics,
            GetAnalyticsBatch: self._on_batch,
            AskAnalytics: self._on_question,
            AnalysePerformance: lambda message, ctx: Work(analyse, (message,)),
            ForecastReturns: self._on_forecast,
            AttributeBrinson: lambda message, ctx: Work(attribution.attribute_brinson, (message,)),
            AttributeFactors: lambda message, ctx: Work(attribution.attribute_factors, (message,)),
            GetTearSheet: self._on_tear_sheet,
            GetTearSheetPage: self._on_page,
            GetTransactionCosts: self._on_costs,
        }

    # What is heard.

    def on_balance(self, message: Message, ctx: Context) -> None:
        """Follow a portfolio's valuations; say how it does, at most so often."""
        if not isinstance(message, PortfolioValued):
            return
        portfolio = self._portfolio(message.portfolio_id)
        track = portfolio.track
        ended = track.on_valued(message)
        if track.sound is None or track.ruined_ns:
            return
        if ended or ctx.now_ns - track.published_ns >= self._config.publish_seconds * NANOSECONDS:
            track.published_ns = ctx.now_ns
            update = self._performance(portfolio, ctx.now_ns)
            ctx.publish(update)
            self._store.put(f"{SERIES}{message.portfolio_id}", _figures(update, message, track.synthetic))

    def on_position(self, changed: PositionChanged, ctx: Context) -> None:
        """Know what portfolios hold."""
        self._holdings.on_position(changed)

    def on_report(self, report: ExecutionReport, ctx: Context) -> None:
        """Follow orders, each report once."""
        if not report.account_id or report.place <= self._places.get(report.account_id, 0):
            return
        self._places[report.account_id] = report.place
        self._executions.on_report(report)
        if isinstance(report, OrderFilled):
            instrument = self._instruments.get(report.instrument_id)
            portfolio = self._portfolios.get(report.account_id)
            if instrument is not None and portfolio is not None:
                units = abs(report.price_ticks) * report.quantity * instrument.multiplier
                portfolio.track.traded(units / 10**instrument.currency_decimals, instrument.quote_currency)

    def on_quote(self, quotes: Records, ctx: Context) -> None:
        """Know the middle of each market, for arrival prices."""
        self._executions.on_quotes(quotes)

    def on_trade(self, trades: Records, ctx: Context) -> None:
        """Count the market's trades while orders are open."""
        self._executions.on_trades(trades)

    def on_factors(self, update: Message, ctx: Context) -> None:
        """Keep the factors' returns of a day, and what they made of a portfolio."""
        if isinstance(update, FactorsUpdated):
            self._factors.take(update)
        elif isinstance(update, PortfolioAttributed):
            self._factors.take_attributed(update)
            self._portfolio(update.portfolio_id)

    def on_prediction(self, prediction: Prediction, ctx: Context) -> None:
        """Keep the last prediction of each model for an instrument."""
        if not math.isfinite(prediction.value) or not math.isfinite(prediction.confidence):
            raise ModelError(f"a prediction of {prediction.value}", where=prediction.model, expected="finite numbers")
        self._predictions[prediction.instrument_id, prediction.model, prediction.target] = prediction

    # What is asked.

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer one of `OPERATIONS`."""
        reply = self._histories.on_request(message, ctx)
        if reply is not None:
            if isinstance(message, DropHistory):
                self._forget(message.series)
            return reply
        handler = self._handlers.get(type(message))
        return super().on_request(message, ctx) if handler is None else handler(message, ctx)

    def on_reply(self, number: int, reply: Message, ctx: Context) -> None:
        """A history that the hub was asked for."""
        self._histories.on_reply(number, reply, ctx)

    def on_unknown(self, number: int, message: Message, ctx: Context) -> None:
        """The hub did not answer."""
        self._histories.on_unknown(number, message, ctx)

    def on_result(self, number: int, result: Any, ctx: Context) -> None:
        """Models of a portfolio were fitted."""
        portfolio_id, closed = self._fitting.pop(number, (0, 0))
        portfolio = self._portfolios.get(portfolio_id)
        if portfolio is None:
            return
        portfolio.fitting = 0
        portfolio.fitted = closed
        if not isinstance(result, Exception):
            portfolio.fits = fits.gathered(result)
        elif portfolio.fits is fits.UNFITTED:
            portfolio.fits = fits.FAILED

    def _on_analytics(self, message: GetAnalytics, ctx: Context) -> Message | Work:
        return self._answer(message.portfolio_id, depth_of(message.depth), message.benchmark, ctx)

    def _on_batch(self, message: GetAnalyticsBatch, ctx: Context) -> Message:
        depth = depth_of(message.depth)
        if depth is INSTITUTIONAL:
            raise UnknownDepthError(f"depth {depth.name!r} of many", where="depth", expected="comprehensive or less")
        known = [found for each in message.portfolio_ids if (found := self._portfolios.get(each)) is not None]
        unknown = tuple(each for each in message.portfolio_ids if each not in self._portfolios)
        answers, undefined = [], {}
        for portfolio in known:
            try:
                answers.append(self._answers.analytics(portfolio, depth))
            except Undefined as error:
                undefined[str(portfolio.track.portfolio_id)] = error.code
        return AnalyticsBatch(tuple(answers), unknown, undefined)

    def _on_question(self, message: AskAnalytics, ctx: Context) -> Message | Work:
        wanted = kind_of(message.kind)
        answer = self._answer(message.portfolio_id, depth_for(message), message.benchmark, ctx)
        predictions = self._held_predictions(message.portfolio_id) if message.kind == "ml_inference" else None
        if isinstance(answer, Work):
            made = answer.finish
            assert made is not None
            return answer._replace(finish=lambda result: _result(message, wanted, made(result), predictions))
        return _result(message, wanted, answer, predictions)

    def _on_forecast(self, message: ForecastReturns, ctx: Context) -> Message | Work:
        if message.regimes not in fits.REGIMES:
            raise Undefined("out_of_range", f"{message.regimes} regimes", expected="2 or 3")
        return Work(fits.fit_request, (message,), _forecasts, background=True)

    def _on_tear_sheet(self, message: GetTearSheet, ctx: Context) -> Message | Work:
        paged = check_form(message.form)
        portfolio, sheet = self._sheet(message)
        if paged:
            return self._draw(message, portfolio, sheet, lambda page: replace(sheet, html=page), ctx)
        self._fit(portfolio, ctx)
        return sheet

    def _on_page(self, message: GetTearSheetPage, ctx: Context) -> Work:
        return self._draw(message, *self._sheet(message), Document, ctx)

    def _sheet(self, message: GetTearSheet | GetTearSheetPage) -> tuple[Portfolio, TearSheet]:
        portfolio = self._known(message.portfolio_id)
        analytics = self._answers.analytics(portfolio, COMPREHENSIVE, message.benchmark)
        return portfolio, sheet_of(analytics, portfolio.track, self._config)

    def _draw(
        self,
        message: GetTearSheet | GetTearSheetPage,
        portfolio: Portfolio,
        sheet: TearSheet,
        made: Callable[[str], Message],
        ctx: Context,
    ) -> Work:
        def drawn(page: str) -> Message:
            self._fit(portfolio, ctx)
            return made(page)

        return Work(draw, (sheet, self._answers.benchmark_returns(portfolio.track, message.benchmark)), drawn)

    def _on_costs(self, message: GetTransactionCosts, ctx: Context) -> Message:
        if message.portfolio_id not in self._executions and message.portfolio_id not in self._portfolios:
            raise self._unknown(message.portfolio_id)
        return self._executions.costs(message.portfolio_id, message.order_id)

    def _answer(self, portfolio_id: int, depth: Depth, benchmark: str, ctx: Context) -> Message | Work:
        portfolio = self._known(portfolio_id)
        if depth is INSTITUTIONAL:
            key = self._holdings.key(portfolio_id, benchmark or self._config.benchmark)
            if not self._holdings.ready(key) and self._holdings.known(portfolio_id):
                try:
                    *arguments, basis = self._holdings.job(portfolio_id, benchmark or self._config.benchmark)
                except Undefined as error:
                    self._holdings.take(key, error.code)
                else:
                    finish = partial(self._prepared, portfolio, key, basis, benchmark, ctx)
                    return Work(prepare, tuple(arguments), finish)
        if depth.level >= COMPREHENSIVE.level:
            self._fit(portfolio, ctx)
        return self._answers.analytics(portfolio, depth, benchmark)

    def _prepared(
        self, portfolio: Portfolio, key: Key, basis: Basis, benchmark: str, ctx: Context, result: Prepared | str
    ) -> PortfolioAnalytics:
        self._holdings.take(key, result, basis)
        self._fit(portfolio, ctx)
        return self._answers.analytics(portfolio, INSTITUTIONAL, benchmark)

    def _fit(self, portfolio: Portfolio, ctx: Context) -> None:
        """Have the models fitted anew where a period has ended since; the last fit is served until then.

        Jobs are done one after the other: what somebody waits for is given away before this.
        """
        track, config = portfolio.track, self._config
        if portfolio.fitting or portfolio.fitted == track.closed or not track.n:
            return
        basis = self._answers.basis(track)
        returns, variances = track.returns, track.realised_variances
        arguments = returns, variances, config.horizon, config.regimes, config.periods_per_year, basis
        portfolio.fitting = ctx.submit(fits.fit, arguments)
        self._fitting[portfolio.fitting] = track.portfolio_id, track.closed

    def _performance(self, portfolio: Portfolio, now_ns: int) -> PerformanceUpdated:
        track = portfolio.track
        running = track.running
        known = running.n > 1
        below = track.total / max(running.drawdown.highest, track.total) - 1.0
        return PerformanceUpdated(
            now_ns,
            track.portfolio_id,
            track.total - 1.0,
            running.annual_volatility() if known else None,
            running.sharpe_ratio(self._config.risk_free) if known and not running.moments.unchanging else None,
            min(running.deepest.depth, below),
            running.n,
        )

    def _held_predictions(self, portfolio_id: int) -> tuple[InferredPrediction, ...]:
        held = self._holdings.instruments(portfolio_id)
        return tuple(
            InferredPrediction(
                each.instrument_id,
                each.model,
                each.target,
                each.value,
                each.confidence,
                each.horizon_ns,
                each.now_ns,
            )
            for each in self._predictions.values()
            if each.instrument_id in held
        )

    def _portfolio(self, portfolio_id: int) -> Portfolio:
        found = self._portfolios.get(portfolio_id)
        if found is None:
            found = self._portfolios[portfolio_id] = Portfolio(portfolio_id, self._config)
        return found

    def _known(self, portfolio_id: int) -> Portfolio:
        found = self._portfolios.get(portfolio_id)
        if found is None:
            raise self._unknown(portfolio_id)
        return found

    def _unknown(self, portfolio_id: int) -> UnknownPortfolioError:
        known = ", ".join(map(str, sorted(self._portfolios)[:10])) or "none so far"
        return UnknownPortfolioError(f"portfolio {portfolio_id}", where="portfolio_id", expected=f"one of: {known}")

    def _accept(self, name: str, series: Series) -> None:
        """Take a history that is a portfolio's, before it is kept. Undefined: it can be none, and nothing changed."""
        portfolio_id = _portfolio_of(name)
        if portfolio_id is None:
            return
        if series.kind in (SeriesKind.VOLUME, SeriesKind.SIZE):
            raise Undefined("mismatch", f"a portfolio's history of {series.kind} values", expected="returns or values")
        times, values = step_returns(series)
        found = self._portfolios.get(portfolio_id) or Portfolio(portfolio_id, self._config)
        found.track.seed(times, values, series.source, series.synthetic)
        self._portfolios[portfolio_id] = found

    def _forget(self, name: str) -> None:
        """A history is there no more."""
        portfolio_id = _portfolio_of(name)
        if portfolio_id in self._portfolios:
            self._portfolios[portfolio_id].track.seed((), (), "", False)

    def _reconcile(self) -> None:
        """After a restart, whose files may be of different moments: portfolios have the histories that there are."""
        panel = self._histories.panel
        for portfolio_id, found in self._portfolios.items():
            if found.track.seeded and f"{SERIES}{portfolio_id}" not in panel:
                found.track.seed((), (), "", False)
        for name in panel.names():
            with contextlib.suppress(Undefined):  # too much together with what was followed since: as it was
                self._accept(name, panel.series(name))

    # What a restart needs.

    def state(self) -> dict[str, Any]:
        """Open periods, positions, orders, factors; ended periods and histories are in `bulk`."""
        return {
            "portfolios": [[key, found.track.state()] for key, found in self._portfolios.items()],
            "holdings": self._holdings.state(),
            "executions": self._executions.state(),
            "places": [[account, place] for account, place in self._places.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        for key, track in state.get("portfolios", ()):
            if type(key) is not int:
                raise ModelError(f"portfolio {key!r}", where="a state that was kept", expected="a whole number")
            self._portfolio(key).track.restore(track)
        self._holdings.restore(state.get("holdings", []))
        self._executions.restore(state.get("executions", []))
        self._places = dict(state.get("places", ()))
        self._reconcile()

    def bulk(self) -> Mapping[str, tuple[int, Callable[[], Any]]]:
        """Histories, the ended periods of each portfolio, and the factors' days."""
        parts = dict(self._histories.panel.bulk())
        for key, found in self._portfolios.items():
            parts[f"portfolio {key}"] = found.track.closed, found.track.columns
        return {**parts, **self._factors.parts()}

    def restore_bulk(self, name: str, part: Any) -> None:
        """See `Engine.restore_bulk`."""
        kind, _, key = name.partition(" ")
        if kind == "portfolio":
            self._portfolio(int(key)).track.restore_columns(part)
        elif kind == "factors":
            self._factors.restore(part)
        elif kind == "attributed":
            self._factors.restore_attributed(int(key), part)
            self._portfolio(int(key))
        else:
            self._histories.panel.restore_bulk(name, part)


def _figures(update: PerformanceUpdated, value: PortfolioValued, synthetic: bool) -> dict[str, float | str]:
    """For the feature store; what has no value is not there."""
    plain = {
        **{name: getattr(update, name) for name in update.__struct_fields__},
        **{name: getattr(value, name) for name in ("currency", "nav", "cash", "gross_exposure", "net_exposure")},
        "synthetic": int(synthetic or value.synthetic),
    }
    return {name: found for name, found in plain.items() if found is not None}


def _portfolio_of(name: str) -> int | None:
    """The portfolio that a history of this name is of; None: of none."""
    number = name.removeprefix(SERIES)
    if number == name or not (number.isascii() and number.isdigit()) or int(number) > MOST_ID:
        return None
    return int(number) if number == str(int(number)) else None


def _forecasts(result: Any) -> Forecasts:
    found = fits.gathered(result)
    return Forecasts(found.volatility, found.regime)


def _result(
    message: AskAnalytics, wanted: tuple[str, ...], answer: Message, predictions: tuple[InferredPrediction, ...] | None
) -> AnalyticsResult:
    assert isinstance(answer, PortfolioAnalytics)
    left_out: dict[str, Any] = dict.fromkeys((name for name in _SECTIONS if name not in wanted), None)
    kept = {name: code for name, code in answer.undefined.items() if name.partition(".")[0] in (*wanted, "summary")}
    analytics = replace(answer, undefined=kept, **left_out)
    return AnalyticsResult(message.kind, message.portfolio_id, analytics, predictions)


__all__ = ["AnalyticsConfig", "AnalyticsEngine"]
