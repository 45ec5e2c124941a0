"""What portfolios are worth: cash, marks, rates, dividends, and what is told of them."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.engines.portfolio import PortfolioConfig, PortfolioEngine
from nautilus.engines.portfolio.corporate import SEND
from nautilus.engines.portfolio.money import converted
from nautilus.engines.portfolio.rates import RateTable
from nautilus.model.allocation import Rebalance
from nautilus.model.enums import RecordFlag, Side
from nautilus.model.errors import ConfigError, ModelError, UnknownInstrumentError, UnknownPortfolioError
from nautilus.model.events import InstrumentSplit, OrderFilled
from nautilus.model.marketdata import quotes
from nautilus.model.portfolio import (
    ActionKind,
    ApplyAction,
    BookCash,
    GetAction,
    GetAttribution,
    GetPortfolio,
    GetPortfolios,
    GetRates,
    GetReconciliations,
    PortfolioValued,
    Reconcile,
    ReconcileCore,
    SetRates,
)
from nautilus.model.position import PositionChanged
from nautilus.model.queries import CorePosition, CoreState, GetPositions
from nautilus.model.signals import BalanceChanged, PerformanceUpdated, SignalAction, TradingSignal
from tests.kit.context import SECOND, RecordingContext, btcusdt, quote_array

SHARE = {"product": "spot", "base_currency": "", "lot_size": "1", "tick_table": (("0", "0.01"),)}
INSTRUMENTS = [
    btcusdt(instrument_id=1, symbol="ABC", quote_currency="USD", **SHARE),
    btcusdt(instrument_id=2, symbol="XYZ", quote_currency="EUR", **SHARE),
    btcusdt(
        instrument_id=3, symbol="EURUSD", product="fx", base_currency="EUR", quote_currency="USD", lot_size="1",
        tick_table=(("0", "0.0001"),),
    ),
    btcusdt(instrument_id=4, symbol="PERP", product="perpetual", quote_currency="USD", lot_size="1",
            tick_table=(("0", "0.01"),)),
]  # fmt: skip


class Desk:
    """A portfolio engine and shorthands."""

    def __init__(self, **fields):
        self.engine = PortfolioEngine(PortfolioConfig(**{"currency": "USD", **fields}), INSTRUMENTS)
        self.ctx = RecordingContext()
        self.sequence = 0

    def fill(self, instrument, side, lots, price, account=7, fee=0):
        self.sequence += 1
        report = OrderFilled(self.sequence, 5, account, 9, instrument, 1, side, price, lots, 0, fee=fee)
        self.engine.on_report(report, self.ctx)

    def split(self, instrument, new, old, reference=0):
        self.sequence += 1
        report = InstrumentSplit(self.sequence, 5, 0, 0, instrument, 0, None, 0, new, 0, old=old, reference=reference)
        self.engine.on_report(report, self.ctx)

    def quote(self, instrument, bid, ask, flags=RecordFlag.LAST):
        record = quote_array(self.ctx.now_ns, bid, ask, instrument_id=instrument)
        record["flags"] = flags
        self.engine.on_quote(quotes(record)[0], self.ctx)

    def ask(self, message):
        answer = self.engine.on_request(message, self.ctx)
        self.tell_core()
        return answer

    def tell_core(self):
        """Fire the timer of what is told after a save."""
        if any(key == SEND for _, key in self.ctx.timers):
            self.ctx.timers = [each for each in self.ctx.timers if each[1] != SEND]
            self.engine.on_timer(SEND, self.ctx)

    def valued(self, portfolio_id=7):
        return self.ask(GetPortfolio(portfolio_id)).valued

    def published(self, kind):
        found = [each for each in self.ctx.published if isinstance(each, kind)]
        self.ctx.published = []
        return found


@pytest.fixture
def desk():
    return Desk()


def test_value_is_cash_and_positions_at_what_they_could_be_closed_for(desk):
    desk.ask(BookCash(7, "first", "USD", "1000"))
    desk.fill(1, Side.BUY, 10, 5_000, fee=25_000_000)
    desk.quote(1, 5_100, 5_200)
    valued = desk.valued()
    assert (valued.cash, valued.nav, valued.unrealised, valued.fees) == (499.75, 1009.75, 10.0, 0.25)
    assert desk.ask(GetPortfolio(7, positions=False)).positions == ()
    assert (valued.gross_exposure, valued.net_exposure, valued.booked) == (510.0, 510.0, 1000.0)
    assert (valued.nav_units, valued.complete, valued.missing) == (str(100_975_000_000), True, ())
    desk.fill(1, Side.SELL, 30, 5_100)
    valued = desk.valued()
    assert (valued.net_exposure, valued.gross_exposure, valued.realised) == (-1040.0, 1040.0, 10.0)
    assert valued.nav == 1009.75 - 20 * 1.0


def test_what_is_settled_by_margin_costs_no_cash(desk):
    desk.ask(BookCash(7, "first", "USD", "100"))
    desk.fill(4, Side.BUY, 10, 5_000)
    desk.quote(4, 5_100, 5_200)
    valued = desk.valued()
    assert (valued.cash, valued.nav, valued.net_exposure) == (100.0, 110.0, 510.0)
    [line] = desk.ask(GetPortfolio(7)).cash
    assert (line.balance, line.trading) == ("100", "0")


def test_a_value_says_whether_its_marks_and_rates_are_as_a_venue_sent_them(desk):
    desk.ask(BookCash(7, "first", "USD", "1000"))
    desk.fill(1, Side.BUY, 10, 5_000)
    desk.quote(1, 5_000, 5_010)
    desk.quote(2, 5_000, 5_010, flags=RecordFlag.SYNTHETIC)  # not held
    desk.quote(3, 11_000, 11_000)
    assert not desk.valued().synthetic
    desk.quote(1, 5_000, 5_010, flags=RecordFlag.SYNTHETIC | RecordFlag.LAST)
    assert desk.valued().synthetic
    assert desk.ask(GetPortfolio(7)).basis.synthetic
    assert desk.ask(GetAttribution(7)).basis.synthetic
    desk.engine.on_timer("value", desk.ctx)
    assert [each.synthetic for each in desk.published(PortfolioValued)] == [True]
    desk.fill(1, Side.SELL, 10, 5_000)
    assert not desk.valued().synthetic  # closed
    desk.quote(3, 11_000, 11_000, flags=RecordFlag.SYNTHETIC)
    assert not desk.valued().synthetic  # no euros
    desk.ask(BookCash(7, "euros", "EUR", "10"))
    assert desk.valued().synthetic
    later = RateTable("USD", INSTRUMENTS)
    later.restore(json.loads(json.dumps(desk.engine.state()["rates"])))
    assert later.rate("EUR").synthetic
    desk.quote(3, 11_000, 11_000)
    assert not desk.valued().synthetic
    desk.fill(1, Side.BUY, 10, 5_000)
    assert desk.valued().synthetic
    desk.split(1, 2, 1)
    assert not desk.valued().synthetic  # at cost, until the next quote


def test_a_rebalancing_says_whether_its_prices_are_as_a_venue_sent_them(desk):
    desk.ask(BookCash(7, "first", "USD", "1000"))
    for flags, found in ((RecordFlag.LAST, False), (RecordFlag.SYNTHETIC, True)):
        desk.quote(1, 5_000, 5_010, flags=flags)
        work = desk.ask(Rebalance(7, {"ABC": 0.5}, publish=False))
        assert work.finish(work.job(*work.arguments)).basis.synthetic is found
        work = desk.ask(Rebalance(7, {"ABC": 0.5}, prices={"ABC": "50"}, publish=False))
        assert not work.finish(work.job(*work.arguments)).basis.synthetic


def test_a_missing_rate_is_stated_and_never_one(desk):
    desk.fill(2, Side.BUY, 10, 5_000)
    desk.quote(2, 5_000, 5_010)
    desk.ask(BookCash(7, "first", "USD", "3"))
    valued = desk.valued()
    assert (valued.nav, valued.complete, valued.missing) == (3.0, False, ("EUR",))
    line = next(line for line in desk.ask(GetPortfolio(7)).cash if line.currency == "EUR")
    assert (line.balance, line.value) == ("-500", None)
    assert desk.ask(GetRates()).missing == ("EUR",)
    attribution = desk.ask(GetAttribution(7))
    assert attribution.lines[0].value is None
    assert attribution.undefined == {"EUR": "undefined"}
    desk.ask(SetRates({"EUR": "1.1"}))
    assert desk.valued().missing == ()


def test_a_position_without_a_mark_is_at_cost_and_named(desk):
    desk.fill(1, Side.BUY, 10, 5_000)
    valued = desk.valued()
    assert (valued.nav, valued.net_exposure, valued.missing) == (0.0, 500.0, ("ABC",))


def test_rates_are_taken_from_quotes_on_the_side_that_is_worse(desk):
    desk.quote(3, 11_000, 11_200)
    desk.ask(BookCash(7, "owned", "EUR", "100"))
    desk.ask(BookCash(8, "owed", "EUR", "-100"))
    assert desk.valued(7).nav == pytest.approx(110.0)
    assert desk.valued(8).nav == pytest.approx(-112.0)
    [line] = desk.ask(GetRates()).rates
    assert (line.currency, line.bid, line.ask, line.way, line.source) == ("EUR", 1.1, 1.12, ("EUR", "USD"), "EURUSD")


def test_rates_go_through_another_currency_and_back():
    table = RateTable("JPY", INSTRUMENTS)
    assert table.rate("EUR") is None
    table.set({"USD": "150"}, "request", 1)
    table.note(quotes(quote_array(2, 11_000, 11_200, instrument_id=3))[0])
    found = table.rate("EUR")
    assert (found.bid, found.ask, found.way) == (Fraction(165), Fraction(168), ("EUR", "USD", "JPY"))
    inverse = RateTable("EUR", INSTRUMENTS)
    inverse.note(quotes(quote_array(2, 11_000, 11_200, instrument_id=3))[0])
    assert inverse.rate("USD").bid == 1 / Fraction(112, 100)
    assert inverse.rate("USD").ask == 1 / Fraction(11, 10)
    later = RateTable("EUR", INSTRUMENTS)
    later.restore(json.loads(json.dumps(inverse.state())))
    assert later.rate("USD") == inverse.rate("USD")


@given(st.integers(-(10**30), 10**30), st.fractions(Fraction(1, 10**6), 10**6), st.fractions(0, 10))
def test_a_conversion_never_flatters(units, bid, spread):
    ask = bid + spread
    found = converted(units, bid, ask)
    assert found <= units * bid
    assert found <= units * ask or units > 0
    assert units * (bid if units >= 0 else ask) - found < 1


@pytest.mark.parametrize("rates", [{"EUR": "0"}, {"EUR": "-1"}, {"EUR": "x"}, {"euro": "1"}, {"USD": "1"}])
def test_what_is_no_rate_changes_nothing(desk, rates):
    with pytest.raises(ModelError):
        desk.ask(SetRates({"GBP": "1.3", **rates}))
    assert desk.ask(GetRates()).rates == ()


def test_values_are_published_once_a_second_where_something_changed(desk):
    desk.fill(1, Side.BUY, 10, 5_000)
    desk.fill(1, Side.BUY, 10, 5_000)
    assert desk.ctx.timers == [(2 * SECOND, "value")]
    assert [type(each) for each in desk.ctx.published] == [PositionChanged] * 2
    desk.ctx.now_ns = 2 * SECOND
    desk.published(PositionChanged)
    desk.engine.on_timer("value", desk.ctx)
    kinds = [type(each) for each in desk.ctx.published]
    assert kinds == [PortfolioValued, BalanceChanged]
    [valued, balance] = desk.ctx.published
    assert (valued.portfolio_id, valued.currency, valued.sequence) == (7, "USD", 2)
    assert (balance.account_id, balance.currency, balance.balance) == (7, "USD", -1_000 * 10**8)
    desk.ctx.published = []
    desk.engine.on_timer("value", desk.ctx)
    assert desk.ctx.published == []
    desk.quote(1, 5_100, 5_110)
    desk.quote(1, 5_100, 5_110)
    assert len(desk.ctx.timers) == 2
    desk.engine.on_timer("value", desk.ctx)
    assert [type(each) for each in desk.ctx.published] == [PortfolioValued]


def test_a_quote_of_what_nobody_holds_changes_no_value(desk):
    desk.quote(1, 5_000, 5_010)
    assert desk.ctx.timers == []
    desk.fill(1, Side.BUY, 10, 5_000)
    assert desk.valued().complete


def test_cash_is_booked_once_and_told_at_once(desk):
    first = desk.ask(BookCash(7, "a", "USD", "12.5"))
    again = desk.ask(BookCash(7, "a", "USD", "12.5"))
    assert (first.balance, first.repeated, again.balance, again.repeated) == ("12.5", False, "12.5", True)
    assert [each.balance for each in desk.published(BalanceChanged)] == [1_250_000_000]
    for other in (BookCash(7, "a", "USD", "13"), BookCash(8, "a", "USD", "12.5")):
        with pytest.raises(ModelError, match="another id"):
            desk.ask(other)
    for amount in ("1e3", "NaN", "", "1.0000000000000000001", "9" * 60):
        with pytest.raises(ModelError):
            desk.ask(BookCash(7, "b", "USD", amount))


def test_too_many_entries_are_refused_and_what_follows_from_the_core_is_booked(desk, monkeypatch):
    monkeypatch.setattr("nautilus.engines.portfolio.cash.MOST_ENTRIES", 3)
    desk = Desk(capital="100")
    desk.fill(1, Side.BUY, 15, 5_000)
    desk.fill(1, Side.BUY, 15, 5_000, account=8)
    desk.ask(BookCash(7, "a", "USD", "1"))
    before = desk.engine.state()
    for message in (BookCash(7, "b", "USD", "1"), ApplyAction("d", ActionKind.CASH_DIVIDEND, "ABC", amount="1")):
        with pytest.raises(ModelError, match="3 entries"):
            desk.ask(message)
    assert desk.engine.state() == before
    assert desk.ask(BookCash(7, "a", "USD", "1")).repeated
    desk.fill(1, Side.BUY, 10, 5_000, account=9)
    assert desk.valued(9).booked == 100.0
    desk.quote(1, 5_000, 5_000)
    desk.split(1, 1, 2)
    assert desk.valued(7).income == 50.0


def test_an_unknown_portfolio_is_stated(desk):
    for message in (
        GetPortfolio(3), GetAttribution(3), Reconcile(3, "venue", {}), ReconcileCore(3), GetReconciliations(3),
    ):  # fmt: skip
        with pytest.raises(UnknownPortfolioError, match="portfolio 3"):
            desk.ask(message)
    assert desk.ask(GetPortfolios()).portfolios == ()


def test_attribution_sums_to_the_profit_and_names_shares(desk):
    desk.fill(1, Side.BUY, 10, 5_000, fee=10**8)
    desk.fill(4, Side.SELL, 10, 5_000)
    desk.quote(1, 5_200, 5_210)
    desk.quote(4, 4_900, 4_950)
    desk.ask(ApplyAction("d1", ActionKind.CASH_DIVIDEND, "ABC", amount="0.5"))
    attribution = desk.ask(GetAttribution(7))
    first, second = attribution.lines
    assert (first.symbol, first.unrealised, first.income, first.fees, first.total) == ("ABC", "20", "5", "1", "24")
    assert (second.symbol, second.total) == ("PERP", "5")
    assert attribution.total == 29.0
    assert first.share + second.share == pytest.approx(1.0)
    assert attribution.total == desk.valued().nav
    assert attribution.basis.method


def test_a_statement_is_compared_by_kind_and_changes_nothing(desk):
    desk.ask(BookCash(7, "a", "USD", "1000"))
    desk.fill(1, Side.BUY, 3, 5_000)
    desk.fill(1, Side.BUY, 4, 5_001)
    desk.fill(4, Side.BUY, 5, 700)
    before = desk.engine.state()["positions"]
    found = desk.ask(
        Reconcile(
            7,
            "venue",
            {"ABC": "8", "EURUSD": "3", "WHO": "1"},
            {"ABC": "50.01"},
            {"USD": "649.96", "EUR": "0.00", "CHF": "5"},
        )
    )
    differences = {(each.kind.value, each.subject): (each.here, each.there) for each in found.differences}
    assert differences == {
        ("unknown_instrument", "WHO"): ("", "1"),
        ("quantity", "ABC"): ("7", "8"),
        ("missing_here", "EURUSD"): ("0", "3"),
        ("missing_there", "PERP"): ("5", "0"),
        ("cash", "CHF"): ("0", "5"),
    }
    assert (found.status, found.source, found.compared) == ("different", "venue", 6)
    assert desk.engine.state()["positions"] == before
    # Within the decimals of the statement: 50.00571... is 50.006 and 50.01 and no 50.00.
    for price, status in (("50.006", "equal"), ("50.01", "equal"), ("50.00", "different"), ("50.0057", "equal")):
        assert desk.ask(Reconcile(7, "venue", {"ABC": "7", "4": "5"}, {"ABC": price})).status == status
    with pytest.raises(ModelError):
        desk.ask(Reconcile(7, "venue", {"ABC": "seven"}))
    [last] = desk.ask(GetReconciliations(7)).reconciliations
    assert last.status == "equal"


def core_state(*rows, last=9):
    return CoreState(1, last, 0, tuple(CorePosition(7, *row) for row in rows))


def test_a_difference_to_the_core_counts_when_it_stays(desk):
    desk.fill(1, Side.BUY, 3, 5_000)
    assert desk.ask(ReconcileCore(7)).status == "asked"
    answer = core_state((1, 4, str(-20_000 * 10**6), "0"), (99, 2, "5", "5"))
    for attempt in range(1, 6):
        [(number, _, _, _)] = desk.ctx.requests
        desk.ctx.requests = []
        desk.engine.on_reply(number, answer, desk.ctx)
        [found] = desk.ask(GetReconciliations(7)).reconciliations
        assert found.attempts == attempt
        if attempt < 5:
            assert found.status == "asked"
            desk.engine.on_timer(desk.ctx.timers[-1][1], desk.ctx)
    assert (found.status, found.source_sequence, found.sequence) == ("different", 9, 1)
    kinds = [(each.kind.value, each.subject) for each in found.differences]
    assert kinds == [("quantity", "ABC"), ("cost", "ABC"), ("unknown_instrument", "99")]
    desk.ask(ReconcileCore(7))
    desk.engine.on_reply(desk.ctx.requests[0][0], core_state((1, 3, str(-15_000 * 10**6), "0")), desk.ctx)
    [found] = desk.ask(GetReconciliations(7)).reconciliations
    assert (found.status, found.attempts, found.compared) == ("equal", 1, 1)
    desk.ask(ReconcileCore(7))
    desk.engine.on_unknown(desk.ctx.requests[1][0], desk.ctx.requests[1][2], desk.ctx)
    assert desk.ask(GetReconciliations(7)).reconciliations[0].status == "unknown"


def test_the_core_is_compared_with_every_so_often_where_configured():
    desk = Desk(reconcile_seconds=60)
    desk.fill(1, Side.BUY, 3, 5_000)
    desk.engine.on_start(desk.ctx)
    assert (61 * SECOND, "reconcile") in desk.ctx.timers
    desk.engine.on_timer("reconcile", desk.ctx)
    assert [question.accounts for _, _, question, _ in desk.ctx.requests] == [(7,)]


def test_signals_are_counted_and_performance_is_shown(desk):
    desk.fill(1, Side.BUY, 3, 5_000)
    signal = TradingSignal(1, 9, 1, SignalAction.BUY, 5)
    for _ in range(3):
        desk.engine.on_signal(signal, desk.ctx)
    performance = PerformanceUpdated(1, 7, 0.1, 0.2, 0.5, -0.05)
    desk.engine.on_performance(performance, desk.ctx)
    state = desk.ask(GetPortfolio(7))
    assert (state.signals, state.last_signal, state.performance) == (3, signal, performance)


def test_a_restart_loses_nothing(desk):
    desk.ask(BookCash(7, "a", "USD", "12.5"))
    desk.fill(1, Side.BUY, 10, 5_000, fee=7)
    desk.fill(2, Side.BUY, 10, 5_000)
    desk.ask(SetRates({"EUR": "1.1"}))
    desk.ask(ApplyAction("d", ActionKind.CASH_DIVIDEND, "ABC", amount="0.5"))
    desk.ask(ApplyAction("s", ActionKind.SPLIT, "ABC", 2, 1))
    desk.ask(Reconcile(7, "venue", {"ABC": "10"}))
    later = Desk()
    later.engine.restore(json.loads(json.dumps(desk.engine.state())))
    later.engine.resume(5, later.ctx)
    later.engine.on_start(later.ctx)
    assert later.ctx.timers == [(2 * SECOND, "value")]
    assert later.ask(GetPortfolio(7)) == desk.ask(GetPortfolio(7))
    assert later.ask(GetAttribution(7)) == desk.ask(GetAttribution(7))
    assert later.ask(GetReconciliations(7)) == desk.ask(GetReconciliations(7))
    assert later.ask(BookCash(7, "a", "USD", "12.5")).repeated
    assert later.ask(ApplyAction("d", ActionKind.CASH_DIVIDEND, "ABC", amount="0.5")).repeated
    # What became of the split nobody here knows; the core's report says it, once.
    assert later.ask(GetAction("s")).status == "unknown"
    later.sequence = desk.sequence
    later.split(1, 2, 1, desk.ctx.requests[0][2].reference)
    later.sequence -= 1
    later.split(1, 2, 1, desk.ctx.requests[0][2].reference)
    assert later.ask(GetAction("s")).status == "applied"
    assert later.engine.positions()[0].quantity == 20
    later.ask(ApplyAction("t", ActionKind.SPLIT, "XYZ", 2, 1))
    assert later.ctx.requests[0][2].source_sequence == 6


def test_a_state_of_an_older_version_is_taken_over(desk):
    desk.fill(1, Side.BUY, 10, 5_000)
    old = {key: desk.engine.state()[key] for key in ("last_sequence", "positions", "places", "lots")}
    later = Desk()
    later.engine.restore(json.loads(json.dumps(old)))
    assert later.engine.positions() == desk.engine.positions()


def test_a_position_in_an_instrument_that_is_gone_is_named(desk):
    desk.fill(1, Side.BUY, 10, 5_000)
    desk.fill(2, Side.BUY, 10, 5_000)
    later = PortfolioEngine(PortfolioConfig(currency="USD"), INSTRUMENTS[1:])
    later.restore(json.loads(json.dumps(desk.engine.state())))
    state = later.on_request(GetPortfolio(7), desk.ctx)
    assert "instrument 1" in state.valued.missing
    assert [entry.symbol for entry in state.positions] == ["XYZ"]
    assert later.on_request(GetPositions(), desk.ctx).positions == state.positions
    assert len(later.positions()) == 2


def test_settings_that_cannot_be_are_refused():
    for fields in ({"currency": "dollar"}, {"value_ms": 1}, {"reconcile_seconds": -1}):
        with pytest.raises(ConfigError) as refusal:
            PortfolioConfig(**fields)
        assert refusal.value.where == "portfolio"
    assert Desk(currency="").ask(GetPortfolios()).currency == "USD"


def test_an_ambiguous_symbol_names_the_ids():
    twice = [INSTRUMENTS[0], btcusdt(instrument_id=9, symbol="ABC", quote_currency="USD", **SHARE)]
    engine = PortfolioEngine(PortfolioConfig(), twice)
    with pytest.raises(ModelError, match=r"\[1, 9\]"):
        engine.on_request(ApplyAction("a", ActionKind.SPLIT, "ABC", 2, 1), RecordingContext())
    with pytest.raises(UnknownInstrumentError):
        engine.on_request(ApplyAction("a", ActionKind.SPLIT, "QQQ", 2, 1), RecordingContext())


def test_capital_is_booked_in_an_account_once_with_its_first_fill():
    desk = Desk(capital="1000.5")
    with pytest.raises(UnknownPortfolioError):
        desk.engine.on_request(GetPortfolio(7), desk.ctx)
    desk.fill(1, Side.BUY, 1, 100)
    desk.fill(1, Side.BUY, 1, 100)
    found = desk.engine.on_request(GetPortfolio(7), desk.ctx)
    assert [line.booked for line in found.cash] == ["1000.5"]
    assert found.valued.booked == 1000.5
    again = Desk(capital="1000.5")
    again.engine.restore(desk.engine.state())
    again.sequence = desk.sequence
    again.fill(1, Side.BUY, 1, 100)
    found = again.engine.on_request(GetPortfolio(7), again.ctx)
    assert [line.booked for line in found.cash] == ["1000.5"]
    assert found.positions[0].quantity_lots == 3


@pytest.mark.parametrize("capital", ["-1", "0", "x", "NaN", "1e40"])
def test_capital_that_is_no_amount_is_refused(capital):
    with pytest.raises(ConfigError, match=r"portfolio\.capital"):
        PortfolioConfig(capital=capital)
