"""Factor: the cross-sectional model of returns on a universe of stocks, day by day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nautilus.engines.base import Context, Engine, Stream, Work
from nautilus.engines.factor import attribution, estimation, exposures, past, risks
from nautilus.engines.factor.collecting import collect
from nautilus.engines.factor.config import FactorConfig, check_model
from nautilus.engines.factor.current import Market
from nautilus.engines.factor.estimates import Estimates
from nautilus.engines.factor.model import Model
from nautilus.engines.factor.operations import OPERATIONS
from nautilus.engines.factor.parts import Parts
from nautilus.engines.factor.portfolios import Portfolios
from nautilus.engines.factor.prices import LastPrices
from nautilus.engines.factor.standing import state_of
from nautilus.engines.factor.universe import DAY_NS, Universe, day_of
from nautilus.engines.panel import Histories
from nautilus.maths.errors import Undefined
from nautilus.model.errors import ModelError
from nautilus.model.factor import (
    CollectUniverse,
    DropUniverse,
    EstimateFactors,
    FactorPortfolioState,
    GetFactorAttribution,
    GetFactorCovariance,
    GetFactorExposures,
    GetFactorReturns,
    GetFactorRisk,
    GetPortfolioExposures,
    GetResidualReturns,
    GetUniverse,
    PortfolioAttributed,
    PutFactorPortfolio,
    PutSectors,
    PutUniverse,
    UniverseField,
    UpdateFactors,
)
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.position import PositionChanged
from nautilus.model.records import Records
from nautilus.model.signals import FactorsUpdated
from nautilus.model.topics import BALANCES, BARS, FACTORS, POSITIONS, QUOTES

_DAY_END = "day-end"
_SECOND = 1_000_000_000
# Days x stocks of an attribution that takes well under a millisecond.
_AT_ONCE = 10_000


class FactorEngine(Engine):
    """Keeps the universe, the model and the weights of portfolios; publishes factors' returns at the end of a day."""

    name = "factor"
    subscribes = (BARS, QUOTES, POSITIONS, BALANCES)
    publishes = (FACTORS,)
    takes_arrays = True
    patience_ns = 20_000_000
    operations = OPERATIONS
    streams = (Stream("/streams/factors", FACTORS, "Returns of factors, and portfolios by factors, day by day"),)

    def __init__(self, config: FactorConfig, instruments: Iterable[Instrument]) -> None:
        known = tuple(instruments)
        self._config = config
        self._histories = Histories()
        self._prices = LastPrices(known)
        self._market = Market(known, self._prices, config.largest_return)
        self._portfolios = Portfolios(known, config.kept_days)
        self._ended: int | None = None  # the day that ended last by itself
        self._begin(0, 0)

    def _begin(self, universe_version: int, model_version: int) -> None:
        """With a universe of no stocks; what is saved of it has higher versions than these."""
        self._universe = Universe(self._config.most_days, self._config.most_stocks, universe_version)
        self._parts = Parts(self._config, self._universe, self._portfolios, self._prices, self._market)
        self._estimates = Estimates(self._parts, self._publish, model_version)

    # What arrives.

    def on_start(self, ctx: Context) -> None:
        """Wait for the end of the day; one that ended while nothing ran, with prices of it, ends now."""
        ended = self._await_day_end(ctx)
        if self._ended is not None and ended is not None and ended > self._ended:
            self._end_day(ended, ctx)
        self._ended = ended

    def on_quote(self, quotes: Records, ctx: Context) -> None:
        """Note prices."""
        self._prices.take_quotes(quotes)

    def on_bar(self, bars: Records, ctx: Context) -> None:
        """Note prices and what was traded."""
        self._prices.take_bars(bars)

    def on_position(self, changed: PositionChanged, ctx: Context) -> None:
        """Note what an account holds."""
        self._portfolios.on_position(changed)

    def on_balance(self, event: Message, ctx: Context) -> None:
        """Note what an account is worth."""
        if isinstance(event, PortfolioValued):
            self._portfolios.on_value(event)

    def on_reply(self, number: int, reply: Message, ctx: Context) -> None:
        """Bars that a history was to be loaded with."""
        self._histories.on_reply(number, reply, ctx)

    def on_unknown(self, number: int, message: Message, ctx: Context) -> None:
        """They did not come."""
        self._histories.on_unknown(number, message, ctx)

    def on_timer(self, key: str, ctx: Context) -> None:
        """The end of a day: its last prices are a day of the universe, and of the model."""
        if key != _DAY_END:
            return
        self._ended = self._await_day_end(ctx)
        self._end_day(day_of(ctx.now_ns), ctx)

    def on_result(self, number: int, result: Any, ctx: Context) -> None:
        """The day's factor returns."""
        self._estimates.on_result(number, result, ctx)

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer the operations."""
        self._market.today = day_of(ctx.now_ns)
        reply = self._histories.on_request(message, ctx)
        if reply is not None:
            return reply
        handler = _HANDLERS.get(type(message))
        if handler is None:
            return super().on_request(message, ctx)
        answer: Message | Work = getattr(self, handler)(message, ctx)
        return answer

    # The universe and its model.

    def _put(self, message: PutUniverse, ctx: Context) -> Message:
        changed = self._universe.put(UniverseField(message.field), message.symbols, message.times_ns, message.rows)
        self._universe.sources.add(message.source or "uploaded")
        self._universe.synthetic |= message.synthetic
        self._estimates.note_change(changed)
        return state_of(self._parts, self._estimates)

    def _put_sectors(self, message: PutSectors, ctx: Context) -> Message:
        self._estimates.note_change(self._universe.put_sectors(message.sectors, message.from_ns))
        return state_of(self._parts, self._estimates)

    def _collect(self, message: CollectUniverse, ctx: Context) -> Message:
        for changed in collect(self._universe, self._histories.panel, message.symbols):
            self._estimates.note_change(changed)
        return state_of(self._parts, self._estimates)

    def _drop(self, message: DropUniverse, ctx: Context) -> Message:
        self._begin(self._universe.version, self._estimates.version)
        return state_of(self._parts, self._estimates)

    def _get(self, message: GetUniverse, ctx: Context) -> Message:
        return state_of(self._parts, self._estimates)

    def _estimate(self, message: EstimateFactors, ctx: Context) -> Work:
        settings = self._config.settings(message.styles, message.constraint)
        check_model(settings.styles, settings.constraint, ModelError)
        return self._estimates.estimate(settings, ctx)

    def _update(self, message: UpdateFactors, ctx: Context) -> Work:
        return self._estimates.update(ctx)

    def _publish(self, model: Model, days: int, attributed: int, ctx: Context) -> None:
        """Returns of these last days, and what they made of portfolios on the last of them."""
        for row in range(len(model.days) - days, len(model.days)):
            day, returns = int(model.days[row]), tuple(model.returns[row].tolist())
            ctx.publish(FactorsUpdated(now_ns=ctx.now_ns, day=day, names=model.names, returns=returns))
            if row < len(model.days) - attributed:
                continue
            for portfolio_id in self._portfolios.ids():
                try:
                    arguments, *_ = attribution.inputs(self._parts, model, portfolio_id, slice(row, row + 1))
                    found = estimation.attribute(*arguments)
                except Undefined:
                    continue  # nothing is known of it on this day; who asks is told why
                ctx.publish(
                    PortfolioAttributed(
                        now_ns=ctx.now_ns,
                        portfolio_id=portfolio_id,
                        day=day,
                        names=model.names,
                        contributions=tuple(found["daily_contributions"][0].tolist()),
                        specific=float(found["daily_specific"][0]),
                        total=float(found["daily_totals"][0]),
                    )
                )

    def _end_day(self, day: int, ctx: Context) -> None:
        universe = self._universe
        row = None
        if len(universe) and (not len(universe.days) or day > universe.days[-1]):
            row = self._market.day(universe)
        full = len(universe.days) >= self._config.most_days
        if row is not None and not full:
            universe.add_day(day, row)
            universe.sources.add("star")
        self._portfolios.note_day(day, self._prices.last)
        self._prices.begin_day()
        self._estimates.follow(ctx)
        if row is not None and full:
            self._estimates.reason = f"day {day} was not taken: the universe has {len(universe.days)} (most_days)"

    # Questions.

    def _returns(self, message: GetFactorReturns, ctx: Context) -> Message:
        return past.returns(self._parts, self._estimates.current(), message)

    def _residuals(self, message: GetResidualReturns, ctx: Context) -> Message:
        return past.residuals(self._parts, self._estimates.current(), message)

    def _exposures(self, message: GetFactorExposures, ctx: Context) -> Message:
        return exposures.exposures(self._parts, self._estimates.current(), message)

    def _portfolio(self, message: GetPortfolioExposures, ctx: Context) -> Message:
        return exposures.portfolio(self._parts, self._estimates.current(), message.portfolio_id)

    def _covariance(self, message: GetFactorCovariance, ctx: Context) -> Message:
        return risks.covariance(self._parts, self._estimates.current(), message)

    def _risk(self, message: GetFactorRisk, ctx: Context) -> Message:
        return risks.risk(self._parts, self._estimates.current(), message)

    def _attribution(self, message: GetFactorAttribution, ctx: Context) -> Message | Work:
        model = self._estimates.current()
        self._portfolios.check(message.portfolio_id)
        rows = model.rows(message.begin_ns, message.end_ns)
        arguments, days, uncovered, missing = attribution.inputs(self._parts, model, message.portfolio_id, rows)

        def finish(result: dict[str, Any]) -> Message:
            return attribution.answer(self._parts, model, message, days, uncovered, missing, result)

        if arguments[0].size <= _AT_ONCE:
            return finish(estimation.attribute(*arguments))
        return Work(estimation.attribute, arguments, finish)

    def _put_portfolio(self, message: PutFactorPortfolio, ctx: Context) -> Message:
        self._portfolios.tell(message.portfolio_id, message.weights, message.from_ns)
        weights, _ = self._portfolios.weights(message.portfolio_id, self._prices.last)
        days = tuple(max(day, 0) for day in sorted(self._portfolios.noted(message.portfolio_id)))
        return FactorPortfolioState(message.portfolio_id, days, weights)

    # State.

    def state(self) -> dict[str, Any]:
        """Sectors, prices since the last day, portfolios, and which changes the model does not know."""
        return {
            "universe": self._universe.state(),
            "portfolios": self._portfolios.state(),
            "prices": self._prices.state(),
            "stale_from": self._estimates.stale_from,
            "ended": self._ended,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        self._estimates.assemble()
        self._universe.restore(state["universe"])
        self._portfolios.restore(state["portfolios"])
        self._prices.restore(state["prices"])
        self._estimates.note_change(state["stale_from"])
        self._ended = state["ended"]

    def bulk(self) -> dict[str, tuple[int, Callable[[], Any]]]:
        """Histories, blocks of the universe, the model, and portfolios' weights."""
        panel = self._histories.panel
        return {**panel.bulk(), **self._universe.bulk(), **self._portfolios.bulk(), **self._estimates.bulk()}

    def restore_bulk(self, name: str, part: Any) -> None:
        """See `Engine.restore_bulk`."""
        owners = (self._histories.panel, self._universe, self._portfolios)
        if not any(owner.restore_bulk(name, part) for owner in owners):
            self._estimates.restore_bulk(name, part)

    def _await_day_end(self, ctx: Context) -> int | None:
        """Set the timer; the day that ended last."""
        seconds = self._config.day_end_seconds
        if seconds is None:
            return None
        end_ns = ctx.now_ns // DAY_NS * DAY_NS + seconds * _SECOND
        if end_ns > ctx.now_ns:
            end_ns -= DAY_NS
        ctx.at(end_ns + DAY_NS, _DAY_END)
        return day_of(end_ns)


_HANDLERS = {
    PutUniverse: "_put",
    PutSectors: "_put_sectors",
    CollectUniverse: "_collect",
    DropUniverse: "_drop",
    GetUniverse: "_get",
    EstimateFactors: "_estimate",
    UpdateFactors: "_update",
    GetFactorReturns: "_returns",
    GetResidualReturns: "_residuals",
    GetFactorExposures: "_exposures",
    GetPortfolioExposures: "_portfolio",
    GetFactorCovariance: "_covariance",
    GetFactorRisk: "_risk",
    GetFactorAttribution: "_attribution",
    PutFactorPortfolio: "_put_portfolio",
}
