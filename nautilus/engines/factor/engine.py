"""Factor: the cross-sectional model of returns on a universe of stocks, day by day."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.base import Context, Engine, Stream, Work
from nautilus.engines.factor import estimation
from nautilus.engines.factor.answers import Answers
from nautilus.engines.factor.config import DAY_SECONDS, FactorConfig, check_model
from nautilus.engines.factor.current import Market
from nautilus.engines.factor.model import Model, restored
from nautilus.engines.factor.operations import OPERATIONS
from nautilus.engines.factor.portfolios import Portfolios
from nautilus.engines.factor.prices import LastPrices
from nautilus.engines.factor.universe import DAY_NS, Universe, day_of
from nautilus.engines.panel import Histories
from nautilus.maths.errors import Undefined
from nautilus.model.errors import ModelError
from nautilus.model.factor import (
    CollectUniverse,
    DropUniverse,
    EstimateFactors,
    FactorPortfolioState,
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
    PutFactorPortfolio,
    PutSectors,
    PutUniverse,
    UniverseField,
    UniverseState,
    UpdateFactors,
)
from nautilus.model.history import SeriesKind
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.position import PositionChanged
from nautilus.model.records import Records
from nautilus.model.signals import FactorsUpdated
from nautilus.model.topics import BALANCES, BARS, FACTORS, POSITIONS, QUOTES

_DAY_END = "day-end"
_SECOND = 1_000_000_000
_MOST_CHANGES = 1_000


class _Ahead(NamedTuple):
    """Days behind those of the model that a job was given; `first` is the row of the first of them in its arrays."""

    days: NDArray[np.int64]
    first: int
    version: int  # of the universe


class FactorEngine(Engine):
    """Keeps the universe, the model and the weights of portfolios; publishes factors' returns at the end of a day."""

    name = "factor"
    subscribes = (BARS, QUOTES, POSITIONS, BALANCES)
    publishes = (FACTORS,)
    takes_arrays = True
    warms: ClassVar[tuple[Callable[[], object], ...]] = (estimation.warm,)
    operations = OPERATIONS
    streams = (Stream("/streams/factors", FACTORS, "Returns of factors, and portfolios by factors, day by day"),)

    def __init__(self, config: FactorConfig, instruments: Iterable[Instrument]) -> None:
        known = tuple(instruments)
        self._config = config
        self._instruments = known
        self._histories = Histories()
        self._prices = LastPrices(known)
        self._market = Market(known, self._prices, config.largest_return)
        self._portfolios = Portfolios(known, config.kept_days)
        self._universe = self._new_universe()
        self._model: Model | None = None
        self._changes: list[tuple[int, int]] = []  # version of the universe, first day that changed
        self._jobs: dict[int, tuple[int, _Ahead]] = {}  # number -> version of the model, what it was given
        self._reason = ""
        self._parts: dict[str, Any] = {}
        self._answers = self._new_answers()

    # What arrives.

    def on_start(self, ctx: Context) -> None:
        """Wait for the end of the day."""
        self._await_day_end(ctx)

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
        self._await_day_end(ctx)
        self._end_day(ctx)

    def on_result(self, number: int, result: Any, ctx: Context) -> None:
        """The day's factor returns."""
        version, given = self._jobs.pop(number)
        if isinstance(result, Exception):
            self._reason = str(result)
            return
        model = self._model
        if model is not None and model.version == version:
            self._extended(model, result, given, ctx)

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer the operations."""
        reply = self._histories.on_request(message, ctx)
        if reply is not None:
            return reply
        handler = _HANDLERS.get(type(message))
        if handler is None:
            return super().on_request(message, ctx)
        answer: Message | Work = getattr(self, handler)(message, ctx)
        return answer

    # The universe.

    def _put(self, message: PutUniverse, ctx: Context) -> Message:
        changed = self._universe.put(message.field, message.symbols, message.times_ns, message.rows)
        self._universe.sources.add(message.source or "uploaded")
        self._universe.synthetic |= message.synthetic
        self._note_change(changed)
        return self._state()

    def _put_sectors(self, message: PutSectors, ctx: Context) -> Message:
        self._note_change(self._universe.put_sectors(message.sectors, message.from_ns))
        return self._state()

    def _collect(self, message: CollectUniverse, ctx: Context) -> Message:
        panel = self._histories.panel
        fields = {field: f".{field.value}" for field in UniverseField}
        symbols = message.symbols or tuple(
            name
            for name in panel.names()
            if panel.series(name).kind is SeriesKind.PRICE and not name.endswith(tuple(fields.values()))
        )
        if not symbols:
            raise Undefined("empty", "no history of prices", "some, or symbols")
        wanted = {UniverseField.PRICE: {symbol: symbol for symbol in symbols}}
        for field, end in fields.items():
            named = {symbol: symbol + end for symbol in symbols if symbol + end in panel}
            if field is not UniverseField.PRICE and named:
                wanted[field] = named
        for field, names in wanted.items():
            series = {symbol: panel.series(name) for symbol, name in names.items()}
            days = {symbol: found.times_ns // DAY_NS for symbol, found in series.items()}
            for symbol, found in days.items():
                if len(np.unique(found)) != len(found):
                    raise Undefined("duplicate_time", f"two values of {symbol} on one day", "one a day")
            every = np.unique(np.concatenate(list(days.values())))
            values = np.full((len(every), len(series)), np.nan)
            for place, (symbol, history) in enumerate(series.items()):
                values[np.searchsorted(every, days[symbol]), place] = history.values
                self._universe.sources.add(history.source)
                self._universe.synthetic |= history.synthetic
            self._note_change(self._universe.put_matrix(field, tuple(series), every, values))
        return self._state()

    def _drop(self, message: DropUniverse, ctx: Context) -> Message:
        self._universe = self._new_universe()
        self._answers = self._new_answers()
        self._model = None
        self._changes.clear()
        self._reason = ""
        return self._state()

    def _get(self, message: GetUniverse, ctx: Context) -> Message:
        return self._state()

    # The model.

    def _estimate(self, message: EstimateFactors, ctx: Context) -> Work:
        if message.styles or message.constraint:
            check_model(
                message.styles or self._config.styles, message.constraint or self._config.constraint, ModelError
            )
        settings = self._config.settings(message.styles, message.constraint)
        universe, version = self._universe, self._universe.version
        if not len(universe.days):
            raise Undefined("empty", "a universe without days", "returns, market capitalisations and sectors")
        fields = {
            field.value: universe.values(field) for field in estimation.fields_of(settings) if universe.has(field)
        }
        sectors = universe.sectors()
        days = universe.days
        arguments = (settings, fields, sectors.names, sectors.codes, 0, np.empty((0, len(universe))))

        def finish(result: dict[str, Any]) -> Message:
            if universe is not self._universe:
                raise Undefined("mismatch", "the universe was dropped meanwhile", "the one that was estimated")
            model = Model(settings, sectors.names)
            model.version = self._model.version if self._model is not None else 0
            new = model.extend(result, days, 0)
            model.pad(len(universe))
            self._model = model
            self._changes = [change for change in self._changes if change[0] > version]
            self._reason = ""
            self._publish(model, new[-1:], ctx)
            return self._estimated(model, new)

        return Work(estimation.estimate, arguments, finish)

    def _update(self, message: UpdateFactors, ctx: Context) -> Work:
        model = self._current_model()
        arguments, given = self._update_inputs(model)
        version = model.version

        def finish(result: dict[str, Any]) -> Message:
            if self._model is not model or model.version != version:
                raise Undefined("mismatch", "the model was changed meanwhile", "one update after the other")
            return self._estimated(model, self._extended(model, result, given, ctx))

        return Work(estimation.estimate, arguments, finish)

    def _update_inputs(self, model: Model) -> tuple[tuple[Any, ...], _Ahead]:
        """Arguments of `estimation.estimate` for the days after the last one, and what they are of."""
        universe = self._universe
        if self._stale(model):
            raise Undefined("mismatch", "days that the model knows were changed", "a model that is estimated anew")
        first = int(np.searchsorted(universe.days, model.last_day, side="right"))
        if first == len(universe.days):
            raise Undefined("missing_days", "no day after the last one of the model", "one that was put")
        settings = model.settings
        fields = {
            field.value: universe.values(field) for field in estimation.fields_of(settings) if universe.has(field)
        }
        begin = estimation.rows_before(settings, fields, first)
        sectors = universe.sectors()
        codes = sectors.codes if sectors.codes.ndim == 1 else sectors.codes[begin:]
        model.pad(len(universe))
        arguments = (
            settings,
            {name: values[begin:] for name, values in fields.items()},
            sectors.names,
            codes,
            first - begin,
            model.residuals[-settings.specific_days :],
        )
        return arguments, _Ahead(universe.days[first:], first - begin, universe.version)

    def _extended(self, model: Model, result: dict[str, Any], given: _Ahead, ctx: Context) -> NDArray[np.int64]:
        """Take over what was estimated of these days; those that it has a result of."""
        new = model.extend(result, given.days, given.first)
        model.pad(len(self._universe))
        # Changes up to then were of these days alone.
        self._changes = [change for change in self._changes if change[0] > given.version]
        self._reason = ""
        self._publish(model, new, ctx)
        return new

    def _publish(self, model: Model, days: NDArray[np.int64], ctx: Context) -> None:
        """Returns of these last days, and what they made of portfolios."""
        for row in range(len(model.days) - len(days), len(model.days)):
            day, returns = int(model.days[row]), tuple(model.returns[row].tolist())
            ctx.publish(FactorsUpdated(now_ns=ctx.now_ns, day=day, names=model.names, returns=returns))
            for portfolio_id in self._portfolios.ids():
                try:
                    arguments, *_ = self._answers.attribution_inputs(model, portfolio_id, slice(row, row + 1))
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

    def _end_day(self, ctx: Context) -> None:
        day = day_of(ctx.now_ns)
        universe = self._universe
        if len(universe) and (not len(universe.days) or day > universe.days[-1]):
            row = self._market.day(universe)
            if row is not None and len(universe.days) < self._config.most_days:
                universe.add_day(day, row)
                universe.sources.add("star")
        self._portfolios.note_day(day, self._prices.last)
        self._prices.begin_day()
        model = self._model
        if model is None or self._jobs:
            return
        try:
            arguments, given = self._update_inputs(model)
        except Undefined as error:
            self._reason = "" if error.code == "missing_days" else str(error)
            return
        self._jobs[ctx.submit(estimation.estimate, arguments)] = (model.version, given)

    # Questions.

    def _returns(self, message: GetFactorReturns, ctx: Context) -> Message:
        return self._answers.returns(self._current_model(), message)

    def _residuals(self, message: GetResidualReturns, ctx: Context) -> Message:
        return self._answers.residuals(self._current_model(), message)

    def _exposures(self, message: GetFactorExposures, ctx: Context) -> Message:
        return self._answers.exposures(self._current_model(), message)

    def _portfolio(self, message: GetPortfolioExposures, ctx: Context) -> Message:
        return self._answers.portfolio(self._current_model(), message.portfolio_id)

    def _covariance(self, message: GetFactorCovariance, ctx: Context) -> Message:
        return self._answers.covariance(self._current_model(), message)

    def _risk(self, message: GetFactorRisk, ctx: Context) -> Message:
        return self._answers.risk(self._current_model(), message)

    def _attribution(self, message: GetFactorAttribution, ctx: Context) -> Work:
        model = self._current_model()
        self._portfolios.check(message.portfolio_id)
        rows = model.rows(message.begin_ns, message.end_ns)
        arguments, days, uncovered, missing = self._answers.attribution_inputs(model, message.portfolio_id, rows)

        def finish(result: dict[str, Any]) -> Message:
            return self._answers.attribution(model, message, days, uncovered, missing, result)

        return Work(estimation.attribute, arguments, finish)

    def _put_portfolio(self, message: PutFactorPortfolio, ctx: Context) -> Message:
        self._portfolios.tell(message.portfolio_id, message.weights, message.from_ns)
        weights, _ = self._portfolios.weights(message.portfolio_id, self._prices.last)
        days = tuple(sorted(self._portfolios.noted(message.portfolio_id)))
        return FactorPortfolioState(message.portfolio_id, days, weights)

    # State.

    def state(self) -> dict[str, Any]:
        """Sectors, prices since the last day, portfolios, and which changes the model does not know."""
        return {
            "universe": self._universe.state(),
            "portfolios": self._portfolios.state(),
            "prices": self._prices.state(),
            "stale_from": min((day for _, day in self._changes), default=None),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        self._restore_parts()
        self._universe.restore(state["universe"])
        self._portfolios.restore(state["portfolios"])
        self._prices.restore(state["prices"])
        if state["stale_from"] is not None:
            self._note_change(int(state["stale_from"]))
        if self._model is not None:
            self._model.pad(len(self._universe))

    def bulk(self) -> dict[str, tuple[int, Callable[[], Any]]]:
        """Histories, blocks of the universe, the model, and portfolios' weights."""
        self._restore_parts()
        parts = {**self._histories.panel.bulk(), **self._universe.bulk(), **self._portfolios.bulk()}
        if self._model is not None:
            parts.update(self._model.bulk())
        return parts

    def restore_bulk(self, name: str, part: Any) -> None:
        """See `Engine.restore_bulk`."""
        for owner in (self._histories.panel, self._universe, self._portfolios):
            if owner.restore_bulk(name, part):
                return
        self._parts[name] = part

    def _restore_parts(self) -> None:
        if self._parts:
            self._model, self._parts = restored(self._parts), {}

    # Parts.

    def _new_universe(self) -> Universe:
        return Universe(self._config.most_days, self._config.most_stocks)

    def _new_answers(self) -> Answers:
        return Answers(self._config, self._universe, self._portfolios, self._prices, self._market)

    def _current_model(self) -> Model:
        if self._model is None:
            raise Undefined("empty", "no model yet", "one that was estimated: POST /factor/estimate")
        self._model.pad(len(self._universe))
        return self._model

    def _note_change(self, day: int | None) -> None:
        if day is None:
            return
        self._changes.append((self._universe.version, day))
        if len(self._changes) > _MOST_CHANGES:
            self._changes = [(self._universe.version, min(day for _, day in self._changes))]

    def _stale(self, model: Model) -> bool:
        return any(day <= model.last_day for _, day in self._changes)

    def _estimated(self, model: Model, days: NDArray[np.int64]) -> FactorsEstimated:
        some = len(model.days) > 0
        unknown = int(np.sum(~np.isfinite(model.specific)))
        return FactorsEstimated(
            days=len(days),
            left_out=model.left_out,
            stocks=int(model.stocks[-1]) if some else 0,
            deficient=model.deficient,
            day=int(model.days[-1]) if some else 0,
            names=model.names,
            returns=tuple(model.returns[-1].tolist()) if some else (),
            basis=self._answers.basis_of(model, days, model.left_out),
            undefined={f"specific_volatility of {unknown} stocks": "too_few"} if unknown else {},
        )

    def _state(self) -> UniverseState:
        universe, model = self._universe, self._model
        days, cells = len(universe.days), max(len(universe.days) * len(universe), 1)
        state = "uploaded" if days else "empty"
        if model is not None:
            state = "stale" if self._stale(model) else "estimated"
        return UniverseState(
            stocks=len(universe),
            days=days,
            begin_day=int(universe.days[0]) if days else 0,
            end_day=int(universe.days[-1]) if days else 0,
            sectors=universe.sector_names(),
            fields=tuple(
                FieldCoverage(field.value, count, count / cells) for field, count in universe.coverage().items()
            ),
            state="failed" if self._reason else state,
            estimated=len(model.days) if model is not None else 0,
            estimated_day=model.last_day if model is not None else 0,
            factors=model.names if model is not None else (),
            deficient=model.deficient if model is not None else 0,
            portfolios=tuple(self._portfolios.ids()),
            reason=self._reason,
            synthetic=universe.synthetic,
        )

    def _await_day_end(self, ctx: Context) -> None:
        seconds = self._config.day_end_seconds
        if seconds is None:
            return
        today = ctx.now_ns // DAY_NS * DAY_NS + seconds * _SECOND
        ctx.at(today if today > ctx.now_ns else today + DAY_SECONDS * _SECOND, _DAY_END)


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
