"""The strategy engine: hosts strategies, keeps their desks, stops them on a risk alert."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from nautilus.engines.base import Context, Engine, Operation, Work
from nautilus.engines.strategy.base import Strategy
from nautilus.engines.strategy.desk import SOURCE_ID, Desk
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import MassCancel
from nautilus.model.enums import OrderState
from nautilus.model.errors import ConfigError
from nautilus.model.events import ExecutionReport
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import Auction, Quote, Trade
from nautilus.model.message import Message
from nautilus.model.position import PositionChanged
from nautilus.model.queries import GetStrategies, StrategyState, StrategyStates
from nautilus.model.records import Records
from nautilus.model.topics import (
    AUCTIONS,
    BOOK_DELTAS,
    EXECUTION_REPORTS,
    POSITIONS,
    QUOTES,
    RISK_ALERTS,
    TRADES,
    Topic,
)

# A cancel of everything that was not answered is asked again after this time: unlike an order, it may be. So long too
# an order is in doubt before it is cancelled; a report that was only late has come then.
_CANCEL_AGAIN_NS = 500_000_000
_CANCEL_KEY = "cancel-all"
_DOUBT_KEY = "in-doubt"


class StrategyConfig(msgspec.Struct, frozen=True):
    """Settings of the strategy engine.

    Parameters
    ----------
    first_account
        The first strategy trades in this account, each further one in the next. A strategy's id is its account's
        number, so that it is the same one in its next life.
    latency_target_ms
        Of the whole way from a signal to its orders: 99 of 100 within it. A handler that takes longer is counted, and
        named in the log.
    cpu_affinity
        Processors on which the threads of its process run; (): all that it may.
    huge_pages
        Ask for huge pages for the memory of its process, where the machine gives them on request.
    network_mode
        How its process reaches the network. There is ``host`` alone: engines run natively, side by side.
    gc_tuning
        Keep what is there at the start out of the garbage collector, and let it look less often after that.
    """

    first_account: int = 1
    latency_target_ms: Annotated[float, Meta(gt=0, le=60_000)] = 30.0
    cpu_affinity: tuple[Annotated[int, Meta(ge=0, le=4095)], ...] = ()
    huge_pages: bool = True
    network_mode: Literal["host"] = "host"
    gc_tuning: bool = True


class StrategyEngine(Engine):
    """Runs strategies side by side: one that raises or is stopped does not disturb the others."""

    name = "strategy"
    source_id = SOURCE_ID
    strategies_only = True
    subscribes: tuple[Topic, ...] = (QUOTES, TRADES, BOOK_DELTAS, AUCTIONS, EXECUTION_REPORTS, RISK_ALERTS, POSITIONS)
    operations = (
        Operation("GET", "/strategies", GetStrategies, StrategyStates, "What each strategy did", fallback="last"),
    )

    def __init__(
        self, config: StrategyConfig, instruments: Iterable[Instrument], strategies: Sequence[Strategy]
    ) -> None:
        known = {instrument.instrument_id: instrument for instrument in instruments}
        self.strategies = tuple(strategies)
        self._known = known
        self.desks: tuple[Desk, ...] = tuple(
            self._desk(config.first_account + number) for number in range(len(self.strategies))
        )
        self._former: dict[int, tuple[str, Desk]] = {}  # of strategies that do not run now, for when they are back
        self._numbers = 0
        for strategy in self.strategies:
            for instrument_id in strategy.instruments:
                if instrument_id not in known:
                    raise ConfigError(
                        f"instrument {instrument_id} of strategy {strategy_name(strategy)}",
                        expected=f"one of {', '.join(map(str, known))}",
                    )
        pairs = list(zip(self.strategies, self.desks, strict=True))
        self._by_id = {desk.strategy_id: (strategy, desk) for strategy, desk in pairs}
        # Resolved once: who takes quotes, trades and so on of an instrument. A topic nobody takes is not subscribed.
        self._on_quote = _table(pairs, known, "on_quote")
        self._on_trade = _table(pairs, known, "on_trade")
        self._on_book = _table(pairs, known, "on_book")
        self._on_auction = _table(pairs, known, "on_auction")
        unused = {
            topic
            for topic, table in (
                (QUOTES, self._on_quote),
                (TRADES, self._on_trade),
                (BOOK_DELTAS, self._on_book),
                (AUCTIONS, self._on_auction),
            )
            if not any(table.values())
        }
        self.subscribes = tuple(topic for topic in type(self).subscribes if topic not in unused)

    def on_start(self, ctx: Context) -> None:
        """Start every strategy."""
        for desk in self._all_desks():
            desk.bind(ctx)
        self._each(lambda strategy, desk: strategy.on_start(desk))

    def on_stop(self, ctx: Context) -> None:
        """Stop every strategy that still runs, and cancel its orders."""
        self._each(self._close)

    def on_quote(self, quote: Quote, ctx: Context) -> None:
        """Hand a quote to the strategies of its instrument."""
        _hand(self._on_quote.get(quote.instrument_id, ()), quote)

    def on_trade(self, trade: Trade, ctx: Context) -> None:
        """Hand a trade to the strategies of its instrument."""
        _hand(self._on_trade.get(trade.instrument_id, ()), trade)

    def on_book(self, deltas: Records, ctx: Context) -> None:
        """Hand one update's deltas, all of one instrument, to its strategies."""
        if len(deltas):
            _hand(self._on_book.get(int(deltas["instrument_id"][0]), ()), deltas)

    def on_auction(self, auction: Auction, ctx: Context) -> None:
        """Hand a phase or an indicative price to the strategies of its instrument."""
        _hand(self._on_auction.get(auction.instrument_id, ()), auction)

    def on_report(self, report: ExecutionReport, ctx: Context) -> None:
        """Bring the desk up to date, then tell the strategy."""
        pair = self._by_id.get(report.strategy_id)
        if pair is not None:
            if pair[1].apply(report):
                pair[0].on_report(report, pair[1])
        elif report.strategy_id in self._former:
            self._former[report.strategy_id][1].apply(report)

    def on_position(self, change: PositionChanged, ctx: Context) -> None:
        """Tell the strategy whose fill it was."""
        pair = self._by_id.get(change.strategy_id)
        if pair is not None:
            pair[0].on_position(change, pair[1])

    def on_alert(self, alert: RiskAlert, ctx: Context) -> None:
        """Stop the strategy that the alert names, or without one that of its account (0: every one).

        No order leaves it after this.
        """

        def halt(strategy: Strategy, desk: Desk) -> None:
            if _concerns(alert, desk) and not desk.stopped:
                desk.stop()
                try:
                    strategy.on_alert(alert, desk)
                finally:
                    strategy.on_stop(desk)

        for _, desk in self._former.values():
            if _concerns(alert, desk) and not desk.stopped:
                desk.stop()
        self._each(halt)

    def on_timer(self, key: str, ctx: Context) -> None:
        """Hand a timer to the strategy that set it."""
        number, _, own_key = key.partition(":")
        if number == _CANCEL_KEY:
            self._desk_of(int(own_key)).cancel_all()
            return
        if number == _DOUBT_KEY:
            strategy_id, _, order_id = own_key.partition(":")
            self._desk_of(int(strategy_id)).resolve(int(order_id))
            return
        strategy, desk = self._by_id[int(number)]
        if not desk.stopped:
            strategy.on_timer(own_key, desk)

    def on_reply(self, number: int, reply: Message, ctx: Context) -> None:
        """The core has it, and the report says what became of it; or it was not taken, and nothing did."""
        for desk in self._all_desks():
            undone = desk.answered(number, reply)
            if isinstance(undone, MassCancel):
                self._cancel_again(desk.strategy_id, ctx)
            elif undone is not None:
                self._resolve_later(desk, undone.order_id, ctx)
                if desk.strategy_id in self._by_id:
                    self._by_id[desk.strategy_id][0].on_report(undone, desk)

    def on_unknown(self, number: int, message: Message, ctx: Context) -> None:
        """The order's state is unknown until a report comes, or until the core was asked to cancel it."""
        for desk in self._all_desks():
            self._resolve_later(desk, desk.unanswered(number), ctx)
        if isinstance(message, MassCancel):
            self._cancel_again(message.strategy_id, ctx)

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer `GetStrategies`."""
        if not isinstance(message, GetStrategies):
            return super().on_request(message, ctx)
        return StrategyStates(
            tuple(
                StrategyState(
                    name=strategy_name(strategy),
                    strategy_id=desk.strategy_id,
                    account_id=desk.account_id,
                    orders=desk.entered,
                    fills=desk.fills,
                    refused=desk.rejected,
                    open_orders=len(desk.orders),
                    stopped=desk.stopped,
                )
                for strategy, desk in zip(self.strategies, self.desks, strict=True)
            )
        )

    def resume(self, source_sequence: int, ctx: Context) -> None:
        """Count on above what the core has taken; cancel what an earlier life of this engine left open."""
        self._numbers = max(self._numbers, source_sequence)
        if self._numbers:
            # Those of strategies that do not run now too: nobody looks after their orders.
            for desk in self._all_desks():
                desk.bind(ctx)
                desk.resume()

    def state(self) -> dict[str, Any]:
        """Desks by strategy and account, and how many commands were sent.

        What a strategy keeps itself it rebuilds from market data.
        """
        own = [(strategy_name(strategy), desk) for strategy, desk in zip(self.strategies, self.desks, strict=True)]
        return {
            "numbers": self._numbers,
            "desks": [
                {"name": name, "account_id": desk.account_id, **desk.state()}
                for name, desk in (*own, *self._former.values())
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`. The desks of strategies that do not run now are kept as they are.

        Raises
        ------
        ConfigError
            An account in which a strategy is to trade holds what another one left.
        """
        for found in state["desks"]:
            name, account_id = found["name"], found["account_id"]
            pair = self._by_id.get(account_id)
            if pair is None:
                desk = self._desk(account_id)
                self._former[account_id] = (name, desk)
            elif strategy_name(pair[0]) == name:
                desk = pair[1]
            else:
                raise ConfigError(
                    f"account {account_id} of strategy {strategy_name(pair[0])} holds what strategy {name} left",
                    where="strategy.first_account",
                    expected="accounts that no other strategy has had",
                )
            desk.restore(found)
        self._numbers = state["numbers"]

    def _desk(self, account_id: int) -> Desk:
        return Desk(account_id, account_id, self._known, self._next_number)

    def _cancel_again(self, strategy_id: int, ctx: Context) -> None:
        ctx.at(ctx.now_ns + _CANCEL_AGAIN_NS, f"{_CANCEL_KEY}:{strategy_id}")

    def _resolve_later(self, desk: Desk, order_id: int, ctx: Context) -> None:
        """Have an order cancelled that is still in doubt then."""
        order = desk.orders.get(order_id)
        if order is not None and order.state == OrderState.UNKNOWN:
            ctx.at(ctx.now_ns + _CANCEL_AGAIN_NS, f"{_DOUBT_KEY}:{desk.strategy_id}:{order_id}")

    def _desk_of(self, strategy_id: int) -> Desk:
        return next(desk for desk in self._all_desks() if desk.strategy_id == strategy_id)

    def _all_desks(self) -> tuple[Desk, ...]:
        return (*self.desks, *(desk for _, desk in self._former.values()))

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _close(self, strategy: Strategy, desk: Desk) -> None:
        if not desk.stopped:
            desk.closed = True
            desk.stop()
            strategy.on_stop(desk)

    def _each(self, act: Callable[[Strategy, Desk], None]) -> None:
        errors: list[Exception] = []
        for strategy, desk in zip(self.strategies, self.desks, strict=True):
            try:
                act(strategy, desk)
            except Exception as error:
                errors.append(error)
        _raise(errors)


