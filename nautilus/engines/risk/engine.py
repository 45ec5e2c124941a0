"""Risk: limits that stop strategies, a tree of limits over the whole firm, and what portfolios may lose.

What is breached is said within the event that showed it: a hard limit with a `RiskAlert` of priority FLASH_CRASH to
whoever trades, and where configured the kill switch of the account; every breach of the tree, soft or hard, and its
end with a `LimitBreached` of priority URGENT. Orders without a strategy have strategy 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar

from nautilus.engines.base import Context, Engine, Operation, Stream, Work
from nautilus.engines.panel import Histories, history_operations
from nautilus.engines.risk import jobs
from nautilus.engines.risk import limits as names
from nautilus.engines.risk.accounts import AccountLimits
from nautilus.engines.risk.check import METHOD, Proposal, check
from nautilus.engines.risk.conditions import Condition, Conditions
from nautilus.engines.risk.config import RiskConfig
from nautilus.engines.risk.limits import Scope, make_rule, parse_scope, text_of
from nautilus.engines.risk.marks import marks_basis
from nautilus.engines.risk.nodes import Node
from nautilus.engines.risk.past_returns import PastReturns
from nautilus.engines.risk.questions import Questions
from nautilus.engines.risk.said import Said
from nautilus.engines.risk.tree import Change, LimitTree
from nautilus.engines.risk.working import WorkingOrders
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import KillSwitch
from nautilus.model.enums import CommandKind, Side
from nautilus.model.errors import ModelError, UnknownInstrumentError, UnknownPortfolioError
from nautilus.model.events import (
    UNASKED,
    ExecutionReport,
    InstrumentSplit,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    PositionAdjusted,
)
from nautilus.model.history import DropHistory, PutHistory
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import Quote
from nautilus.model.message import Message
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.queries import GetRisk, RiskBreach, RiskState
from nautilus.model.risk import (
    BacktestVar,
    CheckOrders,
    CheckResult,
    DropLimit,
    EstimateRisk,
    GetLimits,
    LimitBreached,
    LimitState,
    LimitStates,
    MeasureDrawdowns,
    RiskDrawdowns,
    RiskEstimate,
    SetLimit,
    SetRiskRates,
    StressPortfolio,
    StressResult,
    VarBacktest,
)
from nautilus.model.signals import BalanceChanged, MarginStatus, MarketStructureChanged, ToxicityWarning
from nautilus.model.topics import (
    BALANCES,
    EXECUTION_REPORTS,
    MARGIN,
    MARKET_STRUCTURE,
    QUOTES,
    RISK_ALERTS,
    RISK_WARNINGS,
    TOXICITY,
)

_MOST_LISTED = 5_000
_NO_EQUITY = 1e6
"""Margin as a part of equity where there is none left."""
_LIMITS_METHOD = (
    "positions at what they could be closed at: bid or ask, the last fill before there is a quote; "
    "open orders are not counted"
)
_ORDERS, _HISTORIES = "orders", "histories"
_TOGETHER_NS = 100_000_000
"""Histories that come within this time are taken together."""
_KEEP: dict[str, Any] = {"scope": "admin", "idempotent": True, "durable": True}
_ANSWER: dict[str, Any] = {"scope": "read", "priority": "normal", "fallback": "error", "idempotent": True}


class RiskEngine(Engine):
    """Watches accounts, strategies and the tree above them; says once for each limit that it is breached."""

    name = "risk"
    source_id = 2
    subscribes = (EXECUTION_REPORTS, QUOTES, BALANCES, MARGIN, MARKET_STRUCTURE, TOXICITY)
    publishes = (RISK_ALERTS, RISK_WARNINGS)
    present_only: ClassVar[tuple[type[Message], ...]] = (CheckOrders,)
    warms: ClassVar[tuple[Callable[[], object], ...]] = (jobs.warm,)
    operations = (
        Operation(
            "GET",
            "/risk/state",
            GetRisk,
            RiskState,
            "Soft limits in force, and what breached them",
            priority="high",
            fallback="error",
        ),
        Operation(
            "POST",
            "/risk/critical-check/{portfolio_id}",
            CheckOrders,
            CheckResult,
            "May a portfolio send these orders; without an answer: no",
            scope="read",
            priority="critical",
            budget_ms=100.0,
            fallback="error",
            idempotent=True,
        ),
        Operation("POST", "/risk/var/{portfolio_id}", EstimateRisk, RiskEstimate, "Value at risk", **_ANSWER),
        Operation("POST", "/risk/stress/{portfolio_id}", StressPortfolio, StressResult, "Stress tests", **_ANSWER),
        Operation(
            "POST", "/risk/drawdowns/{portfolio_id}", MeasureDrawdowns, RiskDrawdowns, "Drawdown measures", **_ANSWER
        ),
        Operation(
            "POST",
            "/risk/var-backtest/{portfolio_id}",
            BacktestVar,
            VarBacktest,
            "Whether a value at risk would have held",
            **_ANSWER,
        ),
        Operation(
            "GET",
            "/risk/limits",
            GetLimits,
            LimitStates,
            "Limits, and how far they are used",
            priority="high",
            fallback="last",
        ),
        Operation("PUT", "/risk/limits", SetLimit, LimitStates, "Set a limit of the tree", **_KEEP),
        Operation("DELETE", "/risk/limits", DropLimit, LimitStates, "Take a limit away", **_KEEP),
        Operation("PUT", "/risk/rates", SetRiskRates, LimitStates, "Rates of currencies", **_KEEP),
        *history_operations("risk"),
    )
    streams = (
        Stream("/streams/alerts", RISK_ALERTS, "Limits that stop strategies, as they are breached"),
        Stream("/streams/limits", RISK_WARNINGS, "Breaches of the tree of limits, and their ends"),
    )

    def __init__(self, config: RiskConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
        self._symbols = {instrument.symbol: key for key, instrument in self._instruments.items()}
        first = next(iter(self._instruments.values()), None)
        self._currency = config.currency or (first.quote_currency if first is not None else "")
        self._accounts = AccountLimits(config, self._instruments)
        self._histories = Histories()
        self._changes: list[Change] = []
        self._tree = LimitTree(
            self._instruments,
            self._currency,
            config.conversions,
            {account: desk for desk, accounts in config.desks.items() for account in accounts},
            config.rules,
            config.release,
            config.var_level,
            self._changes.append,
            PastReturns(self._histories.panel, self._instruments, config.var_window),
        )
        self._working = WorkingOrders(self._tree.work)
        self._conditions = Conditions(config, self._tree.holders)
        self._questions = Questions(
            self._tree, self._histories.panel, self._instruments, self._currency, config.factors
        )
        self._said = Said()
        self._places: dict[int, int] = {}
        self._crowded: dict[Scope, Node] = {}
        """Scopes whose limit on orders is breached."""
        self._stale = False
        """Histories have changed since value at risk was measured."""
        self._commands = 0

    # What happens.

    def on_report(self, report: ExecutionReport, ctx: Context) -> None:
        """Count orders, follow fills; a report that is not newer than the last one of its account changes nothing."""
        kind = type(report)
        if isinstance(report, InstrumentSplit):
            self._on_split(report, ctx)
            return
        if not report.account_id or report.place <= self._places.get(report.account_id, 0):
            return  # an alert of account 0 would be one to everybody
        self._places[report.account_id] = report.place
        if kind is OrderFilled:
            if report.side is not None:
                self._on_fill(report, report.side, report.quantity, getattr(report, "fee", 0), ctx)
        elif kind is PositionAdjusted:
            side = Side.BUY if report.quantity > 0 else Side.SELL
            self._on_fill(report, side, abs(report.quantity), 0, ctx)
        elif (
            kind is OrderAccepted
            or (isinstance(report, OrderReplaced) and report.reason not in UNASKED)
            or (isinstance(report, OrderRejected) and report.request in (CommandKind.NEW, CommandKind.REPLACE))
        ):
            self._tell(self._accounts.order(report, ctx.now_ns), ctx)
            self._tree.order(report.account_id, report.strategy_id, report.now_ns, report.sequence)
            self._tell_changes(ctx)
        self._working.on_report(report)

    def on_quote(self, quote: Quote, ctx: Context) -> None:
        """Value what is held at the new prices."""
        self._tell(self._accounts.quote(quote, ctx.now_ns), ctx)
        self._tree.quote(quote)
        self._tell_changes(ctx)

    def on_balance(self, event: BalanceChanged | PortfolioValued, ctx: Context) -> None:
        """Keep the value of portfolios: limits on leverage are parts of it."""
        if isinstance(event, BalanceChanged):
            self._tree.path(event.account_id)
            return
        rate = 1.0 if event.currency == self._currency else float(self._tree.rates.get(event.currency, 0))
        self._tree.worth(event.portfolio_id, event.nav * rate if rate else None, synthetic=event.synthetic)
        self._tell_changes(ctx)

    def on_margin(self, status: MarginStatus, ctx: Context) -> None:
        """A margin status: its use is a limit of the tree, a call is an alert of its own."""
        used: float | None
        if not status.complete:
            used = None  # positions are missing from the numbers
        elif status.equity > 0:
            used = status.maintenance / status.equity
        else:
            used = _NO_EQUITY if status.maintenance > 0 else 0.0
        self._tree.margin(status.account_id, used)
        self._tell_changes(ctx)
        self._tell_conditions(self._conditions.margin(status), ctx)

    def on_toxicity(self, warning: ToxicityWarning, ctx: Context) -> None:
        """Toxic flow concerns portfolios that hold the instrument."""
        self._tell_conditions(self._conditions.toxicity(warning), ctx)

    def on_structure(self, change: MarketStructureChanged, ctx: Context) -> None:
        """A dangerous regime concerns portfolios that hold the instrument."""
        self._tell_conditions(self._conditions.structure(change), ctx)

    def on_timer(self, key: str, ctx: Context) -> None:
        """The window of a limit on orders has moved on."""
        if key == _HISTORIES:
            self._renew(ctx)
        elif key == _ORDERS:
            self._tree.look(ctx.now_ns, self._crowded.values())
            self._tell_changes(ctx)
            self._wait_for_orders(ctx)

    # What is asked.

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer questions about risk, limits and histories."""
        if isinstance(message, CheckOrders):
            return self._check(message, ctx)
        if isinstance(message, GetRisk):
            return self._risk_state()
        work = self._questions.work(message)
        if work is not None:
            return work
        if isinstance(message, GetLimits):
            return self._limit_states(message.portfolio_id, ctx)
        if isinstance(message, SetLimit):
            rule = make_rule(message.scope, message.control, message.soft, message.hard, message.window_ns)
            if rule.scope[0] == names.INSTRUMENT and rule.scope[3] != names.ANY:
                self._instrument_id(rule.scope[3])
            self._tree.set_limit(rule)
        elif isinstance(message, DropLimit):
            self._tree.drop_limit(parse_scope(message.scope), message.control)
        elif isinstance(message, SetRiskRates):
            self._tree.set_rates(_checked_rates(message.rates))
        else:
            reply = self._histories.on_request(message, ctx)
            if reply is None:
                return super().on_request(message, ctx)
            if isinstance(message, PutHistory | DropHistory):
                self._wait_for_histories(ctx)
            return reply
        self._tell_changes(ctx)
        return self._limit_states(0, ctx)

    def on_reply(self, number: int, reply: Message, ctx: Context) -> None:
        """Bars that the hub was asked for."""
        if self._histories.on_reply(number, reply, ctx):
            self._wait_for_histories(ctx)

    def on_unknown(self, number: int, message: Message, ctx: Context) -> None:
        """The hub has none."""
        self._histories.on_unknown(number, message, ctx)

    # Restarts.

    def on_start(self, ctx: Context) -> None:
        """What was said right before a crash may not have arrived; breaches that were there may be over."""
        self._said.again(ctx)
        self._wait_for_orders(ctx)

    def on_stop(self, ctx: Context) -> None:
        """What was said is delivered before the state is saved."""
        self._said.delivered()

    def resume(self, source_sequence: int, ctx: Context) -> None:
        """Count on above what the core has taken: the saved state may be older."""
        self._commands = max(self._commands, source_sequence)

    def state(self) -> dict[str, Any]:
        """Positions, the last report of each account, order times, limits, and what was said already."""
        return {
            **self._accounts.state(),
            "places": [[account, place] for account, place in self._places.items()],
            "commands": self._commands,
            "tree": self._tree.state(),
            "limits": self._set_limits(),
            "conditions": self._conditions.state(),
            "working": self._working.state(),
            "said": self._said.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        self._accounts.restore(state)
        # As it was saved before a fill could have both sides in one account, it has sequences.
        self._places = {account: 2 * sequence + 1 for account, sequence in state.get("sequences", ())}
        self._places.update(state.get("places", ()))
        self._commands = state["commands"]
        for scope, control, *limit in state.get("limits", ()):
            if limit:
                self._tree.set_limit(make_rule(scope, control, *limit))
            elif (tuple(parse_scope(scope)), control) in self._tree.rules:
                self._tree.drop_limit(parse_scope(scope), control)
        if "tree" in state:
            self._tree.restore(state["tree"])
            self._working.restore(state.get("working", ()))
            self._conditions.restore(state["conditions"])
            self._crowded = {
                node.scope: node
                for node, watch in self._tree.watched()
                if watch.rule.control == names.ORDER_RATE and (watch.soft_on or watch.hard_on)
            }
        self._said.restore(state.get("said", ()))
        self._changes.clear()

    def bulk(self) -> Mapping[str, tuple[int, Callable[[], Any]]]:
        """Histories."""
        return self._histories.panel.bulk()

    def restore_bulk(self, name: str, part: Any) -> None:
        """A history."""
        self._histories.panel.restore_bulk(name, part)

    # Within.

    def _on_fill(self, report: ExecutionReport, side: Side, lots: int, fee: int, ctx: Context) -> None:
        self._tell(self._accounts.fill(report, side, lots, fee, ctx.now_ns), ctx)
        key = (report.account_id, report.strategy_id, report.instrument_id)
        self._tree.fill(key, side, lots, report.price_ticks, fee, report.sequence)
        self._tell_changes(ctx)
        self._tell_conditions(self._conditions.moved(report.instrument_id), ctx)

    def _on_split(self, report: InstrumentSplit, ctx: Context) -> None:
        if report.place <= self._places.get(0, 0):
            return
        self._places[0] = report.place
        if report.old:
            self._accounts.split(report)
            self._tree.split(report.instrument_id, report.quantity, report.old, report.sequence)
            self._tell_changes(ctx)

    def _tell(self, alerts: Iterable[RiskAlert], ctx: Context) -> None:
        for alert in alerts:
            self._said.say(alert, ctx)
            if self._config.kill_switch:
                self._commands += 1
                command = KillSwitch(alert.account_id, source_id=self.source_id, source_sequence=self._commands)
                self._said.say(command, ctx)

    def _tell_changes(self, ctx: Context) -> None:
        """Say what the tree found; hard breaches stop strategies."""
        if not self._changes:
            return
        changes = tuple(self._changes)
        self._changes.clear()
        for change in changes:
            node, watch = change.node, change.watch
            value = watch.value or 0.0
            limit = (watch.hard if change.hard else watch.soft) or 0.0
            who = (node.account_id, node.strategy_id, node.instrument_id)
            scope, control = text_of(node.scope), watch.rule.control
            if change.hard and change.active:
                self._stop(scope, control, value, limit, who, change.sequence, ctx)
            breach = LimitBreached(
                ctx.now_ns, scope, control, change.hard, change.active, value, limit, *who, change.sequence
            )
            self._said.say(breach, ctx)
            if control == names.ORDER_RATE:
                self._crowded[node.scope] = node
        self._wait_for_orders(ctx)

    def _tell_conditions(self, conditions: Iterable[Condition], ctx: Context) -> None:
        for found in conditions:
            scope = text_of((names.PORTFOLIO, str(found.account_id)))
            who = (found.account_id, 0, found.instrument_id)
            if found.hard and found.active:
                self._stop(scope, found.control, found.value, found.limit, who, 0, ctx)
            breach = LimitBreached(
                ctx.now_ns, scope, found.control, found.hard, found.active, found.value, found.limit, *who
            )
            self._said.say(breach, ctx)

    def _stop(
        self,
        scope: str,
        control: str,
        value: float,
        limit: float,
        who: tuple[int, int, int],
        sequence: int,
        ctx: Context,
    ) -> None:
        """Alert whoever trades under a scope: everybody for the firm, each portfolio of a desk."""
        account_id, strategy_id, instrument_id = who
        accounts = [account_id]
        if scope.startswith(names.DESK):
            name = parse_scope(scope)[1]
            accounts = sorted(account for account, desk in self._tree.desks.items() if desk == name)
        alerts = [
            RiskAlert(
                now_ns=ctx.now_ns,
                strategy_id=strategy_id,
                account_id=account,
                instrument_id=instrument_id,
                control=control,
                value=math.ceil(value),
                limit=math.floor(limit),
                sequence=sequence,
                scope=scope,
            )
            for account in accounts
        ]
        self._tell(alerts, ctx)

    def _wait_for_orders(self, ctx: Context) -> None:
        """Orders leave a window without an event: come back when a breach of one may be over."""
        ends = []
        for scope, node in list(self._crowded.items()):
            watch = node.watches.get(names.ORDER_RATE)
            if watch is not None and (watch.soft_on or watch.hard_on) and node.orders:
                ends.append(node.orders[0] + watch.rule.window_ns)
            else:
                del self._crowded[scope]
        if ends:
            ctx.at(max(min(ends), ctx.now_ns + 1), _ORDERS)

    def _wait_for_histories(self, ctx: Context) -> None:
        """Histories come by the thousand: value at risk is made anew once, when the last is there or when asked for."""
        self._stale = True
        ctx.at(ctx.now_ns + _TOGETHER_NS, _HISTORIES)

    def _renew(self, ctx: Context) -> None:
        if self._stale:
            self._stale = False
            self._tree.renew_history()
            self._tell_changes(ctx)

    def _check(self, message: CheckOrders, ctx: Context) -> CheckResult:
        if not self._tree.known(message.portfolio_id):
            raise UnknownPortfolioError(
                f"portfolio {message.portfolio_id}", where="risk", expected="one that trades here, or that a desk names"
            )
        orders = []
        for order in message.orders:
            instrument_id = self._instrument_id(order.instrument)
            instrument = self._instruments[instrument_id]
            ticks = instrument.ticks(order.price) if order.price else 0
            orders.append(
                Proposal(instrument_id, order.strategy_id, order.side, instrument.lots(order.quantity), ticks)
            )
        self._renew(ctx)
        self._tree.want_history(order.instrument_id for order in orders)
        found = check(self._tree, message.portfolio_id, orders, ctx.now_ns)
        mine = self._tree.path(message.portfolio_id, keep=False)[-1]
        looked_at = {order.instrument_id for order in orders} or {key for key, lots in mine.lots.items() if lots}
        basis = marks_basis(self._tree, looked_at, METHOD, synthetic=mine.synthetic)
        return CheckResult(message.portfolio_id, not found.violations, *found, ctx.now_ns, mine.open_orders, basis)

    def _instrument_id(self, name: str) -> int:
        found = self._symbols.get(name)
        if found is None and name.isdecimal() and int(name) in self._instruments:
            found = int(name)
        if found is None:
            raise UnknownInstrumentError(f"instrument {name!r}", where="risk", expected="a symbol or an id")
        return found

    def _risk_state(self) -> RiskState:
        config = self._config
        return RiskState(
            max_position=config.max_position,
            max_loss=config.max_loss,
            max_orders=config.max_orders,
            window_ns=config.window_ns,
            kill_switch=config.kill_switch,
            breaches=tuple(RiskBreach(*key) for key in sorted(self._accounts.breached)),
        )

    def _limit_states(self, portfolio_id: int, ctx: Context) -> LimitStates:
        if portfolio_id and not self._tree.known(portfolio_id):
            raise UnknownPortfolioError(f"portfolio {portfolio_id}", where="risk", expected="one that trades here")
        self._renew(ctx)
        self._tree.look(ctx.now_ns, self._tree.nodes.values())
        self._tell_changes(ctx)
        states: list[LimitState] = []
        more = False
        for node, watch in self._tree.watched():
            if portfolio_id and node.account_id != portfolio_id:
                continue
            if len(states) == _MOST_LISTED:
                more = True
                break
            reason = "" if watch.value is not None else "no rate, history, net asset value or margin status"
            states.append(
                LimitState(
                    text_of(node.scope),
                    watch.rule.control,
                    watch.soft,
                    watch.hard,
                    watch.value,
                    watch.utilisation,
                    watch.state,
                    reason,
                )
            )
        leaves = self._tree.leaves_of(portfolio_id) if portfolio_id else self._tree.leaves.values()
        unvalued = {self._instruments[leaf.instrument_id].symbol for leaf in leaves if not leaf.valued}
        held = {leaf.instrument_id for leaf in leaves if leaf.position.quantity}
        made_up = any(node.synthetic for node in self._tree.nodes.values() if portfolio_id in (0, node.account_id))
        basis = marks_basis(self._tree, held, _LIMITS_METHOD, synthetic=made_up)
        return LimitStates(ctx.now_ns, self._currency, tuple(states), more, tuple(sorted(unvalued)), basis)

    def _set_limits(self) -> list[list[Any]]:
        """Limits that differ from those of the settings; one that was taken away has no numbers."""
        configured = {rule.key: rule for rule in self._config.rules}
        rows: list[list[Any]] = [
            [text_of(rule.scope), rule.control, rule.soft, rule.hard, rule.window_ns]
            for key, rule in self._tree.rules.items()
            if configured.get(key) != rule
        ]
        gone = configured.keys() - self._tree.rules.keys()
        return rows + [[text_of(scope), control] for scope, control in sorted(gone)]


def _checked_rates(rates: Mapping[str, float]) -> dict[str, Decimal]:
    found = {}
    for currency, rate in rates.items():
        if not (math.isfinite(rate) and 1e-18 < rate < 1e18):
            raise ModelError(f"rate {rate} of {currency}", where="risk", expected="a number above 0")
        found[currency] = Decimal(repr(rate))
    return found


__all__ = ["RiskEngine"]
