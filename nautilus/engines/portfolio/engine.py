"""Portfolio: positions and profit from fills, cash, value, corporate actions, and what is to be held.

Positions are equal to the core's to the last money unit: it books what the core reports, once each (`book`). The rest
of the package is what follows from them; this module is the engine around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from nautilus.engines.base import Context, Engine, Operation, Stream, Work
from nautilus.engines.panel import Histories, Panel, history_operations
from nautilus.engines.portfolio.book import PositionBook
from nautilus.engines.portfolio.corporate import SEND, SOURCE_ID, CorporateDesk
from nautilus.engines.portfolio.ledger import Ledger
from nautilus.engines.portfolio.money import text_of, units_of
from nautilus.engines.portfolio.optimising import basis_of, given_returns, history_returns, optimise_job
from nautilus.engines.portfolio.rebalancing import answer_of, arguments_of, lots_job, plan_of, request_of
from nautilus.engines.portfolio.reconcile import with_core, with_statement
from nautilus.maths.whole_lots import LotPlan
from nautilus.model.allocation import Optimise, Optimised, Rebalance, Rebalanced
from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.events import ExecutionReport, InstrumentSplit
from nautilus.model.ids import currency_id
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import Quote
from nautilus.model.message import Message
from nautilus.model.portfolio import (
    ActionState,
    ActionStates,
    ApplyAction,
    Attribution,
    BookCash,
    CashBooked,
    GetAction,
    GetActions,
    GetAttribution,
    GetPortfolio,
    GetPortfolios,
    GetRates,
    GetReconciliations,
    Portfolios,
    PortfolioState,
    Rates,
    Reconcile,
    ReconcileCore,
    Reconciliation,
    Reconciliations,
    SetRates,
)
from nautilus.model.position import Position, PositionChanged
from nautilus.model.queries import CoreState, GetCoreState, GetPositions, Positions
from nautilus.model.signals import PerformanceUpdated, TradingSignal
from nautilus.model.topics import BALANCES, EXECUTION_REPORTS, PERFORMANCE, POSITIONS, QUOTES, REBALANCE, SIGNALS

AVERAGE, FIFO = METHODS = ("average", "fifo")
CORE = "core"
ASK_NS = 5_000_000_000
MOST_ATTEMPTS = 5
MOST_SOURCES = 32
"""Sources whose last comparison with a portfolio is kept."""
_VALUE, _AGAIN = "value", "reconcile"


class PortfolioConfig(msgspec.Struct, frozen=True):
    """Settings of portfolios.

    Parameters
    ----------
    method
        What a fill that closes takes out: ``average`` cost, or ``fifo``, the oldest lots first. The core opens its
        accounts accordingly, so both always have the same figures.
    currency
        That reports are in; "": the quote currency of the instrument with the lowest id.
    capital
        Cash of the reporting currency that is booked in every account with its first fill, as a decimal: what returns
        are of where nobody books deposits. "": none.
    value_ms
        Between two values of a portfolio that are published, where something changed.
    reconcile_seconds
        Between comparisons of every portfolio with the core; 0: only where asked.

    Raises
    ------
    ConfigError
        Another method, a currency that is none, or a time below its least.
    """

    method: str = "average"
    currency: str = ""
    capital: str = ""
    value_ms: int = 1_000
    reconcile_seconds: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method {self.method!r}", where="portfolio", expected=" or ".join(METHODS))
        if self.currency:
            try:
                currency_id(self.currency)
            except ModelError as error:
                raise ConfigError(error.what, where="portfolio", expected=error.expected) from error
        _ = self.capital_units
        if not 10 <= self.value_ms <= 3_600_000:
            raise ConfigError(f"value_ms {self.value_ms}", where="portfolio", expected="10 to 3600000")
        if self.reconcile_seconds < 0:
            raise ConfigError(f"reconcile_seconds {self.reconcile_seconds}", where="portfolio", expected="0 or more")

    @property
    def capital_units(self) -> int:
        """`capital` in units of 10^-18; 0: none. ConfigError: it is no such number."""
        if not self.capital:
            return 0
        try:
            return units_of(self.capital, "capital", positive=True)
        except ModelError as error:
            raise ConfigError(error.what, where="portfolio.capital", expected=error.expected) from error


_READ: dict[str, Any] = {"priority": "high", "fallback": "last"}
_BUDGET: dict[str, Any] = {"priority": "high", "fallback": "last", "budget_ms": 100.0}
_CHANGE: dict[str, Any] = {"priority": "high", "fallback": "reconcile"}
_BOOK: dict[str, Any] = {**_CHANGE, "idempotent": True, "durable": True}
_LONG: dict[str, Any] = {"priority": "low", "fallback": "error", "scope": "read"}
_ONE = "/portfolio/{portfolio_id}"


class PortfolioEngine(Engine):
    """Follows every account, and answers for what it holds, is worth, and is to hold."""

    name = "portfolio"
    source_id = SOURCE_ID
    patience_ns = 10_000_000
    subscribes = (EXECUTION_REPORTS, QUOTES, SIGNALS, PERFORMANCE)
    publishes = (POSITIONS, BALANCES, REBALANCE)
    operations = (
        Operation("GET", "/positions", GetPositions, Positions, "Positions of every account, with profit", **_READ),
        Operation(
            "GET", "/positions/{account_id}", GetPositions, Positions, "Positions of an account, with profit", **_READ
        ),
        Operation("GET", "/portfolio", GetPortfolios, Portfolios, "Values of all portfolios", **_READ),
        Operation("GET", "/portfolio/rates", GetRates, Rates, "Rates that reports are converted with", **_READ),
        Operation("PUT", "/portfolio/rates", SetRates, Rates, "Set rates", **_BOOK),
        Operation("GET", "/portfolio/actions", GetActions, ActionStates, "Corporate actions", **_READ),
        Operation("GET", "/portfolio/actions/{action_id}", GetAction, ActionState, "A corporate action", **_READ),
        Operation(
            "POST", "/portfolio/actions", ApplyAction, ActionState, "Apply a corporate action, once",
            scope="admin", **_BOOK,
        ),
        Operation("POST", "/portfolio/optimise", Optimise, Optimised, "Weights that are best in some sense", **_LONG),
        *history_operations("portfolio"),
        Operation("GET", _ONE, GetPortfolio, PortfolioState, "Value, positions and cash of a portfolio", **_BUDGET),
        Operation("GET", f"{_ONE}/attribution", GetAttribution, Attribution, "Profit by instrument", **_READ),
        Operation(
            "POST", f"{_ONE}/cash", BookCash, CashBooked, "Book a deposit or withdrawal, once",
            scope="admin", **_BOOK,
        ),
        Operation(
            "POST", f"{_ONE}/reconcile", Reconcile, Reconciliation, "Compare with a venue's statement",
            scope="read", idempotent=True, fallback="error", durable=True,
        ),
        Operation(
            "POST", f"{_ONE}/reconcile/core", ReconcileCore, Reconciliation, "Compare with the core",
            scope="read", idempotent=True, fallback="error",
        ),
        Operation("GET", f"{_ONE}/reconcile", GetReconciliations, Reconciliations, "Last comparisons", **_READ),
        Operation("POST", f"{_ONE}/rebalance", Rebalance, Rebalanced, "Orders that bring it to weights", **_CHANGE),
    )  # fmt: skip
    streams = (
        Stream("/streams/positions", POSITIONS, "Positions as they change"),
        Stream("/streams/balances", BALANCES, "Balances and values as they change"),
        Stream("/streams/rebalance", REBALANCE, "Rebalancings as they are asked for"),
    )

    def __init__(self, config: PortfolioConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._ledger = Ledger(config.currency, instruments, fifo=config.method == FIFO, capital=config.capital_units)
        self._book = self._ledger.book
        self._desk = CorporateDesk(self._ledger)
        self._histories = Histories(Panel())
        self._performance: dict[int, PerformanceUpdated] = {}
        self._signals: dict[int, tuple[int, TradingSignal]] = {}
        self._accounts_of: dict[int, int] = {}  # strategy -> the account that it traded in last
        self._reconciled: dict[tuple[int, str], Reconciliation] = {}
        self._comparing: dict[int, int] = {}  # number of a question to the core -> portfolio
        self._armed = False
        self._answers: dict[type[Message], Callable[[Any, Context], Message | Work]] = {
            GetPositions: self._positions_reply,
            GetPortfolios: self._portfolios,
            GetPortfolio: self._portfolio,
            GetAttribution: self._attribution,
            GetRates: lambda message, ctx: self._rates(),
            SetRates: self._set_rates,
            ApplyAction: self._apply_action,
            GetActions: lambda message, ctx: ActionStates(self._desk.log.newest(message.limit)),
            GetAction: lambda message, ctx: self._desk.log.get(message.action_id),
            BookCash: self._book_cash,
            Reconcile: self._reconcile,
            ReconcileCore: self._reconcile_core,
            GetReconciliations: self._reconciliations,
            Rebalance: self._rebalance,
            Optimise: self._optimise,
        }

    @property
    def ignored(self) -> int:
        """Reports that were not newer than what was applied."""
        return self._book.ignored

    @property
    def book(self) -> PositionBook:
        """Positions by account."""
        return self._book

    def positions(self) -> list[Position]:
        """Every position that ever was, by account and instrument."""
        return self._book.positions()

    def mark_ticks(self, position: Position) -> int | None:
        """The price at which the position could be closed now, in ticks; None before the first quote of that side."""
        return self._ledger.mark_ticks(position)

    def unrealised(self, position: Position) -> int:
        """Profit if it were closed at its mark, in money units; 0 where there is no mark."""
        return self._ledger.unrealised(position)

    # What arrives.

    def on_start(self, ctx: Context) -> None:
        """Tell what is known from before."""
        if self._ledger.dirty:
            self._arm(ctx)
        if self._desk.unsent:
            ctx.at(ctx.now_ns, SEND)
        if self._config.reconcile_seconds:
            ctx.at(ctx.now_ns + self._config.reconcile_seconds * 1_000_000_000, _AGAIN)

    def on_quote(self, quote: Quote, ctx: Context) -> None:
        """Keep the newest quote as the mark."""
        if self._ledger.on_quote(quote) and not self._armed:
            self._arm(ctx)

    def on_report(self, report: ExecutionReport, ctx: Context) -> None:
        """Apply a fill, a position booked by hand, or a split, once."""
        ignored = self._book.ignored
        changes = self._ledger.on_report(report)
        if isinstance(report, InstrumentSplit) and self._book.ignored == ignored:
            self._desk.on_split(report, changes, ctx)
        for change in changes:
            position = change.after
            self._accounts_of[report.strategy_id] = position.account_id
            ctx.publish(
                PositionChanged(
                    sequence=report.sequence,
                    now_ns=ctx.now_ns,
                    strategy_id=report.strategy_id,
                    position=position,
                    mark_ticks=self.mark_ticks(position) or 0,
                    unrealised=self.unrealised(position),
                )
            )
        if changes and not self._armed:
            self._arm(ctx)

    def on_signal(self, signal: TradingSignal, ctx: Context) -> None:
        """Count what a strategy wants, for the account that it trades in."""
        account_id = self._accounts_of.get(signal.strategy_id, 0)
        self._signals[account_id] = (self._signals.get(account_id, (0,))[0] + 1, signal)

    def on_performance(self, performance: PerformanceUpdated, ctx: Context) -> None:
        """Keep the newest, to be shown with the portfolio."""
        self._performance[performance.portfolio_id] = performance

    def on_timer(self, key: str, ctx: Context) -> None:
        """Publish values that changed; compare with the core."""
        if key == _VALUE:
            self._armed = False
            self._publish_values(ctx)
        elif key == SEND:
            self._desk.send(ctx)
        elif key == _AGAIN:
            for portfolio_id in self._book.accounts():
                self._ask_core(portfolio_id, ctx, 1)
            ctx.at(ctx.now_ns + self._config.reconcile_seconds * 1_000_000_000, _AGAIN)
        elif key.startswith(f"{_AGAIN}:"):
            _, whose, attempt = key.split(":")
            self._ask_core(int(whose), ctx, int(attempt))

    def on_request(self, message: Message, ctx: Context) -> Message | Work:
        """Answer for portfolios; see `operations`."""
        answer = self._answers.get(type(message))
        if answer is not None:
            return answer(message, ctx)
        return self._histories.on_request(message, ctx) or super().on_request(message, ctx)

    def on_reply(self, number: int, reply: Message, ctx: Context) -> None:
        """What the core or the hub answered."""
        portfolio_id = self._comparing.pop(number, None)
        if portfolio_id is not None:
            self._compare(portfolio_id, reply, ctx)
        elif not self._desk.on_reply(number, reply):
            self._histories.on_reply(number, reply, ctx)

    def on_unknown(self, number: int, message: Message, ctx: Context) -> None:
        """The core or the hub did not answer."""
        portfolio_id = self._comparing.pop(number, None)
        if portfolio_id is not None:
            found = self._reconciled[portfolio_id, CORE]
            self._keep(msgspec.structs.replace(found, status="unknown", now_ns=ctx.now_ns))
        elif not self._desk.on_unknown(number):
            self._histories.on_unknown(number, message, ctx)

    # State.

    def resume(self, source_sequence: int, ctx: Context) -> None:
        """Count on above what the core has taken: the saved state may be older."""
        self._desk.resume(source_sequence)

    def state(self) -> dict[str, Any]:
        """Books, actions, rates, symbols and comparisons; histories are in `bulk`."""
        return {
            **self._ledger.state(),
            "actions": self._desk.log.state(),
            "commands": self._desk.commands,
            "sending": self._desk.numbers(),
            "reconciled": [msgspec.to_builtins(each) for each in self._reconciled.values()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Engine.restore`."""
        self._ledger.restore(state)
        self._desk.log.restore(state.get("actions", ()))
        self._desk.restore(state.get("commands", 0), state.get("sending", ()))
        for row in state.get("reconciled", ()):
            found = msgspec.convert(row, Reconciliation)
            self._keep(msgspec.structs.replace(found, status="unknown") if found.status == "asked" else found)

    def bulk(self) -> dict[str, tuple[int, Callable[[], Any]]]:
        """Histories."""
        return self._histories.panel.bulk()

    def restore_bulk(self, name: str, part: Any) -> None:
        """See `Engine.restore_bulk`."""
        self._histories.panel.restore_bulk(name, part)

    # Answers.

    def _positions_reply(self, message: GetPositions, ctx: Context) -> Positions:
        wanted = message.account_id
        portfolios = (wanted,) if wanted else self._book.accounts()
        found = [each for portfolio_id in portfolios for each in self._ledger.held(portfolio_id)]
        return Positions(tuple(map(self._ledger.entry, found)), self._book.last_sequence)

    def _portfolios(self, message: GetPortfolios, ctx: Context) -> Portfolios:
        self._ledger.refresh()
        found = tuple(self._ledger.valued(each, ctx.now_ns) for each in self._ledger.portfolios())
        return Portfolios(found, self._ledger.currency, self._book.last_sequence)

    def _portfolio(self, message: GetPortfolio, ctx: Context) -> PortfolioState:
        portfolio_id = message.portfolio_id
        self._ledger.check(portfolio_id)
        self._ledger.refresh()
        signals, last_signal = self._signals.get(portfolio_id, (0, None))
        valued = self._ledger.valued(portfolio_id, ctx.now_ns)
        return PortfolioState(
            valued=valued,
            positions=tuple(map(self._ledger.entry, self._ledger.held(portfolio_id) if message.positions else ())),
            cash=self._ledger.cash_lines(portfolio_id),
            basis=basis_of(
                "positions at the price at which they could be closed; last rates, against the trader",
                synthetic=valued.synthetic,
            ),
            performance=self._performance.get(portfolio_id),
            signals=signals,
            last_signal=last_signal,
        )

    def _attribution(self, message: GetAttribution, ctx: Context) -> Attribution:
        self._ledger.check(message.portfolio_id)
        self._ledger.refresh()
        return self._ledger.attribution(message.portfolio_id)

    def _rates(self) -> Rates:
        ledger = self._ledger
        currencies = {each.quote_currency for each in ledger.instruments.values()}
        currencies.update(each for portfolio in ledger.portfolios() for each in ledger.currencies(portfolio))
        lines, missing = ledger.rates.lines(currencies)
        return Rates(ledger.currency, lines, missing)

    def _set_rates(self, message: SetRates, ctx: Context) -> Rates:
        self._ledger.rates.set(message.rates, message.source, ctx.now_ns)
        self._arm(ctx)
        return self._rates()

    def _apply_action(self, message: ApplyAction, ctx: Context) -> ActionState:
        state = self._desk.apply(message, ctx)
        if self._ledger.dirty:
            self._arm(ctx)
        return state

    def _book_cash(self, message: BookCash, ctx: Context) -> CashBooked:
        portfolio_id, currency = message.portfolio_id, message.currency
        currency_id(currency)
        units = units_of(message.amount, "amount")
        entry_id, book = f"entry:{message.entry_id}", self._ledger.cash
        if not book.knows(entry_id):
            book.check_room()
        booked = book.book(entry_id, portfolio_id, currency, units)
        if booked:
            self._ledger.dirty.add(portfolio_id)
            for change in self._ledger.balances_changed(portfolio_id, ctx.now_ns):
                ctx.publish(change)
            self._arm(ctx)
        balance = text_of(self._ledger.balance(portfolio_id, currency))
        return CashBooked(portfolio_id, message.entry_id, currency, message.amount, balance, not booked)

    def _reconcile(self, message: Reconcile, ctx: Context) -> Reconciliation:
        ledger, portfolio_id = self._ledger, message.portfolio_id
        ledger.check(portfolio_id)
        balances = {each: ledger.balance(portfolio_id, each) for each in ledger.currencies(portfolio_id)}
        found, compared = with_statement(
            ledger.held(portfolio_id),
            balances,
            message.quantities,
            message.prices,
            message.cash,
            ledger.names,
            ledger.instruments,
        )
        return self._keep(
            Reconciliation(
                portfolio_id=portfolio_id,
                source=message.source,
                status="different" if found else "equal",
                now_ns=ctx.now_ns,
                differences=tuple(found),
                compared=compared,
                sequence=self._book.last_sequence,
            )
        )

    def _reconcile_core(self, message: ReconcileCore, ctx: Context) -> Reconciliation:
        self._ledger.check(message.portfolio_id)
        return self._ask_core(message.portfolio_id, ctx, 1)

    def _reconciliations(self, message: GetReconciliations, ctx: Context) -> Reconciliations:
        self._ledger.check(message.portfolio_id)
        found = [each for (portfolio_id, _), each in self._reconciled.items() if portfolio_id == message.portfolio_id]
        return Reconciliations(tuple(found))

    def _rebalance(self, message: Rebalance, ctx: Context) -> Work:
        ledger = self._ledger
        ledger.check(message.portfolio_id)
        ledger.refresh()
        plan = plan_of(message, ledger, ledger.valued(message.portfolio_id, ctx.now_ns))

        def finish(result: Any) -> Rebalanced:
            found = LotPlan(*result)
            if message.publish:
                ctx.publish(request_of(message, plan, found, ctx.now_ns))
            return answer_of(message, plan, found, ledger)

        return Work(lots_job, arguments_of(plan), finish)

    def _optimise(self, message: Optimise, ctx: Context) -> Work:
        if message.returns:
            data = given_returns(message)
        else:
            data = history_returns(self._histories.panel, message, self._desk.splits())
        # The rows of the request are in `data` now: they are not sent to the worker twice.
        return Work(optimise_job, (msgspec.structs.replace(message, returns=()), tuple(data)))

    # The core.

    def _ask_core(self, portfolio_id: int, ctx: Context, attempt: int) -> Reconciliation:
        number = ctx.request("trading", GetCoreState(accounts=(portfolio_id,)), ctx.now_ns + ASK_NS)
        self._comparing[number] = portfolio_id
        before = self._reconciled.get((portfolio_id, CORE))
        if before is None or before.status != "asked":
            before = Reconciliation(portfolio_id, CORE, "asked", ctx.now_ns)
        return self._keep(msgspec.structs.replace(before, attempts=attempt))

    def _compare(self, portfolio_id: int, reply: Message, ctx: Context) -> None:
        before = self._reconciled[portfolio_id, CORE]
        if not isinstance(reply, CoreState):
            self._keep(msgspec.structs.replace(before, status="unknown", now_ns=ctx.now_ns))
            return
        theirs = [each for each in reply.positions if each.account_id == portfolio_id]
        found, compared = with_core(
            self._book.positions_of(portfolio_id), theirs, self._ledger.names, self._ledger.instruments
        )
        if found and before.attempts < MOST_ATTEMPTS:
            # Reports may be on their way: a difference counts when it stays.
            ctx.at(ctx.now_ns + self._config.value_ms * 1_000_000, f"{_AGAIN}:{portfolio_id}:{before.attempts + 1}")
            self._keep(msgspec.structs.replace(before, status="asked"))
            return
        self._keep(
            Reconciliation(
                portfolio_id=portfolio_id,
                source=CORE,
                status="different" if found else "equal",
                now_ns=ctx.now_ns,
                differences=tuple(found),
                compared=compared,
                sequence=self._book.last_sequence,
                source_sequence=reply.last_event,
                attempts=before.attempts,
            )
        )

    def _keep(self, found: Reconciliation) -> Reconciliation:
        key = (found.portfolio_id, found.source)
        self._reconciled.pop(key, None)
        own = [each for each in self._reconciled if each[0] == found.portfolio_id]
        if len(own) >= MOST_SOURCES:
            del self._reconciled[own[0]]
        self._reconciled[key] = found
        return found

    # What is published.

    def _arm(self, ctx: Context) -> None:
        if not self._armed:
            self._armed = True
            ctx.at(ctx.now_ns + self._config.value_ms * 1_000_000, _VALUE)

    def _publish_values(self, ctx: Context) -> None:
        ledger = self._ledger
        ledger.refresh()
        for portfolio_id in sorted(ledger.dirty):
            ctx.publish(ledger.valued(portfolio_id, ctx.now_ns))
            for change in ledger.balances_changed(portfolio_id, ctx.now_ns):
                ctx.publish(change)
        ledger.dirty.clear()
