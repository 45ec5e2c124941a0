"""Fills, splits, dividends, deposits and restarts in any order: equal to the core, and to a twin that counts anew."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nautilus.core import Kernel
from nautilus.engines.portfolio import PortfolioConfig, PortfolioEngine
from nautilus.engines.portfolio.corporate import SEND
from nautilus.engines.portfolio.money import text_of
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.model.commands import CommandMessage, SubmitOrder
from nautilus.model.enums import AccountFlag, CommandKind, RateKind, SelfMatch, Side, TimeInForce
from nautilus.model.errors import ModelError
from nautilus.model.events import ExecutionReport, OrderFilled
from nautilus.model.instrument import EXACT
from nautilus.model.marketdata import quotes
from nautilus.model.portfolio import (
    ActionKind,
    ApplyAction,
    BookCash,
    GetAction,
    GetAttribution,
    GetPortfolio,
    GetPortfolios,
    GetReconciliations,
    Reconcile,
    ReconcileCore,
    SetRates,
)
from nautilus.model.queries import CorePosition, CoreState
from nautilus.runtime.report import core_positions
from tests.kit import builders
from tests.kit.context import RecordingContext, btcusdt, quote_array
from tests.kit.naive_portfolio import NaivePortfolio, floored

SHARE = {
    "product": "spot",
    "base_currency": "",
    "quote_currency": "USD",
    "lot_size": "1",
    "tick_table": (("0", "0.01"),),
}
INSTRUMENTS = [
    btcusdt(instrument_id=1, symbol="ABC", **SHARE),
    btcusdt(instrument_id=2, symbol="XYZ", **{**SHARE, "quote_currency": "EUR"}),
]
STEP = Fraction(1, 10**8)
ACCOUNTS = (1, 2, 3)


class Desk:
    """A core, the trading engine and a portfolio: what one asks another it is asked at once."""

    def __init__(self, method: str) -> None:
        flags = AccountFlag.FIFO if method == "fifo" else 0
        accounts = builders.batch(*(builders.account(key, flags) for key in ACCOUNTS))
        self.kernel = Kernel(instruments=INSTRUMENTS, accounts=accounts, huge_pages=False)
        for kind, ppm in ((RateKind.TAKER_FEE, 700), (RateKind.MAKER_FEE, -300)):
            self.kernel.process(builders.command(CommandKind.RATE, group_id=kind, price_ticks=ppm))
        self.kernel.process(builders.account(3, flags, order_type=SelfMatch.NONE))
        self.config = PortfolioConfig(method, currency="USD")
        self.trading = TradingEngine(TradingConfig(), self.kernel)
        self.portfolio = PortfolioEngine(self.config, INSTRUMENTS)
        self.ctx = RecordingContext()
        self.told: list[ExecutionReport] = []

    def send(self, message: CommandMessage) -> list[ExecutionReport]:
        self.ctx.now_ns += 1
        ctx = RecordingContext(self.ctx.now_ns)
        self.reply = self.trading.on_request(message, ctx)
        reports = [each for each in ctx.published if isinstance(each, ExecutionReport)]
        for report in reports:
            self.portfolio.on_report(report, self.ctx)
        self.told += reports
        return reports

    def ask(self, message):
        reply = self.portfolio.on_request(message, self.ctx)
        if isinstance(message, ApplyAction):
            self.portfolio.on_timer(SEND, self.ctx)
        waiting, self.ctx.requests = self.ctx.requests, []
        for number, peer, question, _ in waiting:
            assert peer == "trading"
            if isinstance(question, CommandMessage):
                self.send(question)
                self.portfolio.on_reply(number, self.reply, self.ctx)
            else:
                self.portfolio.on_reply(number, self.core_state(question.accounts), self.ctx)
        return reply

    def core_state(self, accounts) -> CoreState:
        rows = [
            CorePosition(key[0], key[1], value[0], *map(str, value[1:]))
            for key, value in core_positions(self.kernel, accounts).items()
        ]
        return CoreState(0, self.kernel.last_event_sequence, 0, tuple(rows))

    def restart(self) -> None:
        later = PortfolioEngine(self.config, INSTRUMENTS)
        later.restore(json.loads(json.dumps(self.portfolio.state())))
        later.resume(0, self.ctx)
        for report in self.told[-5:]:
            later.on_report(report, self.ctx)
        self.portfolio = later


class Machine(RuleBasedStateMachine):
    """Does things to both."""

    method = "average"

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(self.method)
        self.twin = NaivePortfolio({1: "USD", 2: "EUR"}, STEP)
        self.marks: dict[int, tuple[int, int]] = {}
        self.rate: Fraction | None = None
        self.number = 0

    @rule(
        account=st.sampled_from(ACCOUNTS),
        instrument=st.sampled_from([1, 2]),
        side=st.sampled_from(list(Side)),
        lots=st.integers(1, 50),
        price=st.integers(9_990, 10_010),
    )
    def trade(self, account, instrument, side, lots, price):
        self.number += 1
        order = SubmitOrder(account, instrument, self.number, side, lots, price, time_in_force=TimeInForce.GTC)
        for report in self.desk.send(order):
            if isinstance(report, OrderFilled):
                sign = 1 if report.side == Side.BUY else -1
                self.twin.events.append(
                    (
                        "fill", report.account_id, report.instrument_id, Fraction(sign * report.quantity),
                        Fraction(report.price_ticks, 100), report.fee * STEP,
                    )
                )  # fmt: skip

    @rule(instrument=st.sampled_from([1, 2]), bid=st.integers(9_000, 11_000), spread=st.integers(1, 20))
    def quote(self, instrument, bid, spread):
        self.marks[instrument] = (bid, bid + spread)
        record = quote_array(self.desk.ctx.now_ns, bid, bid + spread, instrument_id=instrument)
        self.desk.portfolio.on_quote(quotes(record)[0], self.desk.ctx)

    @rule(
        instrument=st.sampled_from([1, 2]),
        new=st.integers(1, 20),
        old=st.integers(1, 20),
        stock=st.booleans(),
        cents=st.integers(1, 100_000),
    )
    def split(self, instrument, new, old, stock, cents):
        self.number += 1
        kind = ActionKind.STOCK_DIVIDEND if stock else ActionKind.SPLIT
        action = ApplyAction(f"a{self.number}", kind, str(instrument), new, old, price=f"{cents / 100:.2f}")
        self.desk.ask(action)
        assert self.desk.ask(GetAction(action.action_id)).status == "applied"
        assert self.desk.ask(action).repeated
        self.twin.events.append(("split", instrument, new + old if stock else new, old, Fraction(cents, 100)))
        self.marks.pop(instrument, None)

    @rule(instrument=st.sampled_from([1, 2]), amount=st.integers(1, 10**7))
    def dividend(self, instrument, amount):
        self.number += 1
        action = ApplyAction(
            f"a{self.number}", ActionKind.CASH_DIVIDEND, str(instrument), amount=f"{amount / 10**6:.6f}"
        )
        for _ in range(2):
            assert self.desk.ask(action).status == "applied"
        self.twin.events.append(("dividend", instrument, Fraction(amount, 10**6)))

    @rule(account=st.sampled_from(ACCOUNTS), currency=st.sampled_from(["USD", "EUR"]), cents=st.integers(-999, 999))
    def deposit(self, account, currency, cents):
        self.number += 1
        for repeated in (False, True):
            message = BookCash(account, f"c{self.number}", currency, f"{cents / 100:.2f}")
            assert self.desk.ask(message).repeated is repeated
        self.twin.events.append(("cash", account, currency, Fraction(cents, 100)))

    @precondition(lambda self: any(event[0] == "cash" for event in self.twin.events))
    @rule(account=st.sampled_from(ACCOUNTS), cents=st.integers(1_000, 2_000))
    def book_another_under_a_known_id(self, account, cents):
        before = self.desk.portfolio.state()
        [first, *_] = before["cash"]["entries"]
        entry_id = first[0].removeprefix("entry:")
        if not first[0].startswith("entry:"):
            return
        with pytest.raises(ModelError):
            self.desk.ask(BookCash(account, entry_id, "USD", f"{cents / 100:.2f}"))
        assert self.desk.portfolio.state() == before

    @rule(rate=st.integers(1, 10**6))
    def set_rate(self, rate):
        self.rate = Fraction(rate, 10**5)
        self.desk.ask(SetRates({"EUR": f"{rate / 10**5:.5f}"}))

    @rule(account=st.sampled_from(ACCOUNTS), lots=st.integers(-20, 20), price=st.integers(1, 20_000))
    def book(self, account, lots, price):
        if not lots:
            return
        self.number += 1
        action = ApplyAction(
            f"a{self.number}", ActionKind.POSITION, "ABC", price=f"{price / 100:.2f}", portfolio_id=account,
            quantity=str(lots),
        )  # fmt: skip
        self.desk.ask(action)
        if self.desk.ask(GetAction(action.action_id)).status == "applied":
            self.twin.events.append(("fill", account, 1, Fraction(lots), Fraction(price, 100), Fraction(0)))

    @rule()
    def restart(self):
        self.desk.restart()
        self.marks.clear()

    @invariant()
    def positions_are_the_cores(self):
        ours = {
            (p.account_id, p.instrument_id): (p.quantity, p.cost, p.realised, p.fees)
            for p in self.desk.portfolio.positions()
        }
        assert {key: value for key, value in ours.items() if any(value)} == core_positions(self.desk.kernel, ACCOUNTS)

    @invariant()
    def figures_are_the_twins(self):
        held, cash = self.twin.figures()
        if self.method == "average":
            for position in self.desk.portfolio.positions():
                row = held[position.account_id, position.instrument_id]
                figures = (position.quantity, position.cost * STEP, position.realised * STEP, position.fees * STEP)
                assert figures == tuple(row)
        portfolios = {account for account, _ in held} | {account for account, _ in cash}
        for account in portfolios:
            state = self.desk.ask(GetPortfolio(account))
            lines = {line.currency: line for line in state.cash}
            for (owner, currency), amount in cash.items():
                if owner == account:
                    assert Fraction(lines[currency].balance) == amount
            self.value_is_cash_and_positions(account, state, held, cash)

    def value_is_cash_and_positions(self, account, state, held, cash):
        """Of currencies that have a rate, to the last unit; a position without a mark is there at cost."""
        dollars, euros = (self.worth(account, each, held, cash) for each in (1, 2))
        # Each currency is rounded down to 10^-18, the sum to 10^-8.
        total = floored(dollars) + (floored(euros * self.rate) if self.rate is not None else 0)
        assert int(state.valued.nav_units) == floor(total * 10**8)
        assert state.valued.complete is (not state.valued.missing)
        unmarked = {
            name for key, name in ((1, "ABC"), (2, "XYZ")) if held.get((account, key), [0])[0] and key not in self.marks
        }
        assert set(state.valued.missing) - {"EUR"} == unmarked
        if self.rate is not None:
            assert "EUR" not in state.valued.missing
        elif cash.get((account, "EUR"), 0) or held.get((account, 2), [0] * 4)[0]:
            assert "EUR" in state.valued.missing
        attribution = self.desk.ask(GetAttribution(account))
        for line in attribution.lines:
            parts = Fraction(line.realised) + Fraction(line.unrealised) + Fraction(line.income) - Fraction(line.fees)
            assert Fraction(line.total) == parts

    def worth(self, account, instrument, held, cash):
        """Cash and position in the currency of an instrument."""
        lots = held.get((account, instrument), [Fraction(0)])[0]
        found = cash.get((account, self.twin.currencies[instrument]), Fraction(0))
        if lots and instrument in self.marks:
            bid, ask = self.marks[instrument]
            return found + lots * Fraction(bid if lots > 0 else ask, 100)
        position = self.desk.portfolio.book.position(account, instrument)
        return found + (-position.cost * STEP if lots else 0)

    @rule(
        account=st.sampled_from(ACCOUNTS),
        quantities=st.lists(st.integers(-3, 3), min_size=2, max_size=2),
        cents=st.lists(st.integers(-3, 3), min_size=2, max_size=2),
        unknown=st.booleans(),
    )
    def compare_with_a_statement_that_differs(self, account, quantities, cents, unknown):
        """What is found is what was put in."""
        if account not in {row.portfolio_id for row in self.desk.ask(GetPortfolios()).portfolios}:
            return
        wanted, lots_of, cash_of = set(), {}, {}
        for instrument, name, change in zip((1, 2), ("ABC", "XYZ"), quantities, strict=True):
            lots = self.desk.portfolio.book.position(account, instrument).quantity
            if lots + change:  # what a statement does not name is held at 0
                lots_of[name] = str(lots + change)
            if change:
                kind = "quantity" if lots and lots + change else "missing_there" if lots else "missing_here"
                wanted.add((kind, name, str(lots), str(lots + change)))
        lines = {line.currency: Fraction(line.balance) for line in self.desk.ask(GetPortfolio(account)).cash}
        for currency, change in zip(("USD", "EUR"), cents, strict=True):
            balance = lines.get(currency, Fraction(0))
            here, there = (int(each * 10**18) for each in (balance, balance + Fraction(change, 100)))
            cash_of[currency] = f"{EXACT.scaleb(Decimal(there), -18):f}"  # compared to as many decimals as it has
            if change:
                wanted.add(("cash", currency, text_of(here), text_of(there)))
        if unknown:
            lots_of["WHO"] = "1"
            wanted.add(("unknown_instrument", "WHO", "", "1"))
        found = self.desk.ask(Reconcile(account, "venue", lots_of, {}, cash_of))
        assert {(each.kind.value, each.subject, each.here, each.there) for each in found.differences} == wanted
        assert len(found.differences) == len(wanted)
        assert found.status == ("different" if wanted else "equal")

    @precondition(lambda self: self.desk.portfolio.positions())
    @rule()
    def compare(self):
        account = self.desk.portfolio.positions()[0].account_id
        self.desk.ask(ReconcileCore(account))
        [found] = [each for each in self.desk.ask(GetReconciliations(account)).reconciliations if each.source == "core"]
        assert (found.status, found.differences) == ("equal", ())
        held = [p for p in self.desk.portfolio.positions() if p.account_id == account and p.quantity]
        statement = Reconcile(account, "venue", {str(p.instrument_id): str(p.quantity) for p in held})
        assert self.desk.ask(statement).status == "equal"


class FifoMachine(Machine):
    """The same by lots; the twin counts by average cost, so the core alone says what cost is."""

    method = "fifo"


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestFifoMachine = FifoMachine.TestCase
TestFifoMachine.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