def strategy_name(strategy: Strategy) -> str:
    """What a strategy is called in reports."""
    return strategy.name or type(strategy).__name__


def _concerns(alert: RiskAlert, desk: Desk) -> bool:
    if alert.strategy_id:
        return alert.strategy_id == desk.strategy_id
    return alert.account_id in (0, desk.account_id)


_Handlers = tuple[tuple[Callable[[Any, Desk], None], Desk], ...]


def _table(pairs: list[tuple[Strategy, Desk]], known: Iterable[int], handler: str) -> dict[int, _Handlers]:
    """For each instrument the handlers of this name that are not the base's empty one."""
    return {
        instrument_id: tuple(
            (getattr(strategy, handler), desk)
            for strategy, desk in pairs
            if getattr(type(strategy), handler) is not getattr(Strategy, handler)
            and (not strategy.instruments or instrument_id in strategy.instruments)
        )
        for instrument_id in known
    }


def _hand(handlers: _Handlers, item: Any) -> None:
    """Call each; what one raises is raised after all were called."""
    errors: list[Exception] = []
    for handler, desk in handlers:
        if not desk.stopped:
            try:
                handler(item, desk)
            except Exception as error:
                errors.append(error)
    if errors:
        _raise(errors)


def _raise(errors: list[Exception]) -> None:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup(f"{len(errors)} strategies failed", errors)
